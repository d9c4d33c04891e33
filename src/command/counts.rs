//! `telemetry show`: the waiting counts of installations.

use std::time::{Duration, UNIX_EPOCH};

use crate::consent::policy::Policy;
use crate::consent::user_paths::UserPaths;
use crate::env::Environment;
use crate::model::allowlist::Allowlist;
use crate::model::cell::CountSpan;
use crate::model::chooser::Chooser;
use crate::platform;
use crate::spool::directory::SpoolDirectory;
use crate::telemetry::Telemetry;
use crate::upload::counts::CountFile;

/// A count that waits: one cell occurred on this installation in one period.
#[derive(Debug)]
pub struct WaitingCount {
    /// The name of its directory: who chose it, the publisher, and scheme, host, and port.
    pub destination: String,
    count: CountSpan,
    /// That of the tool's `telemetry.toml`, if it is known.
    content_hash: Option<&'static str>,
    tool: &'static str,
}

impl Telemetry {
    /// `telemetry show`: the counts of installations that wait, by period. It changes nothing.
    pub fn waiting_counts(&self) -> Vec<WaitingCount> {
        let settings = self.settings();
        let data_points = settings.data_points.filter(|data_points| !data_points.counts.is_empty());
        let (Some(paths), Some(data_points)) =
            (UserPaths::find(settings.name, Environment::process()), data_points)
        else {
            return Vec::new();
        };
        let policy = Policy::read(&platform::policy_file(), settings.name);
        let mut waiting = read(&paths, settings.name);
        waiting.retain(|waiting| {
            let chosen_by = Chooser::from_directory_name(&waiting.destination);
            let allowlist = Allowlist::for_sending(data_points, chosen_by, policy.narrowed_to());
            waiting.count.cell.is_approved(&allowlist)
        });
        for waiting in &mut waiting {
            waiting.content_hash = Some(data_points.content_hash);
        }
        waiting
    }
}

/// The counts in the files of a tool as they are, by destination and period.
pub(super) fn read(paths: &UserPaths, tool: &'static str) -> Vec<WaitingCount> {
    let mut waiting = Vec::new();
    for destination in SpoolDirectory::destinations(&paths.state_home, tool) {
        let spool = SpoolDirectory::new(&paths.state_home, tool, &destination);
        let state = spool.check().and_then(|()| CountFile::read(&spool)).ok().and_then(|file| file.state);
        let counts = state.map(|state| state.waiting()).unwrap_or_default();
        waiting.extend(counts.into_iter().map(|count| WaitingCount {
            destination: destination.clone(),
            count,
            content_hash: None,
            tool,
        }));
    }
    waiting
}

impl WaitingCount {
    /// The OTLP as it is sent, as one line of JSON. Without a `telemetry.toml`, its content hash is missing.
    pub fn otlp_json(&self) -> String {
        self.count.line(self.tool, self.content_hash)
    }

    /// The count as two lines of text.
    pub fn text(&self) -> String {
        let start = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(self.count.start));
        let cell = self.count.cell.text();
        format!("count of this installation  {start}  pending: {}\n{cell}\n", self.destination)
    }
}
