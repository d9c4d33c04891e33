//! Paths and names in the spool. Making a [`SpoolDirectory`] creates nothing.

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

    /// The spool that lies in a folder of the tool's, however it is called.
    pub(crate) fn at(tool: PathBuf, root: PathBuf) -> Self {
        Self { telemetry: tool.join("telemetry"), tool, root }
    }

    /// All destinations' folders that exist, by name.
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

    /// Counters that were not as we wrote them.
    pub(crate) fn damaged_counters(&self) -> PathBuf {
        self.root.join("counters.damaged")
    }

    pub(crate) fn backoff(&self) -> PathBuf {
        self.root.join("backoff")
    }

    /// A run that is written anew, before it takes the old one's place.
    pub(crate) fn rewritten(&self, random: u64) -> PathBuf {
        self.root.join(format!("rewritten.{random:016x}.tmp"))
    }

    /// Somebody waits for the lock.
    pub(crate) fn waiter(&self) -> PathBuf {
        self.root.join("waiter")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("uploader.lock")
    }

    /// Whether the spool may be used: the tool's folder and ours in it are folders, not links, of this user,
    /// and ours is closed to everybody else. What lies below can then only be made by this user.
    pub(crate) fn check(&self) -> io::Result<()> {
        let refuse = |what| Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
        let tool = std::fs::symlink_metadata(&self.tool)?;
        if !tool.is_dir() || !platform::is_own(&tool) {
            return refuse("the tool's state folder is not a folder of this user");
        }
        let telemetry = std::fs::symlink_metadata(&self.telemetry)?;
        if !telemetry.is_dir() || !platform::is_own(&telemetry) || !platform::is_private(&telemetry) {
            return refuse("the telemetry folder is not a private folder of this user");
        }
        Ok(())
    }

    /// Creates the directories. The nearest existing directory above them must be this user's: under `sudo` with
    /// another user's home, nothing is left there.
    pub(crate) fn create(&self) -> io::Result<()> {
        platform::create_private_dir(&self.telemetry)?;
        self.check()?;
        for folder in [self.runs(), self.outcomes(), self.sent()] {
            platform::create_private_dir(&folder)?;
        }
        Ok(())
    }
}

/// The name of a run's file: the format's version, and a random number. It tells neither who wrote it nor when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RunName {
    pub(crate) random: u128,
    /// Spans of the run that were dropped because it had too many.
    pub(crate) dropped_spans: u32,
    /// Spans that the receiver rejected in the request that this run led.
    pub(crate) rejected_spans: u32,
}

/// What the end of a run file's name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunState {
    Open,
    Sealed,
}

/// The format of run files that this version writes and reads.
const FORMAT: &str = "run1-";

impl RunName {
    pub(crate) fn new(random: u128) -> Self {
        Self { random, dropped_spans: 0, rejected_spans: 0 }
    }

    pub(crate) fn open(self) -> String {
        format!("{self}.open")
    }

    pub(crate) fn sealed(self) -> String {
        format!("{self}.jsonl")
    }

    /// Reads a name in `runs/` or `sent/`. Any other name is somebody else's, and is left alone.
    pub(crate) fn parse_run(name: &str) -> Option<(Self, RunState)> {
        let (stem, ending) = name.rsplit_once('.')?;
        let state = match ending {
            "open" => RunState::Open,
            "jsonl" => RunState::Sealed,
            _ => return None,
        };
        Some((Self::parse(stem)?, state))
    }

    /// Reads the part before the last dot, exactly as it is written: a name that would be written otherwise leads to a
    /// file that is not there, and whoever sends it sends it for ever.
    pub(crate) fn parse(stem: &str) -> Option<Self> {
        let mut parts = stem.strip_prefix(FORMAT)?.split('-');
        let random = parts.next().filter(|text| {
            text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })?;
        let mut name = Self::new(u128::from_str_radix(random, 16).ok()?);
        for part in parts {
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

    /// Whether the name is of a format that a newer version writes: left alone and counted.
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
        fn a_name_is_read_as_it_was_written(random: u128, dropped_spans: u32, rejected_spans: u32) {
            let name = RunName { random, dropped_spans, rejected_spans };
            prop_assert_eq!(RunName::parse_run(&name.open()), Some((name, RunState::Open)));
            prop_assert_eq!(RunName::parse_run(&name.sealed()), Some((name, RunState::Sealed)));
        }

        #[test]
        fn a_name_that_is_read_is_written_as_it_was(
            name in "run1-0{31}[0-9a-fA-F](-[drx][+-]?[0-9]{0,11}){0,3}\\.(open|jsonl|tmp)"
        ) {
            if let Some((read, state)) = RunName::parse_run(&name) {
                let written = if state == RunState::Open { read.open() } else { read.sealed() };
                prop_assert_eq!(written, name);
            }
        }
    }

    #[test]
    fn any_other_name_is_somebody_elses() {
        for name in [
            "run1-.jsonl",
            "run1-0000000000000000000000000000000G.jsonl",
            "run1-00000000000000000000000000000001.tmp",
            "run1-00000000000000000000000000000001-x1.jsonl",
            "run1-00000000000000000000000000000001-d0.jsonl",
            "run1-00000000000000000000000000000001-d+5.jsonl",
            "run1-00000000000000000000000000000001-d05.jsonl",
            "run1-00000000000000000000000000000001-r3-d5.jsonl",
            "run2-00000000000000000000000000000001.jsonl",
            "notes.jsonl",
        ] {
            assert_eq!(RunName::parse_run(name), None, "{name}");
        }
        assert!(RunName::is_newer_format("run2-00000000000000000000000000000001.jsonl"));
        assert!(!RunName::is_newer_format("run1-x.jsonl"));
    }
}
