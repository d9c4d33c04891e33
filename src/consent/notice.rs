//! The first-run notice: nothing is recorded before it was shown.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, SystemTime};

use crate::consent::choice::{Choice, ChoiceFile, LockTimeout};
use crate::consent::destination::Destination;
use crate::consent::preflight::{Preflight, UserPaths};
use crate::env::Environment;
use crate::model::allowlist::Allowlist;
use crate::model::chosen_by::ChosenBy;
use crate::model::clock::unix_seconds;
use crate::model::data_points::{DataPoints, Version};
use crate::model::settings::Settings;
use crate::platform;

/// A notice that this person has not seen.
#[derive(Debug)]
pub(crate) struct PendingNotice {
    /// What the last notice told of; nothing for a first one.
    seen: Option<Version>,
    choice: Choice,
    paths: UserPaths,
    destination: Destination,
}

/// The width of a line where the terminal does not say.
const COLUMNS: usize = 80;
/// Narrower than this nothing can be read.
const NARROWEST: usize = 20;
/// Lines of a notice at 80 columns: more is not read.
const LINES: usize = 12;
/// A notice that does not count is not printed more often.
const PRINT_AGAIN: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether a notice is due; a variable that silences it keeps telemetry off until it was shown.
pub(crate) fn due(
    settings: &Settings,
    preflight: &Preflight,
    environment: Environment<'_>,
) -> Option<PendingNotice> {
    let (destination, paths) = (preflight.destination()?, preflight.paths.as_ref()?);
    let choice = preflight.choice();
    let collected = collected(settings, settings.data_points?, destination);
    let is_seen = match (preflight.notice, collected.newest()) {
        (Some(seen), Some(newest)) => seen >= newest,
        (Some(_), None) => true,
        (None, _) => false,
    };
    (!is_seen && !settings.is_notice_suppressed(environment)).then(|| PendingNotice {
        seen: preflight.notice,
        choice,
        paths: paths.clone(),
        destination: destination.clone(),
    })
}

/// What this version collects for a destination.
fn collected(settings: &Settings, data_points: &'static DataPoints, destination: &Destination) -> Allowlist {
    Allowlist::new(data_points, destination.chosen_by, Version::parse(settings.version).as_ref(), None, None)
}

/// Prints the notice. On a terminal it counts as shown; elsewhere it is printed once a day and does not count.
pub(crate) fn show(settings: &Settings, due: &PendingNotice) {
    let Some(data_points) = settings.data_points else {
        return;
    };
    let mut stderr = std::io::stderr();
    let counts = stderr.is_terminal();
    let now = unix_seconds(SystemTime::now());
    let is_recent = |printed: Option<u64>| printed.is_some_and(|at| now.abs_diff(at) < PRINT_AGAIN.as_secs());
    if !counts && is_recent(due.choice.printed) {
        return;
    }
    let file = &due.paths.choice_file;
    // Remembered first: where that fails every command would print it, and nothing would ever be recorded.
    let remembered = Choice::change(file, settings.name, LockTimeout::GiveUp, |read| {
        let choice = still_undecided(read).filter(|choice| counts || !is_recent(choice.printed))?;
        Some(Choice { printed: Some(now), ..choice })
    });
    if !remembered.is_ok_and(|is_remembered| is_remembered) {
        return;
    }
    let columns = platform::terminal_columns().filter(|_| counts).unwrap_or(COLUMNS);
    let text = render(settings, data_points, &due.destination, due.seen.as_ref(), columns);
    if !counts {
        let _ = stderr.write_all(text.as_bytes());
        return;
    }
    let told = collected(settings, data_points, &due.destination).newest().or(seen_nothing());
    // Printed while the file is ours, so that of many commands at once one prints it.
    let _ = Choice::change(file, settings.name, LockTimeout::GiveUp, |read| {
        if still_undecided(read)?.notice_for(&due.destination) != due.seen {
            return None;
        }
        stderr.write_all(text.as_bytes()).ok()?;
        // Where a person has stopped the terminal that took its time, and others do not wait for us.
        Some(still_undecided(Choice::read(file))?.with_notice(&due.destination, told?))
    });
}

