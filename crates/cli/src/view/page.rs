//! The page: one file that loads nothing and has no script. What comes from files is escaped by the template.

use std::collections::BTreeMap;

use askama::Template;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tool_telemetry::command::{DestinationStatus, RunStatus, SpoolInspector};
use tool_telemetry_definition::{Audience, Definition, Kind, RUN, Version};

use super::runs::{Ending, Run};
use super::status::Status;
use super::words::{self, Part, Time, counted, number, parts};
use crate::document::values;
use crate::fault::Fault;

/// The newest runs that the page shows.
const MOST_RUNS: usize = 2_000;
/// Spans of all runs of the page together; the oldest runs then show themselves alone. 20,000 are about 9 MB.
const MOST_ROWS: usize = 20_000;
/// Days are unfolded, newest first, until so many runs are to be seen.
const UNFOLDED: usize = 25;

const STYLE: &str = include_str!("../../templates/page.css");
/// What the content security policy knows the style by; a test holds the two together.
const STYLE_HASH: &str = "sha256-ahzmTIGLovvVGq6IicsMWWySWNc+D4Ucox5Igd6hvkY=";

#[derive(Debug, Template)]
#[template(path = "page.html")]
struct Page<'a> {
    tool: &'a str,
    style: &'static str,
    style_hash: &'static str,
    status: Status,
    totals: Totals,
    destinations: Vec<Destination>,
    commands: Vec<Command>,
    has_commands: bool,
    days: Vec<Day>,
    shown: String,
    failed: String,
    waiting: String,
    sent: String,
    /// Runs that are not on the page.
    older: Option<String>,
    is_checked: bool,
    groups: Vec<Group>,
    contact: Option<&'a str>,
    made: Option<Time>,
    zone: String,
    program_version: &'static str,
}

#[derive(Debug)]
struct Totals {
    waiting: String,
    delivered: String,
    dropped: String,
}

