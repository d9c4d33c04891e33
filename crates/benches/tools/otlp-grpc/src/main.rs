//! The tool with `opentelemetry-otlp` as its documentation shows it: a batch processor, and `shutdown` at the end.

use std::process::ExitCode;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing_subscriber::prelude::*;

fn main() -> ExitCode {
    let started = work::Stopwatch::new();
    // The exporter needs a runtime with a thread of its own, because this thread waits in `shutdown`.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let _inside = runtime.enter();
    let exporter = SpanExporter::builder().with_tonic().build().expect("an exporter");
    let provider = SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name(work::TOOL).build())
        .with_batch_exporter(exporter)
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer(work::TOOL));
    tracing_subscriber::registry().with(layer).init();
    started.print();
    work::traced();
    let _ = provider.shutdown();
    ExitCode::from(work::EXIT_CODE)
}
