//! The [`Span`] record and its line of OTLP/JSON.
//!
//! A span has ids, two times, an ending, and a few admitted values. It has no field for an event, a link, a text, or a
//! trace state. The rooms of this crate exchange spans only as this type, so none of these can be stored or sent.
//!
//! A line is one `TracesData` in the OpenTelemetry file exporter's format: UTF-8, one line, keys in lowerCamelCase, ids
//! in hexadecimal, 64-bit integers as decimal strings, and enums as integers (OTLP specification, "JSON Protobuf
//! Encoding").

use std::collections::HashSet;

use crate::model::data_points::{DataPoints, Value};
use crate::model::hex;

/// 16 bytes, never all zero.
pub(crate) type TraceId = [u8; 16];
/// 8 bytes, never all zero.
pub(crate) type SpanId = [u8; 8];

/// The name of the instrumentation scope and of the distribution.
pub(crate) const SCOPE_NAME: &str = "tool-telemetry";
/// The version of the scope and of the distribution, which is that of this crate.
pub(crate) const SCOPE_VERSION: &str = env!("CARGO_PKG_VERSION");
/// The version of the OpenTelemetry SDK that exports the spans. A test compares it with the lock file.
pub(crate) const SDK_VERSION: &str = "0.33.1";

/// The attribute that names the tool, required by the semantic conventions for command-line programs.
pub(crate) const EXECUTABLE_NAME: &str = "process.executable.name";
/// Set if and only if the exit code is not 0, or is unknown because the run was cut off.
pub(crate) const ERROR_TYPE: &str = "error.type";
/// The `error.type` of a run whose exit code is not 0.
pub(crate) const ERROR_OTHER: &str = "_OTHER";
/// The `error.type` of a run whose process ended without reporting its exit code.
pub(crate) const ERROR_CUT_OFF: &str = "cut_off";

/// The resource attribute with the content hash of the `telemetry.toml` that a run was recorded under: 32 hexadecimal
/// digits.
pub(crate) const CONTENT_HASH: &str = "tool_telemetry.data_points";

/// W3C's `sampled` flag, and OTLP's flag that it is known whether the parent is remote.
pub(crate) const FLAGS_LOCAL_PARENT: u32 = 0x101;
/// The same, with OTLP's flag that the parent is remote.
pub(crate) const FLAGS_REMOTE_PARENT: u32 = 0x301;

/// What a span stands for: the run itself, or an approved span by its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The ending is `None` until the run ends, and afterwards if its exit code may not be recorded.
    Run(Option<Ending>),
    Approved(u8),
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The process reported its exit code.
    Exited(i64),
    /// The process ended without reporting its exit code.
    CutOff,
}

impl Ending {
    /// The value of `error.type`, if the run failed.
    pub(crate) fn error_type(self) -> Option<&'static str> {
        match self {
            Ending::Exited(0) => None,
            Ending::Exited(_) => Some(ERROR_OTHER),
            Ending::CutOff => Some(ERROR_CUT_OFF),
        }
    }
}

/// The parent of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parent {
    pub(crate) span_id: SpanId,
    /// Whether the parent belongs to another process.
    pub(crate) is_remote: bool,
}

/// One span.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Span {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) parent: Option<Parent>,
    pub(crate) subject: Subject,
    /// Nanoseconds since the Unix epoch.
    pub(crate) start: u64,
    /// Nanoseconds since the Unix epoch, not before `start`.
    pub(crate) end: u64,
    /// Positions of data points, each at most once, and their values. The exit code is not among them, because it is part
    /// of the ending.
    pub(crate) values: Vec<(u8, Value)>,
}

impl Span {
    /// Sets a value. The last one wins.
    pub(crate) fn set(&mut self, data_point: u8, value: Value) {
        match self.values.iter_mut().find(|(position, _)| *position == data_point) {
            Some((_, old)) => *old = value,
            None => self.values.push((data_point, value)),
        }
    }

    pub(crate) fn flags(&self) -> u32 {
        if self.parent.is_some_and(|parent| parent.is_remote) {
            FLAGS_REMOTE_PARENT
        } else {
            FLAGS_LOCAL_PARENT
        }
    }
}

