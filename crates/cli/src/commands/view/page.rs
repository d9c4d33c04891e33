//! The page: a single file without scripts that loads nothing. The template escapes whatever comes from files.

use askama::Template;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tool_telemetry::command::{DestinationStatus, RunStatus, SpoolInspector};
use tool_telemetry_definition::{Audience, DataPoints, Kind};

use super::status::Status;
use super::summary::{self, CommandSummary};
use crate::error::Error;
use crate::run::Run;
use crate::tool::ToolArguments;
use crate::wording::{self, Time};

/// The most runs on the page, which shows the newest.
const MAX_RUNS: usize = 2_000;
/// Spans of all runs on the page, about 9 MB. Beyond it, the oldest runs show only their root spans.
const MAX_ROWS: usize = 20_000;
/// Days are unfolded, newest first, until this many runs are visible.
const UNFOLDED_RUNS: usize = 25;

const STYLE: &str = include_str!("../../../templates/page.css");
/// Allows the style sheet in the content security policy. A test compares it with the file.
const STYLE_HASH: &str = "sha256-FstL5EYK2OtiJKkp/uAI06wUYULSVFw/H6X50oVcWKQ=";

#[derive(Debug, Template)]
#[template(path = "page.html")]
struct Page<'a> {
    tool: &'a str,
    definition: Option<&'a DataPoints>,
    style: &'static str,
    style_hash: &'static str,
    status: Status,
    destinations: Vec<DestinationStatus>,
    has_command_key: bool,
    commands: Vec<CommandSummary>,
    counts: Counts,
    days: Vec<Day>,
    zone: TimeZone,
    generated: Option<Time>,
    program_version: &'static str,
}

/// Runs on the page, and those that are too old for it.
#[derive(Debug)]
struct Counts {
    all: u64,
    failed: u64,
    pending: u64,
    sent: u64,
    older: u64,
}

#[derive(Debug)]
struct Day {
    name: String,
    is_unfolded: bool,
    entries: Vec<Entry>,
}

/// A run in the list.
#[derive(Debug)]
struct Entry {
    run: Run,
    time: Option<Time>,
    /// When the run's file was moved to its directory.
    moved: Option<Time>,
    command: String,
    destination: String,
}

pub(super) fn render(
    tool: &ToolArguments,
    definition: Option<&DataPoints>,
    inspector: &SpoolInspector,
) -> Result<String, Error> {
    let zone = TimeZone::system();
    let mut runs: Vec<Run> = inspector.runs().into_iter().filter_map(Run::read).collect();
    runs.sort_by(|a, b| b.start.cmp(&a.start).then_with(|| a.trace_id.cmp(&b.trace_id)));
    let older = runs.len().saturating_sub(MAX_RUNS);
    runs.truncate(MAX_RUNS);
    limit_rows(&mut runs);

    let command_key = definition.and_then(command_key);
    let count = |is_counted: fn(&Run) -> bool| runs.iter().filter(|run| is_counted(run)).count() as u64;
    let page = Page {
        tool: &tool.name,
        definition,
        style: STYLE,
        style_hash: STYLE_HASH,
        status: Status::new(tool, definition, inspector),
        destinations: inspector.destinations(),
        has_command_key: command_key.is_some(),
        commands: summary::by_command(&runs, command_key),
        counts: Counts {
            all: runs.len() as u64,
            failed: count(|run| run.ending.is_failure()),
            pending: count(|run| run.state != RunStatus::Sent),
            sent: count(|run| run.state == RunStatus::Sent),
            older: older as u64,
        },
        days: days(runs, command_key, definition, &zone),
        generated: Time::from_seconds(Timestamp::now().as_second().unsigned_abs(), &zone),
        zone,
        program_version: env!("CARGO_PKG_VERSION"),
    };
    page.render().map_err(|error| Error::usage(format!("the page cannot be generated: {error}")))
}

impl Page<'_> {
    fn total_pending(&self) -> u64 {
        self.destinations.iter().map(|destination| destination.pending).sum()
    }

    fn total_delivered(&self) -> u64 {
        self.destinations.iter().map(|destination| destination.delivered).sum()
    }

    fn total_dropped(&self) -> u64 {
        self.destinations.iter().flat_map(|destination| &destination.dropped).map(|(_, runs)| runs).sum()
    }

    fn at(&self, seconds: &u64) -> String {
        Time::from_seconds(*seconds, &self.zone)
            .map_or_else(String::new, |time| format!("{}, {}", time.day, time.clock))
    }

    fn zone_name(&self) -> &str {
        self.zone.iana_name().unwrap_or("local")
    }
}

impl Day {
    /// The style sheet needs to know which runs a day has. With `:has` over all runs it would take a browser tens of
    /// seconds.
    fn has(&self, is_wanted: fn(&Run) -> bool) -> bool {
        self.entries.iter().any(|entry| is_wanted(&entry.run))
    }

    fn has_pending(&self) -> bool {
        self.has(|run| run.state != RunStatus::Sent)
    }

    fn has_sent(&self) -> bool {
        self.has(|run| run.state == RunStatus::Sent)
    }

    fn runs(&self) -> u64 {
        self.entries.len() as u64
    }

    fn failed(&self) -> u64 {
        self.entries.iter().filter(|entry| entry.run.ending.is_failure()).count() as u64
    }
}

/// The key of the data point that holds the tool's command.
fn command_key(definition: &DataPoints) -> Option<&str> {
    let mut data_points = definition.data_points.iter();
    let found = data_points.find(|data_point| matches!(data_point.kind, Kind::Command(_)))?;
    Some(found.key)
}

fn limit_rows(runs: &mut [Run]) {
    let mut left = MAX_ROWS;
    for run in runs {
        let kept = run.rows.len().min(left).max(1);
        run.hidden_rows += run.rows.len() - kept;
        run.rows.truncate(kept);
        left = left.saturating_sub(kept);
    }
}

fn days(
    runs: Vec<Run>,
    command_key: Option<&str>,
    definition: Option<&DataPoints>,
    zone: &TimeZone,
) -> Vec<Day> {
    let mut days: Vec<Day> = Vec::new();
    for (position, run) in runs.into_iter().enumerate() {
        let time = Time::from_nanoseconds(run.start, zone);
        let name = time.as_ref().map_or_else(|| "Unknown date".to_owned(), |time| time.day.clone());
        let entry = Entry {
            time,
            moved: run.moved.and_then(|seconds| Time::from_seconds(seconds, zone)),
            command: summary::command_name(&run, command_key).to_owned(),
            destination: wording::destination(&run.destination, definition),
            run,
        };
        match days.last_mut() {
            Some(day) if day.name == name => day.entries.push(entry),
            _ => days.push(Day { name, is_unfolded: position < UNFOLDED_RUNS, entries: vec![entry] }),
        }
    }
    days
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn style_hash_matches_the_style_sheet() {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let digest = Sha256::digest(STYLE.as_bytes());
        let mut base64 = String::new();
        for bytes in digest.chunks(3) {
            let bits = bytes.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
                << (8 * (3 - bytes.len()));
            for position in 0..=bytes.len() {
                base64.push(char::from(DIGITS[(bits >> (18 - 6 * position) & 63) as usize]));
            }
            base64.push_str(&"="[..3_usize.saturating_sub(bytes.len())]);
        }
        assert_eq!(STYLE_HASH, format!("sha256-{base64}"), "update STYLE_HASH");
    }
}
