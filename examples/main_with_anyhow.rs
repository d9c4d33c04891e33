//! A `main` that returns `anyhow::Result`: `observe` records the exit code, and gives the result back.
//!
//! `cargo run --example main_with_anyhow -- Anna`; without a name it fails.

#![expect(clippy::print_stdout, reason = "a command prints its result")]

use anyhow::Context as _;
use tool_telemetry::{DataPoints, Telemetry};

static DATA_POINTS: DataPoints = tool_telemetry::data_points!("examples/telemetry.toml");

fn main() -> anyhow::Result<()> {
    let telemetry = Telemetry::builder("greet", env!("CARGO_PKG_VERSION")).data_points(&DATA_POINTS).start();
    telemetry.observe("hello", || hello(std::env::args().nth(1)))
}

fn hello(person: Option<String>) -> anyhow::Result<()> {
    let person = person.context("nobody to greet; name somebody")?;
    println!("Hello {person}!");
    Ok(())
}
