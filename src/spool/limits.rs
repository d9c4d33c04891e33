//! Limits on the size, number, and age of pending runs. The holder of the uploader's lock enforces them, because listing a
//! full spool takes longer than a command may.

use std::time::{Duration, SystemTime};

use super::counters::MAX_KEPT;
use super::directory::{RunState, SpoolDirectory};
use super::listing::{Listing, SpooledRun, list, list_at_most};
use super::outcome::Outcome;
use super::run_file::claim_dead;
use crate::model::clock::age;
use crate::model::settings::Limits;
use crate::platform::{self, empty_file, is_missing};

/// How long delivered runs are kept for `telemetry show`.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Among this many foreign files, a command still finds all runs. Listing them takes about 2 ms.
const FOREIGN_FILES: usize = 8192;

/// Drops the oldest runs over the limits and returns the others. A run that is being written is never dropped. The caller
/// must hold the uploader's lock.
pub(crate) fn enforce(spool: &SpoolDirectory, limits: &Limits, now: SystemTime) -> Listing {
    let listing = drop_over(spool, limits, now, list(&spool.runs()));
    sweep(spool, now);
    listing
}

/// Enforces the limits from a command that holds the lock. The cost depends only on the limits, not on foreign files in the
/// directory.
pub(crate) fn enforce_from_command(spool: &SpoolDirectory, limits: &Limits, now: SystemTime) {
    let most = limits.runs.saturating_mul(2).saturating_add(FOREIGN_FILES);
    drop_over(spool, limits, now, list_at_most(&spool.runs(), most));
}

/// Enforces the limits from a command while a frozen uploader holds the lock. The outcomes are folded when the uploader
/// continues or ends, but their space is freed at once.
pub(crate) fn enforce_despite_frozen_uploader(spool: &SpoolDirectory, limits: &Limits, now: SystemTime) {
    let most = limits.runs.saturating_mul(2).saturating_add(FOREIGN_FILES);
    let before = list_at_most(&spool.runs(), most);
    let left = drop_over(spool, limits, now, Listing { runs: before.runs.clone(), ..Listing::default() });
    let is_left = |entry: &&SpooledRun| left.runs.iter().any(|left| left.name == entry.name);
    for gone in before.runs.iter().filter(|entry| !is_left(entry)) {
        for outcome in [Outcome::LimitAge, Outcome::LimitBytes, Outcome::LimitRuns] {
            let _ = empty_file(&spool.outcomes().join(outcome.file_name(gone.name)), false);
        }
    }
}

fn drop_over(spool: &SpoolDirectory, limits: &Limits, now: SystemTime, mut listing: Listing) -> Listing {
    let mut bytes: u64 = listing.runs.iter().map(|entry| entry.bytes).sum();
    let mut runs = listing.runs.iter().filter(|entry| entry.is_run()).count();
    listing.runs.retain(|entry| {
        if !entry.is_run() {
            // Its process died before the first line.
            let is_abandoned = age(entry.modified, now) > limits.age;
            if is_abandoned {
                let _ = std::fs::remove_file(spool.runs().join(entry.name.open()));
            }
            return !is_abandoned;
        }
        let outcome = if age(entry.modified, now) > limits.age {
            Outcome::LimitAge
        } else if bytes > limits.bytes {
            Outcome::LimitBytes
        } else if runs > limits.runs {
            Outcome::LimitRuns
        } else {
            return true;
        };
        let is_dropped = drop_run(spool, entry, outcome);
        if is_dropped {
            bytes -= entry.bytes;
            runs -= 1;
        }
        !is_dropped
    });
    listing
}

/// Records a run's outcome by a rename, unless its process is alive.
fn drop_run(spool: &SpoolDirectory, entry: &SpooledRun, outcome: Outcome) -> bool {
    let path = spool.runs().join(entry.file_name());
    // The file stays locked until it is renamed. Unsealed runs are limited too, because a tool that is always killed seals
    // none.
    let _dead = match entry.state {
        RunState::Sealed => None,
        RunState::Open => match claim_dead(&path) {
            Ok(Some(claimed)) => Some(claimed),
            Ok(None) | Err(_) => return false,
        },
    };
    match platform::rename(path, spool.outcomes().join(outcome.file_name(entry.name))) {
        Ok(()) => true,
        // Another process was faster. The run counts as dropped, so that no further run is dropped in its place.
        Err(error) => is_missing(&error) && spool.outcomes().is_dir(),
    }
}