/// Prints the one line that is the notice in the log of a build machine. Says whether the run may be kept.
pub(crate) fn announce(settings: &Settings, due: &PendingNotice) -> bool {
    let (name, file) = (settings.name, &due.paths.choice_file);
    if still_undecided(Choice::read(file)).is_none() {
        return false;
    }
    let line = format!(
        "{name} reports how it is used to {}; what: {}, off: {}\n",
        due.destination.origin(),
        settings.typed("show").map_or_else(|| preview(settings), |show| format!("`{show}`")),
        opt_out(settings)
    );
    let is_printed = std::io::stderr().write_all(line.as_bytes()).is_ok();
    if is_printed {
        // A build machine may have no place for it: then the next command prints the line again.
        let _ = Choice::change(file, name, LockTimeout::GiveUp, |read| {
            let collected = collected(settings, settings.data_points?, &due.destination);
            let told = collected.newest().or(seen_nothing())?;
            Some(still_undecided(read)?.with_notice(&due.destination, told))
        });
    }
    is_printed
}

/// The choice that a notice may be added to: nobody said `off` since we looked, and nothing is overwritten that we
/// did not write.
fn still_undecided(read: ChoiceFile) -> Option<Choice> {
    match read {
        ChoiceFile::Missing => Some(Choice::default()),
        ChoiceFile::Valid(choice) => (choice.telemetry != Some(false)).then_some(choice),
        ChoiceFile::Invalid => None,
    }
}

/// The variable that opts out, as it is typed.
fn opt_out(settings: &Settings) -> String {
    settings.opt_out_vars.first().map_or_else(
        || format!("{}=off", crate::env::tool_variable(settings.name)),
        |variable| format!("{variable}=1"),
    )
}

/// The variable that prints what would be sent, as it is typed. It is there also in a tool without a command about its
/// telemetry.
fn preview(settings: &Settings) -> String {
    format!("{}=log", crate::env::tool_variable(settings.name))
}

/// The version of a notice that had no data point to tell of.
fn seen_nothing() -> Option<Version> {
    Version::parse("0")
}

/// The version of a notice of everything in the file, whoever it is for.
pub(crate) fn notice_version(data_points: &'static DataPoints) -> Option<Version> {
    Allowlist::for_sending(data_points, ChosenBy::Operator, None).newest().or(seen_nothing())
}

fn render(
    settings: &Settings,
    data_points: &'static DataPoints,
    destination: &Destination,
    seen: Option<&Version>,
    columns: usize,
) -> String {
    let name = settings.name;
    let collected = collected(settings, data_points, destination);
    let is_new = |since: &Version| seen.is_none_or(|seen| seen < since);
    let always: &[&str] = match seen {
        None => &["When a command was run and how long it took", "The version of the tool"],
        Some(_) => &[],
    };
    let values = (0..).zip(data_points.data_points).filter(|(position, _)| collected.has(*position));
    let spans = (0..).zip(data_points.spans).filter(|(position, _)| collected.has_span(*position));
    let values = values.filter(|(_, value)| is_new(&value.since)).map(|(_, value)| value.sentence);
    let spans = spans.filter(|(_, span)| is_new(&span.since)).map(|(_, span)| span.sentence);
    let sentences: Vec<&str> = always.iter().copied().chain(values).chain(spans).collect();

    let first = match seen {
        None => format!("{name} reports how it is used, from the next run on. It sends this and no more:"),
        Some(_) => format!("{name} reports how it is used. New in what it sends, from the next run on:"),
    };
    let receiver = match (destination.chosen_by, data_points.publisher()) {
        (ChosenBy::Maker, Some(publisher)) => format!("{} ({})", publisher.name, destination.origin()),
        _ => format!("{}, set on this machine", destination.origin()),
    };
    let careful = "No name, no account, no device id; the server can see your IP address, and which runs \
                   arrive together.";
    // Last, so that the address can be as long as it is, and be copied.
    let more = data_points.publisher().map(|publisher| format!(" More: {}", publisher.privacy));
    let see = match settings.typed("show") {
        Some(show) => format!("To see what is sent: `{show}`."),
        None => format!("To see what a command would send, and send nothing: set {}.", preview(settings)),
    };
    let after = [
        format!("It goes to {receiver}. {careful}"),
        match settings.typed("off") {
            Some(off) => format!("To turn it off: `{off}`, or set {}.", opt_out(settings)),
            None => format!("To turn it off: set {}.", opt_out(settings)),
        },
        format!("{see}{}", more.unwrap_or_default()),
    ];

    let columns = columns.max(NARROWEST);
    let first = wrap(&first, "", columns);
    let after: String = after.iter().map(|paragraph| wrap(paragraph, "", columns)).collect();
    let taken = lines(&first, columns) + lines(&after, columns);
    // A narrower terminal has as much room as its lines of 80 columns would be.
    let room = (LINES * COLUMNS.max(columns) / columns).saturating_sub(taken).max(1);
    let rest = match data_points.publisher() {
        Some(_) => "which the page below tells".to_owned(),
        None => match settings.typed("show") {
            Some(show) => format!("which `{show}` will show"),
            None => format!("which {} shows", preview(settings)),
        },
    };
    first + &tell(&sentences, &rest, room, columns) + &after
}

