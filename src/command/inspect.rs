//! A tool's telemetry as another program sees it. The companion program uses this.
//!
//! The companion may have the tool's `telemetry.toml`, but not the settings of its builder: the endpoint, the version, and
//! whether it requires an opt-in. So its decision covers only the user's and the administrator's side. Its `on` saves a
//! choice but no notice, because the tool itself lists what it collects before it records.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::counts::{self, WaitingCount};
use super::show::{RunReader, RunStatus, for_each_file, read_file};
use super::status::DestinationStatus;
use crate::consent::Decision;
use crate::consent::preflight::Preflight;
use crate::consent::user_paths::UserPaths;
use crate::env::Environment;
use crate::model::data_points::{DataPoints, Version};
use crate::model::settings::{CiPolicy, Settings};
use crate::platform;
use crate::spool::directory::SpoolDirectory;
use crate::telemetry::Telemetry;

/// Reads a tool's telemetry from another program.
#[derive(Debug)]
pub struct SpoolInspector {
    tool: &'static str,
    data_points: Option<&'static DataPoints>,
    telemetry: Telemetry,
    preflight: Preflight,
}

/// A run as another program sees it.
#[derive(Debug)]
pub struct InspectedRun {
    /// The name of its directory: who chose it, the publisher, and scheme, host, and port, for example
    /// `maker+example-tools+https-telemetry.example.com-443`.
    pub destination: String,
    /// Its status.
    pub state: RunStatus,
    /// When its file last moved. For a sent run, this is moments after the delivery. `None` if the platform does not report
    /// it.
    pub moved: Option<SystemTime>,
    /// OTLP/JSON Lines. With data points they contain only approved data, and without they are the file's own.
    pub lines: String,
    /// Lines that cannot be read and values that are not approved; 0 without data points.
    pub left_out: u64,
}

impl SpoolInspector {
    /// Opens the tool of this name.
    pub fn open(
        tool: &'static str,
        data_points: Option<&'static DataPoints>,
        opt_out_vars: &[&'static str],
    ) -> Self {
        let settings = Settings {
            is_companion: true,
            data_points,
            opt_out_vars: opt_out_vars.to_vec(),
            ci_policy: CiPolicy::IncludeMaker,
            ..Settings::new(tool, "0")
        };
        let preflight = Preflight::run(&settings, Environment::process());
        let decision = preflight.recording_decision(&settings, Environment::process());
        let mut telemetry = Telemetry::off(settings, decision.reason.clone());
        telemetry.set_decision(decision);
        Self { tool, data_points, telemetry, preflight }
    }

    /// The tool's telemetry, for the telemetry commands.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Whether telemetry is on and why, as far as the variables, the policy, and the user decide.
    pub fn decision(&self) -> Decision {
        self.telemetry.decision().clone()
    }

    /// What to do to turn telemetry on.
    pub fn remedy(&self) -> String {
        self.decision().reason.remedy(self.telemetry.settings())
    }

    /// Whether a tool of this name ever wrote a file.
    pub fn has_files(&self) -> bool {
        self.paths().is_some_and(|paths| {
            let exists = |path: &Path| std::fs::symlink_metadata(path).is_ok();
            exists(&paths.choice_file) || exists(&paths.state_home.join(self.tool).join("telemetry"))
        })
    }

    /// Whether there is a home directory that belongs to this user.
    pub fn has_home(&self) -> bool {
        self.paths().is_some()
    }

    /// The newest version whose notice the user saw.
    pub fn notice(&self) -> Option<Version> {
        self.preflight.choice().newest_notice()
    }

    /// The path of the file with the user's choice, which may not exist.
    pub fn choice_file(&self) -> Option<&Path> {
        self.preflight.paths.as_ref().map(|paths| paths.choice_file.as_path())
    }

    /// The directory for the state of all tools. It is known even if a variable opts out.
    pub fn state_home() -> Option<PathBuf> {
        platform::state_home(Environment::process())
    }

    /// The status of each destination.
    pub fn destinations(&self) -> Vec<DestinationStatus> {
        let Some(paths) = self.paths() else {
            return Vec::new();
        };
        SpoolDirectory::destinations(&paths.state_home, self.tool)
            .into_iter()
            .map(|name| (SpoolDirectory::new(&paths.state_home, self.tool, &name), name))
            .filter(|(spool, _)| spool.check().is_ok())
            // `status` reports what cannot be read.
            .filter_map(|(spool, name)| DestinationStatus::read(&spool, name).ok())
            .collect()
    }

    /// The pending runs and the last sent ones.
    pub fn runs(&self) -> Vec<InspectedRun> {
        let mut runs = Vec::new();
        if let Some(paths) = self.paths() {
            for_each_file(&paths, self.tool, |destination, state, path| {
                runs.extend(self.run(destination, state, path));
            });
        }
        runs
    }

    /// The counts that wait. Without data points they are those on disk, which the tool checks again before it sends them.
    pub fn waiting_counts(&self) -> Vec<WaitingCount> {
        match self.data_points {
            Some(_) => self.telemetry.waiting_counts(),
            None => self.paths().map_or_else(Vec::new, |paths| counts::read(&paths, self.tool)),
        }
    }

    fn run(&self, destination: &str, state: RunStatus, path: &Path) -> Option<InspectedRun> {
        let moved = std::fs::symlink_metadata(path).ok().as_ref().and_then(moved);
        let (lines, left_out) = match self.data_points {
            Some(data_points) => {
                let narrowed_to = self.preflight.policy.narrowed_to();
                let run =
                    RunReader { tool: self.tool, data_points, narrowed_to }.read(path, destination, state)?;
                (run.otlp_json(), run.left_out())
            }
            None => (String::from_utf8_lossy(&read_file(path)?).into_owned(), 0),
        };
        Some(InspectedRun { destination: destination.to_owned(), state, moved, lines, left_out })
    }

    /// A preflight that a variable decided has no paths.
    fn paths(&self) -> Option<UserPaths> {
        let paths = self.preflight.paths.clone();
        paths.or_else(|| UserPaths::find(self.tool, Environment::process()))
    }
}

#[cfg(unix)]
fn moved(metadata: &std::fs::Metadata) -> Option<SystemTime> {
    use std::os::unix::fs::MetadataExt as _;

    SystemTime::UNIX_EPOCH.checked_add(std::time::Duration::from_secs(u64::try_from(metadata.ctime()).ok()?))
}

#[cfg(not(unix))]
fn moved(_: &std::fs::Metadata) -> Option<SystemTime> {
    None
}