/// Deletes sent runs that are no longer kept, and temporary files of killed processes.
fn sweep(spool: &SpoolDirectory, now: SystemTime) {
    let kept = list(&spool.sent()).runs;
    let over = kept.len().saturating_sub(MAX_KEPT);
    for (position, entry) in kept.iter().enumerate() {
        if position < over || age(entry.modified, now) > KEPT_FOR {
            let _ = std::fs::remove_file(spool.sent().join(entry.name.sealed()));
        }
    }
    let Ok(entries) = std::fs::read_dir(spool.root()) else {
        return;
    };
    for entry in entries.flatten() {
        let is_temporary = entry.file_name().to_str().is_some_and(|name| {
            let ours = ["counters.", "counts.", "backoff.", "rewritten.", "uploader."];
            name.ends_with(".tmp") && ours.iter().any(|beginning| name.starts_with(beginning))
        });
        // A temporary file is renamed within a moment, so nothing uses it after a minute.
        let is_left = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|modified| age(modified, now) > Duration::from_secs(60));
        if is_temporary && is_left {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::counters::Counters;
    use crate::spool::directory::RunName;
    use crate::spool::run_file::RunFile;

    fn put(spool: &SpoolDirectory, name: String, content: &str, age: Duration) {
        let path = spool.runs().join(name);
        std::fs::write(&path, content).unwrap();
        let file = std::fs::File::options().append(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn empty_files_of_dead_processes_do_not_fill_the_quota() {
        let (_directory, spool) = SpoolDirectory::temporary();
        for random in 0..50 {
            put(&spool, RunName::new(random).open(), "", MINUTE);
        }
        put(&spool, RunName::new(99).sealed(), "run", MINUTE * 2);
        let limits = Limits { runs: 10, ..Limits::default() };
        let left = enforce(&spool, &limits, SystemTime::now());
        assert_eq!(left.runs.iter().filter(|entry| entry.is_run()).count(), 1);
        // They are deleted when they are too old.
        let later = SystemTime::now() + limits.age;
        assert_eq!(enforce(&spool, &limits, later).runs.len(), 0);
        assert_eq!(Counters::read(&spool).unwrap().0.of(Outcome::LimitAge), 1);
    }

    #[test]
    fn the_oldest_runs_go_first_except_those_being_written() {
        let (_directory, spool) = SpoolDirectory::temporary();
        let mut living = RunFile::create(&spool, RunName::new(1)).unwrap();
        living.append(b"the oldest\n").unwrap();
        put(&spool, RunName::new(2).open(), "dead", MINUTE * 3);
        put(&spool, RunName::new(3).sealed(), "old", MINUTE * 2);
        put(&spool, RunName::new(4).sealed(), "new", MINUTE);
        std::fs::File::options()
            .append(true)
            .open(spool.runs().join(RunName::new(1).open()))
            .unwrap()
            .set_modified(SystemTime::now() - MINUTE * 4)
            .unwrap();
        enforce_from_command(&spool, &Limits { runs: 2, ..Limits::default() }, SystemTime::now());
        let left: Vec<u128> = list(&spool.runs()).runs.iter().map(|entry| entry.name.random).collect();
        assert_eq!(left, [1, 4]);
        assert_eq!(Counters::read(&spool).unwrap().0.of(Outcome::LimitRuns), 2);
    }

    #[test]
    fn a_command_lists_a_bounded_number_of_foreign_files() {
        let (_directory, spool) = SpoolDirectory::temporary();
        for number in 0..200 {
            put(&spool, format!("notes-{number}"), "", MINUTE);
        }
        assert!(list_at_most(&spool.runs(), 100).is_cut);
        assert!(!list_at_most(&spool.runs(), 200).is_cut);
    }
}
