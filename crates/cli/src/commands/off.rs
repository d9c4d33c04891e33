//! `off`

use std::process::ExitCode;

use tool_telemetry::command::TelemetryCommand;

use crate::error::Error;
use crate::exit_code::{FAILURE, SUCCESS};
use crate::tool::{ToolArguments, known_tools};

/// Turn a tool's telemetry off, and delete its pending and sent runs
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    tool: Option<ToolArguments>,
    /// Turn off each tool that has left files on this machine, as `list` prints them. DO_NOT_TRACK=1 also concerns tools that
    /// come later
    #[arg(long, exclusive = true)]
    all: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    if let Some(tool) = &arguments.tool {
        return tool.choose(&TelemetryCommand::Off);
    }
    if !arguments.all {
        return Err(Error::usage("name a tool, or add --all"));
    }
    let mut has_failed = false;
    for name in known_tools() {
        let code = ToolArguments::for_known(&name).choose(&TelemetryCommand::Off)?;
        has_failed |= code != ExitCode::SUCCESS;
    }
    Ok(ExitCode::from(if has_failed { FAILURE } else { SUCCESS }))
}
