//! `<tool> telemetry …` as plain functions: what a person can ask of a tool's telemetry. With the feature `clap`
//! there are a ready subcommand and a ready flag beside them. No text names either unless the author does:
//! [`Builder::telemetry_command`](crate::Builder::telemetry_command).

mod companion;
#[cfg(feature = "clap")]
mod flag;
mod inspect;
mod show;
mod status;
#[cfg(feature = "clap")]
mod subcommand;

/// For the companion's `check`.
#[doc(hidden)]
pub use crate::consent::policy::{PolicyCheck, PolicyError, check as check_policy};
#[cfg(feature = "clap")]
pub use flag::TelemetryFlag;
#[doc(hidden)]
pub use inspect::{InspectedRun, SpoolInspector};
pub use show::{RunStatus, StoredRun};
pub use status::{DestinationStatus, Failure, Status};
#[cfg(feature = "clap")]
pub use subcommand::TelemetryCommand;

use std::time::{Duration, Instant};

use crate::consent::Reason;
use crate::consent::choice::{Choice, ChoiceFile, LockTimeout};
use crate::consent::notice::notice_version;
use crate::consent::preflight::Preflight;
use crate::consent::user_paths::UserPaths;
use crate::env::Environment;
use crate::error::Error;
use crate::model::settings::Settings;
use crate::platform::{DetachedProcess, ExitReport};
use crate::spool::directory::SpoolDirectory;
use crate::spool::discard::{DeletedRuns, DeletionErrors, discard_all};
use crate::spool::lock::UploaderLock;
use crate::spool::outcome::Outcome;
use crate::spool::snapshot::SpoolSnapshot;
use crate::spool::start_history::StartEvent;
use crate::telemetry::Telemetry;
use crate::upload::launch::{self, UploadMode};

/// The error of a request that needs telemetry to be on.
fn off(reason: &Reason, settings: &Settings) -> Error {
    Error::off(reason.to_string(), reason.remedy(settings))
}

/// How a flush ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlushOutcome {
    /// Nothing that could be delivered is left.
    NothingLeft,
    /// Something waits still: the receiver cannot be reached, or asked to come later.
    StillPending,
}

/// How far a flush is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlushProgress {
    /// Runs that wait still.
    pub waiting: u64,
    /// The most that waited at once since the flush began.
    pub most: u64,
}

/// Longer than an uploader lives.
const FLUSH_PATIENCE: Duration = Duration::from_secs(65);
/// A flush that ends sooner needs no word on the way.
const TELL_AFTER: Duration = Duration::from_millis(700);
const TELL_EVERY: Duration = Duration::from_millis(200);

impl Telemetry {
    /// `telemetry on`: the person wants telemetry. Counts as having seen the notice. This process records as it did: not,
    /// if telemetry was off when it started.
    ///
    /// # Errors
    ///
    /// The choice could not be written, or there is no home folder to write it to.
    pub fn enable(&self) -> Result<(), Error> {
        self.require_command();
        self.choose(true).map(|_| ())
    }

    /// `telemetry off`: the person does not want telemetry. Deletes at once what waits, what is being written and what
    /// is kept, for every destination. This process records nothing any more.
    ///
    /// # Errors
    ///
    /// The choice could not be written, also after what was deleted had made room; or something could not be deleted.
    /// The error names it. Each is tried, whatever became of the other.
    pub fn disable(&self) -> Result<DeletedRuns, Error> {
        self.require_command();
        let paths = self.paths()?;
        // Before the deletion, so that nothing new comes; once more after it, since it gives a full disk room.
        let chosen = self.choose(false);
        let (deleted, remains) = self.discard_spools(&paths, Outcome::OptedOut);
        if chosen.is_err() {
            Choice::force_off(&paths.choice_file, self.settings().name)
                .map_err(|error| Error::file("write", &paths.choice_file, error))?;
        }
        match remains.is_empty() {
            true => Ok(deleted),
            false => Err(Error::remains("telemetry is off, but ", remains)),
        }
    }

    /// `telemetry purge`: deletes at once what waits, what is being written and what is kept, and changes nothing else.
    ///
    /// # Errors
    ///
    /// There is no home folder of this user's, or something could not be deleted; the error names it.
    pub fn purge(&self) -> Result<DeletedRuns, Error> {
        self.require_command();
        let paths = self.paths()?;
        match self.discard_spools(&paths, Outcome::Purged) {
            (deleted, remains) if remains.is_empty() => Ok(deleted),
            (_, remains) => Err(Error::remains("", remains)),
        }
    }

