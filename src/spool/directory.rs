//! Paths and names in the spool. A [`SpoolDirectory`] is only a set of paths and creates nothing by itself.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::platform;

/// The paths of one destination's spool.
#[derive(Debug, Clone)]
pub(crate) struct SpoolDirectory {
    /// `<state>/<tool>`.
    tool: PathBuf,
    /// `<state>/<tool>/telemetry`.
    telemetry: PathBuf,
    /// `<state>/<tool>/telemetry/<destination>`.
    root: PathBuf,
}

impl SpoolDirectory {
    pub(crate) fn new(state_home: &Path, tool: &str, destination: &str) -> Self {
        let tool = state_home.join(tool);
        let telemetry = tool.join("telemetry");
        let root = telemetry.join(destination);
        Self { tool, telemetry, root }
    }

    /// The spool in any directory of the tool.
    pub(crate) fn at(tool: PathBuf, root: PathBuf) -> Self {
        Self { telemetry: tool.join("telemetry"), tool, root }
    }

    /// The names of all destinations' directories, sorted.
    pub(crate) fn destinations(state_home: &Path, tool: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(state_home.join(tool).join("telemetry")) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort_unstable();
        names
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    pub(crate) fn outcomes(&self) -> PathBuf {
        self.root.join("outcomes")
    }

    pub(crate) fn sent(&self) -> PathBuf {
        self.root.join("sent")
    }

    pub(crate) fn counters(&self) -> PathBuf {
        self.root.join("counters")
    }

    /// Damaged counters that were moved aside.
    pub(crate) fn damaged_counters(&self) -> PathBuf {
        self.root.join("counters.damaged")
    }

    pub(crate) fn backoff(&self) -> PathBuf {
        self.root.join("backoff")
    }

    /// The installation's counts of each open period.
    pub(crate) fn counts(&self) -> PathBuf {
        self.root.join("counts.jsonl")
    }

    /// The settings of a program that `tool-telemetry exec` runs.
    pub(crate) fn program(&self) -> PathBuf {
        self.root.join("program.json")
    }

    /// A rewritten run, before it replaces the old file.
    pub(crate) fn rewritten(&self, random: u64) -> PathBuf {
        self.root.join(format!("rewritten.{random:016x}.tmp"))
    }

    /// Exists while another uploader waits for the lock.
    pub(crate) fn waiter(&self) -> PathBuf {
        self.root.join("waiter")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("uploader.lock")
    }

    /// Checks that the tool's directory and our private directory in it belong to this user and are not links. Only this user
    /// can then create anything below.
    pub(crate) fn check(&self) -> io::Result<()> {
        let refuse = |what| Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
        let tool = std::fs::symlink_metadata(&self.tool)?;
        if !tool.is_dir() || !platform::is_own(&tool) {
            return refuse("the tool's state directory is not a directory of this user");
        }
        let telemetry = std::fs::symlink_metadata(&self.telemetry)?;
        if !telemetry.is_dir() || !platform::is_own(&telemetry) || !platform::is_private(&telemetry) {
            return refuse("the telemetry directory is not a private directory of this user");
        }
        Ok(())
    }

    /// Creates the directories. Their nearest existing ancestor must belong to this user, so that `sudo` creates nothing in
    /// another user's home.
    pub(crate) fn create(&self) -> io::Result<()> {
        platform::create_private_dir(&self.telemetry)?;
        self.check()?;
        for directory in [self.runs(), self.outcomes(), self.sent()] {
            platform::create_private_dir(&directory)?;
        }
        Ok(())
    }
}

#[cfg(test)]
impl SpoolDirectory {
    /// A spool that is deleted with the directory.
    pub(crate) fn temporary() -> (tempfile::TempDir, Self) {
        let directory = tempfile::tempdir().unwrap();
        let spool = Self::new(directory.path(), "tool", "maker");
        spool.create().unwrap();
        (directory, spool)
    }
}

/// The name of a run's file: the version of the format, and a random number. It reveals neither the process nor the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RunName {
    pub(crate) random: u128,
    /// Whether installations may be counted by this run, because it was recorded outside of CI and containers. It is part
    /// of the name, so that it is neither sent nor in what `show` prints as the run.
    pub(crate) is_countable: bool,
    /// Spans of the run that were dropped because it had too many.
    pub(crate) dropped_spans: u32,
    /// Spans that the receiver rejected in the request whose first run this was.
    pub(crate) rejected_spans: u32,
}

/// Whether a run is complete. The extension of its file shows this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunState {
    Open,
    Sealed,
}

