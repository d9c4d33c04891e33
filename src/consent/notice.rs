//! The first-run notice. Nothing is recorded before the user has seen it.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, SystemTime};

use super::choice::{Choice, ChoiceFile, LockTimeout};
use super::destination::Destination;
use super::preflight::Preflight;
use super::user_paths::UserPaths;
use crate::env::Environment;
use crate::model::allowlist::Allowlist;
use crate::model::chooser::Chooser;
use crate::model::clock::unix_seconds;
use crate::model::data_points::{DataPoints, Publisher, Version};
use crate::model::settings::Settings;
use crate::platform;

/// A notice that the user has not seen.
#[derive(Debug)]
pub(crate) struct PendingNotice {
    /// The version of the last notice that the user saw.
    seen: Option<Version>,
    choice: Choice,
    paths: UserPaths,
    destination: Destination,
}

/// The width of a line if the terminal does not report one.
const COLUMNS: usize = 80;
/// A narrower notice is unreadable.
const MIN_COLUMNS: usize = 20;
/// The most lines of a notice at 80 columns. Users read no more.
const LINES: usize = 12;
/// How often a notice is printed where it does not count as seen.
const PRINT_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

impl PendingNotice {
    /// Returns the notice to show, if any. While a variable suppresses the notice, telemetry stays off.
    pub(crate) fn check(
        settings: &Settings,
        preflight: &Preflight,
        environment: Environment<'_>,
    ) -> Option<Self> {
        let (destination, paths) = (preflight.destination()?, preflight.paths.as_ref()?);
        let collected = collected(settings, settings.data_points?, destination);
        let is_seen = match (preflight.notice, collected.newest()) {
            (Some(seen), Some(newest)) => seen >= newest,
            (Some(_), None) => true,
            (None, _) => false,
        };
        (!is_seen && !settings.is_notice_suppressed(environment)).then(|| Self {
            seen: preflight.notice,
            choice: preflight.choice(),
            paths: paths.clone(),
            destination: destination.clone(),
        })
    }

    /// Prints the notice. On a terminal, the user has then seen it. Elsewhere it is printed once a day and does not count
    /// as seen.
    pub(crate) fn show(&self, settings: &Settings) {
        let Some(data_points) = settings.data_points else {
            return;
        };
        let mut stderr = std::io::stderr();
        let is_terminal = stderr.is_terminal();
        let now = unix_seconds(SystemTime::now());
        let is_recent =
            |choice: &Choice| choice.printed.is_some_and(|at| now.abs_diff(at) < PRINT_INTERVAL.as_secs());
        if !is_terminal && is_recent(&self.choice) {
            return;
        }
        let file = &self.paths.choice_file;
        // The time is saved first, and nothing is printed if that fails. Otherwise every command would print the
        // notice, and none would be recorded.
        let is_saved = Choice::change(file, settings.name, LockTimeout::GiveUp, |read| {
            let choice = unless_off(read).filter(|choice| is_terminal || !is_recent(choice))?;
            Some(Choice { printed: Some(now), ..choice })
        });
        if !is_saved.is_ok_and(|is_saved| is_saved) {
            return;
        }
        let columns = platform::terminal_columns().filter(|_| is_terminal).unwrap_or(COLUMNS);
        let text = render(settings, data_points, &self.destination, self.seen.as_ref(), columns);
        if !is_terminal {
            let _ = stderr.write_all(text.as_bytes());
            return;
        }
        // The lock is held while printing, so one of several commands prints.
        let _ = Choice::change(file, settings.name, LockTimeout::GiveUp, |read| {
            if unless_off(read)?.notice_for(&self.destination) != self.seen {
                return None;
            }
            stderr.write_all(text.as_bytes()).ok()?;
            // On a stopped terminal the write takes long. Other commands do not wait for it and may have changed the
            // file, so it is read again.
            self.mark_seen(settings, unless_off(Choice::read(file))?)
        });
    }

    /// Prints the one line that is the notice in a CI log. Returns whether the run may be recorded.
    pub(crate) fn announce(&self, settings: &Settings) -> bool {
        let file = &self.paths.choice_file;
        if unless_off(Choice::read(file)).is_none() {
            return false;
        }
        let line = format!(
            "{} reports how it is used to {} (to see what: {}; to turn it off: {})\n",
            settings.name,
            self.destination.origin(),
            settings.command_line("show").map_or_else(|| preview(settings), |show| format!("`{show}`")),
            opt_out(settings)
        );
        let is_printed = std::io::stderr().write_all(line.as_bytes()).is_ok();
        if is_printed {
            // If a CI machine keeps no files, the next command prints the line again.
            let _ = Choice::change(file, settings.name, LockTimeout::GiveUp, |read| {
                self.mark_seen(settings, unless_off(read)?)
            });
        }
        is_printed
    }

    fn mark_seen(&self, settings: &Settings, choice: Choice) -> Option<Choice> {
        let collected = collected(settings, settings.data_points?, &self.destination);
        let version = collected.newest().or(no_data_points())?;
        Some(choice.with_notice(&self.destination, version))
    }
}