/// What became of the runs of one destination.
#[derive(Debug)]
struct Destination {
    name: String,
    waiting: String,
    delivered: String,
    dropped: Vec<String>,
    notes: Vec<(&'static str, String)>,
}

/// The runs of one command.
#[derive(Debug)]
struct Command {
    name: String,
    runs: String,
    failed: usize,
    endings: Vec<(String, bool, String)>,
    median: String,
    /// Hundredths of the command with the most runs.
    share: f64,
    failed_share: f64,
}

#[derive(Debug)]
struct Day {
    name: String,
    count: String,
    failed: usize,
    is_unfolded: bool,
    /// Classes that say what the day holds, so that the style sheet need not look into it: `:has` over all runs takes a
    /// browser tens of seconds.
    holds: String,
    runs: Vec<Shown>,
}

/// A run in its words.
#[derive(Debug)]
struct Shown {
    run: Run,
    time: Option<Time>,
    command: String,
    duration: String,
    ending: String,
    is_failure: bool,
    state: &'static str,
    state_class: &'static str,
    story: String,
    /// What of its file is not shown, in a sentence.
    left_out: Option<String>,
}

/// The data points of one kind of span.
#[derive(Debug)]
struct Group {
    name: String,
    about: Option<Described>,
    entries: Vec<Described>,
}

#[derive(Debug)]
struct Described {
    key: String,
    sentence: Vec<Part>,
    why: Vec<Part>,
    values: Vec<Part>,
    audience: &'static str,
    is_for_operators: bool,
    since: String,
}

pub(super) fn render(
    tool: &str,
    opt_out_vars: &[String],
    definition: Option<&Definition>,
    look: &SpoolInspector,
) -> Result<String, Fault> {
    let zone = TimeZone::system();
    let own_command = definition.and_then(|definition| definition.telemetry_command.as_deref());
    let mut runs: Vec<Run> = look.runs().into_iter().filter_map(Run::read).collect();
    runs.sort_by(|a, b| b.start.cmp(&a.start).then_with(|| a.trace_id.cmp(&b.trace_id)));
    let older = runs.len().saturating_sub(MOST_RUNS);
    runs.truncate(MOST_RUNS);
    limit_rows(&mut runs);

    let command_key = definition.and_then(command_key);
    let destinations = look.destinations();
    let sum = |of: fn(&DestinationStatus) -> u64| number(destinations.iter().map(of).sum());
    let count = |wanted: &dyn Fn(&Run) -> bool| number(runs.iter().filter(|run| wanted(run)).count() as u64);
    let page = Page {
        tool,
        style: STYLE,
        style_hash: STYLE_HASH,
        status: Status::of(tool, own_command, opt_out_vars, look),
        totals: Totals {
            waiting: sum(|destination| destination.pending),
            delivered: sum(|destination| destination.delivered),
            dropped: sum(|destination| destination.dropped.iter().map(|(_, runs)| runs).sum()),
        },
        destinations: destinations.iter().map(|status| Destination::of(status, definition, &zone)).collect(),
        has_commands: command_key.is_some(),
        commands: commands(&runs, command_key),
        shown: number(runs.len() as u64),
        failed: count(&|run| run.ending.is_failure()),
        waiting: count(&|run| run.state != RunStatus::Sent),
        sent: count(&|run| run.state == RunStatus::Sent),
        older: (older > 0).then(|| number(older as u64)),
        is_checked: definition.is_some(),
        groups: definition.map(groups).unwrap_or_default(),
        contact: definition
            .and_then(|definition| definition.publisher.as_ref())
            .map(|publisher| publisher.contact.as_str()),
        days: days(runs, command_key, definition, &zone),
        made: u64::try_from(Timestamp::now().as_second()).ok().and_then(|now| Time::of_seconds(now, &zone)),
        zone: zone.iana_name().unwrap_or("local time").to_owned(),
        program_version: env!("CARGO_PKG_VERSION"),
    };
    page.render().map_err(|error| Fault::usage(format!("the page could not be made: {error}")))
}

/// The key of the data point that holds the tool's command.
fn command_key(definition: &Definition) -> Option<&str> {
    let is_command = |kind: &Kind| matches!(kind, Kind::Command(_));
    definition
        .data_points
        .iter()
        .find(|data_point| is_command(&data_point.kind))
        .map(|found| found.key.as_str())
}

fn limit_rows(runs: &mut [Run]) {
    let mut left = MOST_ROWS;
    for run in runs {
        let kept = run.rows.len().min(left).max(1);
        run.more_rows += run.rows.len() - kept;
        run.rows.truncate(kept);
        left = left.saturating_sub(kept);
    }
}

impl Destination {
    fn of(status: &DestinationStatus, definition: Option<&Definition>, zone: &TimeZone) -> Self {
        let at = |seconds| {
            Time::of_seconds(seconds, zone)
                .map_or_else(String::new, |time| format!("{}, {}", time.day, time.clock))
        };
        let mut notes = Vec::new();
        if let Some(seconds) = status.last_delivery {
            notes.push(("last delivery", at(seconds)));
        }
        if let Some(failure) = &status.last_failure {
            notes.push(("last failure", format!("{}, {}", failure.kind, at(failure.at))));
        }
        if let Some(seconds) = status.next_try_in {
            notes.push(("next try", format!("in {} at the earliest", counted(seconds, "second"))));
        }
        if status.rejected_spans > 0 {
            notes.push(("rejected", counted(status.rejected_spans, "span") + ", by the receiver"));
        }
        if status.dropped_spans > 0 {
            notes.push((
                "not recorded",
                counted(status.dropped_spans, "span") + ", too many, too large, or torn off",
            ));
        }
        if let Some(seconds) = status.counting_since {
            notes.push(("counted", format!("since {}; the counts before that were damaged", at(seconds))));
        }
        if status.newer_runs > 0 {
            notes.push(("left alone", counted(status.newer_runs, "run") + " of a newer version of the tool"));
        }
        Self {
            name: words::destination(&status.name, definition),
            waiting: number(status.pending),
            delivered: number(status.delivered),
            dropped: status
                .dropped
                .iter()
                .map(|(why, runs)| format!("{} {}", number(*runs), words::dropped(*why)))
                .collect(),
            notes,
        }
    }
}

/// The command's name; the run's where no data point tells it.
fn command_name(run: &Run, key: Option<&str>) -> String {
    let told = key.and_then(|key| run.value(key)).map(str::to_owned);
    told.unwrap_or_else(|| run.rows.first().map_or_else(String::new, |row| row.name.clone()))
}

fn ending(ending: &Ending) -> String {
    match ending {
        Ending::Exited(_, code) => format!("exit {code}"),
        Ending::CutOff => "cut off".to_owned(),
        Ending::Unknown => "exit not known".to_owned(),
    }
}

fn commands(runs: &[Run], key: Option<&str>) -> Vec<Command> {
    let mut by_name: BTreeMap<String, Vec<&Run>> = BTreeMap::new();
    for run in runs {
        by_name.entry(command_name(run, key)).or_default().push(run);
    }
    let most = by_name.values().map(Vec::len).max().unwrap_or(1) as f64;
    let mut commands: Vec<_> = by_name.into_iter().collect();
    commands.sort_by_key(|(_, runs)| std::cmp::Reverse(runs.len()));
    commands
        .into_iter()
        .map(|(name, runs)| {
            let mut endings: BTreeMap<&Ending, u64> = BTreeMap::new();
            let mut durations: Vec<u64> = Vec::new();
            for run in &runs {
                *endings.entry(&run.ending).or_default() += 1;
                durations.push(run.duration);
            }
            durations.sort_unstable();
            let failed = runs.iter().filter(|run| run.ending.is_failure()).count();
            Command {
                name,
                runs: number(runs.len() as u64),
                failed,
                endings: endings
                    .into_iter()
                    .map(|(found, count)| (ending(found), found.is_failure(), number(count)))
                    .collect(),
                median: durations
                    .get(durations.len() / 2)
                    .map_or_else(String::new, |median| words::duration(*median)),
                share: 100.0 * runs.len() as f64 / most,
                failed_share: 100.0 * failed as f64 / most,
            }
        })
        .collect()
}

fn days(runs: Vec<Run>, key: Option<&str>, definition: Option<&Definition>, zone: &TimeZone) -> Vec<Day> {
    let mut days: Vec<(String, Vec<Shown>)> = Vec::new();
    for run in runs {
        let shown = Shown::of(run, key, definition, zone);
        let day =
            shown.time.as_ref().map_or_else(|| "At an unknown time".to_owned(), |time| time.day.clone());
        match days.last_mut() {
            Some((last, runs)) if *last == day => runs.push(shown),
            _ => days.push((day, vec![shown])),
        }
    }
    let mut seen = 0;
    days.into_iter()
        .map(|(name, runs)| {
            let is_unfolded = seen < UNFOLDED;
            seen += runs.len();
            Day {
                name,
                count: counted(runs.len() as u64, "run"),
                failed: runs.iter().filter(|run| run.is_failure).count(),
                is_unfolded,
                holds: holds(&runs),
                runs,
            }
        })
        .collect()
}

fn holds(runs: &[Shown]) -> String {
    let holds = |wanted: fn(&Shown) -> bool, class| if runs.iter().any(wanted) { class } else { "" };
    [
        holds(|shown| shown.is_failure, " with-failed"),
        holds(|shown| shown.run.state != RunStatus::Sent, " with-waiting"),
        holds(|shown| shown.run.state == RunStatus::Sent, " with-sent"),
    ]
    .concat()
}

impl Shown {
    fn of(run: Run, key: Option<&str>, definition: Option<&Definition>, zone: &TimeZone) -> Self {
        let (state, state_class) = words::state(run.state);
        let place = words::destination(&run.destination, definition);
        let moved = run.moved.and_then(|seconds| Time::of_seconds(seconds, zone));
        let story = match (run.state, moved) {
            (RunStatus::Sent, Some(time)) => {
                format!("Sent to {place}. It had arrived by {}, {}.", time.day, time.clock)
            }
            (RunStatus::Sent, None) => format!("Sent to {place}."),
            (RunStatus::Pending, _) => format!("Waits to be sent to {place}."),
            (RunStatus::Open, _) => format!("Is being written. Goes to {place}."),
        };
        Self {
            time: Time::of_nanoseconds(run.start, zone),
            command: command_name(&run, key),
            duration: words::duration(run.duration),
            ending: ending(&run.ending),
            is_failure: run.ending.is_failure(),
            state,
            state_class,
            story,
            left_out: left_out(run.left_out),
            run,
        }
    }
}

fn left_out(count: u64) -> Option<String> {
    match count {
        0 => None,
        1 => Some(
            "1 line or value of the file is not shown and not sent: it cannot be read or is not approved."
                .to_owned(),
        ),
        more => Some(format!(
            "{} lines or values of the file are not shown and not sent: they cannot be read or are not approved.",
            number(more)
        )),
    }
}

fn groups(definition: &Definition) -> Vec<Group> {
    let entries = |name: &str| -> Vec<Described> {
        definition
            .data_points
            .iter()
            .filter(|data_point| data_point.is_on(name))
            .map(|data_point| {
                described(
                    &data_point.key,
                    (&data_point.sentence, &data_point.why, &values(&data_point.kind)),
                    data_point.audience,
                    (data_point.since, data_point.until),
                )
            })
            .collect()
    };
    let spans = definition.spans.iter().map(|span| Group {
        name: span.name.clone(),
        about: Some(described(
            &span.name,
            (&span.sentence, &span.why, "when it began and how long it took"),
            span.audience,
            (span.since, span.until),
        )),
        entries: entries(&span.name),
    });
    [Group { name: "each run".to_owned(), about: None, entries: entries(RUN) }]
        .into_iter()
        .chain(spans)
        .collect()
}

fn described(
    key: &str,
    (sentence, why, values): (&str, &str, &str),
    audience: Audience,
    (since, until): (Version, Option<Version>),
) -> Described {
    let is_for_operators = audience == Audience::Operator;
    Described {
        key: key.to_owned(),
        sentence: parts(sentence),
        why: parts(why),
        values: parts(values),
        audience: if is_for_operators {
            "only a place that you or your administrator chose"
        } else {
            "the maker"
        },
        is_for_operators,
        since: match until {
            Some(until) => format!("{since} until {until}"),
            None => since.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn the_policy_names_the_style_that_the_page_has() {
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
        assert_eq!(STYLE_HASH, format!("sha256-{base64}"), "write this into STYLE_HASH");
    }
}
