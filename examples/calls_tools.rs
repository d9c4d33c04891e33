//! A tool that starts other tools. At the receiver, their runs form one tree.
//!
//! `cargo run --example calls_tools -- relay` starts `calls_tools hello` twice: once with std and once
//! with tokio.

#![expect(clippy::print_stdout, reason = "a command prints its result")]

use std::io;
use std::process::ExitCode;

use tool_telemetry::{DataPoints, Telemetry};
use tracing_subscriber::prelude::*;

static DATA_POINTS: DataPoints = tool_telemetry::data_points!("examples/telemetry.toml");

fn main() -> ExitCode {
    let telemetry = Telemetry::builder("greet", env!("CARGO_PKG_VERSION")).data_points(&DATA_POINTS).start();
    tracing_subscriber::registry().with(telemetry.layer()).init();
    match std::env::args().nth(1).as_deref() {
        Some("relay") => telemetry.command("relay", || relay(&telemetry)),
        _ => telemetry.command("hello", || println!("Hello!")),
    }
}

fn relay(telemetry: &Telemetry) -> io::Result<()> {
    let tool = std::env::current_exe()?;

    // The child's run belongs to this span.
    let greeting = tracing::info_span!(target: "greet", "greeting", greet.people = 1);
    greeting.in_scope(|| {
        std::process::Command::new(&tool).arg("hello").envs(telemetry.child_environment()).status()
    })?;

    // The child's run belongs to this run.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::process::Command::new(&tool).arg("hello").envs(telemetry.child_environment()).status().await
    })?;
    Ok(())
}
