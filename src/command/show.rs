//! `telemetry show`: the runs that wait and the last that were sent.

use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use crate::consent::policy::Policy;
use crate::consent::user_paths::UserPaths;
use crate::env::Environment;
use crate::model::allowlist::Allowlist;
use crate::model::chosen_by::ChosenBy;
use crate::model::data_points::DataPoints;
use crate::model::hex;
use crate::model::span::{Ending, LineWriter, Tool};
use crate::model::tree;
use crate::platform;
use crate::spool::directory::{RunState, SpoolDirectory};
use crate::spool::listing::{is_alive, list};
use crate::spool::read::{RecordedRun, read_run};
use crate::spool::run_file::LARGEST_RUN;
use crate::telemetry::Telemetry;

/// A run as `telemetry show` tells it.
#[derive(Debug)]
pub struct StoredRun {
    /// Its directory: who chose it, the publisher, and scheme, host and port.
    pub destination: String,
    /// Whether it waits or was delivered.
    pub state: RunStatus,
    run: RecordedRun,
    data_points: &'static DataPoints,
    tool: &'static str,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStatus {
    /// Being written by a process that lives.
    Open,
    /// Over, and waiting; also when its process died.
    Pending,
    /// Delivered; kept for at most 7 days.
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
    /// `telemetry show`: the runs that wait, and the last that were sent, oldest first. Reads only, and changes
    /// nothing: the run of a command that asks goes on, and is among them.
    pub fn runs(&self) -> Vec<StoredRun> {
        let settings = self.settings();
        let (Some(paths), Some(data_points)) =
            (UserPaths::find(settings.name, Environment::process()), settings.data_points)
        else {
            return Vec::new();
        };
        let policy = Policy::read(&platform::policy_file(), settings.name);
        let reader = Reader { tool: settings.name, data_points, narrowed_to: policy.narrowed_to() };
        let mut shown = Vec::new();
        for_each_file(&paths, settings.name, |destination, state, path| {
            shown.extend(reader.read(path, destination, state));
        });
        shown
    }
}

/// Calls `tell` with each run's destination, state and file: of each destination the sent runs and then the waiting
/// ones, oldest first.
pub(super) fn for_each_file(paths: &UserPaths, tool: &str, mut tell: impl FnMut(&str, RunStatus, &Path)) {
    for destination in SpoolDirectory::destinations(&paths.state_home, tool) {
        let spool = SpoolDirectory::new(&paths.state_home, tool, &destination);
        if spool.check().is_err() {
            continue;
        }
        for (folder, is_sent) in [(spool.sent(), true), (spool.runs(), false)] {
            for entry in list(&folder).runs {
                let (name, state) = match (entry.state, is_sent) {
                    (RunState::Open, _) => {
                        let is_alive = is_alive(&folder.join(entry.name.open()));
                        (entry.name.open(), if is_alive { RunStatus::Open } else { RunStatus::Pending })
                    }
                    (RunState::Sealed, true) => (entry.name.sealed(), RunStatus::Sent),
                    (RunState::Sealed, false) => (entry.name.sealed(), RunStatus::Pending),
                };
                tell(&destination, state, &folder.join(name));
            }
        }
    }
}

/// Reads runs as an uploader would.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) tool: &'static str,
    pub(super) data_points: &'static DataPoints,
    /// By the machine's policy as it is now.
    pub(super) narrowed_to: Option<&'a [String]>,
}

impl Reader<'_> {
    pub(super) fn read(&self, path: &Path, destination: &str, state: RunStatus) -> Option<StoredRun> {
        let mut run = read_run(&read_file(path)?, self.data_points, self.tool)?;
        let is_left = state == RunStatus::Pending && path.extension().is_some_and(|ending| ending == "open");
        if is_left && run.ending() == Ending::Running {
            // As its recovery will tell.
            run.cut_off();
        }
        // A file of what was sent holds what was sent, under the terms of then.
        if state != RunStatus::Sent {
            let chosen_by = ChosenBy::from_directory_name(destination);
            run.keep_only(&Allowlist::for_sending(self.data_points, chosen_by, self.narrowed_to));
        }
        let destination = destination.to_owned();
        Some(StoredRun { destination, state, run, data_points: self.data_points, tool: self.tool })
    }
}

impl StoredRun {
    /// Lines that could not be read and values that are not approved.
    pub(super) fn left_out(&self) -> u64 {
        self.run.left_out
    }

    /// The id under which the receiver knows the run: 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        self.run.spans.first().map_or_else(String::new, |run| hex::text(&run.trace_id))
    }

    /// The OTLP as it is sent: JSON Lines, one span a line.
    pub fn otlp_json(&self) -> String {
        let tool = Tool { name: self.tool, version: &self.run.version };
        LineWriter::new(self.data_points, tool).text(&self.run.spans)
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

/// The bytes of a run's file, if it is a regular file of this user's and not larger than one that we write.
pub(super) fn read_file(path: &Path) -> Option<Vec<u8>> {
    let (mut file, metadata) = platform::open_own(path, false, false).ok()?;
    if metadata.len() > 2 * LARGEST_RUN {
        return None;
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
