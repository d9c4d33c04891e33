//! The content of a checked `telemetry.toml`. In a tool it is static tables that `data_points!` makes at compile time.

use std::fmt;

use crate::{Count, DEFAULT_EPSILON, Period, Version};

/// The approved data points of a tool: what a run may report. A data point is an attribute of a span; it is not one of
/// OpenTelemetry's metric data points.
///
/// `data_points!` makes one from a `telemetry.toml` at compile time.
#[derive(Debug, Clone, Copy)]
pub struct DataPoints {
    /// The tool, if the file names it. A build under another name fails.
    pub tool: Option<&'static str>,
    /// The content hash of the file: 32 hexadecimal digits.
    pub content_hash: &'static str,
    /// Who answers for the data.
    pub publisher: Option<Publisher>,
    /// The tool's own command about its telemetry, as users type it.
    pub telemetry_command: Option<&'static str>,
    /// How exact the times are that the tool's author receives.
    pub times: Times,
    /// The spans that may be recorded, at most [`MAX_SPANS`](crate::MAX_SPANS).
    pub spans: &'static [ApprovedSpan],
    /// The data points that may be recorded, at most [`MAX_DATA_POINTS`](crate::MAX_DATA_POINTS).
    pub data_points: &'static [DataPoint],
    /// Positions in `data_points` of those that the run itself may have.
    pub on_run: &'static [u8],
    /// How long installations are counted. `None` if nothing is.
    pub period: Option<Period>,
    /// ε of differential privacy in which each period is published.
    pub epsilon: f64,
    /// The tables in which installations are counted.
    pub counts: &'static [Count],
}

/// Who answers for the data: the `[publisher]` of `telemetry.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Publisher {
    /// Name of the organisation or the author.
    pub name: &'static str,
    /// E-mail address or https page for questions and for reports of a data point that should not be collected.
    pub contact: &'static str,
    /// The https address of the privacy page.
    pub privacy: &'static str,
    /// Days after which the publisher deletes a run, 1 to 3650.
    pub retention_days: u32,
    /// The SPDX identifier of the licence under which aggregates are published.
    pub licence: &'static str,
    /// The https address of the site that shows the published aggregates, if there is one.
    pub published_at: Option<&'static str>,
}

impl Publisher {
    /// For the code that `data_points!` makes.
    #[doc(hidden)]
    pub const fn new(
        name: &'static str,
        contact: &'static str,
        privacy: &'static str,
        retention_days: u32,
        licence: &'static str,
        published_at: Option<&'static str>,
    ) -> Self {
        Self { name, contact, privacy, retention_days, licence, published_at }
    }
}

/// A span that may be recorded.
#[derive(Debug, Clone, Copy)]
pub struct ApprovedSpan {
    /// The span's name, unique for its target.
    pub name: &'static str,
    /// The crate or module that makes it. Modules below it count too.
    pub target: &'static str,
    /// The most verbose level at which it is recorded.
    pub level: Level,
    /// One line for the user.
    pub sentence: &'static str,
    /// Why it is collected.
    pub why: &'static str,
    /// Who may receive it.
    pub audience: Audience,
    /// The first version of the tool that records it.
    pub since: Version,
    /// The first version that no longer records it. `None` means `never`.
    pub until: Option<Version>,
    /// Positions in [`DataPoints::data_points`] of those that this span may have.
    pub data_points: &'static [u8],
}

/// An attribute that may be recorded: a key, and what its value may be.
#[derive(Debug, Clone, Copy)]
pub struct DataPoint {
    /// The attribute's key.
    pub key: &'static str,
    /// One line for the user.
    pub sentence: &'static str,
    /// Why it is collected.
    pub why: &'static str,
    /// What its value may be.
    pub kind: Kind,
    /// Who may receive it.
    pub audience: Audience,
    /// The first version of the tool that records it.
    pub since: Version,
    /// The first version that no longer records it. `None` means `never`.
    pub until: Option<Version>,
}

/// What the value of a data point may be. There is no free text and no hash, because a hash of a name is a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Bool,
    /// An integer, both ends included.
    Integer {
        /// The smallest value.
        min: i64,
        /// The largest value.
        max: i64,
    },
    /// The exit code of the run, as the platform reports it.
    ExitCode,
    /// One of the tool's own commands.
    Command(&'static [&'static str]),
    /// One of a closed set.
    Set(&'static [&'static str]),
    /// A [`Version`].
    Version,
    /// A prefix, a version, and optionally a suffix, such as `netcoreapp1.1` or `net8.0-windows`.
    Moniker {
        /// What it may begin with.
        prefixes: &'static [&'static str],
        /// What it may end with.
        suffixes: &'static [&'static str],
    },
}

