//! A tool that already uses tracing and OpenTelemetry. Only the line with the exporter changes.
//!
//! `cargo run --example existing_pipeline -- Anna Bert`

#![expect(clippy::print_stdout, reason = "a command prints its result")]

use std::process::ExitCode;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tool_telemetry::{DataPoints, Telemetry};
use tracing_subscriber::prelude::*;

static DATA_POINTS: DataPoints = tool_telemetry::data_points!("examples/telemetry.toml");

fn main() -> ExitCode {
    let telemetry = Telemetry::builder("greet", env!("CARGO_PKG_VERSION")).data_points(&DATA_POINTS).start();

    let provider = SdkTracerProvider::builder()
        // This line changed; it was `.with_batch_exporter(opentelemetry_otlp::SpanExporter::…)`.
        .with_simple_exporter(telemetry.span_exporter())
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("greet"));
    tracing_subscriber::registry().with(layer).init();

    let people: Vec<String> = std::env::args().skip(1).collect();
    telemetry.command("hello", || hello(&people))
}

fn hello(people: &[String]) {
    let span = tracing::info_span!(target: "greet", "greeting", greet.people = people.len(), ?people);
    span.in_scope(|| {
        // The event and the span `composing` are not approved, so they are not recorded.
        tracing::info!("greeting {people:?}");
        tracing::info_span!("composing").in_scope(|| println!("Hello {}!", people.join(" and ")));
    });
}
