//! The same for a tool that is not this program: `tool-telemetry off frob`, for every tool on this machine.
//!
//! What the tool's author set is not known here: no endpoint, no version, not whether it asks first. So `on` is the
//! person's choice and never a notice: what the tool collects is told by the tool, before it records it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::{FlushOutcome, FlushProgress, wait_for};
use crate::consent::destination::{Destination, DestinationSources};
use crate::consent::preflight::Preflight;
use crate::consent::user_paths::UserPaths;
use crate::env::{Environment, ModeOverride};
use crate::error::Error;
use crate::model::chosen_by::ChosenBy;
use crate::model::data_points::DataPoints;
use crate::model::settings::{CiPolicy, Settings};
use crate::spool::directory::SpoolDirectory;
use crate::spool::snapshot::SpoolSnapshot;
use crate::telemetry::Telemetry;
use crate::upload::launch::{self, UploadMode};

/// The telemetry of another tool. Records nothing.
pub(super) fn telemetry(
    tool: &'static str,
    data_points: Option<&'static DataPoints>,
    opt_out_vars: &[&'static str],
) -> Telemetry {
    let settings = Settings {
        is_companion: true,
        data_points,
        opt_out_vars: opt_out_vars.to_vec(),
        ci_policy: CiPolicy::IncludeMaker,
        ..Settings::new(tool, "0")
    };
    let decision = Preflight::run(&settings, Environment::process())
        .recording_decision(&settings, Environment::process());
    let mut telemetry = Telemetry::off(settings, decision.reason.clone());
    telemetry.set_decision(decision);
    telemetry
}

/// Whether a tool of this name ever left anything here.
pub(super) fn has_files(paths: &UserPaths, tool: &str) -> bool {
    let exists = |path: &Path| std::fs::symlink_metadata(path).is_ok();
    exists(&paths.choice_file) || exists(&paths.state_home.join(tool).join("telemetry"))
}

/// Starts the tool as its own uploader, for each destination where something waits.
pub(super) fn flush(
    settings: &Settings,
    preflight: &Preflight,
    paths: &UserPaths,
    tell: &mut dyn FnMut(FlushProgress),
) -> Result<FlushOutcome, Error> {
    let waiting: Vec<(String, SpoolDirectory, u64)> =
        SpoolDirectory::destinations(&paths.state_home, settings.name)
            .into_iter()
            .map(|folder| (SpoolDirectory::new(&paths.state_home, settings.name, &folder), folder))
            .filter(|(spool, _)| spool.check().is_ok())
            .filter_map(|(spool, folder)| {
                SpoolSnapshot::read(&spool).ok().map(|snapshot| (folder, spool, snapshot.pending))
            })
            .filter(|(_, _, pending)| *pending > 0)
            .collect();
    if waiting.is_empty() {
        return Ok(FlushOutcome::NothingLeft);
    }
    let Some(program) = find_program(settings.name, std::env::var_os("PATH").as_deref()) else {
        return Err(Error::no_program(settings.name, waiting.iter().map(|(_, _, pending)| pending).sum()));
    };
    let operator = operators(preflight);
    let mut flushed = FlushOutcome::NothingLeft;
    for (folder, spool, _) in &waiting {
        let settings = operator.as_ref().filter(|operator| operator.owns_directory(folder));
        if settings.is_none() && ChosenBy::from_directory_name(folder) == ChosenBy::Operator {
            // Nobody names this destination any more, and its settings are in no file of ours.
            flushed = FlushOutcome::StillPending;
            continue;
        }
        let environment = Environment::process();
        let uploader = launch::start_program(
            (program.as_os_str(), program.as_os_str()),
            environment,
            folder,
            settings,
            UploadMode::Flush,
        )
        .map_err(Error::uploader)?;
        let _ = wait_for(uploader, spool, tell);
        // Asked of the disk: another program of that name ends as it likes.
        if SpoolSnapshot::read(spool).is_ok_and(|snapshot| snapshot.pending > 0) {
            flushed = FlushOutcome::StillPending;
        }
    }
    Ok(flushed)
}

/// The destination that the policy or the variables name, which the tool follows or not.
fn operators(preflight: &Preflight) -> Option<Destination> {
    let named = DestinationSources { policy: preflight.policy.endpoint(), ..DestinationSources::default() };
    Destination::find(Environment::process(), ModeOverride::Otlp, &named).ok().flatten()
}

/// The tool, or `cargo-frob` for `frob`, where a shell would find it; but not in a folder that is relative to where the
/// person happens to be.
fn find_program(tool: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    let names = [tool.to_owned(), format!("cargo-{tool}")]
        .map(|name| OsString::from(format!("{name}{}", std::env::consts::EXE_SUFFIX)));
    let folders: Vec<PathBuf> = std::env::split_paths(path?).filter(|folder| folder.is_absolute()).collect();
    names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
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
