//! `status`

use std::path::PathBuf;
use std::process::ExitCode;

use tool_telemetry::command::TelemetryCommand;
use tool_telemetry_collect::commands::StoreStatusArguments;

use crate::error::Error;
use crate::tool::ToolArguments;

/// Print whether a tool's telemetry is on and why, and what happened to its runs
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    tool: Option<ToolArguments>,
    /// Print one JSON object, whose keys are stable
    #[arg(long)]
    json: bool,
    /// Print what a store of `collect` holds instead
    #[arg(long, value_name = "DIRECTORY", exclusive = true)]
    store: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let tool = match (&arguments.tool, &arguments.store) {
        (Some(tool), _) => tool,
        (None, store) => return Ok(StoreStatusArguments::new(store.clone().unwrap_or_default(), false).run()),
    };
    let inspector = tool.inspect(None)?;
    // A policy or a variable may decide for a tool that has not run yet, so its status is printed anyway.
    let code = TelemetryCommand::Status { json: arguments.json }.run(inspector.telemetry());
    match inspector.has_files() {
        true => Ok(code),
        false => Err(Error::unknown_tool(&tool.name)),
    }
}
