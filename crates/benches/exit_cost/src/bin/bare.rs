//! The program without this crate.

use std::process::ExitCode;

use tracing_subscriber::prelude::*;

fn main() -> ExitCode {
    tracing_subscriber::registry().init();
    tool_telemetry_exit_cost::work();
    ExitCode::from(7)
}
