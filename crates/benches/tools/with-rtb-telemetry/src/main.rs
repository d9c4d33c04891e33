//! The tool with `rtb-telemetry` and its HTTP sink. The library has no spans, so the run and each step are events, which
//! it sends one by one. (According to its documentation, its OTLP sink cannot send over HTTP.)

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;

use rtb_telemetry::{CollectionPolicy, HttpSink, HttpSinkConfig, TelemetryContext};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let started = work::Stopwatch::new();
    let endpoint = std::env::var("BENCH_ENDPOINT").expect("BENCH_ENDPOINT");
    let sink = HttpSink::new(HttpSinkConfig {
        endpoint: url::Url::parse(&endpoint).expect("an address"),
        allow_insecure_endpoint: true,
        ..HttpSinkConfig::default()
    })
    .expect("a sink");
    let telemetry = TelemetryContext::builder()
        .tool(work::TOOL)
        .tool_version("1.0.0")
        .salt("bench-tool.telemetry.v1")
        .sink(Arc::new(sink))
        .policy(CollectionPolicy::Enabled)
        .build();
    started.print();
    for (position, step) in work::STEPS.into_iter().enumerate() {
        let step =
            attributes([("step.kind", step), ("step.cached", "true"), ("step.files", &position.to_string())]);
        let _ = telemetry.record_with_attrs("bench-event", step).await;
    }
    let run = attributes([
        ("process.executable.name", work::TOOL),
        ("process.exit.code", &work::EXIT_CODE.to_string()),
        ("tool.command", "build"),
        ("tool.profile", "release"),
        ("tool.color", "auto"),
        ("tool.offline", "false"),
        ("tool.jobs", "8"),
    ]);
    let _ = telemetry.record_with_attrs("bench-event", run).await;
    let _ = telemetry.flush().await;
    ExitCode::from(work::EXIT_CODE)
}

fn attributes<const COUNT: usize>(pairs: [(&str, &str); COUNT]) -> HashMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}