/// Attaches each span whose parent is missing to the run, which comes first. The parent never ended, or its line was lost
/// or dropped.
pub(crate) fn adopt_orphans(spans: &mut [Span]) {
    let Some(run) = spans.first().map(|run| run.span_id) else { return };
    let known: HashSet<SpanId> = spans.iter().map(|span| span.span_id).collect();
    for span in &mut spans[1..] {
        if span.parent.is_none_or(|parent| parent.is_remote || !known.contains(&parent.span_id)) {
            span.parent = Some(Parent { span_id: run, is_remote: false });
        }
    }
}

/// The tool as its spans name it. Both strings are checked when telemetry starts, so that nothing in them needs escaping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tool<'a> {
    /// `service.name` and `process.executable.name`: the builder's name, never `argv[0]`.
    pub(crate) name: &'a str,
    /// `service.version`.
    pub(crate) version: &'a str,
    /// The content hash of the `telemetry.toml` that the spans were recorded under. `None` if the run has none.
    pub(crate) content_hash: Option<&'a str>,
}

/// All resource attributes, in the order in which they are written.
pub(crate) fn resource(tool: Tool<'_>) -> impl Iterator<Item = (&'static str, &str)> {
    let always = [
        ("service.name", tool.name),
        ("service.version", tool.version),
        ("telemetry.sdk.name", "opentelemetry"),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.version", SDK_VERSION),
        ("telemetry.distro.name", SCOPE_NAME),
        ("telemetry.distro.version", SCOPE_VERSION),
    ];
    always.into_iter().chain(tool.content_hash.map(|hash| (CONTENT_HASH, hash)))
}

/// Writes the spans of one tool as lines. All lines share the resource and the scope, which are rendered once.
#[derive(Debug)]
pub(crate) struct LineWriter {
    data_points: &'static DataPoints,
    tool_name: String,
    /// The line up to the span's object.
    head: Vec<u8>,
    /// The expected trace id and its digits.
    trace: Option<(TraceId, [u8; 32])>,
}

/// The line after the span's object.
const TAIL: &[u8] = b"]}]}]}\n";

impl LineWriter {
    pub(crate) fn new(data_points: &'static DataPoints, tool: Tool<'_>) -> Self {
        let mut head = Vec::with_capacity(768);
        head.extend_from_slice(b"{\"resourceSpans\":[{\"resource\":{\"attributes\":[");
        let mut attributes = Attributes { out: &mut head, first: true };
        for (key, value) in resource(tool) {
            attributes.text(key, |out| out.extend_from_slice(value.as_bytes()));
        }
        let scope = [
            "]},\"scopeSpans\":[{\"scope\":{\"name\":\"",
            SCOPE_NAME,
            "\",\"version\":\"",
            SCOPE_VERSION,
            "\"},\"spans\":[",
        ];
        scope.iter().for_each(|part| head.extend_from_slice(part.as_bytes()));
        Self { data_points, tool_name: tool.name.to_owned(), head, trace: None }
    }

    /// A writer for the spans of one trace, whose id is also rendered once.
    pub(crate) fn of_trace(data_points: &'static DataPoints, tool: Tool<'_>, trace_id: TraceId) -> Self {
        let mut digits = [0; 32];
        hex::render(&trace_id, &mut digits);
        Self { trace: Some((trace_id, digits)), ..Self::new(data_points, tool) }
    }

    /// Appends the span's line with its newline. It is ASCII except for names from `telemetry.toml`.
    pub(crate) fn write(&self, span: &Span, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        self.write_span(span, out);
        out.extend_from_slice(TAIL);
    }

    /// Appends the span to the last line, which this writer must have written. That saves the resource and the scope, about
    /// half of a line.
    pub(crate) fn write_into_last_line(&self, span: &Span, out: &mut Vec<u8>) {
        out.truncate(out.len() - TAIL.len());
        out.push(b',');
        self.write_span(span, out);
        out.extend_from_slice(TAIL);
    }

