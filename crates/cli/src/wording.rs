//! Words for times, durations, destinations, states, and values.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tool_telemetry::Outcome;
use tool_telemetry::command::RunStatus;
use tool_telemetry_definition::{DataPoints, Kind};

/// A time in the user's time zone.
#[derive(Debug, Clone)]
pub(crate) struct Time {
    /// `24 November 2026`
    pub(crate) day: String,
    /// `16:05:09`
    pub(crate) clock: String,
    /// The value of HTML's `datetime` attribute.
    pub(crate) machine: String,
}

impl Time {
    pub(crate) fn from_nanoseconds(nanoseconds: u64, zone: &TimeZone) -> Option<Self> {
        let timestamp = Timestamp::from_nanosecond(i128::from(nanoseconds)).ok()?;
        let zoned = timestamp.to_zoned(zone.clone());
        Some(Self {
            day: zoned.strftime("%-d %B %Y").to_string(),
            clock: zoned.strftime("%H:%M:%S").to_string(),
            machine: timestamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        })
    }

    pub(crate) fn from_seconds(seconds: u64, zone: &TimeZone) -> Option<Self> {
        Self::from_nanoseconds(seconds.checked_mul(1_000_000_000)?, zone)
    }
}

/// Three digits and a unit, as in `telemetry show`.
pub(crate) fn duration(nanoseconds: u64) -> String {
    let (value, unit) = match nanoseconds as f64 {
        ns if ns >= 60e9 => {
            return format!("{} min {} s", nanoseconds / 60_000_000_000, nanoseconds / 1_000_000_000 % 60);
        }
        ns if ns >= 1e9 => (ns / 1e9, "s"),
        ns if ns >= 1e6 => (ns / 1e6, "ms"),
        ns => (ns / 1e3, "µs"),
    };
    let decimals = match value {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{value:.decimals$} {unit}")
}

/// `1,000`
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 run`, `1,000 runs`
pub(crate) fn count(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", number(count))
}

/// The receiver behind a destination's directory name, `operator+publisher+scheme-host-port`.
pub(crate) fn destination(directory: &str, definition: Option<&DataPoints>) -> String {
    let origin = || {
        let (scheme, rest) = directory.rsplit_once('+')?.1.split_once('-')?;
        // A host may contain `-`; a port may not.
        let (host, port) = rest.rsplit_once('-')?;
        Some(format!("{scheme}://{host}:{port}"))
    };
    let origin = origin().unwrap_or_else(|| directory.to_owned());
    if !directory.starts_with("maker+") {
        return origin;
    }
    match definition.and_then(|definition| definition.publisher.as_ref()) {
        Some(publisher) => format!("{}, the tool's publisher, at {origin}", publisher.name),
        None => format!("the tool's publisher at {origin}"),
    }
}

/// Why runs were dropped.
pub(crate) fn drop_reason(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered => "delivered",
        Outcome::Refused => "refused by the receiver",
        Outcome::LimitBytes => "over the size limit",
        Outcome::LimitRuns => "over the limit on pending runs",
        Outcome::LimitAge => "pending for too long",
        Outcome::Disk => "could not be written to disk",
        Outcome::Damaged => "damaged file",
        Outcome::OptedOut => "deleted when telemetry was turned off",
        Outcome::Purged => "deleted by purge",
        Outcome::Discarded => "discarded by the tool, for example for a command that logs in",
        Outcome::LimitOpen => "not recorded: too many commands open in one process",
        // An outcome of a newer library.
        _ => outcome.name(),
    }
}

/// A run's state. Also a class in the page's style sheet, with `-` for spaces.
pub(crate) fn state(state: RunStatus) -> &'static str {
    match state {
        RunStatus::Open => "being written",
        RunStatus::Pending => "pending",
        RunStatus::Sent => "sent",
    }
}

/// The values that a data point may have.
pub(crate) fn values(kind: &Kind) -> String {
    match kind {
        Kind::Bool => "yes or no".to_owned(),
        Kind::Integer { min, max } => format!("an integer from {min} to {max}"),
        Kind::ExitCode => "the exit code".to_owned(),
        Kind::Command(members) | Kind::Set(members) => format!("{}, or `other`", list(members)),
        Kind::Version => "a version such as `1.2.3` or `1.2.3-rc.1`, or `other`".to_owned(),
        Kind::Moniker { prefixes, suffixes: [] } => {
            format!("one of {} followed by a version; or `other`", list(prefixes))
        }
        Kind::Moniker { prefixes, suffixes } => format!(
            "one of {} followed by a version, and optionally by one of {}; or `other`",
            list(prefixes),
            list(suffixes)
        ),
    }
}

fn list(members: &[&str]) -> String {
    let members: Vec<String> = members.iter().map(|member| format!("`{member}`")).collect();
    members.join(", ")
}

/// A part of a text: prose or code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) is_code: bool,
    pub(crate) text: String,
}

/// Splits a text at its backticks. Text between a pair of backticks is code; if one has no partner, all is prose.
pub(crate) fn parts(text: &str) -> Vec<Part> {
    if text.matches('`').count() % 2 == 1 {
        return vec![Part { is_code: false, text: text.to_owned() }];
    }
    let part = |(position, text): (usize, &str)| Part { is_code: position % 2 == 1, text: text.to_owned() };
    text.split('`').enumerate().map(part).filter(|part| !part.text.is_empty()).collect()
}
