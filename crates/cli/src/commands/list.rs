//! `list`

use std::fmt::Write as _;
use std::process::ExitCode;

use crate::error::Error;
use crate::exit_code::SUCCESS;
use crate::output;
use crate::tool::{ToolArguments, known_tools};

/// Print the tools that have left files on this machine, whether their telemetry is on, and where their runs go
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments) -> Result<ExitCode, Error> {
    let mut text = String::new();
    for name in known_tools() {
        let inspector = ToolArguments::for_known(&name).inspect(None)?;
        let decision = inspector.decision();
        let state = if decision.is_on { "on" } else { "off" };
        let _ = writeln!(text, "{name}: telemetry is {state}: {}", decision.reason);
        for destination in inspector.destinations() {
            let (pending, delivered) = (destination.pending, destination.delivered);
            let _ = writeln!(text, "  {}: {pending} pending, {delivered} delivered", destination.name);
        }
    }
    if text.is_empty() {
        text.push_str("No tool has left any files on this machine.\n");
    }
    output::print(&text);
    Ok(ExitCode::from(SUCCESS))
}
