//! The clock of the runs of this process.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Wall-clock time that advances with the monotonic clock, so that no span ends before it starts.
#[derive(Debug)]
pub(super) struct RunClock {
    /// Nanoseconds since the Unix epoch.
    started: AtomicU64,
    instant: Instant,
}

impl RunClock {
    pub(super) fn new() -> Self {
        Self { started: AtomicU64::new(wall_time()), instant: Instant::now() }
    }

    /// When it was last synchronised with the wall clock, less the time until then.
    pub(super) fn started(&self) -> u64 {
        self.started.load(Ordering::Relaxed)
    }

    pub(super) fn now(&self) -> u64 {
        self.started().saturating_add(self.instant.elapsed().as_nanos() as u64)
    }

    /// Synchronises with the wall clock. It may have been set, and it advances while a machine sleeps.
    pub(super) fn synchronise(&self) {
        let started = wall_time().saturating_sub(self.instant.elapsed().as_nanos() as u64);
        self.started.store(started.max(1), Ordering::Relaxed);
    }
}

/// Nanoseconds since the Unix epoch. It is never 0, which means "not set" in OTLP.
fn wall_time() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::from_nanos(1));
    since_epoch.as_nanos().clamp(1, u64::MAX.into()) as u64
}
