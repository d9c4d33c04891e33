//! A tool that parses its arguments with clap. The feature `clap` adds `greet telemetry …`.
//!
//! `cargo run --example with_clap -- hello Anna Bert`, `-- telemetry show`.

#![expect(clippy::print_stdout, reason = "a command prints its result")]

use std::process::ExitCode;

use clap::Parser as _;
use tool_telemetry::command::TelemetryCommand;
use tool_telemetry::{DataPoints, Telemetry};
use tracing_subscriber::prelude::*;

static DATA_POINTS: DataPoints = tool_telemetry::data_points!("examples/telemetry.toml");

#[derive(clap::Parser)]
#[command(name = "greet")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Say hello
    Hello { people: Vec<String> },
    /// Show and control telemetry
    #[command(subcommand)]
    Telemetry(TelemetryCommand),
}

fn main() -> ExitCode {
    let telemetry = Telemetry::builder("greet", env!("CARGO_PKG_VERSION"))
        .data_points(&DATA_POINTS)
        .telemetry_command("greet telemetry")
        .start();
    tracing_subscriber::registry().with(telemetry.layer()).init();
    // A usage error exits here with code 2. That run is recorded too.
    match Arguments::parse().command {
        Command::Telemetry(command) => command.run(&telemetry),
        Command::Hello { people } => telemetry.command("hello", || hello(&people)),
    }
}

fn hello(people: &[String]) {
    // The number is approved and recorded. The names are not.
    let span = tracing::info_span!(target: "greet", "greeting", greet.people = people.len(), ?people);
    span.in_scope(|| println!("Hello {}!", people.join(" and ")));
}
