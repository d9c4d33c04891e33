//! The uploader's loop: take the lock, recover the runs of dead processes, send all runs in batches, and end.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use super::state::{CountingRole, ServerHistory, SkippedRuns, StopReason, Uploader, UploaderExit, max_spans};
use crate::platform::{self, random_number};
use crate::spool::backoff::Backoff;
use crate::spool::counters::{Counters, note_failure};
use crate::spool::directory::{RunName, RunState, SpoolDirectory};
use crate::spool::limits;
use crate::spool::listing::{SpooledRun, list};
use crate::spool::lock::UploaderLock;
use crate::upload::delivery::Transport;
use crate::upload::failure::FailureKind;
use crate::upload::launch::UploadMode;

/// How long an idle uploader waits for more runs, so that a script of 100 commands starts one uploader.
const LINGER: Duration = Duration::from_millis(500);
/// The same while a process such as `strace -f` or a build sandbox waits for the uploader's end.
const LINGER_WAITED_FOR: Duration = Duration::from_millis(50);
/// The interval of an idle uploader's checks: one `stat` for more runs, and one `unlink` for a waiting process.
const IDLE_CHECK_INTERVAL: Duration = Duration::from_millis(25);
/// How long an uploader tries to take the lock. Another process's probe holds it for microseconds.
const LOCK_TIMEOUT: Duration = Duration::from_millis(100);
const LOCK_RETRY_INTERVAL: Duration = Duration::from_millis(5);
/// How often an uploader retries to write its backoff.
const BACKOFF_RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// Whether this process holds an uploader's lock.
static IS_AT_WORK: AtomicBool = AtomicBool::new(false);

/// Records a panic of the uploader as any other failure: with a backoff, and for `status`. The process ends afterwards.
pub(crate) fn note_panic(spool: &SpoolDirectory) {
    let now = SystemTime::now();
    let before = Backoff::read(&spool.backoff());
    let _ = Backoff::after_failure(before, None, now, random_number()).write(&spool.backoff());
    // Only the lock's holder may write the counters.
    let is_at_work = IS_AT_WORK.load(Ordering::Relaxed);
    let lock = if is_at_work { None } else { UploaderLock::try_acquire(&spool.lock()).ok().flatten() };
    if is_at_work || lock.is_some() {
        let _ = Counters::fold(spool, note_failure(now, FailureKind::Panic.to_string()));
        // Reports the end, as `UploaderLock::record_end` does.
        let _ = platform::open_own(&spool.lock(), true, false).and_then(|(file, _)| file.set_len(0));
    }
}

