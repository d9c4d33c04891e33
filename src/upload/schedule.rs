//! When a command starts an uploader, and how long it waits for it.

use std::time::{Duration, SystemTime};

use super::launch::{self, UploadMode};
use crate::consent::destination::Destination;
use crate::env::Environment;
use crate::model::chosen_by::ChosenBy;
use crate::model::settings::Settings;
use crate::platform::{self, ExitReport};
use crate::record::SealedRun;
use crate::spool::backoff::Backoff;
use crate::spool::counters::Counters;
use crate::spool::directory::SpoolDirectory;
use crate::spool::limits;
use crate::spool::lock::{LockState, UploaderLock};
use crate::spool::start_history::{StartEvent, UNREPORTED_LIMIT};

/// A run of more bytes than this is checked against the limits at once, also while nothing can be sent.
const LARGE_RUN: u64 = 64 << 10;

/// An uploader that was started takes its lock within this time, and looks for runs after that.
const STARTING: Duration = Duration::from_millis(100);

/// Looks, in the order of cost, whether an uploader is to be started: may we send now, and is none at work?
///
/// With `wait` the command waits that long for the delivery.
pub(crate) fn schedule_upload(
    settings: &Settings,
    spool: &SpoolDirectory,
    destination: &Destination,
    sealed: SealedRun,
    wait: Option<Duration>,
) {
    let environment = Environment::process();
    let backs_off =
        Backoff::read(&spool.backoff()).is_some_and(|backoff| backoff.remaining(SystemTime::now()).is_some());
    if backs_off || environment.without_network().is_some() {
        if sealed.should_check_limits || sealed.bytes > LARGE_RUN {
            enforce_limits(settings, spool);
        }
        return;
    }
    if !can_deliver(settings, destination) {
        return;
    }
    let start = Start { spool, destination, environment };
    if let Some(wait) = wait {
        start.and_wait(wait);
        return;
    }
    // Commands of one process may follow each other faster than an uploader takes its lock.
    if platform::reap_children(STARTING) {
        return;
    }
    let Ok(state) = UploaderLock::probe(&spool.lock()) else { return };
    if state.is_held {
        // It enforces the limits, unless it is frozen.
        if sealed.should_check_limits || sealed.bytes > LARGE_RUN {
            enforce_limits(settings, spool);
        }
        return;
    }
    // What is detached may be ended with whoever started this command. A container alone is no reason to wait: only
    // uploaders that never reported are, or that nobody can know yet.
    let starts = state.history();
    if starts.is_starting {
        return;
    }
    let never_report = starts.unreported >= UNREPORTED_LIMIT;
    if never_report || (sealed.is_first && platform::may_be_killed_with_command()) {
        // Where it found nothing to take the lock for, those before it are no riddle any more either.
        if start.and_wait(settings.ci_wait) {
            state.clear();
        }
    } else {
        start.and_leave(&state);
    }
}

/// The start of an uploader for one destination.
struct Start<'a> {
    spool: &'a SpoolDirectory,
    destination: &'a Destination,
    environment: Environment<'a>,
}

impl Start<'_> {
    fn and_leave(&self, state: &LockState) {
        match launch::start(self.environment, self.destination, UploadMode::Detached) {
            Ok(uploader) => state.note(StartEvent::Started(uploader.id())),
            Err(error) => self.failed(StartEvent::of_error(&error)),
        }
    }

    /// Says whether the uploader reported its end in time.
    fn and_wait(&self, wait: Duration) -> bool {
        let mut uploader = match launch::start(self.environment, self.destination, UploadMode::Awaited) {
            Ok(uploader) => uploader,
            Err(error) => {
                self.failed(StartEvent::of_error(&error));
                return false;
            }
        };
        match uploader.wait(wait) {
            Ok(None) => {}
            Ok(Some(ExitReport::Code(_))) => return true,
            Ok(Some(ExitReport::Missing)) => {
                self.failed(StartEvent::Started(uploader.id()));
                return false;
            }
            Err(_) => return false,
        }
        // A wait of zero cannot be in vain.
        if wait.is_zero() {
            return false;
        }
        let backoff = self.spool.backoff();
        let before = Backoff::read(&backoff);
        let after = Backoff::after_no_answer(before, SystemTime::now(), crate::platform::random_number());
        let _ = after.write(&backoff);
        // It may have cleared the file a moment before it was written.
        let has_delivered = matches!(uploader.wait(Duration::ZERO), Ok(Some(ExitReport::Code(0))));
        if has_delivered {
            Backoff::clear(&backoff);
        }
        has_delivered
    }

    /// There is no uploader, and the next command would find none either.
    fn failed(&self, event: StartEvent) {
        if let Ok(state) = UploaderLock::probe(&self.spool.lock()) {
            state.note(event);
        }
        let backoff = self.spool.backoff();
        let before = Backoff::read(&backoff);
        let after = Backoff::after_failure(before, None, SystemTime::now(), crate::platform::random_number());
        let _ = after.write(&backoff);
    }
}

/// Whether this build can deliver to the destination.
fn can_deliver(settings: &Settings, destination: &Destination) -> bool {
    super::CAN_DELIVER || (settings.has_exporter && destination.chosen_by == ChosenBy::Maker)
}

/// While nothing can be sent nobody holds the lock for long, and the limits must hold all the same.
pub(crate) fn enforce_limits(settings: &Settings, spool: &SpoolDirectory) {
    match UploaderLock::try_acquire(&spool.lock()) {
        Ok(Some(_lock)) => {
            limits::enforce_from_command(spool, &settings.limits, SystemTime::now());
            let _ = Counters::fold(spool, |_| {});
        }
        // Stopped, or in a container that is paused.
        Ok(None) if UploaderLock::is_older_than(&spool.lock(), 2 * settings.uploader_life) => {
            limits::enforce_despite_frozen_uploader(spool, &settings.limits, SystemTime::now());
        }
        Ok(None) | Err(_) => {}
    }
}
