//! What a report says.

use jiff::civil::Date;
use serde_json::Value as Json;
use tool_telemetry_collect::cell::Cell;
use tool_telemetry_definition::DataPoints;

/// What a report says of one tool.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// The tool.
    pub tool: &'a str,
    /// The newest telemetry.toml, whose sentences explain the numbers.
    pub definition: &'a DataPoints,
    /// Exact numbers of runs.
    pub cells: &'a [(Cell, i64)],
    /// Exact numbers of installations, oldest first.
    pub installations: &'a [Installations],
    /// The day of the report, in UTC.
    pub made: Date,
}

/// The exact number of installations of a cell in a period, beside what is published of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Installations {
    /// The first day of the period, in UTC.
    pub start: Date,
    /// Days in the period.
    pub days: u32,
    /// The keys of the table.
    pub keys: Vec<String>,
    /// A value for each key.
    pub values: Vec<Json>,
    /// The exact number.
    pub exact: i64,
    /// What may be said.
    pub published: Published,
}

/// What is published of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// Nothing: the period is not released.
    Nothing,
    /// That it is below this threshold.
    Below(u64),
    /// This number.
    Number(u64),
}

impl Report<'_> {
    /// The key of the data point that holds the command, if there is one.
    pub(super) fn command_key(&self) -> Option<&'static str> {
        let position = self.definition.command()?;
        Some(self.definition.data_points[usize::from(position)].key)
    }
}
