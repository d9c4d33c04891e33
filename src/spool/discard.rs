//! Deleting all of a tool's runs when the user requests it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::counters::Counters;
use super::directory::{RunName, RunState, SpoolDirectory};
use super::listing::list;
use super::lock::UploaderLock;
use super::outcome::Outcome;
use crate::platform::{self, empty_file, is_missing, random_number};

/// How much was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DeletedRuns {
    /// Pending runs, including those that were being written.
    pub pending: u64,
    /// Delivered runs that were kept for `telemetry show`.
    pub kept: u64,
    /// The size of both, and of other files among them, in bytes.
    pub bytes: u64,
}

/// How often the directories are cleared. Runs may be sealed or delivered in the meantime.
const PASSES: usize = 4;
/// A command holds the lock for microseconds when it probes it.
const LOCK_PATIENCE: Duration = Duration::from_millis(50);
/// An empty file that is younger than this belongs to a process that has only begun.
const STARTUP_TIME: Duration = Duration::from_secs(60);
/// Files that stay, because they contain nothing about any run.
const STATE_FILES: [&str; 5] = ["counters", "backoff", "uploader.lock", "uploader.lease", "waiter"];

/// The paths that could not be deleted.
pub(crate) type DeletionErrors = Vec<(PathBuf, io::Error)>;

/// Deletes the tool's runs for every destination, even while other processes use them. The directory is ours, so foreign
/// files in it are deleted too. Links are not followed, and nothing is opened that could block.
///
/// A process that is still writing a run continues to write into a deleted file.
pub(crate) fn discard_all(state_home: &Path, tool: &str, outcome: Outcome) -> (DeletedRuns, DeletionErrors) {
    let mut deletion = Deletion { outcome, deleted: DeletedRuns::default(), errors: DeletionErrors::new() };
    let tool = state_home.join(tool);
    let telemetry = tool.join("telemetry");
    for directory in [&tool, &telemetry] {
        match std::fs::symlink_metadata(directory) {
            Ok(metadata) if metadata.is_dir() && platform::is_own(&metadata) => {}
            Ok(_) => deletion.fail(directory, not_followed()),
            Err(error) if is_missing(&error) => return (deletion.deleted, deletion.errors),
            Err(error) => deletion.fail(directory, error),
        }
    }
    if deletion.errors.is_empty() {
        for (path, is_directory) in deletion.entries(&telemetry) {
            if is_directory {
                deletion.clear_destination(&SpoolDirectory::at(tool.clone(), path));
            } else {
                deletion.remove(&path);
            }
        }
    }
    (deletion.deleted, deletion.errors)
}

fn not_followed() -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        "it is a link or belongs to another user, and is not followed",
    )
}

/// A deletion in progress.
struct Deletion {
    outcome: Outcome,
    deleted: DeletedRuns,
    errors: DeletionErrors,
}

impl Deletion {
    fn fail(&mut self, path: &Path, error: io::Error) {
        if !is_missing(&error) && !self.errors.iter().any(|(known, _)| known == path) {
            self.errors.push((path.to_owned(), error));
        }
    }

    /// The entries of a directory, and whether each is a directory itself. A link is not.
    fn entries(&mut self, directory: &Path) -> Vec<(PathBuf, bool)> {
        let mut found = Vec::new();
        let mut read = || -> io::Result<()> {
            for entry in std::fs::read_dir(directory)? {
                let entry = entry?;
                found.push((entry.path(), entry.file_type().is_ok_and(|kind| kind.is_dir())));
            }
            Ok(())
        };
        if let Err(error) = read() {
            self.fail(directory, error);
        }
        found
    }

    fn clear_destination(&mut self, spool: &SpoolDirectory) {
        for pass in 0..PASSES {
            let before = self.deleted;
            self.discard_runs(spool);
            fold(spool);
            self.clear_root(spool);
            if pass > 0 && self.deleted == before {
                break;
            }
        }
    }

    fn discard_runs(&mut self, spool: &SpoolDirectory) {
        if !std::fs::symlink_metadata(spool.runs()).is_ok_and(|metadata| metadata.is_dir()) {
            return;
        }
        for run in list(&spool.runs()).runs.into_iter().filter(|run| run.is_run()) {
            let path = spool.runs().join(run.file_name());
            self.discard_run(spool, &path, run.name, run.bytes, run.state == RunState::Open);
        }
        for (path, _) in self.entries(&spool.runs()) {
            let file = std::fs::symlink_metadata(&path).ok().filter(|metadata| metadata.is_file());
            if let Some(metadata) = file.filter(|_| name_of(&path).is_some_and(RunName::is_newer_format)) {
                // A newer version counted this run as recorded. Its outcome needs a name that this version reads.
                let random = u128::from(random_number()) << 64 | u128::from(random_number());
                self.discard_run(spool, &path, RunName::new(random), metadata.len(), true);
            }
        }
    }