/// The format of run files that this version writes and reads.
const FORMAT: &str = "run1-";
/// The part of a name that says that installations may be counted by the run.
const COUNTABLE: &str = "c";

impl RunName {
    pub(crate) fn new(random: u128) -> Self {
        Self { random, is_countable: false, dropped_spans: 0, rejected_spans: 0 }
    }

    pub(crate) fn open(self) -> String {
        format!("{self}.open")
    }

    pub(crate) fn sealed(self) -> String {
        format!("{self}.jsonl")
    }

    /// Parses a name in `runs/` or `sent/`. A file with any other name is not ours.
    pub(crate) fn parse_run(name: &str) -> Option<(Self, RunState)> {
        let (stem, ending) = name.rsplit_once('.')?;
        let state = match ending {
            "open" => RunState::Open,
            "jsonl" => RunState::Sealed,
            _ => return None,
        };
        Some((Self::parse(stem)?, state))
    }

    /// Parses the part before the last dot. Only the canonical form is accepted, because any other would lead to a file that
    /// does not exist, and an uploader would send the run for ever.
    pub(crate) fn parse(stem: &str) -> Option<Self> {
        let mut parts = stem.strip_prefix(FORMAT)?.split('-');
        let random = parts.next().filter(|text| {
            text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })?;
        let mut name = Self::new(u128::from_str_radix(random, 16).ok()?);
        for part in parts {
            if part == COUNTABLE && !name.is_countable {
                name.is_countable = true;
                continue;
            }
            let (marker, number) = part.split_at_checked(1)?;
            let number = number.parse().ok().filter(|number| *number > 0)?;
            match marker {
                "d" if name.dropped_spans == 0 => name.dropped_spans = number,
                "r" if name.rejected_spans == 0 => name.rejected_spans = number,
                _ => return None,
            }
        }
        (name.to_string() == stem).then_some(name)
    }

    /// Whether a newer version wrote the file. Such files are counted and otherwise left alone.
    pub(crate) fn is_newer_format(name: &str) -> bool {
        name.strip_prefix("run").is_some_and(|rest| {
            rest.split_once('-')
                .is_some_and(|(format, _)| format.parse::<u32>().is_ok_and(|format| format > 1))
        })
    }
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FORMAT}{:032x}", self.random)?;
        if self.is_countable {
            write!(f, "-{COUNTABLE}")?;
        }
        if self.dropped_spans > 0 {
            write!(f, "-d{}", self.dropped_spans)?;
        }
        if self.rejected_spans > 0 {
            write!(f, "-r{}", self.rejected_spans)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn names_round_trip(random: u128, is_countable: bool, dropped_spans: u32, rejected_spans: u32) {
            let name = RunName { random, is_countable, dropped_spans, rejected_spans };
            prop_assert_eq!(RunName::parse_run(&name.open()), Some((name, RunState::Open)));
            prop_assert_eq!(RunName::parse_run(&name.sealed()), Some((name, RunState::Sealed)));
        }

        #[test]
        fn only_canonical_names_are_parsed(
            name in "run1-0{31}[0-9a-fA-F](-c){0,2}(-[drx][+-]?[0-9]{0,11}){0,3}(-c)?\\.(open|jsonl|tmp)"
        ) {
            if let Some((read, state)) = RunName::parse_run(&name) {
                let written = if state == RunState::Open { read.open() } else { read.sealed() };
                prop_assert_eq!(written, name);
            }
        }
    }

    #[test]
    fn other_names_are_not_parsed() {
        for name in [
            "run1-.jsonl",
            "run1-0000000000000000000000000000000G.jsonl",
            "run1-00000000000000000000000000000001.tmp",
            "run1-00000000000000000000000000000001-x1.jsonl",
            "run1-00000000000000000000000000000001-d0.jsonl",
            "run1-00000000000000000000000000000001-d+5.jsonl",
            "run1-00000000000000000000000000000001-d05.jsonl",
            "run1-00000000000000000000000000000001-r3-d5.jsonl",
            "run1-00000000000000000000000000000001-d3-c.jsonl",
            "run1-00000000000000000000000000000001-c1.jsonl",
            "run2-00000000000000000000000000000001.jsonl",
            "notes.jsonl",
        ] {
            assert_eq!(RunName::parse_run(name), None, "{name}");
        }
        assert!(RunName::is_newer_format("run2-00000000000000000000000000000001.jsonl"));
        assert!(!RunName::is_newer_format("run1-x.jsonl"));
    }
}