impl Kind {
    /// The names of all kinds in `telemetry.toml`.
    pub const NAMES: [&'static str; 7] =
        ["bool", "integer", "exit_code", "command", "set", "version", "moniker"];

    /// The name of this kind in `telemetry.toml`.
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
    /// The tool's author, and every operator.
    Maker,
    /// Only a destination that the user or the machine's administrator chose.
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

/// How exact the times of a run are that goes to the tool's author. An operator always receives exact times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Times {
    /// The run starts on the hour, in UTC, and its spans keep their distance from that start to the millisecond. The times
    /// then do not tell which runs belong together.
    Hour,
    /// Nanoseconds.
    Exact,
}

impl Times {
    /// All members and their names in `telemetry.toml`.
    pub const NAMED: [(Self, &'static str); 2] = [(Self::Hour, "hour"), (Self::Exact, "exact")];
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMED[*self as usize].1)
    }
}

/// How verbose a span is, as in `tracing`. A more verbose level is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Errors: the least verbose level.
    Error,
    /// Warnings.
    Warn,
    /// The level if the file names none.
    Info,
    /// For the tool's developers.
    Debug,
    /// The most verbose level.
    Trace,
}

impl Level {
    /// All levels and their names in `telemetry.toml`.
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

impl DataPoints {
    /// Approves nothing.
    pub const EMPTY: Self = Self {
        tool: None,
        content_hash: "00000000000000000000000000000000",
        publisher: None,
        telemetry_command: None,
        times: Times::Hour,
        spans: &[],
        data_points: &[],
        on_run: &[],
        period: None,
        epsilon: DEFAULT_EPSILON,
        counts: &[],
    };

    /// The keys of all approved data points, in the order of the file.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.data_points.iter().map(|data_point| data_point.key)
    }

    /// Who answers for the data, if the file names a publisher.
    pub fn publisher(&self) -> Option<&Publisher> {
        self.publisher.as_ref()
    }

    /// The tool's own command about its telemetry, as users type it, if the file names one.
    pub fn telemetry_command(&self) -> Option<&'static str> {
        self.telemetry_command
    }

    /// The data points at these positions: those [on the run](Self::on_run) or [on a span](ApprovedSpan::data_points).
    pub fn at<'a>(&self, positions: &'a [u8]) -> impl Iterator<Item = &'static DataPoint> + use<'a> {
        let data_points = self.data_points;
        positions.iter().map(move |&position| &data_points[usize::from(position)])
    }

    /// The position of the approved span with this name and target.
    #[doc(hidden)]
    pub fn span(&self, name: &str, target: &str) -> Option<u8> {
        let position =
            self.spans.iter().position(|span| span.name == name && is_at_or_below(target, span.target))?;
        Some(position as u8)
    }

    /// The position of an approved span with this name, whose target is unknown because run files and OTLP carry only
    /// the name. Entries with one name have the same data points and differ in their audience. An entry for the maker
    /// is preferred, because runs for the tool's author were recorded under one, and an operator may receive either.
    #[doc(hidden)]
    pub fn span_by_name(&self, name: &str) -> Option<u8> {
        let named = || (0_u8..).zip(self.spans).filter(|(_, span)| span.name == name);
        let for_maker = named().find(|(_, span)| span.audience == Audience::Maker);
        for_maker.or_else(|| named().next()).map(|(position, _)| position)
    }

    /// The position of the data point with this key among `allowed` positions.
    #[doc(hidden)]
    #[inline]
    pub fn key_among(&self, allowed: &[u8], key: &str) -> Option<u8> {
        allowed.iter().copied().find(|&position| self.data_points[usize::from(position)].key == key)
    }

    /// The position of the data point for the tool's command.
    #[doc(hidden)]
    pub fn command(&self) -> Option<u8> {
        self.run_data_point(|kind| matches!(kind, Kind::Command(_)))
    }

    /// The position of the data point for the exit code.
    #[doc(hidden)]
    pub fn exit_code(&self) -> Option<u8> {
        self.run_data_point(|kind| matches!(kind, Kind::ExitCode))
    }

    fn run_data_point(&self, wanted: impl Fn(&Kind) -> bool) -> Option<u8> {
        self.on_run.iter().copied().find(|&position| wanted(&self.data_points[usize::from(position)].kind))
    }
}

/// Whether a module is `outer` or lies below it.
pub(crate) fn is_at_or_below(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}