impl Uploader<'_> {
    /// Works until no run is left, a backoff begins, or another uploader keeps the lock.
    pub(crate) fn work(&self, transport: &mut dyn Transport, life: Duration) -> UploaderExit {
        let started = Instant::now();
        let mut skipped = SkippedRuns::new();
        loop {
            let timeout = match self.mode {
                UploadMode::Detached => LOCK_TIMEOUT,
                // When the command has stopped waiting, the lock's holder checks for more runs before it ends.
                UploadMode::Awaited => self.awaited_for.max(LOCK_TIMEOUT),
                UploadMode::Flush => life.saturating_sub(started.elapsed()),
            };
            let Some(lock) = self.take_lock(timeout) else {
                return UploaderExit::StillPending;
            };
            lock.record_begin();
            IS_AT_WORK.store(true, Ordering::Relaxed);
            let stopped = self.drain(transport, &lock, &mut skipped);
            if let Err(StopReason::UnsavedBackoff(backoff)) = &stopped
                && self.mode == UploadMode::Detached
            {
                self.hold(backoff, life.saturating_sub(started.elapsed()));
            }
            if stopped.is_ok() {
                self.send_counts(transport, &lock);
            }
            lock.record_end();
            IS_AT_WORK.store(false, Ordering::Relaxed);
            drop(lock);
            if stopped.is_err() {
                return UploaderExit::StillPending;
            }
            // A command that found the lock held after our last check started no uploader.
            let listing = list(&self.spool.runs());
            let is_new = |entry: &&SpooledRun| !skipped.contains(&entry.name.random);
            let more = listing.runs.iter().filter(is_new).any(|entry| entry.state == RunState::Sealed);
            let is_left = listing.runs.iter().any(|entry| !is_new(&entry));
            if listing.is_cut || (!more && is_left) {
                return UploaderExit::StillPending;
            }
            if !more {
                return UploaderExit::NothingLeft;
            }
        }
    }

    /// Sends the counts that are due, after all runs, and not while a command waits briefly.
    fn send_counts(&self, transport: &mut dyn Transport, lock: &UploaderLock) {
        if let CountingRole::Count(counting) = &self.counting
            && self.mode != UploadMode::Awaited
        {
            let may_send = || lock.is_at(&self.spool.lock()) && (self.may_send)();
            counting.send(transport, self.tool, &self.allowlist, &may_send);
        }
    }

    /// Keeps the lock until the backoff is written or over. While the lock is held, no command starts an uploader. Without
    /// it, a thousand commands on a read-only disk would start a thousand.
    fn hold(&self, backoff: &Backoff, limit: Duration) {
        let started = Instant::now();
        while started.elapsed() < limit
            && backoff.remaining(SystemTime::now()).is_some()
            && backoff.write(&self.spool.backoff()).is_err()
        {
            std::thread::sleep(BACKOFF_RETRY_INTERVAL);
        }
    }

    fn take_lock(&self, timeout: Duration) -> Option<UploaderLock> {
        let started = Instant::now();
        let mut is_marked = false;
        let lock = loop {
            match UploaderLock::try_acquire(&self.spool.lock()) {
                Ok(None) if started.elapsed() < timeout => {
                    // The mark is set each time, because the holder removes it and may then find more runs.
                    if self.mode != UploadMode::Detached {
                        is_marked |= platform::open_own(&self.spool.waiter(), true, true).is_ok();
                    }
                    std::thread::sleep(LOCK_RETRY_INTERVAL);
                }
                taken => break taken.ok().flatten(),
            }
        };
        if is_marked {
            let _ = std::fs::remove_file(self.spool.waiter());
        }
        lock
    }

    fn drain(
        &self,
        transport: &mut dyn Transport,
        lock: &UploaderLock,
        skipped: &mut SkippedRuns,
    ) -> Result<(), StopReason> {
        // If outcomes cannot be recorded, the same runs would be sent again and again.
        if self.spool.create().is_err() {
            return Err(self.back_off_from_disk());
        }
        let mut idle_since: Option<Instant> = None;
        let mut last_seen = None;
        let mut history = ServerHistory::default();
        loop {
            let changed = self.runs_changed();
            if changed.is_none() || changed != last_seen {
                last_seen = changed;
                if self.drain_once(transport, lock, skipped, &mut history)? {
                    idle_since = None;
                    continue;
                }
            }
            let idle = idle_since.get_or_insert_with(Instant::now).elapsed();
            if self.mode != UploadMode::Detached
                || idle >= LINGER
                || (idle >= LINGER_WAITED_FOR && platform::has_waiting_parent(self.starter))
                || std::fs::remove_file(self.spool.waiter()).is_ok()
            {
                return Ok(());
            }
            std::thread::sleep(IDLE_CHECK_INTERVAL);
        }
    }

    /// The time of the last change in the directory of runs.
    fn runs_changed(&self) -> Option<SystemTime> {
        std::fs::metadata(self.spool.runs()).and_then(|metadata| metadata.modified()).ok()
    }

    /// Sends all runs that are there now. Returns whether there were any.
    fn drain_once(
        &self,
        transport: &mut dyn Transport,
        lock: &UploaderLock,
        skipped: &mut SkippedRuns,
        history: &mut ServerHistory,
    ) -> Result<bool, StopReason> {
        let listing = limits::enforce(self.spool, &self.limits, SystemTime::now());
        if listing.is_cut {
            return Err(StopReason::BackingOff);
        }
        let mut queue: VecDeque<SpooledRun> = VecDeque::with_capacity(listing.runs.len());
        for mut entry in listing.runs.into_iter().filter(SpooledRun::is_run) {
            match entry.state {
                RunState::Sealed if skipped.contains(&entry.name.random) => {}
                RunState::Sealed => queue.push_back(self.withdrawn(entry)),
                RunState::Open => match self.recover(&mut entry) {
                    Ok(true) => queue.push_back(self.withdrawn(entry)),
                    Ok(false) => {}
                    Err(_) => {
                        skipped.insert(entry.name.random);
                    }
                },
            }
        }
        // A single run that is too large must not delay the others each time.
        if let Some(Backoff { failures, most_spans: Some(_), .. }) = Backoff::read(&self.spool.backoff())
            && !queue.is_empty()
        {
            queue.rotate_left(failures as usize % queue.len());
        }
        let mut has_sent = false;
        while !queue.is_empty() {
            let max_spans = max_spans(Backoff::read(&self.spool.backoff()));
            let batch = self.next_batch(&mut queue, skipped, max_spans)?;
            if batch.is_empty() {
                continue;
            }
            if !lock.is_at(&self.spool.lock()) {
                return Err(StopReason::BackingOff);
            }
            has_sent = true;
            skipped.extend(batch.iter().map(|loaded| loaded.entry.name.random));
            self.send(transport, &batch, history)?;
        }
        let _ = Counters::fold(self.spool, |_| {});
        Ok(has_sent)
    }

    /// The sealed run, under a name that excludes it from counts if this uploader withdraws runs. If the rename fails, the
    /// run keeps its name until the next uploader.
    fn withdrawn(&self, entry: SpooledRun) -> SpooledRun {
        if !entry.name.is_countable || !matches!(self.counting, CountingRole::Withdraw) {
            return entry;
        }
        let name = RunName { is_countable: false, ..entry.name };
        let path = |name: RunName| self.spool.runs().join(name.sealed());
        match platform::rename(path(entry.name), path(name)) {
            Ok(()) => SpooledRun { name, ..entry },
            Err(_) => entry,
        }
    }
}
