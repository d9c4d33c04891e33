//! Only the allowlist, around an exporter that prints. There is no spool, no uploader, and no consent.
//!
//! `cargo run --example allowlist_only -- Anna Bert`

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tool_telemetry::DataPoints;
use tool_telemetry::sdk::AllowlistExporter;
use tracing_subscriber::prelude::*;

static DATA_POINTS: DataPoints = tool_telemetry::data_points!("examples/telemetry.toml");

fn main() -> Result<(), opentelemetry_sdk::error::OTelSdkError> {
    let exporter = opentelemetry_stdout::SpanExporter::default();
    let exporter = AllowlistExporter::new("greet", env!("CARGO_PKG_VERSION"), &DATA_POINTS, exporter);
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("greet"));
    tracing_subscriber::registry().with(layer).init();

    let people: Vec<String> = std::env::args().skip(1).collect();
    tracing::info_span!(target: "greet", "greeting", greet.people = people.len(), ?people).in_scope(|| {
        tracing::info!("greeting {people:?}");
    });
    provider.shutdown()
}
