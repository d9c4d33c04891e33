//! What one telemetry.toml approves, arranged so that a span is judged quickly.

use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};

use foldhash::fast::RandomState;
use tool_telemetry_definition::{
    Count, DataPoint, DataPoints, ERROR_TYPE, ERROR_TYPES, Kind, OTHER, ParseErrors, Period, RUN, Version,
    content_hash,
};

use crate::shape::Value;

/// The content hash of a telemetry.toml, see [`content_hash`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentHash(pub [u8; 16]);

impl ContentHash {
    /// The hash of a file's text.
    pub fn of(text: &str) -> Self {
        Self::parse(&content_hash(text)).expect("a content hash has 32 hexadecimal digits")
    }

    /// Reads 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 32 {
            return None;
        }
        let mut hash = [0; 16];
        for (byte, [high, low]) in hash.iter_mut().zip(digits.as_chunks::<2>().0) {
            let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(hash))
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Data points by their keys. Senders choose only what is looked up.
type ByKey = HashMap<&'static str, &'static DataPoint, RandomState>;

/// What one telemetry.toml approves for its tool.
#[derive(Debug)]
pub struct Approvals {
    /// `service.name`.
    pub tool: String,
    /// The hash of the file.
    pub hash: ContentHash,
    data_points: &'static DataPoints,
    /// By the span's name; the run itself is [`RUN`].
    spans: HashMap<&'static str, ByKey, RandomState>,
    /// For counts.
    keys: ByKey,
}

impl Approvals {
    /// Reads a telemetry.toml.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its line.
    pub fn parse(tool: &str, text: &str) -> Result<Self, ParseErrors> {
        let data_points = parse_once(text)?;
        let by_key =
            |positions| data_points.at(positions).map(|data_point| (data_point.key, data_point)).collect();
        let steps = data_points.spans.iter().map(|span| (span.name, by_key(span.data_points)));
        Ok(Self {
            tool: tool.to_owned(),
            hash: ContentHash::of(text),
            data_points,
            spans: steps.chain([(RUN, by_key(data_points.on_run))]).collect(),
            keys: data_points.data_points.iter().map(|data_point| (data_point.key, data_point)).collect(),
        })
    }

    /// Days that the publisher keeps a run, if the file names a publisher.
    pub fn retention_days(&self) -> Option<u32> {
        self.data_points.publisher.as_ref().map(|publisher| publisher.retention_days)
    }

    /// The key of the data point that holds the command, if there is one.
    pub fn command_key(&self) -> Option<&'static str> {
        self.data_points.command().map(|position| self.data_points.data_points[usize::from(position)].key)
    }

    /// Whether a run may have this name: the tool's, alone or with an approved command, such as `dotnet build`.
    pub fn is_run(&self, name: &str) -> bool {
        let Some(after_tool) = name.strip_prefix(&*self.tool) else { return false };
        let is_command = |command| {
            self.command_key()
                .is_some_and(|key| self.admits(RUN, key, Value::Text(command)) == Admission::Admitted)
        };
        after_tool.is_empty() || after_tool.strip_prefix(' ').is_some_and(is_command)
    }

    /// Whether a step of this name is approved.
    pub fn has_step(&self, name: &str) -> bool {
        name != RUN && self.spans.contains_key(name)
    }

    /// Whether the span may have this attribute with this value; the run itself is [`RUN`].
    pub fn admits(&self, span: &str, key: &str, value: Value<'_>) -> Admission {
        admission(self.spans.get(span).and_then(|keys| keys.get(key)), value)
    }

    /// Whether an attribute may have this value, on whichever span.
    pub fn admits_key(&self, key: &str, value: Value<'_>) -> Admission {
        admission(self.keys.get(key), value)
    }

    /// The table that a count with these keys belongs to, if the file asks for one.
    pub fn table<'a>(&self, keys: impl Iterator<Item = &'a str> + Clone) -> Option<&'static Count> {
        self.data_points.counts.iter().find(|count| count.has_keys(keys.clone()))
    }

    /// The keys of each `[[count]]` of several keys.
    pub fn crossings(&self) -> Vec<Vec<String>> {
        let crossings = self.data_points.counts.iter().filter(|count| count.of.len() > 1);
        crossings.map(|count| count.of.iter().map(|key| (*key).to_owned()).collect()).collect()
    }

    /// How long installations are counted, if the file asks for counts.
    pub fn period(&self) -> Option<Period> {
        self.data_points.period
    }

    /// The value of an attribute as a table counts it, or nothing if the attribute cannot have it. If the table counts against
    /// a list, even a number becomes a text, so that one value is one cell.
    pub fn counted<'a>(&self, table: &Count, key: &str, value: Value<'a>) -> Option<Value<'a>> {
        if key == ERROR_TYPE {
            return ERROR_TYPES.iter().map(|word| Value::Text(word)).find(|word| *word == value);
        }
        match table.listed(self.data_points, key) {
            Some(_) if value == Value::Text(OTHER) => Some(value),
            Some(list) => list.iter().find(|text| value.to_string() == **text).map(|text| Value::Text(text)),
            None => (admission(self.keys.get(key), value) == Admission::Admitted).then_some(value),
        }
    }
}

