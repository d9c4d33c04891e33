//! A telemetry.toml that was read.

use tool_telemetry_collect::approvals::{Approvals, parse_once};
use tool_telemetry_definition::{DataPoints, ParseErrors};

/// A version of a tool: its telemetry.toml, as a list for the queries and as a judge of values.
#[derive(Debug)]
pub struct Definition {
    /// The judge.
    pub approvals: Approvals,
    /// The list.
    pub data_points: &'static DataPoints,
}

impl Definition {
    /// Reads a telemetry.toml.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its line.
    pub fn parse(tool: &str, text: &str) -> Result<Self, ParseErrors> {
        Ok(Self { approvals: Approvals::parse(tool, text)?, data_points: parse_once(text)? })
    }
}
