//! Cells of the tables in which installations are counted, and the span that says that a cell occurred.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use crate::model::allowlist::Allowlist;
use crate::model::data_points::{
    Count, DataPoint, DataPoints, ERROR_TYPE, ERROR_TYPES, Kind, OTHER, SERVICE_VERSION,
};
use crate::model::hex;
use crate::model::span::{
    Attributes, CONTENT_HASH, FLAGS_LOCAL_PARENT, SCOPE_NAME, SpanId, TraceId, push_number,
};

/// The name of a count's span.
pub(crate) const COUNT: &str = "count";

/// Keys and values of telemetry.toml have at most this many bytes (docs/telemetry-toml.md). A moniker is longer.
const MAX_WORD_BYTES: usize = 256;

/// The value of one key in a cell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CellValue {
    Bool(bool),
    Integer(i64),
    Text(String),
}

/// What occurred: the value of each key of one table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cell(pub(crate) BTreeMap<String, CellValue>);

impl Cell {
    /// The table that asks for this cell, if one does.
    pub(crate) fn table(&self, data_points: &DataPoints) -> Option<&'static Count> {
        data_points.counts.iter().find(|table| table.has_keys(self.0.keys().map(String::as_str)))
    }

    /// Whether a table asks for this cell, and each of its keys and values may be sent now. The file that a cell is read
    /// from may be damaged, or from another version of the tool.
    pub(crate) fn is_approved(&self, allowlist: &Allowlist) -> bool {
        let Some(table) = self.table(allowlist.data_points) else { return false };
        self.0.iter().all(|(key, value)| is_approved(allowlist, table, key, value))
    }

    /// The cell as JSON, with the types of its values.
    pub(crate) fn to_json(&self) -> Json {
        let member = |(key, value): (&String, &CellValue)| {
            let value = match value {
                CellValue::Bool(flag) => Json::from(*flag),
                CellValue::Integer(number) => Json::from(*number),
                CellValue::Text(text) => Json::from(text.as_str()),
            };
            (key.clone(), value)
        };
        Json::Object(self.0.iter().map(member).collect())
    }

    /// The cell as text, with the name of its span.
    pub(crate) fn text(&self) -> String {
        let mut text = COUNT.to_owned();
        for (key, value) in &self.0 {
            text.push_str(&match value {
                CellValue::Bool(flag) => format!("  {key} = {flag}"),
                CellValue::Integer(number) => format!("  {key} = {number}"),
                CellValue::Text(value) => format!("  {key} = {value}"),
            });
        }
        text
    }

    /// Reads a cell that a table could ask for. Its keys and values need no escaping anywhere.
    pub(crate) fn from_json(json: &Map<String, Json>) -> Option<Self> {
        let member = |(key, value): (&String, &Json)| {
            let value = match value {
                Json::Bool(flag) => CellValue::Bool(*flag),
                Json::Number(number) => CellValue::Integer(number.as_i64()?),
                Json::String(text) if is_word(text) => CellValue::Text(text.clone()),
                _ => return None,
            };
            is_word(key).then(|| (key.clone(), value))
        };
        json.iter().map(member).collect::<Option<_>>().map(Self)
    }
}

