//! A tool that calls `std::process::exit` in the middle of a command. Where the platform has an exit hook, as glibc does, the
//! run has the exit code; elsewhere it is reported as cut off.
//!
//! `cargo run --example exits_early -- Anna`; without a name it ends with exit code 5.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command prints its result")]

use std::process::ExitCode;

use tool_telemetry::{DataPoints, Telemetry};
use tracing_subscriber::prelude::*;

static DATA_POINTS: DataPoints = tool_telemetry::data_points!("examples/telemetry.toml");

fn main() -> ExitCode {
    let telemetry = Telemetry::builder("greet", env!("CARGO_PKG_VERSION")).data_points(&DATA_POINTS).start();
    tracing_subscriber::registry().with(telemetry.layer()).init();
    telemetry.command("hello", || {
        let people: Vec<String> = std::env::args().skip(1).collect();
        tracing::info_span!(target: "greet", "greeting", greet.people = people.len()).in_scope(|| {
            println!("Hello {}!", people.join(" and "));
        });
        if people.is_empty() {
            eprintln!("greet: nobody was greeted; name somebody");
            std::process::exit(5);
        }
    })
}
