//! A tool whose author has an endpoint, used by an operator with a collector. Nothing goes to the author then, and the
//! collector also gets the data that only operators may receive.
//!
//! ```sh
//! export GREET_TELEMETRY=otlp OTEL_EXPORTER_OTLP_ENDPOINT=https://collector.example:4318
//! export OTEL_EXPORTER_OTLP_HEADERS='authorization=Bearer%20…'
//! cargo run --example own_collector -- Anna Bert
//! ```
//!
//! If the author had set no endpoint, the last two variables would be enough. `GREET_TELEMETRY=trace` also prints the
//! run as a tree.

#![expect(clippy::print_stdout, reason = "a command prints its result")]

use std::process::ExitCode;

use tool_telemetry::{DataPoints, Telemetry};
use tracing_subscriber::prelude::*;

static DATA_POINTS: DataPoints = tool_telemetry::data_points!("examples/telemetry.toml");

fn main() -> ExitCode {
    let telemetry = Telemetry::builder("greet", env!("CARGO_PKG_VERSION"))
        .data_points(&DATA_POINTS)
        .endpoint("https://telemetry.greet.example/v1/traces")
        .start();
    tracing_subscriber::registry().with(telemetry.layer()).init();
    let people: Vec<String> = std::env::args().skip(1).collect();
    telemetry.command("hello", || hello(&people))
}

fn hello(people: &[String]) {
    let greeting = tracing::info_span!(target: "greet", "greeting", greet.people = people.len());
    let _entered = greeting.enter();
    for person in people {
        // The audience is `operator`, so the author would not get this span.
        tracing::info_span!(target: "greet", "look_up").in_scope(|| println!("Hello {person}!"));
    }
}
