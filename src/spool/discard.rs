//! Deleting what waits and what is kept, when the person says so.

use super::counters::{Counters, Outcome};
use super::dir::{RunState, SpoolDir};
use super::limits;
use super::lock::UploaderLock;
use super::run_file::claim_dead;
use crate::platform;

/// What was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deleted {
    /// Runs that were waiting.
    pub pending: u64,
    /// Delivered runs that were kept for `telemetry show`.
    pub kept: u64,
    /// Bytes of both.
    pub bytes: u64,
}

/// Deletes all waiting and kept runs of one spool at once, whoever is at work in it. A run that is being written
/// belongs to its process, which asks for consent again before it seals it.
pub(crate) fn discard(spool: &SpoolDir, outcome: Outcome) -> Deleted {
    let mut deleted = Deleted::default();
    if spool.check().is_err() {
        return deleted;
    }
    for entry in limits::list(&spool.runs()).runs {
        let path = spool.runs().join(entry.file_name());
        // Held until the file is put away.
        let _dead = match entry.state {
            RunState::Sealed => None,
            RunState::Open if entry.bytes == 0 => continue,
            RunState::Open => match claim_dead(&path) {
                Ok(Some(claimed)) => Some(claimed),
                Ok(None) | Err(_) => continue,
            },
        };
        let put_away = spool.outcomes().join(outcome.file_name(entry.name));
        if std::fs::rename(&path, &put_away).is_ok() {
            // Counted by its name; its content is gone now and not when somebody folds the counters.
            if let Ok((file, _)) = platform::open_own(&put_away, true, false) {
                let _ = file.set_len(0);
            }
            deleted.pending += 1;
            deleted.bytes += entry.bytes;
        }
    }
    if let Ok(Some(_lock)) = UploaderLock::try_take(&spool.lock()) {
        let _ = Counters::fold(spool, |_| {});
    }
    for entry in limits::list(&spool.sent()).runs {
        if std::fs::remove_file(spool.sent().join(entry.name.sealed())).is_ok() {
            deleted.kept += 1;
            deleted.bytes += entry.bytes;
        }
    }
    deleted
}
