//! What a checked `telemetry.toml` says.

use std::fmt;

use crate::Version;

/// The name in `on` for the run itself: its root span.
pub const RUN: &str = "run";

/// What a tool may report: a `telemetry.toml` that passed every check.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Definition {
    /// Who answers for the data.
    pub publisher: Option<Publisher>,
    /// The tool's own command about its telemetry, as people type it: documents name it. Nothing if it has none.
    pub telemetry_command: Option<String>,
    /// The spans that may be recorded.
    pub spans: Vec<Span>,
    /// The data points that may be recorded on the run and on the spans.
    pub data_points: Vec<DataPoint>,
}

/// Who answers for the data.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Publisher {
    /// Name of the organisation or person.
    pub name: String,
    /// E-mail address or https page for questions.
    pub contact: String,
    /// The https address of the privacy page.
    pub privacy: String,
    /// Days after which a run is deleted at the publisher's, 1 to 3650.
    pub retention_days: u32,
    /// The SPDX identifier of the licence under which aggregates are published.
    pub licence: String,
}

/// A span that may be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Span {
    /// The span's name; unique for its target.
    pub name: String,
    /// The crate or module that makes it; modules below it count too.
    pub target: String,
    /// The most verbose level at which it is recorded.
    pub level: Level,
    /// One line for the person.
    pub sentence: String,
    /// Why it is collected.
    pub why: String,
    /// Who may receive it.
    pub audience: Audience,
    /// The version of the tool from which on it is recorded.
    pub since: Version,
    /// The version from which on it is no longer recorded; nothing for `never`.
    pub until: Option<Version>,
}

/// A value that may be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DataPoint {
    /// The attribute's key.
    pub key: String,
    /// Names of the spans that may have it; [`RUN`] is the run itself. A name that several targets use stands for
    /// all of them.
    pub on: Vec<String>,
    /// One line for the person.
    pub sentence: String,
    /// Why it is collected.
    pub why: String,
    /// What its value may be.
    pub kind: Kind,
    /// Who may receive it.
    pub audience: Audience,
    /// The version of the tool from which on it is recorded.
    pub since: Version,
    /// The version from which on it is no longer recorded; nothing for `never`.
    pub until: Option<Version>,
}

impl DataPoint {
    /// Whether a span of this name may have it; [`RUN`] is the run itself.
    pub fn is_on(&self, span: &str) -> bool {
        self.on.iter().any(|name| name == span)
    }
}

/// What the value of a data point may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Bool,
    /// A whole number, both ends included.
    Integer {
        /// The smallest value.
        min: i64,
        /// The largest value.
        max: i64,
    },
    /// The exit code of the run.
    ExitCode,
    /// One of the tool's own commands.
    Command(Vec<String>),
    /// One of a closed set.
    Set(Vec<String>),
    /// A version, as [`Version`] describes it.
    Version,
    /// A prefix, a version, and perhaps a suffix, such as `netcoreapp1.1` or `net8.0-windows`.
    Moniker {
        /// What it begins with.
        prefixes: Vec<String>,
        /// What it may end with.
        suffixes: Vec<String>,
    },
}

impl Kind {
    /// The words for `kind` in the file.
    pub const NAMES: [&'static str; 7] =
        ["bool", "integer", "exit_code", "command", "set", "version", "moniker"];

    /// The word for this kind in the file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Integer { .. } => "integer",
            Self::ExitCode => "exit_code",
            Self::Command(_) => "command",
            Self::Set(_) => "set",
            Self::Version => "version",
            Self::Moniker { .. } => "moniker",
        }
    }
}

/// Who may receive a span or a data point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// The maker of the tool, and every operator.
    Maker,
    /// Only a destination that the person or the machine's administrator chose.
    Operator,
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Maker => "maker",
            Self::Operator => "operator",
        })
    }
}

/// How verbose a span is; `tracing` has the same levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The least verbose.
    Error,
    /// Something to look at.
    Warn,
    /// Recorded unless the file says otherwise.
    Info,
    /// For the tool's developers.
    Debug,
    /// The most verbose.
    Trace,
}

impl Level {
    /// All levels and their words in the file.
    pub const NAMED: [(Self, &'static str); 5] = [
        (Self::Error, "error"),
        (Self::Warn, "warn"),
        (Self::Info, "info"),
        (Self::Debug, "debug"),
        (Self::Trace, "trace"),
    ];
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMED[*self as usize].1)
    }
}
