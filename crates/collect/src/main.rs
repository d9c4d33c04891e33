//! `tool-telemetry-collect`: the subcommands of `tool-telemetry` that concern a store, as a program of its own for
//! servers and containers.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tool_telemetry_collect::commands::{StoreCommand, StoreStatusArguments};

/// Receive the runs of command-line tools, and look after the store that holds them.
#[derive(Debug, Parser)]
#[command(name = "tool-telemetry-collect", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Store(StoreCommand),
    Status(StoreStatusArguments),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Store(command) => command.run(),
        Command::Status(arguments) => arguments.run(),
    }
}
