//! Deleting everything that is kept of runs, when the person says so.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::counters::Counters;
use super::directory::{RunName, RunState, SpoolDirectory};
use super::listing::list;
use super::lock::UploaderLock;
use super::outcome::Outcome;
use crate::platform::{self, empty_file, is_missing};

/// What was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DeletedRuns {
    /// Runs that were waiting, those that were being written included.
    pub pending: u64,
    /// Delivered runs that were kept for `telemetry show`.
    pub kept: u64,
    /// Bytes of both, and of whatever else lay among them.
    pub bytes: u64,
}

/// How often the folders are gone through: a run may be sealed, or a request's answer come, while they are.
const PASSES: usize = 4;
/// A command's look at the lock takes microseconds.
const LOCK_PATIENCE: Duration = Duration::from_millis(50);
/// An empty file that is younger belongs to a process at its very beginning, and holds nothing of a run.
const BEGINNING: Duration = Duration::from_secs(60);
/// What we keep beside the runs, and stays: it says nothing of any run.
const BOOKS: [&str; 5] = ["counters", "backoff", "uploader.lock", "uploader.lease", "waiter"];

/// What is left, and why.
pub(crate) type Remains = Vec<(PathBuf, io::Error)>;

/// Deletes what is kept of the tool's runs, for every destination, whoever is at work there: the folder is ours alone,
/// so whatever lies in it goes, however it is called. No link is followed, nothing is opened that could wait.
///
/// A process that is still writing a run goes on writing into a file without a name.
pub(crate) fn discard_all(state_home: &Path, tool: &str, outcome: Outcome) -> (DeletedRuns, Remains) {
    let mut broom = Broom { outcome, deleted: DeletedRuns::default(), remains: Remains::new() };
    let tool = state_home.join(tool);
    let telemetry = tool.join("telemetry");
    for folder in [&tool, &telemetry] {
        match std::fs::symlink_metadata(folder) {
            Ok(metadata) if metadata.is_dir() && platform::is_own(&metadata) => {}
            Ok(_) => broom.fail(folder, not_followed()),
            Err(error) if is_missing(&error) => return (broom.deleted, broom.remains),
            Err(error) => broom.fail(folder, error),
        }
    }
    if broom.remains.is_empty() {
        for (path, is_folder) in broom.entries(&telemetry) {
            if is_folder {
                broom.destination(&SpoolDirectory::at(tool.clone(), path));
            } else {
                let _ = broom.remove(&path);
            }
        }
    }
    (broom.deleted, broom.remains)
}

fn not_followed() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "a link, or another user's: it is not followed")
}

struct Broom {
    outcome: Outcome,
    deleted: DeletedRuns,
    remains: Remains,
}

impl Broom {
    fn fail(&mut self, path: &Path, error: io::Error) {
        if !is_missing(&error) && !self.remains.iter().any(|(known, _)| known == path) {
            self.remains.push((path.to_owned(), error));
        }
    }

    /// A folder's entries, and which of them are folders; a link is none.
    fn entries(&mut self, folder: &Path) -> Vec<(PathBuf, bool)> {
        let mut found = Vec::new();
        match std::fs::read_dir(folder) {
            Ok(entries) => {
                for entry in entries {
                    match entry {
                        Ok(entry) => {
                            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                            found.push((entry.path(), is_folder));
                        }
                        Err(error) => {
                            self.fail(folder, error);
                            break;
                        }
                    }
                }
            }
            Err(error) => self.fail(folder, error),
        }
        found
    }

    fn destination(&mut self, spool: &SpoolDirectory) {
        for pass in 0..PASSES {
            let before = self.deleted;
            self.put_away_runs(spool);
            fold(spool);
            self.clear_root(spool);
            if pass > 0 && self.deleted == before {
                break;
            }
        }
    }

    /// Counts the runs by a rename of each, as every other outcome, and empties them.
    fn put_away_runs(&mut self, spool: &SpoolDirectory) {
        if !std::fs::symlink_metadata(spool.runs()).is_ok_and(|metadata| metadata.is_dir()) {
            return;
        }
        for entry in list(&spool.runs()).runs {
            if entry.is_run() {
                let is_written = entry.state == RunState::Open;
                self.put_away(
                    spool,
                    &spool.runs().join(entry.file_name()),
                    entry.name,
                    entry.bytes,
                    is_written,
                );
            }
        }
        for (path, _) in self.entries(&spool.runs()) {
            let is_newer =
                path.file_name().and_then(|name| name.to_str()).is_some_and(RunName::is_newer_format);
            let file = std::fs::symlink_metadata(&path).ok().filter(|metadata| metadata.is_file());
            if let Some(metadata) = file.filter(|_| is_newer) {
                // A newer version counted it as recorded; it has a name of this version's in the books.
                let random = u128::from(crate::platform::random_number()) << 64
                    | u128::from(crate::platform::random_number());
                self.put_away(spool, &path, RunName::new(random), metadata.len(), true);
            }
        }
    }

