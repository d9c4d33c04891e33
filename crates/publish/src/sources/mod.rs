//! The sources of exact counts.

mod clickhouse;
mod store;

use serde_json::Value as Json;
use tool_telemetry_collect::cell::Cell;

use crate::calendar::Interval;
use crate::failure::Failure;

pub use self::clickhouse::{Address, ClickHouseSource, Definition, Settings};
pub use store::StoreSource;

/// How many installations of one version reported a cell in one period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallationCount {
    /// The content hash of the telemetry.toml that asked for it.
    pub hash: String,
    /// The keys of the table, in any order.
    pub keys: Vec<String>,
    /// A value for each key.
    pub values: Vec<Json>,
    /// The exact number.
    pub installations: i64,
}

/// What holds exact counts.
pub trait CountSource {
    /// Why the counts of a period cannot be published yet, in words for a person. `None` if they can.
    ///
    /// # Errors
    /// If that cannot be found out.
    fn waiting(&mut self, tool: &str, interval: Interval) -> Result<Option<String>, Failure>;

    /// The counts of a tool in one period so far.
    ///
    /// # Errors
    /// If they cannot be read.
    fn counts(&mut self, tool: &str, interval: Interval) -> Result<Vec<InstallationCount>, Failure>;

    /// How many counts that arrived in the period were rejected because nothing unmodified sends them.
    ///
    /// # Errors
    /// If it cannot be read.
    fn rejected(&mut self, tool: &str, interval: Interval) -> Result<u64, Failure>;
}

/// What holds exact numbers of runs.
pub trait RunSource {
    /// Every cell of the runs of a tool, as `tool-telemetry collect` counts them, with its number.
    ///
    /// # Errors
    /// If they cannot be read.
    fn run_cells(&mut self, tool: &str) -> Result<Vec<(Cell, i64)>, Failure>;
}

/// What holds exact numbers of both.
pub trait Source: CountSource + RunSource {}

impl<S: CountSource + RunSource> Source for S {}

/// A value as a text, by which the values of different versions are compared: `1` and `"1"` are the same.
pub fn text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
