//! Reads a run file again, through the same allowlist as when it was written: whatever happened to the file,
//! nothing that is not approved comes out of it.

use serde_json::Value as Json;

use crate::data_points::{DataPoints, Kind, Value};
use crate::span::{self, Ending, Parent, Span, Subject};
use crate::telemetry::is_version;

/// A run as it was recorded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RecordedRun {
    /// `service.version`.
    pub(crate) version: String,
    /// The run's own span first; each span once, as its last line tells it.
    pub(crate) spans: Vec<Span>,
    /// Lines that could not be read and values that are not approved.
    pub(crate) left_out: u64,
    /// Bytes of whole lines; a torn last line lies behind.
    pub(crate) whole: usize,
    /// Whether there is an empty line, which a recovery leaves in the place of a torn one.
    pub(crate) was_torn: bool,
}

impl RecordedRun {
    pub(crate) fn ending(&self) -> Ending {
        match self.spans.first().map(|span| span.subject) {
            Some(Subject::Run(ending)) => ending,
            _ => Ending::Running,
        }
    }

    /// Tells of a run whose process died that it was cut off, at the time of the last thing known of it.
    pub(crate) fn cut_off(&mut self) {
        let last = self.spans.iter().map(|span| span.end).max().unwrap_or_default();
        if let Some(run) = self.spans.first_mut() {
            run.subject = Subject::Run(Ending::CutOff);
            run.end = run.end.max(last);
        }
    }
}

/// Reads the lines of one run; nothing if the run itself is not among them.
pub(crate) fn read_run(bytes: &[u8], data_points: &'static DataPoints, tool: &str) -> Option<RecordedRun> {
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    let mut reader = Reader { data_points, tool, left_out: u64::from(whole < bytes.len()) };
    let mut run: Option<(String, Span)> = None;
    let mut spans: Vec<Span> = Vec::new();
    let mut was_torn = false;
    for line in bytes[..whole.saturating_sub(1)].split(|byte| *byte == b'\n') {
        if line.iter().all(|byte| *byte == b' ') {
            was_torn |= whole > 0;
            continue;
        }
        let Some((version, span)) = reader.line(line) else {
            reader.left_out += 1;
            continue;
        };
        match span.subject {
            Subject::Run(_) => match &run {
                Some((_, first)) if (first.trace_id, first.span_id) != (span.trace_id, span.span_id) => {
                    reader.left_out += 1;
                }
                _ => run = Some((version, span)),
            },
            Subject::Approved(_) => match spans.iter_mut().find(|old| old.span_id == span.span_id) {
                Some(old) => *old = span,
                None => spans.push(span),
            },
        }
    }
    let (version, run) = run?;
    let strays = spans.len();
    spans.retain(|span| span.trace_id == run.trace_id && span.span_id != run.span_id);
    let left_out = reader.left_out + (strays - spans.len()) as u64;
    spans.insert(0, run);
    Some(RecordedRun { version, spans, left_out, whole, was_torn })
}

struct Reader<'a> {
    data_points: &'static DataPoints,
    tool: &'a str,
    left_out: u64,
}