    fn put_away(&mut self, spool: &SpoolDirectory, path: &Path, name: RunName, bytes: u64, is_written: bool) {
        let told = spool.outcomes().join(self.outcome.file_name(name));
        // Where it cannot be counted the person's word goes first.
        let result = std::fs::rename(path, &told).or_else(|error| {
            if is_missing(&error) && !path.exists() { Err(error) } else { std::fs::remove_file(path) }
        });
        match result {
            Ok(()) => {
                let _ = empty_file(&told, is_written);
                self.deleted.pending += 1;
                self.deleted.bytes += bytes;
            }
            // Sealed, sent or deleted in this moment: the next pass sees what became of it.
            Err(error) => self.fail(path, error),
        }
    }

    fn clear_root(&mut self, spool: &SpoolDirectory) {
        let [runs, outcomes, sent] = [spool.runs(), spool.outcomes(), spool.sent()];
        for (path, is_folder) in self.entries(spool.root()) {
            let is_ours = [&runs, &outcomes, &sent].contains(&&path);
            match is_folder {
                true if path == outcomes => self.clear_outcomes(&path),
                true => self.clear(&path, &sent, path == runs),
                // Runs may have been written through it.
                false if is_ours => self.fail(&path, not_followed()),
                false if is_book(&path) => {}
                false => _ = self.remove(&path),
            }
            if is_folder && !is_ours {
                let _ = std::fs::remove_dir(&path);
            }
        }
    }

    /// Outcomes that are not folded yet stay as names.
    fn clear_outcomes(&mut self, outcomes: &Path) {
        for (path, is_folder) in self.entries(outcomes) {
            let is_outcome =
                path.file_name().and_then(|name| name.to_str()).is_some_and(Outcome::is_file_name);
            let length =
                std::fs::symlink_metadata(&path).ok().filter(|file| file.is_file()).map(|file| file.len());
            match (is_outcome, length) {
                (true, Some(0)) => {}
                (true, Some(bytes)) => match empty_file(&path, false) {
                    Ok(()) => self.deleted.bytes += bytes,
                    // The person's word goes before the count.
                    Err(_) => _ = self.remove(&path),
                },
                _ if is_folder => {
                    self.clear(&path, &path, false);
                    let _ = std::fs::remove_dir(&path);
                }
                _ => _ = self.remove(&path),
            }
        }
    }

    fn clear(&mut self, folder: &Path, sent: &Path, is_runs: bool) {
        for (path, is_folder) in self.entries(folder) {
            if is_folder {
                self.clear(&path, sent, false);
                let _ = std::fs::remove_dir(&path);
                continue;
            }
            if is_runs && is_at_its_beginning(&path) {
                continue;
            }
            let is_file = std::fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file());
            if self.remove(&path) && is_file {
                self.deleted.kept += u64::from(folder == sent);
                self.deleted.pending += u64::from(is_runs);
            }
        }
    }

    /// Takes away a name: of a link the link, of a FIFO the FIFO.
    fn remove(&mut self, path: &Path) -> bool {
        let bytes = std::fs::symlink_metadata(path).map_or(0, |metadata| metadata.len());
        match std::fs::remove_file(path) {
            Ok(()) => {
                self.deleted.bytes += bytes;
                true
            }
            Err(error) => {
                self.fail(path, error);
                false
            }
        }
    }
}

fn is_book(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let is_being_written =
        name.ends_with(".tmp") && (name.starts_with("counters.") || name.starts_with("backoff."));
    BOOKS.contains(&name) || is_being_written
}

fn is_at_its_beginning(path: &Path) -> bool {
    let is_open = path
        .file_name()
        .and_then(|name| name.to_str())
        .and_then(RunName::parse_run)
        .is_some_and(|(_, state)| state == RunState::Open);
    let is_young = |metadata: std::fs::Metadata| {
        let age =
            metadata.modified().ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
        metadata.is_file() && metadata.len() == 0 && age.is_some_and(|age| age < BEGINNING)
    };
    is_open && std::fs::symlink_metadata(path).is_ok_and(is_young)
}

/// Counts the outcomes, and deletes them, unless an uploader is at work, which will.
fn fold(spool: &SpoolDirectory) {
    let asked = Instant::now();
    loop {
        match UploaderLock::try_take(&spool.lock()) {
            Ok(Some(_lock)) => {
                let _ = Counters::fold(spool, |_| {});
                return;
            }
            Ok(None) if asked.elapsed() < LOCK_PATIENCE => std::thread::sleep(Duration::from_millis(2)),
            Ok(None) | Err(_) => return,
        }
    }
}
