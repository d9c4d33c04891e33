//! A `main` that returns `eyre::Result` of an exit code. The same works with `color-eyre`.
//!
//! `cargo run --example main_with_eyre -- Anna`; without a name it fails, and more than one is exit code 3.

#![expect(clippy::print_stdout, reason = "a command prints its result")]

use std::process::ExitCode;

use tool_telemetry::{DataPoints, Telemetry};

static DATA_POINTS: DataPoints = tool_telemetry::data_points!("examples/telemetry.toml");

fn main() -> eyre::Result<ExitCode> {
    let telemetry = Telemetry::builder("greet", env!("CARGO_PKG_VERSION")).data_points(&DATA_POINTS).start();
    telemetry.observe("hello", || hello(std::env::args().skip(1).collect()))
}

fn hello(people: Vec<String>) -> eyre::Result<ExitCode> {
    match &people[..] {
        [] => Err(eyre::eyre!("nobody to greet; name somebody")),
        [person] => {
            println!("Hello {person}!");
            Ok(ExitCode::SUCCESS)
        }
        _ => Ok(ExitCode::from(3)),
    }
}
