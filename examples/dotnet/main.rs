//! A small tool with telemetry in the style of .NET's command-line interface, for tool authors to copy from.
//!
//! `telemetry.toml` in this directory approves what may be reported. The tool's log has more: `commands.rs` has
//! ordinary `tracing` fields that are never reported.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command prints its result")]

mod arguments;
mod commands;
mod project;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use tool_telemetry::{DataPoints, Telemetry};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{EnvFilter, fmt, prelude::*};

use arguments::{Arguments, Command};

static DATA_POINTS: DataPoints = tool_telemetry::data_points!("examples/dotnet/telemetry.toml");

fn main() -> ExitCode {
    let telemetry = Telemetry::builder("dotnet", arguments::VERSION)
        .data_points(&DATA_POINTS)
        .opt_out_var("DOTNET_CLI_TELEMETRY_OPTOUT")
        .suppress_notice_var("DOTNET_NOLOGO")
        .start();

    // The filter belongs to the log's layer. As a layer of its own, it would also hide spans from telemetry.
    let filter = EnvFilter::builder()
        .with_env_var("DOTNET_LOG")
        .with_default_directive(LevelFilter::OFF.into())
        .from_env_lossy();
    let log = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_filter(filter);
    tracing_subscriber::registry().with(telemetry.layer()).with(log).init();

    // A usage error calls `std::process::exit`. The run is reported with its exit code anyway.
    match Arguments::parse().command {
        Command::Telemetry(command) => command.run(&telemetry),
        Command::Project(command) => {
            telemetry.command(command.name(), || commands::run(&command, &telemetry))
        }
    }
}
