//! The runs in a directory of the spool.

use std::path::Path;
use std::time::SystemTime;

use super::directory::{RunName, RunState, SpoolDirectory};
use super::run_file::claim_dead;
use crate::platform::is_missing;

/// A run's file in the spool.
#[derive(Debug, Clone)]
pub(crate) struct SpooledRun {
    pub(crate) name: RunName,
    pub(crate) state: RunState,
    pub(crate) bytes: u64,
    pub(crate) modified: SystemTime,
}

impl SpooledRun {
    /// An empty file is nobody's run: its process is at its very beginning, or died there.
    pub(crate) fn is_run(&self) -> bool {
        self.bytes > 0 || self.state == RunState::Sealed
    }

    /// In the folder of the runs.
    pub(crate) fn file_name(&self) -> String {
        match self.state {
            RunState::Open => self.name.open(),
            RunState::Sealed => self.name.sealed(),
        }
    }
}

/// What a folder of the spool holds.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Oldest first.
    pub(crate) runs: Vec<SpooledRun>,
    /// Runs of a newer format, left alone.
    pub(crate) newer: usize,
    /// The folder could not be read to its end.
    pub(crate) is_cut: bool,
}

/// Lists the runs of a folder. Anything else in it is left alone: links, FIFOs, other names.
pub(crate) fn list(folder: &Path) -> Listing {
    list_at_most(folder, usize::MAX)
}

/// Looks at no more than `most` entries, whatever they are.
pub(super) fn list_at_most(folder: &Path, most: usize) -> Listing {
    let mut listing = Listing::default();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            listing.is_cut = !is_missing(&error);
            return listing;
        }
    };
    for (looked_at, entry) in entries.enumerate() {
        let Ok(entry) = entry else {
            // What the system could not tell once it will not tell at the next turn either.
            listing.is_cut = true;
            break;
        };
        if looked_at == most {
            listing.is_cut = true;
            break;
        }
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
        listing.runs.push(SpooledRun { name, state, bytes: metadata.len(), modified });
    }
    // Names are unique, so the order is the same as of a stable sort, which is 12 KB more of the tool.
    listing.runs.sort_unstable_by_key(|entry| (entry.modified, entry.name));
    listing
}

/// Whether the process that writes a run lives. Only for looking: an uploader that claims the file in the same
/// microsecond takes the run for a living one, and leaves it to the next uploader.
///
/// What cannot be said counts as alive.
pub(crate) fn is_alive(path: &Path) -> bool {
    match claim_dead(path) {
        Ok(Some(_)) => false,
        Ok(None) => std::fs::symlink_metadata(path).is_ok(),
        Err(_) => true,
    }
}

/// How many runs of a spool are being written by processes that live: they are pending, and no uploader may take them.
pub(crate) fn being_written(spool: &SpoolDirectory) -> u64 {
    let runs = list(&spool.runs()).runs;
    let open = runs.iter().filter(|entry| entry.state == RunState::Open && entry.is_run());
    open.filter(|entry| is_alive(&spool.runs().join(entry.file_name()))).count() as u64
}