/// The sentences, as many as there is room for, and how many more there are; `rest` says where those are told.
fn tell(sentences: &[&str], rest: &str, room: usize, columns: usize) -> String {
    let ended: Vec<String> =
        sentences.iter().map(|sentence| format!("{}.", sentence.trim_end_matches('.'))).collect();
    let mut told = ended.len();
    loop {
        let mut text = ended[..told].join(" ");
        if told < ended.len() {
            let _ = write!(text, " And {} more, {rest}.", ended.len() - told);
        }
        let wrapped = wrap(text.trim_start(), "  ", columns);
        if told == 0 || lines(&wrapped, columns) <= room {
            return wrapped;
        }
        told -= 1;
    }
}

/// The lines that a text takes on the screen, where what is too long goes on in the next one.
fn lines(text: &str, columns: usize) -> usize {
    text.lines().map(|line| line.chars().count().div_ceil(columns).max(1)).sum()
}

/// Breaks a text at blanks outside of `commands`, and nowhere else: an address stays whole.
fn wrap(text: &str, indent: &str, columns: usize) -> String {
    let mut wrapped = String::new();
    let mut line = String::new();
    let mut is_command = false;
    let is_break = |character| {
        is_command ^= character == '`';
        character == ' ' && !is_command
    };
    for word in text.split(is_break) {
        let has_room = indent.len() + line.chars().count() + 1 + word.chars().count() <= columns;
        if !line.is_empty() && !has_room {
            let _ = writeln!(wrapped, "{indent}{line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    let _ = writeln!(wrapped, "{indent}{line}");
    wrapped
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::consent::destination::DestinationSources;
    use crate::env::ModeOverride;
    use crate::model::data_points::{Audience, DataPoint, Kind, Publisher};
    use crate::model::own_command::OwnCommand;

    const PRIVACY: &str = "https://www.example.com/legal/privacy/en/products/command-line-tools/frobnication/\
                           what-is-collected-and-why-and-for-how-long/version-2/index.html?section=telemetry";

    /// The notice of a tool with so many data points, and sentences as long as people write them.
    fn notice(tool: &Settings, data_points: usize, columns: usize) -> String {
        notice_until(None, tool, data_points, columns)
    }

    fn with_command() -> Settings {
        Settings { own_command: Some(OwnCommand("frob telemetry")), ..Settings::new("frob", "1.0.0") }
    }

    fn notice_until(until: Option<Version>, tool: &Settings, data_points: usize, columns: usize) -> String {
        let sentence = "Whether the project that is being built uses the feature that this is about";
        let data_points: Vec<DataPoint> = (0..data_points)
            .map(|_| DataPoint {
                key: "frob.feature",
                sentence,
                why: "To see whether it is worth its upkeep",
                kind: Kind::Bool,
                audience: Audience::Maker,
                since: Version::parse("1.0.0").expect("a version"),
                until,
            })
            .collect();
        let all = Box::leak(Box::new(DataPoints {
            telemetry_command: None,
            publisher: Some(Publisher::new(
                "The Frobnication Foundation",
                "privacy@example.com",
                PRIVACY,
                30,
                "CC0-1.0",
            )),
            spans: &[],
            data_points: Box::leak(data_points.into_boxed_slice()),
            on_run: &[],
        }));
        let unset = |_: &str| None::<OsString>;
        let named = DestinationSources {
            maker: Some("https://telemetry.frobnication.example.org/v1/traces"),
            ..DestinationSources::default()
        };
        let destination = Destination::find(Environment::new(&unset), ModeOverride::None, &named)
            .expect("a usable one")
            .expect("a maker");
        render(tool, all, &destination, None, columns)
    }

    #[test]
    fn however_much_is_collected_it_is_short_and_tells_where_to_read_on() {
        let without = Settings::new("frob", "1.0.0");
        for (tool, commands) in [
            (&with_command(), &["`frob telemetry show`", "`frob telemetry off`"][..]),
            (&without, &["FROB_TELEMETRY=log"][..]),
        ] {
            for data_points in [0, 1, 3, 10, 64] {
                for columns in [20, 30, 40, 60, 79, 80, 81, 100, 132, 200, 1_000] {
                    assert_short_and_whole(
                        &notice(tool, data_points, columns),
                        data_points,
                        columns,
                        commands,
                    );
                }
            }
        }
    }

    fn assert_short_and_whole(text: &str, data_points: usize, columns: usize, commands: &[&str]) {
        let most = if columns >= 80 { 12 } else { 12 * 80 / columns };
        assert!(lines(text, columns) <= most, "{columns} columns:\n{text}");
        for whole in commands.iter().chain(&[PRIVACY, "FROB_TELEMETRY=off"]) {
            assert!(text.contains(whole), "{whole} at {columns} columns:\n{text}");
        }
        assert_eq!(text.matches('`').count(), commands.iter().filter(|it| it.starts_with('`')).count() * 2);
        // No sentence is cut off, and those that have no place are counted.
        let told = text.split_whitespace().filter(|word| *word == "Whether").count();
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let rest = format!("And {} more, which the page below tells.", data_points - told);
        assert_eq!(flat.contains(&rest), told < data_points, "{columns} columns:\n{text}");
    }

    #[test]
    fn what_this_version_collects_no_longer_is_not_told() {
        let sentence = "Whether";
        assert!(notice_until(Version::parse("1.0.1"), &with_command(), 1, 80).contains(sentence));
        assert!(!notice_until(Version::parse("1.0.0"), &with_command(), 1, 80).contains(sentence));
    }

    #[test]
    fn what_came_and_went_between_two_versions_makes_no_notice() {
        let version = |text| Version::parse(text).expect("a version");
        let data_points = |until| {
            let of_then = DataPoint {
                key: "frob.feature",
                sentence: "Whether the feature is used",
                why: "To see whether it is worth its upkeep",
                kind: Kind::Bool,
                audience: Audience::Maker,
                since: version("2.0.0"),
                until,
            };
            DataPoints {
                publisher: None,
                telemetry_command: None,
                spans: &[],
                data_points: Box::leak(Box::new([of_then])),
                on_run: &[0],
            }
        };
        let newest = |until| {
            let all = Box::leak(Box::new(data_points(until)));
            let destination = Destination::find(
                Environment::new(&|_| None),
                ModeOverride::None,
                &DestinationSources {
                    maker: Some("https://telemetry.example.org"),
                    ..DestinationSources::default()
                },
            );
            let destination = destination.expect("a usable one").expect("a maker");
            collected(&Settings::new("frob", "3.1.0"), all, &destination).newest()
        };
        assert_eq!(newest(None), Some(version("2.0.0")));
        assert_eq!(newest(Some(version("3.0.0"))), None);
    }

    #[test]
    fn what_is_wider_than_the_terminal_alone_goes_beyond_it() {
        for columns in [30, 40, 80, 100] {
            let text = notice(&with_command(), 3, columns);
            let wide = |line: &&str| {
                line.chars().count() > columns && !line.trim_start_matches([' ', '(']).starts_with("http")
            };
            assert_eq!(text.lines().find(wide), None, "{columns} columns");
        }
    }
}
