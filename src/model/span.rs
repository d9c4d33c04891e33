//! The [`Span`] record. `lines` writes it as a line of OTLP/JSON.
//!
//! A span has ids, two times, an ending, and a few admitted values. It has no field for an event, a link, a text, or a
//! trace state. The rooms of this crate exchange spans only as this type, so none of these can be stored or sent.
//!
//! A line is one `TracesData` in the OpenTelemetry file exporter's format: UTF-8, one line, keys in lowerCamelCase, ids
//! in hexadecimal, 64-bit integers as decimal strings, and enums as integers (OTLP specification, "JSON Protobuf
//! Encoding").

mod lines;

use std::collections::HashSet;
use std::fmt;

pub(crate) use lines::LineWriter;
pub(super) use lines::{Attributes, push_number};

use crate::model::data_points::{DataPoints, Value};

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

    /// Writes the span's name. That of a run is the tool's name and the command, such as `dotnet build`, or only the tool's
    /// name if the run has no command, for example after a usage error.
    pub(crate) fn write_name(
        &self,
        tool: &str,
        data_points: &DataPoints,
        out: &mut impl fmt::Write,
    ) -> fmt::Result {
        if let Subject::Approved(position) = self.subject {
            return out.write_str(data_points.spans[usize::from(position)].name);
        }
        out.write_str(tool)?;
        let command = data_points.command();
        if let Some((position, value)) = self.values.iter().find(|(position, _)| Some(*position) == command) {
            out.write_char(' ')?;
            data_points.data_points[usize::from(*position)].render(value, out)?;
        }
        Ok(())
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
