//! `telemetry show`: the pending runs and the last sent ones.

use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use crate::consent::policy::Policy;
use crate::consent::user_paths::UserPaths;
use crate::env::Environment;
use crate::model::allowlist::Allowlist;
use crate::model::chooser::Chooser;
use crate::model::data_points::DataPoints;
use crate::model::hex;
use crate::model::span::LineWriter;
use crate::model::tree;
use crate::platform;
use crate::spool::directory::{RunState, SpoolDirectory};
use crate::spool::listing::{is_alive, list};
use crate::spool::read::{RecordedRun, read_run};
use crate::spool::run_file::MAX_RUN_BYTES;
use crate::telemetry::Telemetry;

/// A pending or sent run.
#[derive(Debug)]
pub struct StoredRun {
    /// The name of its directory: who chose it, the publisher, and scheme, host, and port.
    pub destination: String,
    /// Whether it is pending or sent.
    pub state: RunStatus,
    run: RecordedRun,
    data_points: &'static DataPoints,
    tool: &'static str,
}

/// The status of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStatus {
    /// A live process writes it.
    Open,
    /// Its process has ended or died, and the run is not sent yet.
    Pending,
    /// Delivered. It is kept for at most 7 days.
    Sent,
}

impl RunStatus {
    fn name(self) -> &'static str {
        match self {
            RunStatus::Open => "being written",
            RunStatus::Pending => "pending",
            RunStatus::Sent => "sent",
        }
    }
}

impl Telemetry {
    /// `telemetry show`: the pending runs and the last sent ones, oldest first. It changes nothing. The caller's own run
    /// continues, and is one of them.
    pub fn runs(&self) -> Vec<StoredRun> {
        let settings = self.settings();
        let (Some(paths), Some(data_points)) =
            (UserPaths::find(settings.name, Environment::process()), settings.data_points)
        else {
            return Vec::new();
        };
        let policy = Policy::read(&platform::policy_file(), settings.name);
        let reader = RunReader { tool: settings.name, data_points, narrowed_to: policy.narrowed_to() };
        let mut runs = Vec::new();
        for_each_file(&paths, settings.name, |destination, state, path| {
            runs.extend(reader.read(path, destination, state));
        });
        runs
    }
}

/// Calls `visit` with the destination, status, and file of each run: for each destination the sent runs, then the others,
/// oldest first.
pub(super) fn for_each_file(paths: &UserPaths, tool: &str, mut visit: impl FnMut(&str, RunStatus, &Path)) {
    for destination in SpoolDirectory::destinations(&paths.state_home, tool) {
        let spool = SpoolDirectory::new(&paths.state_home, tool, &destination);
        if spool.check().is_err() {
            continue;
        }
        for (directory, is_sent) in [(spool.sent(), true), (spool.runs(), false)] {
            for entry in list(&directory).runs {
                let (name, state) = match (entry.state, is_sent) {
                    (RunState::Open, _) => {
                        let is_alive = is_alive(&directory.join(entry.name.open()));
                        (entry.name.open(), if is_alive { RunStatus::Open } else { RunStatus::Pending })
                    }
                    (RunState::Sealed, true) => (entry.name.sealed(), RunStatus::Sent),
                    (RunState::Sealed, false) => (entry.name.sealed(), RunStatus::Pending),
                };
                visit(&destination, state, &directory.join(name));
            }
        }
    }
}

/// Reads runs as an uploader does.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunReader<'a> {
    pub(super) tool: &'static str,
    pub(super) data_points: &'static DataPoints,
    /// The data points that the machine's policy allows now.
    pub(super) narrowed_to: Option<&'a [String]>,
}

impl RunReader<'_> {
    pub(super) fn read(&self, path: &Path, destination: &str, state: RunStatus) -> Option<StoredRun> {
        let mut run = read_run(&read_file(path)?, self.data_points, self.tool)?;
        let is_left = state == RunStatus::Pending && path.extension().is_some_and(|ending| ending == "open");
        if is_left && run.ending().is_none() {
            // Recovery will do the same.
            run.cut_off();
        }
        // A sent run is shown as it was sent.
        if state != RunStatus::Sent {
            let chosen_by = Chooser::from_directory_name(destination);
            run.keep_only(&Allowlist::for_sending(self.data_points, chosen_by, self.narrowed_to));
        }
        let destination = destination.to_owned();
        Some(StoredRun { destination, state, run, data_points: self.data_points, tool: self.tool })
    }
}

impl StoredRun {
    /// Lines that cannot be read and values that are not approved.
    pub(super) fn left_out(&self) -> u64 {
        self.run.left_out
    }

    /// The trace id, as 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        self.run.spans.first().map_or_else(String::new, |run| hex::text(&run.trace_id))
    }

    /// The OTLP as it is sent, as JSON Lines with one span each.
    pub fn otlp_json(&self) -> String {
        LineWriter::new(self.data_points, self.run.tool(self.tool)).text(&self.run.spans)
    }

    /// The run as a readable tree.
    pub fn tree(&self) -> String {
        let started = self.run.spans.first().map_or(0, |run| run.start);
        format!(
            "{}  {}  {} {}  {}: {}\n{}",
            self.trace_id(),
            httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_nanos(started)),
            self.tool,
            self.run.version,
            self.state.name(),
            self.destination,
            tree::render(&self.run.spans, self.data_points, self.tool, self.state == RunStatus::Open),
        )
    }
}

/// The bytes of a run's file, if it is this user's regular file and not larger than what we write.
pub(super) fn read_file(path: &Path) -> Option<Vec<u8>> {
    let (mut file, metadata) = platform::open_own(path, false, false).ok()?;
    if metadata.len() > 2 * MAX_RUN_BYTES {
        return None;
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
