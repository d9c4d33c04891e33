//! Five thousand runs while nothing can be sent.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Report;
use crate::ledger::Ledger;
use crate::test_user::{DEAD_ENDPOINT, TestUser};

const RUNS: u64 = 5_000;
const LIMIT_RUNS: u64 = 1_000;
const LIMIT_BYTES: u64 = 10 << 20;

/// Checks that the spool stays under twice its limits, and that every run is accounted for.
pub(crate) fn while_backing_off() -> Report {
    // The backoff comes first, because the first run's uploader would write its own.
    let user = TestUser::sending_to(DEAD_ENDPOINT).backing_off(DEAD_ENDPOINT);
    let (started, most_runs, most_bytes) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let number = started.fetch_add(1, Ordering::Relaxed);
                    if number >= RUNS {
                        return;
                    }
                    // Three of four are killed, because a tool that is always killed must not fill the disk
                    // either.
                    let end = if number.is_multiple_of(4) { "return=0" } else { "signal=KILL" };
                    user.run_frob(["build", "--spans", "2", "--end", end]);
                    if number.is_multiple_of(50) {
                        let sizes = user.pending_runs().into_iter().filter_map(|path| path.metadata().ok());
                        let (runs, bytes) =
                            sizes.fold((0, 0), |(runs, bytes), metadata| (runs + 1, bytes + metadata.len()));
                        most_runs.fetch_max(runs, Ordering::Relaxed);
                        most_bytes.fetch_max(bytes, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let (most_runs, most_bytes) = (most_runs.into_inner(), most_bytes.into_inner());
    let ledger = Ledger::of(&user);
    if ledger.total() != RUNS {
        return Err(format!("{RUNS} runs started, {} accounted for\n{}", ledger.total(), ledger.status));
    }
    if most_runs >= 2 * LIMIT_RUNS || most_bytes >= 2 * LIMIT_BYTES {
        return Err(format!("the spool held {most_runs} runs and {most_bytes} bytes at once"));
    }
    Ok(format!(
        "{RUNS} runs started, {} pending, {} dropped and counted; at most {most_runs} runs and {most_bytes} bytes pending",
        ledger.pending, ledger.dropped
    ))
}