    /// Records the run's outcome by a rename, and empties the file.
    fn discard_run(
        &mut self,
        spool: &SpoolDirectory,
        path: &Path,
        name: RunName,
        bytes: u64,
        is_being_written: bool,
    ) {
        let counted = spool.outcomes().join(self.outcome.file_name(name));
        // If the run cannot be counted, deleting it is more important.
        let result = platform::rename(path, &counted).or_else(|error| {
            if is_missing(&error) && !path.exists() { Err(error) } else { std::fs::remove_file(path) }
        });
        match result {
            Ok(()) => {
                let _ = empty_file(&counted, is_being_written);
                self.deleted.pending += 1;
                self.deleted.bytes += bytes;
            }
            // If the run was sealed or sent at this moment, the next pass finds it.
            Err(error) => self.fail(path, error),
        }
    }

    fn clear_root(&mut self, spool: &SpoolDirectory) {
        let [runs, outcomes, sent] = [spool.runs(), spool.outcomes(), spool.sent()];
        for (path, is_directory) in self.entries(spool.root()) {
            let is_ours = [&runs, &outcomes, &sent].contains(&&path);
            match is_directory {
                true if path == outcomes => self.clear_outcomes(&path),
                true => self.clear(&path, &sent, path == runs),
                // If a link replaced our directory, runs may have been written to its target.
                false if is_ours => self.fail(&path, not_followed()),
                false if is_state_file(&path) => {}
                false => _ = self.remove(&path),
            }
            if is_directory && !is_ours {
                let _ = std::fs::remove_dir(&path);
            }
        }
    }

    /// Empties the outcome files that are not folded yet, and deletes everything else.
    fn clear_outcomes(&mut self, outcomes: &Path) {
        for (path, is_directory) in self.entries(outcomes) {
            let file = std::fs::symlink_metadata(&path).ok().filter(|metadata| metadata.is_file());
            let is_outcome = name_of(&path).is_some_and(Outcome::is_file_name);
            match file.filter(|_| is_outcome).map(|file| file.len()) {
                Some(0) => {}
                Some(bytes) if empty_file(&path, false).is_ok() => self.deleted.bytes += bytes,
                // Deleting the content is more important than the count.
                Some(_) => _ = self.remove(&path),
                None if is_directory => {
                    self.clear(&path, &path, false);
                    let _ = std::fs::remove_dir(&path);
                }
                None => _ = self.remove(&path),
            }
        }
    }

    fn clear(&mut self, directory: &Path, sent: &Path, is_runs: bool) {
        for (path, is_directory) in self.entries(directory) {
            if is_directory {
                self.clear(&path, sent, false);
                let _ = std::fs::remove_dir(&path);
                continue;
            }
            if is_runs && has_only_begun(&path) {
                continue;
            }
            let is_file = std::fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file());
            if self.remove(&path) && is_file {
                self.deleted.kept += u64::from(directory == sent);
                self.deleted.pending += u64::from(is_runs);
            }
        }
    }

    /// Deletes a file, a link, or a FIFO, and returns whether it succeeded.
    fn remove(&mut self, path: &Path) -> bool {
        let bytes = std::fs::symlink_metadata(path).map_or(0, |metadata| metadata.len());
        let result = std::fs::remove_file(path);
        let is_removed = result.is_ok();
        match result {
            Ok(()) => self.deleted.bytes += bytes,
            Err(error) => self.fail(path, error),
        }
        is_removed
    }
}

fn name_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

fn is_state_file(path: &Path) -> bool {
    name_of(path).is_some_and(|name| {
        let is_replacement = ["counters.", "backoff."].iter().any(|prefix| name.starts_with(prefix));
        STATE_FILES.contains(&name) || (is_replacement && name.ends_with(".tmp"))
    })
}

/// Whether a file in `runs/` is empty and young, and therefore belongs to a process that has only begun.
fn has_only_begun(path: &Path) -> bool {
    let is_open =
        name_of(path).and_then(RunName::parse_run).is_some_and(|(_, state)| state == RunState::Open);
    let is_young = |metadata: std::fs::Metadata| {
        let age =
            metadata.modified().ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
        metadata.is_file() && metadata.len() == 0 && age.is_some_and(|age| age < STARTUP_TIME)
    };
    is_open && std::fs::symlink_metadata(path).is_ok_and(is_young)
}

/// Folds the outcomes, unless an uploader is running, which will do it.
fn fold(spool: &SpoolDirectory) {
    let started = Instant::now();
    loop {
        match UploaderLock::try_acquire(&spool.lock()) {
            Ok(Some(_lock)) => {
                let _ = Counters::fold(spool, |_| {});
                return;
            }
            Ok(None) if started.elapsed() < LOCK_PATIENCE => std::thread::sleep(Duration::from_millis(2)),
            Ok(None) | Err(_) => return,
        }
    }
}
