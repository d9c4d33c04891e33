//! `on`

use std::process::ExitCode;

use tool_telemetry::command::TelemetryCommand;

use crate::error::Error;
use crate::tool::ToolArguments;

/// Turn a tool's telemetry on
///
/// This records your choice. It does not replace the tool's notice: a data point that no notice has shown you is
/// recorded only after the tool shows one.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    tool: ToolArguments,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    arguments.tool.choose(&TelemetryCommand::On)
}
