//! Stores with known counts, and the program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tool_telemetry_collect::cell::Cell;
use tool_telemetry_collect::counts::CountCell;
use tool_telemetry_collect::marks::{Mark, MarkState};
use tool_telemetry_collect::store::{CLOSED, Change, ErrorKind, SqliteStore, Store as _, StoredDefinition};
use tool_telemetry_collect::time::{Hour, Week};
use tool_telemetry_definition::{Period, content_hash};
use tool_telemetry_publish::release::{Entry, Release};

/// A telemetry.toml with a command, and what it publishes.
pub(crate) fn definition(publish: &str) -> String {
    format!(
        "format = 1\ntool = 'frob'\n[publisher]\nname = 'Frob'\ncontact = 'privacy@example.org'\n\
         privacy = 'https://example.org/privacy'\nretention_days = 90\nlicence = 'CC-BY-4.0'\n\
         [[data_point]]\nkey = 'frob.command'\non = ['run']\nsentence = 'The command'\nwhy = 'To choose.'\n\
         kind = 'command'\nvalues = ['build', 'run']\naudience = 'maker'\nsince = '1.0'\nuntil = 'never'\n\
         [[data_point]]\nkey = 'frob.size'\non = ['run']\nsentence = 'The size'\nwhy = 'To choose.'\n\
         kind = 'integer'\nmin = 0\nmax = 9999\naudience = 'maker'\nsince = '1.0'\nuntil = 'never'\n{publish}"
    )
}

/// Weeks, commands, and failed commands.
pub(crate) const COMMANDS: &str = "[publish]\nperiod = 'week'\n[[count]]\nof = ['frob.command']\nat_most = 3\n\
     [[count]]\nof = ['frob.command', 'error.type']\nat_most = 2\n";

/// A directory with a store, a ledger, and a site.
pub(crate) struct Publisher {
    directory: TempDir,
    definition: String,
}

impl Publisher {
    /// With 1,000 installations that build in each of these weeks.
    pub(crate) fn with_weeks(weeks: &[&str]) -> Self {
        let publisher = Self::new(&definition(COMMANDS));
        for week in weeks {
            publisher.add(week, r#"["frob.command"]"#, &[(r#"["build"]"#, 1_000)]);
        }
        publisher
    }

    pub(crate) fn new(definition: &str) -> Self {
        let publisher = Self { directory: tempfile::tempdir().unwrap(), definition: definition.to_owned() };
        let hash = publisher.hash();
        let closed = Week::parse("2026-W40").unwrap().0.to_string();
        let change = Change {
            settings: vec![(CLOSED.to_owned(), closed)],
            definitions: vec![StoredDefinition {
                hash,
                tool: "frob".to_owned(),
                text: definition.to_owned(),
            }],
            ..Change::default()
        };
        publisher.apply(&change);
        publisher
    }

    fn hash(&self) -> [u8; 16] {
        let text = content_hash(&self.definition);
        std::array::from_fn(|place| u8::from_str_radix(&text[2 * place..2 * place + 2], 16).unwrap())
    }

    /// Adds counts of a week, such as `2026-W30`. Keys and values are JSON.
    pub(crate) fn add(&self, week: &str, keys: &str, cells: &[(&str, i64)]) {
        let cell = |(values, number): &(&str, i64)| {
            let cell = CountCell {
                tool: "frob".to_owned(),
                last_week: Week::parse(week).unwrap(),
                period: Period::Week,
                hash: self.hash(),
                keys: keys.to_owned(),
                values: (*values).to_owned(),
            };
            (cell, *number)
        };
        let change = Change { count_cells: cells.iter().map(cell).collect(), ..Change::default() };
        self.apply(&change);
    }

    /// Adds cells of runs of a week: a table, its values as JSON, and a number.
    pub(crate) fn add_runs(&self, week: &str, cells: &[(&str, &str, i64)]) {
        let cell = |(table, values, number): &(&str, &str, i64)| {
            let week = Week::parse(week).unwrap();
            let (table, values) = ((*table).to_owned(), (*values).to_owned());
            (Cell { tool: "frob".to_owned(), week, table, values }, *number)
        };
        self.apply(&Change { cells: cells.iter().map(cell).collect(), ..Change::default() });
    }

    /// A process that another test is starting may hold the store's lock, which it inherits, until it is another program.
    fn apply(&self, change: &Change) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut store = loop {
            match SqliteStore::create_or_open(&self.path("store")) {
                Err(error) if error.kind() == ErrorKind::InUse && Instant::now() < deadline => {
                    std::thread::yield_now();
                }
                opened => break opened.unwrap(),
            }
        };
        store.apply(change).unwrap();
    }

    /// Marks the build command of a week.
    pub(crate) fn mark(&self, week: &str, state: MarkState) {
        let first = Week::parse(week).unwrap().monday().0 * 24;
        let mark = Mark {
            id: "0badf00d".to_owned(),
            tool: "frob".to_owned(),
            table: r#"["frob.command"]"#.to_owned(),
            values: r#"["build"]"#.to_owned(),
            first: Hour(first),
            end: Hour(first + 7 * 24),
            state,
            number: 1_000,
            before: 20,
        };
        let change = Change { marks: vec![mark], ..Change::default() };
        self.apply(&change);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `publish`, on a day.
    pub(crate) fn command(&self, ledger: &str, day: &str, more: &[&str]) -> Command {
        let mut command = program();
        command.arg("publish").arg("--store").arg(self.path("store")).arg("--ledger").arg(self.path(ledger));
        command.arg("--out").arg(self.path(&format!("{ledger}-site"))).args(["--today", day]).args(more);
        command
    }

    pub(crate) fn publish(&self, ledger: &str, day: &str, more: &[&str]) -> Output {
        self.command(ledger, day, more).output().unwrap()
    }

    /// `publish` with a ledger that begins with a week.
    pub(crate) fn begin(&self, ledger: &str, day: &str, first: &str) {
        succeeded(&self.publish(ledger, day, &["--first", first]));
    }
}

pub(crate) fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tool-telemetry-publish"))
}

/// What it printed.
pub(crate) fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// Why it refused.
pub(crate) fn refused(output: &Output) -> String {
    assert!(!output.status.success(), "{}", text(&output.stdout));
    text(&output.stderr)
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// All files below a directory, with what they hold.
pub(crate) fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            let inside = crate::fixture::files(&path).into_iter();
            files.extend(inside.map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else {
            files.push((name, fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

/// The entries of a ledger, in order.
pub(crate) fn entries(ledger: &Path) -> Vec<Entry> {
    let files = files(ledger).into_iter().filter(|(name, _)| name.ends_with(".json") && name != "index.json");
    files.map(|(_, bytes)| serde_json::from_slice(&bytes).unwrap()).collect()
}

/// The releases of a ledger, in order.
pub(crate) fn releases(ledger: &Path) -> Vec<Release> {
    let release = |entry| match entry {
        Entry::Release(release) => Some(release),
        Entry::Withdrawal(_) => None,
    };
    entries(ledger).into_iter().filter_map(release).collect()
}

/// Copies a directory.
pub(crate) fn copy(from: &Path, to: &Path) {
    for (name, bytes) in files(from) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}
