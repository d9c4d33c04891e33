//! A thin `main` around a library whose `run` returns the exit code as a number.
//!
//! `cargo run --example library_run -- Anna`; without a name it ends with exit code 2.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command prints its result")]

use std::process::ExitCode;

use tool_telemetry::{DataPoints, Telemetry};

static DATA_POINTS: DataPoints = tool_telemetry::data_points!("examples/telemetry.toml");

fn main() -> ExitCode {
    let telemetry = Telemetry::builder("greet", env!("CARGO_PKG_VERSION")).data_points(&DATA_POINTS).start();
    telemetry.command("hello", || greet::run(std::env::args().skip(1)))
}

/// The library, which knows nothing of telemetry.
mod greet {
    pub(super) fn run(people: impl Iterator<Item = String>) -> i32 {
        let people: Vec<String> = people.collect();
        if people.is_empty() {
            eprintln!("greet: nobody to greet; name somebody");
            return 2;
        }
        println!("Hello {}!", people.join(" and "));
        0
    }
}
