//! `off`

use std::process::ExitCode;

use tool_telemetry::command::TelemetryCommand;

use crate::error::Error;
use crate::tool::ToolArguments;

/// Turn a tool's telemetry off, and delete its pending and sent runs
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    tool: ToolArguments,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    arguments.tool.choose(&TelemetryCommand::Off)
}
