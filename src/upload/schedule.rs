//! Whether a command starts an uploader, and whether it waits for it.

use std::time::{Duration, SystemTime};

use super::launch::{self, UploadMode};
use crate::consent::destination::Destination;
use crate::env::Environment;
use crate::model::chooser::Chooser;
use crate::model::settings::Settings;
use crate::platform::{self, ExitReport};
use crate::record::SealedRun;
use crate::spool::backoff::Backoff;
use crate::spool::counters::Counters;
use crate::spool::directory::SpoolDirectory;
use crate::spool::limits;
use crate::spool::lock::{LockState, UploaderLock};
use crate::spool::start_history::{StartEvent, UNREPORTED_LIMIT};

/// After a run of more bytes than this the limits are checked at once, even while nothing can be sent.
const LARGE_RUN: u64 = 64 << 10;

/// A new uploader takes its lock within this time, and lists the runs after that.
const STARTING: Duration = Duration::from_millis(100);

/// Starts an uploader unless a backoff is in effect or one is already at work, which are checked in the order of cost.
///
/// With `wait`, the command waits that long for the delivery.
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
    let launcher = UploaderLauncher { settings, spool, destination, environment };
    if let Some(wait) = wait {
        launcher.start_and_wait(wait);
        return;
    }
    // The commands of one process may follow each other faster than an uploader takes its lock.
    if platform::reap_children(STARTING) {
        return;
    }
    let Ok(state) = UploaderLock::probe(&spool.lock()) else { return };
    if state.is_held {
        // That uploader enforces the limits, unless it is frozen.
        if sealed.should_check_limits || sealed.bytes > LARGE_RUN {
            enforce_limits(settings, spool);
        }
        return;
    }
    // A detached uploader may be killed together with the process that started this command. A container alone is no
    // reason to wait. Uploaders that never reported their end are a reason, and so is the first run of a spool in a
    // container.
    let starts = state.history();
    if starts.is_starting {
        return;
    }
    let never_report = starts.unreported >= UNREPORTED_LIMIT;
    if never_report || (sealed.is_first && platform::may_be_killed_with_command()) {
        // An uploader that finds no work takes no lock, and so does not clear the record. The earlier ones may have found none
        // either.
        if launcher.start_and_wait(settings.ci_wait) {
            state.clear();
        }
    } else {
        launcher.start_detached(&state);
    }
}

/// Starts uploaders for one destination.
struct UploaderLauncher<'a> {
    settings: &'a Settings,
    spool: &'a SpoolDirectory,
    destination: &'a Destination,
    environment: Environment<'a>,
}

impl UploaderLauncher<'_> {
    fn start(&self, mode: UploadMode) -> std::io::Result<platform::DetachedProcess> {
        launch::start(self.settings, self.environment, self.destination, mode)
    }

    fn start_detached(&self, state: &LockState) {
        match self.start(UploadMode::Detached) {
            Ok(uploader) => state.note(StartEvent::Started(uploader.id())),
            Err(error) => self.note_failed_start(StartEvent::of_error(&error)),
        }
    }

    /// Returns whether the uploader reported its end in time.
    fn start_and_wait(&self, wait: Duration) -> bool {
        let mut uploader = match self.start(UploadMode::Awaited) {
            Ok(uploader) => uploader,
            Err(error) => {
                self.note_failed_start(StartEvent::of_error(&error));
                return false;
            }
        };
        match uploader.wait(wait) {
            Ok(None) => {}
            Ok(Some(ExitReport::Code(_))) => return true,
            Ok(Some(ExitReport::Missing)) => {
                self.note_failed_start(StartEvent::Started(uploader.id()));
                return false;
            }
            Err(_) => return false,
        }
        // With a zero wait, no answer means nothing, so write no backoff.
        if wait.is_zero() {
            return false;
        }
        let backoff = self.spool.backoff();
        let before = Backoff::read(&backoff);
        let after = Backoff::after_no_answer(before, SystemTime::now(), crate::platform::random_number());
        let _ = after.write(&backoff);
        // The uploader may have cleared the file just before it was written.
        let has_delivered = matches!(uploader.wait(Duration::ZERO), Ok(Some(ExitReport::Code(0))));
        if has_delivered {
            Backoff::clear(&backoff);
        }
        has_delivered
    }

    /// Records that no uploader could start, and backs off, because the next command would fail too.
    fn note_failed_start(&self, event: StartEvent) {
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
    super::CAN_DELIVER || (settings.has_exporter && destination.chosen_by == Chooser::Maker)
}

/// Enforces the limits while delivery is blocked. No uploader runs for long then.
pub(crate) fn enforce_limits(settings: &Settings, spool: &SpoolDirectory) {
    match UploaderLock::try_acquire(&spool.lock()) {
        Ok(Some(_lock)) => {
            limits::enforce_from_command(spool, &settings.limits, SystemTime::now());
            let _ = Counters::fold(spool, |_| {});
        }
        // The holder is stopped, or in a paused container.
        Ok(None) if UploaderLock::is_older_than(&spool.lock(), 2 * settings.uploader_life) => {
            limits::enforce_despite_frozen_uploader(spool, &settings.limits, SystemTime::now());
        }
        Ok(None) | Err(_) => {}
    }
}
