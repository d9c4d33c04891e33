//! `flush`

use std::process::ExitCode;

use tool_telemetry::command::TelemetryCommand;

use crate::error::Error;
use crate::tool::ToolArguments;

/// Make a tool send its pending runs now, and wait until they are delivered
///
/// Only the tool sends. It is started from the absolute directories of PATH, as a shell would start it.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    tool: ToolArguments,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    arguments.tool.run(&TelemetryCommand::Flush)
}
