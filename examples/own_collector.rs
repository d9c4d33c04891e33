//! A tool with a maker's endpoint, run by somebody who sends to a collector of their own instead: nothing goes to the
//! maker then, and what only operators may see is there too.
//!
//! ```sh
//! export GREET_TELEMETRY=otlp OTEL_EXPORTER_OTLP_ENDPOINT=https://collector.example:4318
//! export OTEL_EXPORTER_OTLP_HEADERS='authorization=Bearer%20…'
//! cargo run --example own_collector -- Anna Bert
//! ```
//!
//! Without an endpoint of the maker's the last two variables alone would do. `GREET_TELEMETRY=trace` prints the run
//! as a tree besides.

#![expect(clippy::print_stdout, reason = "a command speaks to people")]

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
        // Has the audience `operator`: it would not go to the maker.
        tracing::info_span!(target: "greet", "look_up").in_scope(|| println!("Hello {person}!"));
    }
}
