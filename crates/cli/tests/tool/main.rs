//! A tool like `just`: its arguments are the user's own words, so it has no telemetry command.
//!
//! `jist telemetry off` runs the user's recipe `telemetry`.

#![expect(clippy::print_stdout, reason = "a command prints its result")]

use std::process::ExitCode;

use tool_telemetry::{DataPoints, Telemetry};

static DATA_POINTS: DataPoints = tool_telemetry::data_points!("tests/tool/telemetry.toml");

fn main() -> ExitCode {
    let telemetry = Telemetry::builder("jist", "1.0.0").data_points(&DATA_POINTS).start();
    let words: Vec<String> = std::env::args().skip(1).collect();
    telemetry.command("recipe", || println!("recipe {}", words.join(" ")))
}
