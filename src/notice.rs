//! The first-run notice: nothing is recorded before it was shown.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, SystemTime};

use crate::allowlist::Allowlist;
use crate::choice::Choice;
use crate::data_points::{Audience, DataPoints, Version};
use crate::destination::{ChosenBy, Destination, Found};
use crate::env::Environment;
use crate::spool::backoff::seconds;
use crate::survey::{Places, Survey};
use crate::telemetry::Builder;

/// A notice that this person has not seen.
#[derive(Debug)]
pub(crate) struct Due {
    /// What the last notice told of; nothing for a first one.
    seen: Option<Version>,
    choice: Choice,
    places: Places,
    destination: Destination,
}

/// The width of a line.
const COLUMNS: usize = 80;
/// Lines for the sentences of the data points; with the other lines at most 12.
const SENTENCE_LINES: usize = 6;
/// A notice that does not count is not printed more often.
const PRINT_AGAIN: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether a notice is due; a variable that silences it keeps telemetry off until it was shown.
pub(crate) fn due(builder: &Builder, survey: &Survey, environment: Environment<'_>) -> Option<Due> {
    let (Found::Destination(destination), Some(places)) = (&survey.found, &survey.places) else {
        return None;
    };
    let choice = survey.choice();
    let newest = Allowlist::newest(builder.data_points?);
    let is_seen = match (choice.notice, newest) {
        (Some(seen), Some(newest)) => !seen.is_before(&newest),
        (Some(_), None) => true,
        (None, _) => false,
    };
    let silenced = builder.silence_vars.iter().any(|name| environment.says_yes(name));
    (!is_seen && !silenced).then(|| Due {
        seen: choice.notice,
        choice,
        places: places.clone(),
        destination: destination.clone(),
    })
}

/// Prints the notice. On a terminal it counts as shown; elsewhere it is printed once a day and does not count.
pub(crate) fn show(builder: &Builder, due: &Due) {
    let Some(data_points) = builder.data_points else {
        return;
    };
    let mut stderr = std::io::stderr();
    let counts = stderr.is_terminal();
    let now = seconds(SystemTime::now());
    let printed = due.choice.printed;
    if !counts && printed.is_some_and(|printed| now.abs_diff(printed) < PRINT_AGAIN.as_secs()) {
        return;
    }
    // Remembered first: where that fails every command would print it, and nothing would ever be recorded.
    let mut choice = Choice { printed: Some(now), ..due.choice };
    if choice.write(&due.places.choice_file, builder.name).is_err() {
        return;
    }
    let text = render(builder, data_points, &due.destination, due.seen.as_ref());
    if stderr.write_all(text.as_bytes()).is_ok() && counts {
        choice.notice = notice_version(data_points);
        let _ = choice.write(&due.places.choice_file, builder.name);
    }
}

/// Prints the one line that is the notice in the log of a build machine.
pub(crate) fn announce(builder: &Builder, due: &Due) -> bool {
    let (name, origin) = (builder.name, due.destination.origin());
    let line = format!(
        "{name} reports how it is used to {origin}; what: `{name} telemetry show`, off: {}\n",
        opt_out(builder)
    );
    let printed = std::io::stderr().write_all(line.as_bytes()).is_ok();
    if printed {
        let choice = Choice { notice: builder.data_points.and_then(notice_version), ..due.choice };
        let _ = choice.write(&due.places.choice_file, name);
    }
    printed
}

/// The variable that opts out, as it is typed.
fn opt_out(builder: &Builder) -> String {
    builder.opt_out_vars.first().map_or_else(
        || format!("{}=off", crate::env::tool_variable(builder.name)),
        |variable| format!("{variable}=1"),
    )
}

/// The version that a notice of all data points is recorded with.
pub(crate) fn notice_version(data_points: &DataPoints) -> Option<Version> {
    Allowlist::newest(data_points).or_else(|| Version::parse("0"))
}

fn render(
    builder: &Builder,
    data_points: &DataPoints,
    destination: &Destination,
    seen: Option<&Version>,
) -> String {
    let name = builder.name;
    let tells = |audience: Audience, since: &Version| {
        (destination.chosen_by == ChosenBy::Operator || audience == Audience::Maker)
            && seen.is_none_or(|seen| seen.is_before(since))
    };
    let mut sentences: Vec<&str> = data_points
        .data_points
        .iter()
        .filter(|data_point| tells(data_point.audience, &data_point.since))
        .map(|data_point| data_point.sentence.trim_end_matches('.'))
        .collect();
    let mut text = String::new();
    let first = match seen {
        None => {
            sentences.push("When a command was run and how long it took");
            sentences.push("The version of the tool");
            format!("{name} reports how it is used. From the next run on it sends only this:")
        }
        Some(_) => format!("{name} reports how it is used. New, from the next run on:"),
    };
    let _ = writeln!(text, "{first}");
    text.push_str(&wrap(&sentences.join("; "), SENTENCE_LINES));
    let receiver = match (destination.chosen_by, data_points.publisher()) {
        (ChosenBy::Maker, Some(publisher)) => format!("{} ({})", publisher.name, destination.origin()),
        _ => format!("{}, the endpoint set on this machine", destination.origin()),
    };
    text.push_str(&wrap(&format!("It goes to {receiver}."), 2));
    text.push_str("No name, no account, no device id. The server can see your IP address.\n");
    text.push_str(&wrap(&format!("To turn it off: `{name} telemetry off`, or set {}.", opt_out(builder)), 1));
    let more = data_points.publisher().map_or_else(
        || format!("To see what is sent: `{name} telemetry show`."),
        |publisher| format!("More: {} and `{name} telemetry show`.", publisher.privacy),
    );
    text.push_str(&wrap(&more, 1));
    text
}

/// Breaks a text at blanks; what does not fit in `lines` ends with an ellipsis.
fn wrap(text: &str, lines: usize) -> String {
    let mut wrapped = String::new();
    let mut line = String::new();
    let mut written = 0;
    for word in text.split(' ') {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > COLUMNS - 4 {
            if written + 1 == lines {
                line.push_str(" …");
                let _ = writeln!(wrapped, "  {line}");
                return wrapped;
            }
            let _ = writeln!(wrapped, "  {line}");
            written += 1;
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    let _ = writeln!(wrapped, "  {line}");
    wrapped
}