impl Reader<'_> {
    fn line(&mut self, line: &[u8]) -> Option<(String, Span)> {
        let json: Json = serde_json::from_slice(line).ok()?;
        let resource = only(json.get("resourceSpans")?)?;
        let version = self.version(resource.get("resource")?.get("attributes")?)?;
        let span = only(only(resource.get("scopeSpans")?)?.get("spans")?)?;
        Some((version, self.span(span)?))
    }

    /// Of the resource only the tool's version is read, and only if it looks like one; the rest is the same in
    /// every run and is written anew.
    fn version(&self, attributes: &Json) -> Option<String> {
        let text = |key: &str| {
            attributes
                .as_array()?
                .iter()
                .find(|attribute| attribute.get("key").and_then(Json::as_str) == Some(key))?
                .get("value")?
                .get("stringValue")?
                .as_str()
        };
        let is_this_tool = text("service.name")? == self.tool;
        text("service.version").filter(|version| is_this_tool && is_version(version)).map(str::to_owned)
    }

    fn span(&mut self, json: &Json) -> Option<Span> {
        let name = json.get("name")?.as_str()?;
        let attributes = json.get("attributes")?.as_array()?;
        let start = number(json.get("startTimeUnixNano")?)?;
        let end = number(json.get("endTimeUnixNano")?)?;
        let parent = match json.get("parentSpanId") {
            None => None,
            Some(id) => Some(Parent {
                span_id: id_bytes(id)?,
                remote: json.get("flags")?.as_u64()? == u64::from(span::FLAGS_REMOTE_PARENT),
            }),
        };
        let mut span = Span {
            trace_id: id_bytes(json.get("traceId")?)?,
            span_id: id_bytes(json.get("spanId")?)?,
            parent,
            subject: Subject::Run(Ending::Running),
            start: Some(start).filter(|start| *start > 0)?,
            end: Some(end).filter(|end| *end >= start)?,
            values: Vec::with_capacity(attributes.len()),
        };
        let is_run =
            attributes.first().is_some_and(|attribute| key_of(attribute) == Some(span::EXECUTABLE_NAME));
        let allowed = if is_run {
            if name != self.tool {
                return None;
            }
            span.subject = Subject::Run(self.ending(attributes));
            self.data_points.on_run
        } else {
            let position = self.data_points.spans.iter().position(|approved| approved.name == name)?;
            // A span other than the run has a parent.
            span.parent?;
            span.subject = Subject::Approved(position as u8);
            self.data_points.spans[position].data_points
        };
        for attribute in attributes {
            let Some(key) = key_of(attribute) else {
                self.left_out += 1;
                continue;
            };
            if is_run && [span::EXECUTABLE_NAME, span::ERROR_TYPE].contains(&key) {
                continue;
            }
            match self.value(allowed, key, attribute) {
                Some((position, _)) if self.data_points.exit_code() == Some(position) => {}
                Some((position, value)) => span.set(position, value),
                None => self.left_out += 1,
            }
        }
        Some(span)
    }

    fn ending(&self, attributes: &[Json]) -> Ending {
        let value = |wanted: &str| {
            attributes.iter().find(|attribute| key_of(attribute) == Some(wanted))?.get("value")
        };
        let code = self.data_points.exit_code().and_then(|position| {
            let data_point = &self.data_points.data_points[usize::from(position)];
            let code = value(data_point.key)?.get("intValue").and_then(Json::as_str)?.parse().ok()?;
            data_point.admit_integer(code)
        });
        let error = value(span::ERROR_TYPE).and_then(|value| value.get("stringValue")).and_then(Json::as_str);
        match (code, error) {
            (Some(Value::Integer(code)), _) => Ending::Exited(code),
            (_, Some(span::ERROR_CUT_OFF)) => Ending::CutOff,
            _ => Ending::Running,
        }
    }

    /// The value, if it is one that this data point's own rendering gives.
    fn value(&self, allowed: &[u8], key: &str, attribute: &Json) -> Option<(u8, Value)> {
        let position = self.data_points.key_among(allowed, key)?;
        let data_point = &self.data_points.data_points[usize::from(position)];
        let value = attribute.get("value")?.as_object().filter(|value| value.len() == 1)?;
        let value = match (value.iter().next()?, &data_point.kind) {
            ((kind, Json::Bool(flag)), Kind::Bool) if kind == "boolValue" => data_point.admit_bool(*flag)?,
            ((kind, Json::String(text)), Kind::Integer { .. } | Kind::ExitCode) if kind == "intValue" => {
                data_point.admit_integer(text.parse().ok()?)?
            }
            (
                (kind, Json::String(text)),
                Kind::Command(_) | Kind::Set(_) | Kind::Version | Kind::Moniker { .. },
            ) if kind == "stringValue" => data_point.admit_text(text)?,
            _ => return None,
        };
        Some((position, value))
    }
}

fn only(json: &Json) -> Option<&Json> {
    match json.as_array()?.as_slice() {
        [only] => Some(only),
        _ => None,
    }
}

fn key_of(attribute: &Json) -> Option<&str> {
    attribute.get("key")?.as_str()
}

fn number(json: &Json) -> Option<u64> {
    json.as_str()?.parse().ok()
}

/// Lower-case hexadecimal digits; never all zero.
fn id_bytes<const LENGTH: usize>(json: &Json) -> Option<[u8; LENGTH]> {
    let digits = json.as_str()?.as_bytes();
    if digits.len() != 2 * LENGTH {
        return None;
    }
    let mut id = [0; LENGTH];
    for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    (id != [0; LENGTH]).then_some(id)
}
