//! `telemetry flush`: sends now and waits. The companion program flushes a tool by starting it as its uploader.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::consent::Reason;
use crate::consent::destination::{Destination, DestinationSources};
use crate::consent::preflight::Preflight;
use crate::consent::user_paths::UserPaths;
use crate::env::{Environment, ModeOverride};
use crate::error::Error;
use crate::model::chooser::Chooser;
use crate::model::settings::Settings;
use crate::platform::{DetachedProcess, ExitReport};
use crate::spool::directory::SpoolDirectory;
use crate::spool::lock::UploaderLock;
use crate::spool::snapshot::SpoolSnapshot;
use crate::spool::start_history::StartEvent;
use crate::telemetry::Telemetry;
use crate::upload::launch::{self, UploadMode, UploadTask};

/// How a flush ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlushOutcome {
    /// No run that can be delivered is left.
    NothingLeft,
    /// Some runs are still pending, because the receiver cannot be reached or requested a later try.
    StillPending,
}

/// The progress of a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlushProgress {
    /// Runs that are pending now.
    pub pending: u64,
    /// The most runs that were pending at once since the flush began.
    pub most: u64,
}

/// Longer than an uploader lives.
const FLUSH_PATIENCE: Duration = Duration::from_secs(65);
/// A shorter flush needs no progress report.
const REPORT_AFTER: Duration = Duration::from_millis(700);
const REPORT_EVERY: Duration = Duration::from_millis(200);

impl Telemetry {
    /// `telemetry flush`: sends pending runs now, and waits for at most a minute. It ignores our own backoff, but honours a
    /// wait that the receiver requested. It does not affect runs that are still being written.
    ///
    /// # Errors
    ///
    /// Telemetry is off, the state directory cannot be used, or the uploader does not start.
    pub fn flush(&self) -> Result<FlushOutcome, Error> {
        self.flush_with_progress(&mut |_| {})
    }

    /// Like [`flush`](Self::flush), and reports the progress, first after 0.7 seconds and then every 0.2 seconds.
    ///
    /// # Errors
    ///
    /// The same as for [`flush`](Self::flush).
    pub fn flush_with_progress(&self, report: &mut dyn FnMut(FlushProgress)) -> Result<FlushOutcome, Error> {
        self.require_command();
        let (settings, environment) = (self.settings(), Environment::process());
        let off = |reason: &Reason| Error::off(reason.to_string(), reason.remedy(settings));
        let preflight = Preflight::run(settings, environment);
        if !preflight.decision.is_on {
            return Err(off(&preflight.decision.reason));
        }
        let paths = preflight.paths.as_ref().ok_or_else(Error::no_home)?;
        if settings.is_companion {
            return flush_tool(settings, &preflight, paths, report);
        }
        let destination = preflight.destination().ok_or_else(|| off(&Reason::NoDestination))?;
        let spool = SpoolDirectory::new(&paths.state_home, settings.name, &destination.directory_name());
        match spool.check() {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(FlushOutcome::NothingLeft);
            }
            Err(error) => return Err(Error::file("use", spool.root(), error)),
        }
        let uploader =
            launch::start(settings, environment, destination, UploadMode::Flush).map_err(Error::uploader)?;
        Ok(wait_for(uploader, &spool, report))
    }
}

/// Waits for an uploader of one spool.
fn wait_for(
    mut uploader: DetachedProcess,
    spool: &SpoolDirectory,
    report: &mut dyn FnMut(FlushProgress),
) -> FlushOutcome {
    let pending = || SpoolSnapshot::read(spool).map(|snapshot| snapshot.pending);
    let mut most = pending().unwrap_or(0);
    let started = Instant::now();
    let mut next = REPORT_AFTER;
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
        if let Ok(pending) = pending() {
            most = most.max(pending);
            report(FlushProgress { pending, most });
        }
        next = REPORT_EVERY;
    }
    FlushOutcome::StillPending
}