/// Reads a telemetry.toml. Its tables are never freed, so each text is read only once. A server that often reads its files
/// again does not grow.
///
/// # Errors
/// Everything that is wrong with it, each with its line.
pub fn parse_once(text: &str) -> Result<&'static DataPoints, ParseErrors> {
    type Definitions = HashMap<ContentHash, Result<&'static DataPoints, ParseErrors>>;
    static DEFINITIONS: Mutex<Option<Definitions>> = Mutex::new(None);
    let mut definitions = DEFINITIONS.lock().unwrap_or_else(PoisonError::into_inner);
    let definitions = definitions.get_or_insert_default();
    definitions.entry(ContentHash::of(text)).or_insert_with(|| DataPoints::parse(text)).clone()
}

/// Whether an attribute may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is approved.
    Admitted,
    /// The span may not have the key.
    UnknownKey,
    /// The key may not have the value.
    UnknownValue,
}

fn admission(data_point: Option<&&'static DataPoint>, value: Value<'_>) -> Admission {
    match data_point {
        None => Admission::UnknownKey,
        Some(data_point) if is_admitted(data_point, value) => Admission::Admitted,
        Some(_) => Admission::UnknownValue,
    }
}

/// Senders write a value in one way only, so there is nothing to fold or to trim.
fn is_admitted(data_point: &DataPoint, value: Value<'_>) -> bool {
    let is_integer_in = |range: RangeInclusive<i64>| match value {
        Value::Int(number) => range.contains(&number),
        Value::Text(_) | Value::Bool(_) => false,
    };
    let is_text = |is_listed: &dyn Fn(&str) -> bool| match value {
        Value::Text(text) => text == OTHER || is_listed(text),
        Value::Bool(_) | Value::Int(_) => false,
    };
    match &data_point.kind {
        Kind::Bool => matches!(value, Value::Bool(_)),
        // Of any platform. Windows has 32 bits, read as signed or unsigned.
        Kind::ExitCode => is_integer_in(i64::from(i32::MIN)..=i64::from(u32::MAX)),
        Kind::Integer { min, max } => is_integer_in(*min..=*max),
        Kind::Command(members) | Kind::Set(members) => is_text(&|text| members.contains(&text)),
        Kind::Version => is_text(&|text| Version::parse(text).is_some()),
        Kind::Moniker { .. } => is_text(&|text| {
            let mut rendered = String::new();
            let admitted = data_point.admit_text(text);
            admitted.is_some_and(|value| data_point.render(&value, &mut rendered).is_ok() && rendered == text)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn approvals() -> Approvals {
        Approvals::parse("dotnet", include_str!("../../../examples/dotnet/telemetry.toml")).unwrap()
    }

    #[test]
    fn values_are_admitted_by_their_kind() {
        use Admission::{Admitted, UnknownKey, UnknownValue};
        let approvals = approvals();
        for (span, key, value, admission) in [
            (RUN, "dotnet.command", Value::Text("build"), Admitted),
            (RUN, "dotnet.command", Value::Text("other"), Admitted),
            (RUN, "dotnet.command", Value::Text("Build"), UnknownValue),
            (RUN, "dotnet.command", Value::Text("/home/anna"), UnknownValue),
            (RUN, "dotnet.command", Value::Int(1), UnknownValue),
            ("project", "dotnet.command", Value::Text("build"), UnknownKey),
            (RUN, "user.name", Value::Text("anna"), UnknownKey),
            (RUN, "process.exit.code", Value::Int(-1_073_741_819), Admitted),
            (RUN, "process.exit.code", Value::Int(1 << 40), UnknownValue),
            (RUN, "process.exit.code", Value::Text("1"), UnknownValue),
            ("project", "dotnet.project.runtimes", Value::Bool(true), Admitted),
            ("project", "dotnet.project.runtimes", Value::Text("true"), UnknownValue),
            ("target", "dotnet.target.framework", Value::Text("netcoreapp1.1"), Admitted),
            ("target", "dotnet.target.framework", Value::Text("net8.0-windows"), Admitted),
            ("target", "dotnet.target.framework", Value::Text("net8.0-anna"), UnknownValue),
            ("target", "dotnet.target.framework", Value::Text("anna8.0"), UnknownValue),
            ("target", "dotnet.target.framework", Value::Text("netanna"), UnknownValue),
        ] {
            assert_eq!(approvals.admits(span, key, value), admission, "{span} {key} {value}");
        }
        for name in ["dotnet", "dotnet build", "dotnet other"] {
            assert!(approvals.is_run(name), "{name}");
        }
        for name in [
            "",
            "dot",
            "dotnet ",
            "dotnet  build",
            "dotnet-build",
            "dotnetbuild",
            "dotnet /home/anna",
            "build",
        ] {
            assert!(!approvals.is_run(name), "{name}");
        }
        assert!(approvals.has_step("target") && !approvals.has_step(RUN) && !approvals.has_step("anna"));
        assert_eq!(approvals.command_key(), Some("dotnet.command"));
        assert_eq!(approvals.retention_days(), Some(365));
    }

    #[test]
    fn a_hash_does_not_depend_on_line_ends() {
        let hash = ContentHash::of("format = 1\n");
        assert_eq!(hash, ContentHash::of("format = 1\r\n"));
        assert_ne!(hash, ContentHash::of("format = 1"));
        assert_eq!(ContentHash::parse(&hash.to_string()), Some(hash));
        assert_eq!(ContentHash::parse("anna"), None);
        assert_eq!(ContentHash::parse(&"x".repeat(32)), None);
    }
}
