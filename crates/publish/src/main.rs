//! `tool-telemetry-publish`: the subcommands of `tool-telemetry` that publish, as a program of its own for jobs and
//! containers.

use std::process::ExitCode;

use clap::Parser;
use tool_telemetry_publish::commands::PublishCommand;

/// Publish how many installations use what, with noise that hides each of them, and verify what was published.
#[derive(Debug, Parser)]
#[command(name = "tool-telemetry-publish", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: PublishCommand,
}

fn main() -> ExitCode {
    Arguments::parse().command.run()
}