/// What this version collects for a destination.
fn collected(settings: &Settings, data_points: &'static DataPoints, destination: &Destination) -> Allowlist {
    Allowlist::new(data_points, destination.chosen_by, Version::parse(settings.version).as_ref(), None, None)
}

/// The choice to which a notice may be added. A notice never overwrites `off` or an invalid file.
fn unless_off(file: ChoiceFile) -> Option<Choice> {
    match file {
        ChoiceFile::Missing => Some(Choice::default()),
        ChoiceFile::Valid(choice) => (choice.telemetry != Some(false)).then_some(choice),
        ChoiceFile::Invalid => None,
    }
}

/// The variable that opts out, as a user types it.
fn opt_out(settings: &Settings) -> String {
    settings.opt_out_vars.first().map_or_else(
        || format!("{}=off", crate::env::tool_variable(settings.name)),
        |variable| format!("{variable}=1"),
    )
}

/// The variable that prints what would be sent, as a user types it. Every tool has it.
fn preview(settings: &Settings) -> String {
    format!("{}=log", crate::env::tool_variable(settings.name))
}

/// Characters of the address of the published results. A longer one, which would take the room of what is sent, is only in
/// `status` and in the documents.
const MAX_RESULTS: usize = 64;

/// The version of a notice without data points.
fn no_data_points() -> Option<Version> {
    Version::parse("0")
}

/// The version of a notice that lists all data points, for every audience.
pub(crate) fn notice_version(data_points: &'static DataPoints) -> Option<Version> {
    Allowlist::for_sending(data_points, Chooser::Operator, None).newest().or(no_data_points())
}

fn render(
    settings: &Settings,
    data_points: &'static DataPoints,
    destination: &Destination,
    seen: Option<&Version>,
    columns: usize,
) -> String {
    let name = settings.name;
    let first = match seen {
        None => format!("From the next run on, {name} reports how it is used. It sends only this:"),
        Some(_) => format!("{name} reports how it is used. From the next run on, it also sends:"),
    };
    let publisher = data_points.publisher();
    let columns = columns.max(MIN_COLUMNS);
    let first = wrap(&first, "", columns);
    let after: String = closing(settings, publisher, destination)
        .iter()
        .map(|paragraph| wrap(paragraph, "", columns))
        .collect();
    let used = lines(&first, columns) + lines(&after, columns);
    // A narrower terminal gets the room of 12 lines of 80 columns.
    let room = (LINES * COLUMNS.max(columns) / columns).saturating_sub(used).max(1);
    let rest = match (publisher, settings.command_line("show")) {
        (Some(_), _) => "the page below".to_owned(),
        (None, Some(show)) => format!("`{show}`"),
        (None, None) => preview(settings),
    };
    let sentences = sentences(&collected(settings, data_points, destination), seen);
    first + &list(&sentences, &rest, room, columns) + &after
}

/// What is sent, or what is sent in addition if the user has seen an earlier notice.
fn sentences(collected: &Allowlist, seen: Option<&Version>) -> Vec<&'static str> {
    let data_points = collected.data_points;
    let always: &[&str] = match seen {
        None => &["When a command was run and how long it took", "The version of the tool"],
        Some(_) => &[],
    };
    let is_new = |since: &Version| seen.is_none_or(|seen| seen < since);
    let values =
        (0..).zip(data_points.data_points).filter(|(position, _)| collected.has_data_point(*position));
    let spans = (0..).zip(data_points.spans).filter(|(position, _)| collected.has_span(*position));
    let values = values.filter(|(_, value)| is_new(&value.since)).map(|(_, value)| value.sentence);
    let spans = spans.filter(|(_, span)| is_new(&span.since)).map(|(_, span)| span.sentence);
    always.iter().copied().chain(values).chain(spans).collect()
}

/// The paragraphs below the list: who receives it, how to turn it off, and where to see more.
fn closing(settings: &Settings, publisher: Option<&Publisher>, destination: &Destination) -> [String; 3] {
    let receiver = match (destination.chosen_by, publisher) {
        (Chooser::Maker, Some(publisher)) => format!("{} ({})", publisher.name, destination.origin()),
        _ => format!("{}, set on this machine", destination.origin()),
    };
    let see = match settings.command_line("show") {
        Some(show) => format!("To see what is sent: `{show}`."),
        None => format!("To see what a command would send, without sending it: set {}.", preview(settings)),
    };
    let results = publisher
        .and_then(|publisher| publisher.published_at)
        .filter(|url| url.len() <= MAX_RESULTS)
        .map_or_else(String::new, |url| format!(" Results: {url}"));
    // Last, so that a long address stays whole and can be copied.
    let more = publisher.map_or_else(String::new, |publisher| format!(" More: {}", publisher.privacy));
    [
        format!(
            "It goes to {receiver}. No name, no account, no device id; the server can see your IP address and which \
             runs arrive together."
        ),
        match settings.command_line("off") {
            Some(off) => format!("To turn it off: `{off}`, or set {}.", opt_out(settings)),
            None => format!("To turn it off: set {}.", opt_out(settings)),
        },
        format!("{see}{results}{more}"),
    ]
}

