//! A tool whose commands are asynchronous.
//!
//! `cargo run --example with_tokio -- Anna Bert`

#![expect(clippy::print_stdout, reason = "a command prints its result")]

use std::process::ExitCode;
use std::time::Duration;

use tool_telemetry::{DataPoints, Telemetry};
use tracing::Instrument as _;
use tracing_subscriber::prelude::*;

static DATA_POINTS: DataPoints = tool_telemetry::data_points!("examples/telemetry.toml");

// Not `#[tokio::main]`, because the uploader is this program too and needs no runtime.
fn main() -> ExitCode {
    let telemetry = Telemetry::builder("greet", env!("CARGO_PKG_VERSION")).data_points(&DATA_POINTS).start();
    tracing_subscriber::registry().with(telemetry.layer()).init();
    let people: Vec<String> = std::env::args().skip(1).collect();
    let command = telemetry.begin("hello");
    let result = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(hello(people)),
        Err(error) => Err(error),
    };
    command.end(result)
}

async fn hello(people: Vec<String>) -> std::io::Result<()> {
    let span = tracing::info_span!(target: "greet", "greeting", greet.people = people.len());
    let task = async move {
        for person in people {
            tokio::time::sleep(Duration::from_millis(1)).await;
            println!("Hello {person}!");
        }
    };
    tokio::spawn(task.instrument(span)).await.map_err(std::io::Error::other)
}