/// Starts the tool as its own uploader, once for each destination with pending runs.
fn flush_tool(
    settings: &Settings,
    preflight: &Preflight,
    paths: &UserPaths,
    report: &mut dyn FnMut(FlushProgress),
) -> Result<FlushOutcome, Error> {
    let spools: Vec<(String, SpoolDirectory, u64)> =
        SpoolDirectory::destinations(&paths.state_home, settings.name)
            .into_iter()
            .map(|name| (SpoolDirectory::new(&paths.state_home, settings.name, &name), name))
            .filter(|(spool, _)| spool.check().is_ok())
            .filter_map(|(spool, name)| {
                SpoolSnapshot::read(&spool).ok().map(|snapshot| (name, spool, snapshot.pending))
            })
            .filter(|(_, _, pending)| *pending > 0)
            .collect();
    if spools.is_empty() {
        return Ok(FlushOutcome::NothingLeft);
    }
    // A program that `tool-telemetry exec` runs knows nothing of telemetry, so it is never started for it.
    let (own, _): (Vec<_>, Vec<_>) =
        spools.iter().partition(|(_, spool, _)| spool.program().symlink_metadata().is_ok());
    let program = find_program(settings.name, std::env::var_os("PATH").as_deref()).filter(|_| own.is_empty());
    if program.is_none() && own.is_empty() {
        return Err(Error::no_program(settings.name, spools.iter().map(|(_, _, pending)| pending).sum()));
    }
    let operator = operator_destination(preflight);
    let mut outcome = FlushOutcome::NothingLeft;
    for (name, spool, _) in &spools {
        let destination = operator.as_ref().filter(|operator| operator.owns_directory(name));
        if destination.is_none() && Chooser::from_directory_name(name) == Chooser::Operator {
            // No setting names this destination any more. Settings are not stored, so its runs cannot be sent.
            outcome = FlushOutcome::StillPending;
            continue;
        }
        let is_own = own.iter().any(|(own, ..)| own == name);
        let task = UploadTask {
            directory: name,
            operator: destination,
            program: is_own.then_some(settings.name),
            mode: UploadMode::Flush,
        };
        let started = match &program {
            _ if is_own => launch::start_self(Environment::process(), task),
            Some(program) => launch::start_program(
                (program.as_os_str(), program.as_os_str()),
                Environment::process(),
                task,
            ),
            None => {
                outcome = FlushOutcome::StillPending;
                continue;
            }
        };
        let uploader = started.map_err(Error::uploader)?;
        let _ = wait_for(uploader, spool, report);
        // Another program may have the tool's name and exit with any code, so the spool decides.
        if SpoolSnapshot::read(spool).is_ok_and(|snapshot| snapshot.pending > 0) {
            outcome = FlushOutcome::StillPending;
        }
    }
    Ok(outcome)
}

/// The destination that the policy or the variables set, whether the tool uses it or not.
fn operator_destination(preflight: &Preflight) -> Option<Destination> {
    let sources = DestinationSources { policy: preflight.policy.endpoint(), ..DestinationSources::default() };
    Destination::find(Environment::process(), ModeOverride::Otlp, &sources).ok().flatten()
}

/// The tool, or `cargo-frob` for `frob`, as a shell finds it. A relative directory in `PATH` does not count.
fn find_program(tool: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    let names = [tool.to_owned(), format!("cargo-{tool}")]
        .map(|name| OsString::from(format!("{name}{}", std::env::consts::EXE_SUFFIX)));
    let directories: Vec<PathBuf> =
        std::env::split_paths(path?).filter(|directory| directory.is_absolute()).collect();
    names
        .iter()
        .flat_map(|name| directories.iter().map(move |directory| directory.join(name)))
        .find(|program| is_program(program))
}

fn is_program(path: &Path) -> bool {
    let Ok(metadata) = std::fs::metadata(path) else { return false };
    #[cfg(unix)]
    let may_run = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0;
    #[cfg(not(unix))]
    let may_run = true;
    metadata.is_file() && may_run
}
