//! The `Span` record: all that is ever known of a span, and its line of OTLP/JSON.
//!
//! It has room for ids, two times, an ending and a few admitted values; for no event, link, text or state. What
//! crosses a boundary of this crate is this record, so the type is the guarantee.
//!
//! The line is one `TracesData` of the OpenTelemetry file exporter's format: UTF-8, one line, keys in
//! lowerCamelCase, ids in hexadecimal, 64-bit integers as decimal strings, enums as integers (OTLP
//! specification, "JSON Protobuf Encoding").

use std::collections::HashSet;
use std::fmt::Write as _;

use crate::data_points::{DataPoints, Value};

/// 16 bytes, never all zero.
pub(crate) type TraceId = [u8; 16];
/// 8 bytes, never all zero.
pub(crate) type SpanId = [u8; 8];

/// The instrumentation scope and the distribution's name.
pub(crate) const SCOPE_NAME: &str = "tool-telemetry";
/// The version of this crate, that of the scope and the distribution.
pub(crate) const SCOPE_VERSION: &str = env!("CARGO_PKG_VERSION");
/// The OpenTelemetry SDK that the uploader hands the spans to; a test holds it against the lock file.
pub(crate) const SDK_VERSION: &str = "0.33.1";

/// The attribute that names the tool, as the conventions for command-line programs require.
pub(crate) const EXECUTABLE_NAME: &str = "process.executable.name";
/// Set if and only if the exit code is not 0, or is not known because the run was cut off.
pub(crate) const ERROR_TYPE: &str = "error.type";
/// `error.type` of a run that ended with an exit code other than 0.
pub(crate) const ERROR_OTHER: &str = "_OTHER";
/// `error.type` of a run whose process ended without telling its exit code.
pub(crate) const ERROR_CUT_OFF: &str = "cut_off";

/// W3C "sampled", and OTLP's bit that says whether the parent is remote is known.
pub(crate) const FLAGS_LOCAL_PARENT: u32 = 0x101;
/// The same with OTLP's bit for "the parent is remote".
pub(crate) const FLAGS_REMOTE_PARENT: u32 = 0x301;

/// What a span is: the run itself, or an approved span by its position in the data points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Run(Ending),
    Approved(u8),
}

/// How the run ended, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Written when the command begins; and at the end, where the exit code is not approved.
    Running,
    /// The process told its exit code.
    Exited(i64),
    /// The process ended without telling.
    CutOff,
}

impl Ending {
    pub(crate) fn is_error(self) -> bool {
        self.error_type().is_some()
    }

    pub(crate) fn error_type(self) -> Option<&'static str> {
        match self {
            Ending::Running | Ending::Exited(0) => None,
            Ending::Exited(_) => Some(ERROR_OTHER),
            Ending::CutOff => Some(ERROR_CUT_OFF),
        }
    }
}

/// The parent of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parent {
    pub(crate) span_id: SpanId,
    /// The parent belongs to another process.
    pub(crate) remote: bool,
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
    /// Positions of data points, each at most once, and their values. The exit code is not among them: it is
    /// part of the ending.
    pub(crate) values: Vec<(u8, Value)>,
}

impl Span {
    /// Sets a value; the last one wins.
    pub(crate) fn set(&mut self, data_point: u8, value: Value) {
        match self.values.iter_mut().find(|(position, _)| *position == data_point) {
            Some((_, old)) => *old = value,
            None => self.values.push((data_point, value)),
        }
    }

    pub(crate) fn flags(&self) -> u32 {
        if self.parent.is_some_and(|parent| parent.remote) { FLAGS_REMOTE_PARENT } else { FLAGS_LOCAL_PARENT }
    }
}

/// Hangs spans under the run, which comes first, whose parent is not among them: it never ended, or its line was
/// lost or dropped.
#[cfg_attr(not(feature = "spool"), expect(dead_code))]
pub(crate) fn adopt_orphans(spans: &mut [Span]) {
    let Some(run) = spans.first().map(|run| run.span_id) else { return };
    let known: HashSet<SpanId> = spans.iter().map(|span| span.span_id).collect();
    for span in &mut spans[1..] {
        if span.parent.is_none_or(|parent| parent.remote || !known.contains(&parent.span_id)) {
            span.parent = Some(Parent { span_id: run, remote: false });
        }
    }
}

/// The tool, as its spans name it. Both are checked when telemetry starts: nothing in them needs escaping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tool<'a> {
    /// `service.name` and `process.executable.name`: the name given to the builder, never `argv[0]`.
    pub(crate) name: &'a str,
    /// `service.version`.
    pub(crate) version: &'a str,
}

/// Whether a text may stand as a tool's version in a line: short, and nothing in it needs escaping.
pub(crate) fn is_version(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|first: char| first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+-".contains(&byte))
}

/// Resource attributes in the order in which they are written; nothing else ever is one.
pub(crate) fn resource(tool: Tool<'_>) -> [(&'static str, &str); 7] {
    [
        ("service.name", tool.name),
        ("service.version", tool.version),
        ("telemetry.sdk.name", "opentelemetry"),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.version", SDK_VERSION),
        ("telemetry.distro.name", SCOPE_NAME),
        ("telemetry.distro.version", SCOPE_VERSION),
    ]
}

