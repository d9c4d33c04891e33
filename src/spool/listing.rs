//! Listing the runs in a directory of the spool.

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
    /// An empty open file is not a run. Its process has only begun, or died before the first line.
    pub(crate) fn is_run(&self) -> bool {
        self.bytes > 0 || self.state == RunState::Sealed
    }

    pub(crate) fn file_name(&self) -> String {
        match self.state {
            RunState::Open => self.name.open(),
            RunState::Sealed => self.name.sealed(),
        }
    }
}

/// The runs in a directory of the spool.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Oldest first.
    pub(crate) runs: Vec<SpooledRun>,
    /// The number of runs of a newer format.
    pub(crate) newer: usize,
    /// The directory was not read to its end.
    pub(crate) is_cut: bool,
}

/// Lists the runs in a directory. Everything else in it is ignored: links, FIFOs, and other names.
pub(crate) fn list(directory: &Path) -> Listing {
    list_at_most(directory, usize::MAX)
}

/// Lists the runs among the first `most` entries.
pub(super) fn list_at_most(directory: &Path, most: usize) -> Listing {
    let mut listing = Listing::default();
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            listing.is_cut = !is_missing(&error);
            return listing;
        }
    };
    for (position, entry) in entries.enumerate() {
        let Ok(entry) = entry else {
            listing.is_cut = true;
            break;
        };
        if position == most {
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
        // This does not follow links.
        let Ok(metadata) = entry.metadata() else { continue };
        if !metadata.is_file() {
            continue;
        }
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        listing.runs.push(SpooledRun { name, state, bytes: metadata.len(), modified });
    }
    // Names are unique, so this gives the same order as a stable sort, which adds 12 KB to the tool.
    listing.runs.sort_unstable_by_key(|entry| (entry.modified, entry.name));
    listing
}

/// Whether the process that writes a run is alive. This is only for display. An uploader that tries to claim the file at
/// the same moment leaves the run to the next uploader. On an error the process counts as alive.
pub(crate) fn is_alive(path: &Path) -> bool {
    match claim_dead(path) {
        Ok(Some(_)) => false,
        Ok(None) => std::fs::symlink_metadata(path).is_ok(),
        Err(_) => true,
    }
}

/// The number of pending runs that living processes are still writing.
pub(crate) fn count_open_runs(spool: &SpoolDirectory) -> u64 {
    let runs = list(&spool.runs()).runs;
    let open = runs.iter().filter(|entry| entry.state == RunState::Open && entry.is_run());
    open.filter(|entry| is_alive(&spool.runs().join(entry.file_name()))).count() as u64
}
