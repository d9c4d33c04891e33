//! How the page speaks: times, durations, places and reasons.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tool_telemetry::Outcome;
use tool_telemetry::command::RunStatus;
use tool_telemetry_definition::Definition;

/// A time in the person's zone.
#[derive(Debug, Clone)]
pub(crate) struct Time {
    /// `24 November 2026`
    pub(crate) day: String,
    /// `16:05:09`
    pub(crate) clock: String,
    /// For the `datetime` attribute.
    pub(crate) machine: String,
}

impl Time {
    pub(crate) fn of_nanoseconds(nanoseconds: u64, zone: &TimeZone) -> Option<Self> {
        let timestamp = Timestamp::from_nanosecond(i128::from(nanoseconds)).ok()?;
        let zoned = timestamp.to_zoned(zone.clone());
        Some(Self {
            day: zoned.strftime("%-d %B %Y").to_string(),
            clock: zoned.strftime("%H:%M:%S").to_string(),
            machine: timestamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        })
    }

    pub(crate) fn of_seconds(seconds: u64, zone: &TimeZone) -> Option<Self> {
        Self::of_nanoseconds(seconds.checked_mul(1_000_000_000)?, zone)
    }
}

/// Three digits and a unit, as `telemetry show` writes durations.
pub(crate) fn duration(nanoseconds: u64) -> String {
    let (value, unit) = match nanoseconds as f64 {
        ns if ns >= 60e9 => {
            return format!("{} min {} s", nanoseconds / 60_000_000_000, nanoseconds / 1_000_000_000 % 60);
        }
        ns if ns >= 1e9 => (ns / 1e9, "s"),
        ns if ns >= 1e6 => (ns / 1e6, "ms"),
        ns => (ns / 1e3, "µs"),
    };
    let decimals = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
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
pub(crate) fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {what}{plural}", number(count))
}

/// Who is behind a destination's folder.
pub(crate) fn destination(folder: &str, definition: Option<&Definition>) -> String {
    // The directory is named `operator+publisher+scheme-host-port`, and a host may have dashes.
    let origin = || {
        let (scheme, rest) = folder.rsplit_once('+')?.1.split_once('-')?;
        let (host, port) = rest.rsplit_once('-')?;
        Some(format!("{scheme}://{host}:{port}"))
    };
    let origin = origin().unwrap_or_else(|| folder.to_owned());
    if !folder.starts_with("maker+") {
        return origin;
    }
    match definition.and_then(|definition| definition.publisher.as_ref()) {
        Some(publisher) => format!("{}, the maker, at {origin}", publisher.name),
        None => format!("the maker of the tool, at {origin}"),
    }
}

/// Why runs were dropped.
pub(crate) fn dropped(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered => "delivered",
        Outcome::Refused => "refused by the receiver",
        Outcome::LimitBytes => "too many bytes were waiting",
        Outcome::LimitRuns => "too many runs were waiting",
        Outcome::LimitAge => "waited too long",
        Outcome::Disk => "the disk was full or could not be written",
        Outcome::Damaged => "the file was damaged",
        Outcome::OptedOut => "deleted when you turned telemetry off",
        Outcome::Purged => "deleted when you asked for it",
        Outcome::Discarded => "dropped by the tool itself, as for a command that logs in",
        Outcome::LimitOpen => "not recorded: too many commands of one process were open at once",
        // One of a newer library has its name until it has words here.
        _ => outcome.name(),
    }
}

/// A run's state as a word for people, and for the style sheet.
pub(crate) fn state(state: RunStatus) -> (&'static str, &'static str) {
    match state {
        RunStatus::Open => ("being written", "open"),
        RunStatus::Pending => ("waiting", "waiting"),
        RunStatus::Sent => ("sent", "sent"),
    }
}

/// A stretch of a text: as it is, or as code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) is_code: bool,
    pub(crate) text: String,
}

/// What stands between backticks is code, if they come in pairs.
pub(crate) fn parts(text: &str) -> Vec<Part> {
    if text.matches('`').count() % 2 == 1 {
        return vec![Part { is_code: false, text: text.to_owned() }];
    }
    let part = |(position, text): (usize, &str)| Part { is_code: position % 2 == 1, text: text.to_owned() };
    text.split('`').enumerate().map(part).filter(|part| !part.text.is_empty()).collect()
}