/// Writes spans of one tool as lines. Resource and scope are the same in each, so they are rendered once.
#[derive(Debug)]
pub(crate) struct LineWriter {
    data_points: &'static DataPoints,
    tool_name: String,
    /// Everything before the span's own object.
    head: String,
}

/// Everything after the span's own object.
const TAIL: &str = "]}]}]}\n";

impl LineWriter {
    pub(crate) fn new(data_points: &'static DataPoints, tool: Tool<'_>) -> Self {
        let mut head = String::with_capacity(512);
        head.push_str("{\"resourceSpans\":[{\"resource\":{\"attributes\":[");
        for (position, (key, value)) in resource(tool).into_iter().enumerate() {
            if position > 0 {
                head.push(',');
            }
            let _ = write!(head, "{{\"key\":\"{key}\",\"value\":{{\"stringValue\":\"{value}\"}}}}");
        }
        let _ = write!(
            head,
            "]}},\"scopeSpans\":[{{\"scope\":{{\"name\":\"{SCOPE_NAME}\",\"version\":\"{SCOPE_VERSION}\"}},\"spans\":["
        );
        Self { data_points, tool_name: tool.name.to_owned(), head }
    }

    /// Appends the span's line, the newline included.
    pub(crate) fn write(&self, span: &Span, out: &mut String) {
        out.push_str(&self.head);
        self.write_span(span, out);
        out.push_str(TAIL);
    }

    fn write_span(&self, span: &Span, out: &mut String) {
        out.push_str("{\"traceId\":\"");
        push_hex(&span.trace_id, out);
        out.push_str("\",\"spanId\":\"");
        push_hex(&span.span_id, out);
        if let Some(parent) = span.parent {
            out.push_str("\",\"parentSpanId\":\"");
            push_hex(&parent.span_id, out);
        }
        out.push_str("\",\"flags\":");
        push_number(u64::from(span.flags()), out);
        out.push_str(",\"name\":\"");
        out.push_str(self.name(span.subject));
        out.push_str("\",\"kind\":1,\"startTimeUnixNano\":\"");
        push_number(span.start, out);
        out.push_str("\",\"endTimeUnixNano\":\"");
        push_number(span.end, out);
        out.push_str("\",\"attributes\":[");
        let mut attributes = Attributes { out, first: true };
        let mut is_error = false;
        if let Subject::Run(ending) = span.subject {
            attributes.text(EXECUTABLE_NAME, |out| out.push_str(&self.tool_name));
            if let (Ending::Exited(code), Some(position)) = (ending, self.data_points.exit_code()) {
                attributes.integer(self.data_points.data_points[usize::from(position)].key, code);
            }
            if let Some(error_type) = ending.error_type() {
                attributes.text(ERROR_TYPE, |out| out.push_str(error_type));
            }
            is_error = ending.is_error();
        }
        for (position, value) in &span.values {
            let data_point = &self.data_points.data_points[usize::from(*position)];
            match value {
                Value::Bool(flag) => attributes.flag(data_point.key, *flag),
                Value::Integer(number) => attributes.integer(data_point.key, *number),
                text => attributes.text(data_point.key, |out| {
                    let _ = data_point.render(text, out);
                }),
            }
        }
        out.push_str(if is_error { "],\"status\":{\"code\":2}}" } else { "],\"status\":{}}" });
    }

    fn name(&self, subject: Subject) -> &str {
        match subject {
            Subject::Run(_) => &self.tool_name,
            Subject::Approved(position) => self.data_points.spans[usize::from(position)].name,
        }
    }
}

struct Attributes<'a> {
    out: &'a mut String,
    first: bool,
}

impl Attributes<'_> {
    fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.push(',');
        }
        self.out.push_str("{\"key\":\"");
        self.out.push_str(key);
        self.out.push_str("\",\"value\":{");
    }

    fn text(&mut self, key: &str, write: impl FnOnce(&mut String)) {
        self.key(key);
        self.out.push_str("\"stringValue\":\"");
        write(self.out);
        self.out.push_str("\"}}");
    }

    fn integer(&mut self, key: &str, number: i64) {
        self.key(key);
        self.out.push_str("\"intValue\":\"");
        if number < 0 {
            self.out.push('-');
        }
        push_number(number.unsigned_abs(), self.out);
        self.out.push_str("\"}}");
    }

    fn flag(&mut self, key: &str, flag: bool) {
        self.key(key);
        self.out.push_str(if flag { "\"boolValue\":true}}" } else { "\"boolValue\":false}}" });
    }
}

fn push_hex(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    // One append instead of 32; a trace id is the longest.
    let mut digits = [0; 32];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xf)]]);
    }
    push_ascii(&digits[..2 * bytes.len()], out);
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

/// What `write!` would append, for a fifth of its time. Two digits at a time: a span has two times of 19 digits.
fn push_number(mut number: u64, out: &mut String) {
    // The largest has 20 digits.
    let mut digits = [0; 20];
    let mut first = digits.len();
    while number >= 10 {
        first -= 2;
        digits[first..first + 2].copy_from_slice(&PAIRS[(number % 100) as usize]);
        number /= 100;
    }
    // What is left is one digit or none; of the number 0 it is one.
    if number > 0 || first == digits.len() {
        first -= 1;
        digits[first] = b'0' + number as u8;
    }
    push_ascii(&digits[first..], out);
}

fn push_ascii(digits: &[u8], out: &mut String) {
    out.push_str(std::str::from_utf8(digits).unwrap_or_default());
}