/// As many sentences as there is room for, and the number of the others. `rest` names where to read those.
fn list(sentences: &[&str], rest: &str, room: usize, columns: usize) -> String {
    let sentences: Vec<String> =
        sentences.iter().map(|sentence| format!("{}.", sentence.trim_end_matches('.'))).collect();
    let mut count = sentences.len();
    loop {
        let mut text = sentences[..count].join(" ");
        if count < sentences.len() {
            let _ = write!(text, " And {} more; see {rest}.", sentences.len() - count);
        }
        let wrapped = wrap(text.trim_start(), "  ", columns);
        if count == 0 || lines(&wrapped, columns) <= room {
            return wrapped;
        }
        count -= 1;
    }
}

/// The lines that a text takes on the screen, where a line that is too long continues on the next.
fn lines(text: &str, columns: usize) -> usize {
    text.lines().map(|line| line.chars().count().div_ceil(columns).max(1)).sum()
}

/// Breaks a text only at blanks outside `commands`, so an address stays whole.
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
    use super::*;
    use crate::consent::destination::DestinationSources;
    use crate::env::ModeOverride;
    use crate::model::data_points::{Audience, DataPoint, Kind, Publisher};
    use crate::model::own_command::OwnCommand;

    const PRIVACY: &str = "https://www.example.com/legal/privacy/en/products/command-line-tools/frobnication/\
                           what-is-collected-and-why-and-for-how-long/version-2/index.html?section=telemetry";

    const RESULTS: &str = "https://results.frobnication.example.org/tools/frob/weeks/";

    fn with_command() -> Settings {
        Settings { own_command: Some(OwnCommand("frob telemetry")), ..Settings::new("frob", "1.0.0") }
    }

    fn destination() -> Destination {
        let sources = DestinationSources {
            maker: Some("https://telemetry.frobnication.example.org/v1/traces"),
            ..DestinationSources::default()
        };
        let found = Destination::find(Environment::new(&|_| None), ModeOverride::None, &sources);
        found.expect("a usable one").expect("the author's")
    }

    fn data_points(count: usize, since: &str, until: Option<&str>) -> &'static DataPoints {
        let version = |text| Version::parse(text).expect("a version");
        let data_points: Vec<DataPoint> = (0..count)
            .map(|_| DataPoint {
                key: "frob.feature",
                sentence: "Whether the project that is being built uses the feature that this is about",
                why: "To see whether it is worth its upkeep",
                kind: Kind::Bool,
                audience: Audience::Maker,
                since: version(since),
                until: until.map(version),
            })
            .collect();
        Box::leak(Box::new(DataPoints {
            publisher: Some(Publisher::new(
                "The Frobnication Foundation",
                "privacy@example.com",
                PRIVACY,
                30,
                "CC0-1.0",
                Some(RESULTS),
            )),
            data_points: Box::leak(data_points.into_boxed_slice()),
            ..DataPoints::EMPTY
        }))
    }

    fn notice(tool: &Settings, count: usize, columns: usize) -> String {
        render(tool, data_points(count, "1.0.0", None), &destination(), None, columns)
    }

    #[test]
    fn a_notice_is_short_and_names_where_to_read_the_rest() {
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
        for whole in commands.iter().chain(&[PRIVACY, RESULTS, "FROB_TELEMETRY=off"]) {
            assert!(text.contains(whole), "{whole} at {columns} columns:\n{text}");
        }
        assert_eq!(text.matches('`').count(), commands.iter().filter(|it| it.starts_with('`')).count() * 2);
        // No sentence is cut off, and those without room are counted.
        let listed = text.split_whitespace().filter(|word| *word == "Whether").count();
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let rest = format!("And {} more; see the page below.", data_points - listed);
        assert_eq!(flat.contains(&rest), listed < data_points, "{columns} columns:\n{text}");
    }

    #[test]
    fn an_expired_data_point_is_not_listed() {
        let notice =
            |until| render(&with_command(), data_points(1, "1.0.0", Some(until)), &destination(), None, 80);
        assert!(notice("1.0.1").contains("Whether"));
        assert!(!notice("1.0.0").contains("Whether"));
    }

    #[test]
    fn a_data_point_that_came_and_went_between_two_versions_needs_no_notice() {
        let newest = |until| {
            let tool = Settings::new("frob", "3.1.0");
            collected(&tool, data_points(1, "2.0.0", until), &destination()).newest()
        };
        assert_eq!(newest(None), Version::parse("2.0.0"));
        assert_eq!(newest(Some("3.0.0")), None);
    }

    #[test]
    fn only_an_address_is_wider_than_the_terminal() {
        for columns in [30, 40, 80, 100] {
            let text = notice(&with_command(), 3, columns);
            let wide = |line: &&str| {
                line.chars().count() > columns && !line.trim_start_matches([' ', '(']).starts_with("http")
            };
            assert_eq!(text.lines().find(wide), None, "{columns} columns");
        }
    }
}
