//! How much may wait, and for how long. Enforced by whoever holds the uploader's lock, since listing a full
//! spool takes longer than a command may.

use std::time::{Duration, SystemTime};

use super::counters::Outcome;
use super::dir::{RunName, RunState, SpoolDir};

/// The limits of one spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all waiting runs together. Default 10 MiB.
    pub bytes: u64,
    /// Waiting runs. Default 1,000.
    pub runs: usize,
    /// How long a run may wait. Default 28 days.
    pub age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 10 << 20, runs: 1_000, age: Duration::from_secs(28 * 24 * 60 * 60) }
    }
}

/// Kept delivered runs: the last 20, for at most 7 days.
pub(crate) const KEPT: usize = 20;
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A run's file in the spool.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: RunName,
    pub(crate) state: RunState,
    pub(crate) bytes: u64,
    pub(crate) modified: SystemTime,
}

/// What a folder of the spool holds.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Oldest first.
    pub(crate) runs: Vec<Entry>,
    /// Runs of a newer format, left alone.
    pub(crate) newer: usize,
}

/// Lists the runs of a folder. Anything else in it is left alone: links, FIFOs, other names.
pub(crate) fn list(folder: &std::path::Path) -> Listing {
    let mut listing = Listing::default();
    let Ok(entries) = std::fs::read_dir(folder) else {
        return listing;
    };
    for entry in entries.flatten() {
        let file_name = entry.file_name();
        let Some(file_name) = file_name.to_str() else {
            continue;
        };
        let Some((name, state)) = RunName::parse_run(file_name) else {
            listing.newer += usize::from(RunName::is_newer_format(file_name));
            continue;
        };
        // Of the entry itself, not of what a link points to.
        let Ok(metadata) = entry.metadata() else { continue };
        if !metadata.is_file() {
            continue;
        }
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        listing.runs.push(Entry { name, state, bytes: metadata.len(), modified });
    }
    listing.runs.sort_by_key(|entry| (entry.modified, entry.name));
    listing
}

/// Drops, oldest first, what is over the limits; returns what still waits. Only sealed runs: one that is being
/// written belongs to its process. Only for the holder of the uploader's lock.
pub(crate) fn enforce(spool: &SpoolDir, limits: &Limits, now: SystemTime) -> Listing {
    let mut listing = list(&spool.runs());
    let mut bytes: u64 = listing.runs.iter().map(|entry| entry.bytes).sum();
    let mut runs = listing.runs.len();
    listing.runs.retain(|entry| {
        let outcome = if is_older(entry.modified, now, limits.age) {
            Outcome::LimitAge
        } else if bytes > limits.bytes {
            Outcome::LimitBytes
        } else if runs > limits.runs {
            Outcome::LimitRuns
        } else {
            return true;
        };
        if entry.state == RunState::Open {
            // Nobody's once it is too old and empty: its process died before the first line.
            let abandoned = entry.bytes == 0 && outcome == Outcome::LimitAge;
            if abandoned {
                let _ = std::fs::remove_file(spool.runs().join(entry.name.open()));
            }
            return !abandoned;
        }
        let put_away = settle(spool, entry.name, outcome);
        if put_away {
            bytes -= entry.bytes;
            runs -= 1;
        }
        !put_away
    });
    sweep(spool, now);
    listing
}

/// A time as far ahead as the limit is as old as one as far back: the clock has jumped.
fn is_older(time: SystemTime, now: SystemTime, age: Duration) -> bool {
    let distance = now.duration_since(time).unwrap_or_else(|ahead| ahead.duration());
    distance > age
}

/// Tells a sealed run's outcome by a rename.
pub(crate) fn settle(spool: &SpoolDir, run: RunName, outcome: Outcome) -> bool {
    std::fs::rename(spool.runs().join(run.sealed()), spool.outcomes().join(outcome.file_name(run))).is_ok()
}

/// Deletes what is kept longer than promised, and temporary files that a killed process left.
fn sweep(spool: &SpoolDir, now: SystemTime) {
    let kept = list(&spool.sent()).runs;
    let over = kept.len().saturating_sub(KEPT);
    for (position, entry) in kept.iter().enumerate() {
        if position < over || is_older(entry.modified, now, KEPT_FOR) {
            let _ = std::fs::remove_file(spool.sent().join(entry.name.sealed()));
        }
    }
    let Ok(entries) = std::fs::read_dir(spool.root()) else {
        return;
    };
    for entry in entries.flatten() {
        let is_temporary = entry.file_name().to_str().is_some_and(|name| {
            name.ends_with(".tmp") && (name.starts_with("counters.") || name.starts_with("backoff."))
        });
        // Written and renamed within a moment: a minute later nobody is at it any more.
        let is_left = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|modified| is_older(modified, now, Duration::from_secs(60)));
        if is_temporary && is_left {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
