//! How much may wait, and for how long. Enforced by whoever holds the uploader's lock, since listing a full
//! spool takes longer than a command may.

use std::time::{Duration, SystemTime};

use super::counters::KEPT;
use super::directory::{RunState, SpoolDirectory};
use super::listing::{Listing, SpooledRun, list, list_at_most};
use super::outcome::Outcome;
use super::run_file::claim_dead;
use crate::model::settings::Limits;
use crate::platform::{empty_file, is_missing};

/// How long delivered runs are kept for `telemetry show`.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Files of others among which a command still finds all runs: listing them takes about 2 ms.
const STRANGERS: usize = 8192;

/// Drops, oldest first, what is over the limits; returns what still waits. A run that is being written belongs to
/// its process and stays. Only for the holder of the uploader's lock.
pub(crate) fn enforce(spool: &SpoolDirectory, limits: &Limits, now: SystemTime) -> Listing {
    let listing = drop_over(spool, limits, now, list(&spool.runs()));
    sweep(spool, now);
    listing
}

/// The same by a command that holds the lock, while no uploader works: what it costs depends on the limits, and not
/// on what else somebody put into the folder.
pub(crate) fn enforce_in_passing(spool: &SpoolDirectory, limits: &Limits, now: SystemTime) {
    let most = limits.runs.saturating_mul(2).saturating_add(STRANGERS);
    drop_over(spool, limits, now, list_at_most(&spool.runs(), most));
}

/// The same by a command, while an uploader that is frozen holds the lock. Outcomes are only told, and folded when it
/// goes on or ends; what they hold is given back at once.
pub(crate) fn enforce_against_frozen(spool: &SpoolDirectory, limits: &Limits, now: SystemTime) {
    let most = limits.runs.saturating_mul(2).saturating_add(STRANGERS);
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
            // Nobody's once it is too old: its process died before the first line.
            let is_abandoned = is_older(entry.modified, now, limits.age);
            if is_abandoned {
                let _ = std::fs::remove_file(spool.runs().join(entry.name.open()));
            }
            return !is_abandoned;
        }
        let outcome = if is_older(entry.modified, now, limits.age) {
            Outcome::LimitAge
        } else if bytes > limits.bytes {
            Outcome::LimitBytes
        } else if runs > limits.runs {
            Outcome::LimitRuns
        } else {
            return true;
        };
        let is_put_away = settle(spool, entry, outcome);
        if is_put_away {
            bytes -= entry.bytes;
            runs -= 1;
        }
        !is_put_away
    });
    listing
}

/// A time as far ahead as the limit is as old as one as far back: the clock has jumped.
fn is_older(time: SystemTime, now: SystemTime, age: Duration) -> bool {
    let distance = now.duration_since(time).unwrap_or_else(|ahead| ahead.duration());
    distance > age
}

/// Tells a run's outcome by a rename, unless its process lives.
fn settle(spool: &SpoolDirectory, entry: &SpooledRun, outcome: Outcome) -> bool {
    let path = spool.runs().join(entry.file_name());
    // Held until the file is put away. A tool whose every run is killed seals none, and is limited like the others.
    let _dead = match entry.state {
        RunState::Sealed => None,
        RunState::Open => match claim_dead(&path) {
            Ok(Some(claimed)) => Some(claimed),
            Ok(None) | Err(_) => return false,
        },
    };
    match std::fs::rename(path, spool.outcomes().join(outcome.file_name(entry.name))) {
        Ok(()) => true,
        // Somebody else was faster: then it must not be dropped a second time in another run's place.
        Err(error) => is_missing(&error) && spool.outcomes().is_dir(),
    }
}

/// Deletes what is kept longer than promised, and temporary files that a killed process left.
fn sweep(spool: &SpoolDirectory, now: SystemTime) {
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
            let ours = ["counters.", "backoff.", "rewritten.", "uploader."];
            name.ends_with(".tmp") && ours.iter().any(|beginning| name.starts_with(beginning))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::counters::Counters;
    use crate::spool::directory::RunName;
    use crate::spool::run_file::RunFile;

    fn spool() -> (tempfile::TempDir, SpoolDirectory) {
        let folder = tempfile::tempdir().unwrap();
        let spool = SpoolDirectory::new(folder.path(), "tool", "maker");
        spool.create().unwrap();
        (folder, spool)
    }

    fn put(spool: &SpoolDirectory, name: String, content: &str, age: Duration) {
        let path = spool.runs().join(name);
        std::fs::write(&path, content).unwrap();
        let file = std::fs::File::options().append(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn empty_files_of_dead_processes_do_not_fill_the_quota() {
        let (_folder, spool) = spool();
        for random in 0..50 {
            put(&spool, RunName::new(random).open(), "", MINUTE);
        }
        put(&spool, RunName::new(99).sealed(), "run", MINUTE * 2);
        let limits = Limits { runs: 10, ..Limits::default() };
        let left = enforce(&spool, &limits, SystemTime::now());
        assert_eq!(left.runs.iter().filter(|entry| entry.is_run()).count(), 1);
        // And they go when they are too old.
        let later = SystemTime::now() + limits.age;
        assert_eq!(enforce(&spool, &limits, later).runs.len(), 0);
        assert_eq!(Counters::look(&spool).unwrap().0.of(Outcome::LimitAge), 1);
    }

    #[test]
    fn the_oldest_go_first_also_those_of_dead_processes_but_never_one_that_is_being_written() {
        let (_folder, spool) = spool();
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
        enforce_in_passing(&spool, &Limits { runs: 2, ..Limits::default() }, SystemTime::now());
        let left: Vec<u128> = list(&spool.runs()).runs.iter().map(|entry| entry.name.random).collect();
        assert_eq!(left, [1, 4]);
        assert_eq!(Counters::look(&spool).unwrap().0.of(Outcome::LimitRuns), 2);
    }

    #[test]
    fn a_command_looks_at_a_bounded_number_of_strange_files() {
        let (_folder, spool) = spool();
        for number in 0..200 {
            put(&spool, format!("notes-{number}"), "", MINUTE);
        }
        assert!(list_at_most(&spool.runs(), 100).is_cut);
        assert!(!list_at_most(&spool.runs(), 200).is_cut);
    }

    #[test]
    fn a_time_in_the_future_is_as_old_as_one_in_the_past() {
        let (now, age) = (SystemTime::now(), MINUTE);
        assert!(is_older(now - MINUTE * 2, now, age) && is_older(now + MINUTE * 2, now, age));
        assert!(!is_older(now - MINUTE / 2, now, age) && !is_older(now + MINUTE / 2, now, age));
    }
}
