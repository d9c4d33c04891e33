//! `telemetry show`: the counts of installations that wait.

use std::time::{Duration, UNIX_EPOCH};

use crate::consent::policy::Policy;
use crate::consent::user_paths::UserPaths;
use crate::env::Environment;
use crate::model::allowlist::Allowlist;
use crate::model::cell::{COUNT, CellValue, CountSpan};
use crate::model::chosen_by::ChosenBy;
use crate::model::data_points::DataPoints;
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
    data_points: &'static DataPoints,
    tool: &'static str,
}

impl Telemetry {
    /// `telemetry show`: the counts of installations that wait, by period. It changes nothing.
    pub fn waiting_counts(&self) -> Vec<WaitingCount> {
        let settings = self.settings();
        let tool = settings.name;
        let data_points = settings.data_points.filter(|data_points| !data_points.counts.is_empty());
        let (Some(paths), Some(data_points)) = (UserPaths::find(tool, Environment::process()), data_points)
        else {
            return Vec::new();
        };
        let policy = Policy::read(&platform::policy_file(), tool);
        let mut waiting = Vec::new();
        for destination in SpoolDirectory::destinations(&paths.state_home, tool) {
            let spool = SpoolDirectory::new(&paths.state_home, tool, &destination);
            let state = spool.check().and_then(|()| CountFile::read(&spool)).ok().and_then(|file| file.state);
            let chosen_by = ChosenBy::from_directory_name(&destination);
            let allowlist = Allowlist::for_sending(data_points, chosen_by, policy.narrowed_to());
            let counts = state.map(|state| state.waiting()).unwrap_or_default();
            let sent = counts.into_iter().filter(|count| count.cell.is_approved(&allowlist));
            waiting.extend(sent.map(|count| WaitingCount {
                destination: destination.clone(),
                count,
                data_points,
                tool,
            }));
        }
        waiting
    }
}

impl WaitingCount {
    /// The OTLP as it is sent, as one line of JSON.
    pub fn otlp_json(&self) -> String {
        self.count.line(self.data_points, self.tool)
    }

    /// The count as two lines of text.
    pub fn text(&self) -> String {
        let start = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(self.count.start));
        let mut text = format!("count of this installation  {start}  pending: {}\n{COUNT}", self.destination);
        for (key, value) in &self.count.cell.0 {
            text.push_str(&match value {
                CellValue::Bool(flag) => format!("  {key} = {flag}"),
                CellValue::Integer(number) => format!("  {key} = {number}"),
                CellValue::Text(value) => format!("  {key} = {value}"),
            });
        }
        text.push('\n');
        text
    }
}
