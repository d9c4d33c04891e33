//! What lies on this machine of a tool's telemetry, for a program that is not the tool: the companion shows it.
//!
//! It may have the tool's data points, made from its `telemetry.toml` at run time. It never has what the tool's own
//! builder says, such as its endpoint, so what it tells of "on" is what the person's side decides.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::companion;
use super::show::{Reader, RunStatus, for_each_file, read_file};
use super::status::DestinationStatus;
use crate::consent::Decision;
use crate::consent::preflight::Preflight;
use crate::env::Environment;
use crate::model::data_points::{DataPoints, Version};
use crate::platform;
use crate::spool::directory::SpoolDirectory;
use crate::telemetry::Telemetry;

/// A look at a tool's telemetry from outside. Reads only.
#[derive(Debug)]
pub struct SpoolInspector {
    tool: &'static str,
    data_points: Option<&'static DataPoints>,
    telemetry: Telemetry,
    preflight: Preflight,
}

/// A run as it was found.
#[derive(Debug)]
pub struct InspectedRun {
    /// Its directory: who chose it, the publisher, and scheme, host and port, as in
    /// `maker+example-tools+https-telemetry.example.com-443`.
    pub destination: String,
    /// Where it stands.
    pub state: RunStatus,
    /// When its file last changed its place: for a sent run the time at which it was put away, moments after the
    /// delivery. Nothing where the platform does not tell.
    pub moved: Option<SystemTime>,
    /// OTLP/JSON Lines: with data points what the strict reader lets through, else the file as it is.
    pub lines: String,
    /// Lines that could not be read and values that are not approved; 0 without data points.
    pub left_out: u64,
}

impl SpoolInspector {
    /// Looks at the tool of this name.
    pub fn open(
        tool: &'static str,
        data_points: Option<&'static DataPoints>,
        opt_out_vars: &[&'static str],
    ) -> Self {
        let telemetry = companion::telemetry(tool, data_points, opt_out_vars);
        let preflight = Preflight::run(telemetry.settings(), Environment::process());
        Self { tool, data_points, telemetry, preflight }
    }

    /// The tool's telemetry, for what a person can ask of it.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Whether telemetry is on and what decided it, as far as the variables, the policy and the person decide it.
    pub fn decision(&self) -> Decision {
        self.preflight.recording_decision(self.telemetry.settings(), Environment::process())
    }

    /// What whoever wants it on can do.
    pub fn remedy(&self) -> String {
        self.decision().reason.remedy(self.telemetry.settings())
    }

    /// Whether a tool of this name ever left anything here.
    pub fn has_files(&self) -> bool {
        self.paths().is_some_and(|paths| companion::has_files(&paths, self.tool))
    }

    /// Whether there is a home folder of this user's, and so a place for runs.
    pub fn has_home(&self) -> bool {
        self.paths().is_some()
    }

    /// The version whose notice this person saw; nothing if none was shown.
    pub fn notice(&self) -> Option<Version> {
        self.preflight.choice().newest_notice()
    }

    /// The file with the person's choice, which need not be there.
    pub fn choice_file(&self) -> Option<&Path> {
        self.preflight.paths.as_ref().map(|paths| paths.choice_file.as_path())
    }

    /// The folder in which tools keep state. Known also where a variable opted out.
    pub fn state_home() -> Option<PathBuf> {
        platform::state_home(Environment::process())
    }

    /// What lies at each destination and what became of it.
    pub fn destinations(&self) -> Vec<DestinationStatus> {
        let Some(paths) = self.paths() else {
            return Vec::new();
        };
        SpoolDirectory::destinations(&paths.state_home, self.tool)
            .into_iter()
            .map(|folder| (SpoolDirectory::new(&paths.state_home, self.tool, &folder), folder))
            .filter(|(spool, _)| spool.check().is_ok())
            // What cannot be read is `status`'s to tell.
            .filter_map(|(spool, folder)| DestinationStatus::of(&spool, folder).ok())
            .collect()
    }

    /// The runs that wait and the last that were sent.
    pub fn runs(&self) -> Vec<InspectedRun> {
        let mut seen = Vec::new();
        if let Some(paths) = self.paths() {
            for_each_file(&paths, self.tool, |destination, state, path| {
                seen.extend(self.run(destination, state, path));
            });
        }
        seen
    }

    fn run(&self, destination: &str, state: RunStatus, path: &Path) -> Option<InspectedRun> {
        let moved = std::fs::symlink_metadata(path).ok().as_ref().and_then(moved);
        let (lines, left_out) = match self.data_points {
            Some(data_points) => {
                let narrowed_to = self.preflight.policy.narrowed_to();
                let run =
                    Reader { tool: self.tool, data_points, narrowed_to }.read(path, destination, state)?;
                (run.otlp_json(), run.left_out())
            }
            None => (String::from_utf8_lossy(&read_file(path)?).into_owned(), 0),
        };
        Some(InspectedRun { destination: destination.to_owned(), state, moved, lines, left_out })
    }

    /// Where the files are, also where a variable opted out and the survey did not look.
    fn paths(&self) -> Option<crate::consent::user_paths::UserPaths> {
        self.preflight
            .paths
            .clone()
            .or_else(|| crate::consent::user_paths::UserPaths::find(self.tool, Environment::process()))
    }
}

#[cfg(unix)]
fn moved(metadata: &std::fs::Metadata) -> Option<SystemTime> {
    use std::os::unix::fs::MetadataExt as _;

    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(metadata.ctime()).ok()?))
}

#[cfg(not(unix))]
fn moved(_: &std::fs::Metadata) -> Option<SystemTime> {
    None
}