/// Whether a text has the characters and the length of a key or a listed value.
fn is_word(text: &str) -> bool {
    (1..=MAX_WORD_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._+/-".contains(&byte))
}

fn is_approved(allowlist: &Allowlist, table: &Count, key: &str, value: &CellValue) -> bool {
    let data_points = allowlist.data_points;
    let position = data_points.data_points.iter().position(|data_point| data_point.key == key);
    if position.is_some_and(|position| !allowlist.has_data_point(position as u8)) {
        return false;
    }
    if let Some(list) = table.listed(data_points, key) {
        return matches!(value, CellValue::Text(text) if text == OTHER || list.contains(&text.as_str()));
    }
    match (key, position) {
        (ERROR_TYPE, _) => matches!(value, CellValue::Text(text) if ERROR_TYPES.contains(&text.as_str())),
        (_, Some(position)) => is_value_of(&data_points.data_points[position], value),
        _ => false,
    }
}

/// Whether a data point with a closed list is counted as this value.
fn is_value_of(data_point: &DataPoint, value: &CellValue) -> bool {
    match &data_point.kind {
        Kind::Bool => matches!(value, CellValue::Bool(_)),
        Kind::Integer { min, max } => {
            matches!(value, CellValue::Integer(number) if (*min..=*max).contains(number))
        }
        Kind::Command(members) | Kind::Set(members) => {
            matches!(value, CellValue::Text(text) if text == OTHER || members.contains(&text.as_str()))
        }
        // They are open: a table counts them against a list of its own.
        Kind::ExitCode | Kind::Version | Kind::Moniker { .. } => false,
    }
}

/// The key of `service.version` and of `error.type` in a table, with the value that a run has for it.
pub(crate) fn own_value(key: &str, version: &str, error_type: Option<&'static str>) -> Option<CellValue> {
    let text = match key {
        SERVICE_VERSION => Some(version),
        ERROR_TYPE => error_type,
        _ => None,
    };
    text.map(|text| CellValue::Text(text.to_owned()))
}

/// A count: in one period, one cell occurred on one installation. It has no field for anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CountSpan {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    /// The period's first second, since the Unix epoch. It is the span's start and end.
    pub(crate) start: u64,
    pub(crate) cell: Cell,
}

impl CountSpan {
    /// Nanoseconds since the Unix epoch.
    pub(crate) fn start_nanoseconds(&self) -> u64 {
        self.start.saturating_mul(1_000_000_000)
    }

    /// The count as a line of OTLP/JSON, with its newline, in the format of a run's lines
    /// ([`LineWriter`](crate::model::span::LineWriter)).
    pub(crate) fn line(&self, tool: &str, content_hash: Option<&str>) -> String {
        let mut out = Vec::with_capacity(512);
        let push = |out: &mut Vec<u8>, text: &str| out.extend_from_slice(text.as_bytes());
        push(&mut out, "{\"resourceSpans\":[{\"resource\":{\"attributes\":[");
        let mut attributes = Attributes { out: &mut out, first: true };
        for (key, value) in resource(tool, content_hash) {
            attributes.text(key, |out| push(out, value));
        }
        push(&mut out, "]},\"scopeSpans\":[{\"scope\":{\"name\":\"");
        push(&mut out, SCOPE_NAME);
        push(&mut out, "\"},\"spans\":[{\"traceId\":\"");
        hex::push(&self.trace_id, &mut out);
        push(&mut out, "\",\"spanId\":\"");
        hex::push(&self.span_id, &mut out);
        push(&mut out, "\",\"flags\":");
        push_number(FLAGS_LOCAL_PARENT.into(), &mut out);
        push(&mut out, ",\"name\":\"");
        push(&mut out, COUNT);
        push(&mut out, "\",\"kind\":1,\"startTimeUnixNano\":\"");
        push_number(self.start_nanoseconds(), &mut out);
        push(&mut out, "\",\"endTimeUnixNano\":\"");
        push_number(self.start_nanoseconds(), &mut out);
        push(&mut out, "\",\"attributes\":[");
        let mut attributes = Attributes { out: &mut out, first: true };
        for (key, value) in &self.cell.0 {
            match value {
                CellValue::Bool(flag) => attributes.flag(key, *flag),
                CellValue::Integer(number) => attributes.integer(key, *number),
                CellValue::Text(text) => attributes.text(key, |out| push(out, text)),
            }
        }
        push(&mut out, "],\"status\":{}}]}]}]}\n");
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// All resource attributes of a count: whose it is, and the telemetry.toml that asked for it. The version, the language,
/// and the libraries would divide the installations into classes. The hash is missing where it is not known.
pub(crate) fn resource<'a>(
    tool: &'a str,
    content_hash: Option<&'a str>,
) -> impl Iterator<Item = (&'static str, &'a str)> {
    [("service.name", tool)].into_iter().chain(content_hash.map(|hash| (CONTENT_HASH, hash)))
}
