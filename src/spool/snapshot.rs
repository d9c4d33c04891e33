//! A consistent count of a spool's pending runs and outcomes.

use std::collections::HashSet;
use std::io;

use super::counters::Counters;
use super::directory::SpoolDirectory;
use super::listing::{Listing, list};

/// How often a snapshot is retried while runs leave the spool.
const ATTEMPTS: usize = 64;

/// The runs of a spool at one moment.
#[derive(Debug)]
pub(crate) struct SpoolSnapshot {
    /// Pending runs, including those that are being written.
    pub(crate) pending: u64,
    /// Runs of a newer format.
    pub(crate) newer: u64,
    pub(crate) counters: Counters,
    /// The counters' file is damaged, so `counters` only has newer outcomes.
    pub(crate) is_damaged: bool,
}

impl SpoolSnapshot {
    /// Counts without a change to the spool. A run that has left its directory never comes back. So if all runs from
    /// before the counters were read are still there afterwards, the counters contain none of them.
    ///
    /// # Errors
    ///
    /// A directory or file cannot be read, or runs leave faster than they can be counted.
    pub(crate) fn read(spool: &SpoolDirectory) -> io::Result<Self> {
        let mut before = runs(&list(&spool.runs()))?;
        for _ in 0..ATTEMPTS {
            let (counters, is_damaged) = Counters::read(spool)?;
            let listing = list(&spool.runs());
            let after = runs(&listing)?;
            if before.is_subset(&after) {
                let (pending, newer) = (after.len() as u64, listing.newer as u64);
                return Ok(Self { pending, newer, counters, is_damaged });
            }
            before = after;
        }
        Err(io::Error::new(io::ErrorKind::WouldBlock, "the runs changed at every attempt"))
    }
}

/// Counts each run once. A run that is sealed while its directory is read appears under both names or neither.
fn runs(listing: &Listing) -> io::Result<HashSet<u128>> {
    if listing.is_cut {
        return Err(io::Error::other("the directory of the runs cannot be read"));
    }
    Ok(listing.runs.iter().filter(|entry| entry.is_run()).map(|entry| entry.name.random).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::directory::RunName;
    use crate::spool::outcome::Outcome;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    #[test]
    fn a_snapshot_is_exact_while_runs_move() {
        let (_directory, spool) = SpoolDirectory::temporary();
        let recorded = AtomicU64::new(0);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for random in 0..1_000 {
                    let name = RunName::new(random);
                    let open = spool.runs().join(name.open());
                    std::fs::write(&open, "line").unwrap();
                    recorded.fetch_add(1, Ordering::SeqCst);
                    std::fs::rename(open, spool.runs().join(name.sealed())).unwrap();
                    if random % 64 == 63 {
                        std::thread::sleep(std::time::Duration::from_millis(1));
                    }
                }
                over.store(true, Ordering::SeqCst);
            });
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    for entry in list(&spool.runs()).runs.iter().filter(|entry| entry.is_run()) {
                        let delivered = spool.outcomes().join(Outcome::Delivered.file_name(entry.name));
                        // This fails for a run that is still open.
                        let _ = std::fs::rename(spool.runs().join(entry.name.sealed()), delivered);
                    }
                    Counters::fold(&spool, |_| {}).unwrap();
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
            });
            while !over.load(Ordering::SeqCst) {
                let least = recorded.load(Ordering::SeqCst);
                let snapshot = SpoolSnapshot::read(&spool).unwrap();
                let most = recorded.load(Ordering::SeqCst) + 1;
                let seen = snapshot.pending + snapshot.counters.of(Outcome::Delivered);
                assert!((least..=most).contains(&seen), "{seen} is not in {least}..={most}");
            }
        });
    }
}
