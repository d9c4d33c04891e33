//! `status`

use std::process::ExitCode;

use tool_telemetry::command::TelemetryCommand;

use crate::error::Error;
use crate::tool::ToolArguments;

/// Print whether a tool's telemetry is on and why, and what happened to its runs
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    tool: ToolArguments,
    /// Print one JSON object, whose keys are stable
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let inspector = arguments.tool.inspect(None)?;
    // A policy or a variable may decide for a tool that has not run yet, so its status is printed anyway.
    let code = TelemetryCommand::Status { json: arguments.json }.run(inspector.telemetry());
    match inspector.has_files() {
        true => Ok(code),
        false => Err(Error::unknown_tool(&arguments.tool.name)),
    }
}