    /// The lines of these spans.
    pub(crate) fn text<'a>(&self, spans: impl IntoIterator<Item = &'a Span>) -> String {
        let mut lines = Vec::new();
        spans.into_iter().for_each(|span| self.write(span, &mut lines));
        String::from_utf8_lossy(&lines).into_owned()
    }

    fn write_span(&self, span: &Span, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"traceId\":\"");
        match &self.trace {
            Some((trace_id, digits)) if *trace_id == span.trace_id => out.extend_from_slice(digits),
            _ => hex::push(&span.trace_id, out),
        }
        out.extend_from_slice(b"\",\"spanId\":\"");
        hex::push(&span.span_id, out);
        if let Some(parent) = span.parent {
            out.extend_from_slice(b"\",\"parentSpanId\":\"");
            hex::push(&parent.span_id, out);
        }
        out.extend_from_slice(b"\",\"flags\":");
        push_number(u64::from(span.flags()), out);
        out.extend_from_slice(b",\"name\":\"");
        out.extend_from_slice(self.name(span.subject).as_bytes());
        out.extend_from_slice(b"\",\"kind\":1,\"startTimeUnixNano\":\"");
        push_number(span.start, out);
        out.extend_from_slice(b"\",\"endTimeUnixNano\":\"");
        push_number(span.end, out);
        out.extend_from_slice(b"\",\"attributes\":[");
        let mut attributes = Attributes { out, first: true };
        let mut is_error = false;
        if let Subject::Run(ending) = span.subject {
            attributes.text(EXECUTABLE_NAME, |out| out.extend_from_slice(self.tool_name.as_bytes()));
            if let (Some(Ending::Exited(code)), Some(position)) = (ending, self.data_points.exit_code()) {
                attributes.integer(self.data_points.data_points[usize::from(position)].key, code);
            }
            if let Some(error_type) = ending.and_then(Ending::error_type) {
                attributes.text(ERROR_TYPE, |out| out.extend_from_slice(error_type.as_bytes()));
                is_error = true;
            }
        }
        for (position, value) in &span.values {
            let data_point = &self.data_points.data_points[usize::from(*position)];
            match value {
                Value::Bool(flag) => attributes.flag(data_point.key, *flag),
                Value::Integer(number) => attributes.integer(data_point.key, *number),
                text => attributes.text(data_point.key, |out| {
                    let _ = data_point.render(text, &mut Utf8(out));
                }),
            }
        }
        let end: &[u8] = if is_error { b"],\"status\":{\"code\":2}}" } else { b"],\"status\":{}}" };
        out.extend_from_slice(end);
    }

    fn name(&self, subject: Subject) -> &str {
        match subject {
            Subject::Run(_) => &self.tool_name,
            Subject::Approved(position) => self.data_points.spans[usize::from(position)].name,
        }
    }
}

/// Appends text to bytes.
struct Utf8<'a>(&'a mut Vec<u8>);

impl std::fmt::Write for Utf8<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

struct Attributes<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl Attributes<'_> {
    fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        self.out.extend_from_slice(b"{\"key\":\"");
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\",\"value\":{");
    }

    fn text(&mut self, key: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.key(key);
        self.out.extend_from_slice(b"\"stringValue\":\"");
        write(self.out);
        self.out.extend_from_slice(b"\"}}");
    }

    fn integer(&mut self, key: &str, number: i64) {
        self.key(key);
        self.out.extend_from_slice(b"\"intValue\":\"");
        if number < 0 {
            self.out.push(b'-');
        }
        push_number(number.unsigned_abs(), self.out);
        self.out.extend_from_slice(b"\"}}");
    }

    fn flag(&mut self, key: &str, flag: bool) {
        self.key(key);
        let value: &[u8] = if flag { b"\"boolValue\":true}}" } else { b"\"boolValue\":false}}" };
        self.out.extend_from_slice(value);
    }
}

/// `00` to `99`.
static PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number as usize] = [b'0' + number / 10, b'0' + number % 10];
        number += 1;
    }
    pairs
};

/// Appends the same as `write!` in a fifth of the time, two digits at a time. A span has two times of 19 digits each.
fn push_number(mut number: u64, out: &mut Vec<u8>) {
    // `u64::MAX` has 20 digits.
    let mut digits = [0; 20];
    let mut first = digits.len();
    while number >= 10 {
        first -= 2;
        digits[first..first + 2].copy_from_slice(&PAIRS[(number % 100) as usize]);
        number /= 100;
    }
    // One digit is left, or none. The number 0 has one too.
    if number > 0 || first == digits.len() {
        first -= 1;
        digits[first] = b'0' + number as u8;
    }
    out.extend_from_slice(&digits[first..]);
}