    /// `telemetry flush`: sends now and waits, at most a minute. Our own backoff does not hold it up; a wait that
    /// the receiver asked for does. A run that is being written, by this process or another one, is not held up and goes
    /// on.
    ///
    /// # Errors
    ///
    /// Telemetry is off, the state folder is not one that may be used, or the uploader could not be started.
    pub fn flush(&self) -> Result<FlushOutcome, Error> {
        self.flush_with_progress(&mut |_| {})
    }

    /// The same, and tells how far it is: for the first time after 0.7 seconds, then every 0.2.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    pub fn flush_with_progress(&self, tell: &mut dyn FnMut(FlushProgress)) -> Result<FlushOutcome, Error> {
        self.require_command();
        let environment = Environment::process();
        let preflight = Preflight::run(self.settings(), environment);
        if !preflight.decision.is_on {
            return Err(off(&preflight.decision.reason, self.settings()));
        }
        if self.settings().is_companion {
            let paths = preflight.paths.as_ref().ok_or_else(Error::no_home)?;
            return companion::flush(self.settings(), &preflight, paths, tell);
        }
        let (Some(destination), Some(paths)) = (preflight.destination(), &preflight.paths) else {
            return Err(off(&Reason::NoDestination, self.settings()));
        };
        let spool =
            SpoolDirectory::new(&paths.state_home, self.settings().name, &destination.directory_name());
        match spool.check() {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(FlushOutcome::NothingLeft);
            }
            Err(error) => return Err(Error::file("use", spool.root(), error)),
        }
        let uploader = launch::start(environment, destination, UploadMode::Flush).map_err(Error::uploader)?;
        Ok(wait_for(uploader, &spool, tell))
    }

    fn paths(&self) -> Result<UserPaths, Error> {
        UserPaths::find(self.settings().name, Environment::process()).ok_or_else(Error::no_home)
    }

    fn choose(&self, on: bool) -> Result<UserPaths, Error> {
        let paths = self.paths()?;
        let agreed = Preflight::run(self.settings(), Environment::process()).destination;
        // Who is not the tool cannot tell what it collects: the person has seen what they had seen.
        let version = match self.settings().is_companion {
            true => None,
            false => self.settings().data_points.and_then(notice_version),
        };
        // A choice replaces whatever the file said, also when it could not be read.
        Choice::change(&paths.choice_file, self.settings().name, LockTimeout::WriteAnyway, |read| {
            let notices = match read {
                ChoiceFile::Valid(before) if on => before.notices,
                _ => Vec::new(),
            };
            let choice = Choice { telemetry: Some(on), notices, printed: None };
            Some(match (agreed, version) {
                (Ok(Some(destination)), Some(version)) if on => choice.with_notice(&destination, version),
                _ => choice,
            })
        })
        .map_err(|error| Error::file("write", &paths.choice_file, error))?;
        Ok(paths)
    }

    fn discard_spools(&self, paths: &UserPaths, outcome: Outcome) -> (DeletedRuns, DeletionErrors) {
        // Our own first: the others' descriptors we do not have.
        let own = self.discard_all(outcome);
        let (mut deleted, remains) = discard_all(&paths.state_home, self.settings().name, outcome);
        deleted.pending += own.len() as u64;
        deleted.bytes += own.iter().sum::<u64>();
        (deleted, remains)
    }
}

/// Waits for an uploader that was started for one spool.
fn wait_for(
    mut uploader: DetachedProcess,
    spool: &SpoolDirectory,
    tell: &mut dyn FnMut(FlushProgress),
) -> FlushOutcome {
    let waiting = || SpoolSnapshot::read(spool).map(|snapshot| snapshot.pending);
    let mut most = waiting().unwrap_or(0);
    let started = Instant::now();
    let mut next = TELL_AFTER;
    while started.elapsed() < FLUSH_PATIENCE {
        match uploader.wait(next) {
            Ok(Some(ExitReport::Code(0))) => return FlushOutcome::NothingLeft,
            Ok(None) => {}
            Ok(Some(ExitReport::Missing)) => {
                if let Ok(state) = UploaderLock::probe(&spool.lock()) {
                    state.note(StartEvent::Started(uploader.id()));
                }
                break;
            }
            _ => break,
        }
        if let Ok(waiting) = waiting() {
            most = most.max(waiting);
            tell(FlushProgress { waiting, most });
        }
        next = TELL_EVERY;
    }
    FlushOutcome::StillPending
}
