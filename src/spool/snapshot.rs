//! All runs of a spool at one moment: those that wait and those whose outcome is known.

use std::collections::HashSet;
use std::io;

use super::counters::Counters;
use super::directory::SpoolDirectory;
use super::listing::{Listing, list};

/// How often a census begins again while outcomes are being told.
const TRIES: usize = 64;

/// What a spool held.
#[derive(Debug)]
pub(crate) struct SpoolSnapshot {
    /// Runs that wait, those that are being written included.
    pub(crate) pending: u64,
    /// Runs of a newer format.
    pub(crate) newer: u64,
    pub(crate) counters: Counters,
    /// The file of the counters is damaged; they tell only what came since.
    pub(crate) is_damaged: bool,
}

impl SpoolSnapshot {
    /// Counts without changing anything, and exactly: a run leaves the folder of the runs once and never comes
    /// back, so if all that were there before the counters were read are there after it, none of them was in the
    /// counters.
    ///
    /// # Errors
    ///
    /// Something cannot be read, or the runs move faster than they can be counted.
    pub(crate) fn read(spool: &SpoolDirectory) -> io::Result<Self> {
        let mut before = runs(&list(&spool.runs()))?;
        for _ in 0..TRIES {
            let (counters, is_damaged) = Counters::look(spool)?;
            let listing = list(&spool.runs());
            let after = runs(&listing)?;
            if before.is_subset(&after) {
                let (pending, newer) = (after.len() as u64, listing.newer as u64);
                return Ok(Self { pending, newer, counters, is_damaged });
            }
            before = after;
        }
        Err(io::Error::new(io::ErrorKind::WouldBlock, "the runs moved at every look"))
    }
}

/// Each run once: one that is sealed while the folder is read is seen under both names, or, once, under none.
fn runs(listing: &Listing) -> io::Result<HashSet<u128>> {
    if listing.is_cut {
        return Err(io::Error::other("the folder of the runs cannot be read"));
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
    fn a_census_is_exact_while_runs_are_recorded_sealed_delivered_and_folded() {
        let folder = tempfile::tempdir().unwrap();
        let spool = SpoolDirectory::new(folder.path(), "tool", "maker");
        spool.create().unwrap();
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
                        let told = spool.outcomes().join(Outcome::Delivered.file_name(entry.name));
                        // A run that is still open is not there under its sealed name.
                        let _ = std::fs::rename(spool.runs().join(entry.name.sealed()), told);
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
