//! The program `tool-telemetry`, which has the commands that a tool does not need to carry.
//!
//! It reads the files that a tool with telemetry leaves on disk, and the `telemetry.toml` that approves what the tool may
//! report. It works even if the tool has no `<tool> telemetry` command.
//!
//! # Code map
//!
//! | module | what it does |
//! | --- | --- |
//! | `commands` | one file per subcommand, each with its `Arguments` and its `run` |
//! | `tool` | opens the telemetry of one tool on this machine |
//! | `run` | reads a run file into a tree of spans |
//! | `definition_file` | reads a `telemetry.toml` |
//! | `wording` | words for times, durations, destinations, and values |
//! | `yaml` | quotes text for YAML templates |
//! | `exit_code`, `error`, `output` | the ways in which a command can end |
//!
//! A module may import the modules after it in this table. The subcommands that concern a store are in
//! `tool-telemetry-collect`, and those that publish in `tool-telemetry-publish`; nothing else opens a socket.

mod commands;
mod definition_file;
mod error;
mod exit_code;
mod output;
mod run;
mod tool;
mod wording;
mod yaml;

use std::process::ExitCode;

use clap::Parser;

use commands::Command;

/// Inspect, review, document, and receive what a command-line tool reports about its use.
#[derive(Debug, Parser)]
#[command(name = "tool-telemetry", version, arg_required_else_help = true, after_help = after_help())]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

fn after_help() -> String {
    let exit_codes: String =
        exit_code::MEANINGS.iter().map(|(code, meaning)| format!("\n  {code}  {meaning}")).collect();
    format!(
        "A telemetry.toml is the file in a tool's source code that approves what the tool may report. Only \
         `collect`, `demo`, `publish`, and `report` open network connections: `flush` starts the tool, and the tool sends.\n\n\
         Exit codes:{exit_codes}"
    )
}

fn main() -> ExitCode {
    Arguments::parse().command.run().unwrap_or_else(|error| {
        output::print_error(&error);
        ExitCode::from(error.exit_code())
    })
}
