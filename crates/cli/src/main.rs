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
//! | `program` | the settings of a program that `exec` runs, and its uploader |
//! | `child`, `points` | runs a program, and reads what it adds to its run |
//! | `tool` | opens the telemetry of one tool on this machine |
//! | `run` | reads a run file into a tree of spans |
//! | `definition_file` | reads a `telemetry.toml` |
//! | `wording` | words for times, durations, destinations, and values |
//! | `yaml` | quotes text for YAML templates |
//! | `exit_code`, `error`, `output` | the ways in which a command can end |
//!
//! A module may import the modules after it in this table. The subcommands that concern a store are in
//! `tool-telemetry-collect`, and those that publish in `tool-telemetry-publish`; besides them, only the uploader of `exec`
//! opens a socket.

mod child;
mod commands;
mod definition_file;
mod error;
mod exit_code;
mod output;
mod points;
mod program;
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
         `collect`, `demo`, `publish`, `report`, and the uploader of `exec` open network connections: `flush` starts the tool, and the tool sends.\n\n\
         Exit codes:{exit_codes}"
    )
}

fn main() -> ExitCode {
    if let Some(code) = program::upload() {
        return code;
    }
    parse().command.run().unwrap_or_else(|error| {
        output::print_error(&error);
        ExitCode::from(error.exit_code())
    })
}

/// Parses the arguments, or ends the process. A program that `exec` or `span` would have run must be able to tell its own
/// exit code from theirs.
fn parse() -> Arguments {
    Arguments::try_parse().unwrap_or_else(|error| {
        let runs_program = std::env::args_os().nth(1).is_some_and(|word| word == "exec" || word == "span");
        if runs_program && error.use_stderr() {
            let _ = error.print();
            std::process::exit(i32::from(exit_code::OWN_FAILURE));
        }
        error.exit()
    })
}
