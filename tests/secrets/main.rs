//! A tool that leaves secrets wherever a dependency or an author could. Each is a text with `secret-` in it.
//!
//! `on` turns telemetry on. `layer` and `sdk` are the two ways in. `wrapped` and `bare` print the spans that an
//! exporter gets with the allowlist around it and without. `relay` runs `layer` in a child.

#![expect(clippy::print_stdout, reason = "a command prints to its user")]

use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use opentelemetry::baggage::BaggageExt as _;
use opentelemetry::trace::{
    Link, Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId,
    TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanExporter};
use tool_telemetry::sdk::AllowlistExporter;
use tool_telemetry::{Audience, DataPoints, Telemetry};
use tracing_subscriber::prelude::*;

static DATA_POINTS: DataPoints = tool_telemetry::data_points!("tests/tool/telemetry.toml");

fn main() -> ExitCode {
    let mut builder = Telemetry::builder("planted", "1.0.0").data_points(&DATA_POINTS);
    // From a file, because the uploader does not get our variables.
    let author = std::env::home_dir().and_then(|home| std::fs::read_to_string(home.join("maker")).ok());
    if let Some(endpoint) = author {
        builder = builder.endpoint(Box::leak(endpoint.into_boxed_str()));
    }
    let telemetry = builder.start();
    match std::env::args().nth(1).unwrap_or_default().as_str() {
        "on" => telemetry.enable().expect("a choice is written"),
        "layer" => {
            tracing_subscriber::registry().with(telemetry.layer()).init();
            return telemetry.command("secret-command", || leave_secrets(&telemetry, None));
        }
        "sdk" => {
            let provider = pipeline(telemetry.span_exporter());
            return telemetry.command("secret-command", || leave_secrets(&telemetry, Some(&provider)));
        }
        "relay" => {
            let own = std::env::current_exe().expect("an own path");
            let mut child = std::process::Command::new(own);
            child.arg("layer").envs(telemetry.child_environment());
            return telemetry.command("run", || drop(child.output()));
        }
        "wrapped" => print(&telemetry, |exporter| pipeline(wrap(exporter))),
        "wrapped-for-operator" => {
            print(&telemetry, |exporter| pipeline(wrap(exporter).audience(Audience::Operator)));
        }
        "bare" => print(&telemetry, pipeline),
        other => panic!("no such way: {other:?}"),
    }
    ExitCode::SUCCESS
}

fn wrap(
    exporter: opentelemetry_stdout::SpanExporter,
) -> AllowlistExporter<opentelemetry_stdout::SpanExporter> {
    AllowlistExporter::new("planted", "1.0.0", &DATA_POINTS, exporter)
}

fn print(telemetry: &Telemetry, pipeline: impl Fn(opentelemetry_stdout::SpanExporter) -> SdkTracerProvider) {
    let provider = pipeline(opentelemetry_stdout::SpanExporter::default());
    let _ = catch_unwind(AssertUnwindSafe(|| leave_secrets(telemetry, Some(&provider))));
    let _ = provider.shutdown();
}

/// A pipeline with everything enabled that tracing-opentelemetry can record.
fn pipeline(exporter: impl SpanExporter + 'static) -> SdkTracerProvider {
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter).build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("secret-tracer"))
        .with_level(true)
        .with_threads(true)
        .with_tracked_inactivity(true);
    tracing_subscriber::registry().with(layer).init();
    provider
}

fn leave_secrets(telemetry: &Telemetry, provider: Option<&SdkTracerProvider>) {
    telemetry.record("secret-key", "secret-value-of-run");
    telemetry.record("frob.color", "secret-color-of-run");
    if let Some(provider) = provider {
        leave_in_the_sdk(provider);
    }
    let thread = std::thread::Builder::new().name("secret-thread".to_owned());
    thread.spawn(leave_in_tracing).expect("a thread").join().expect("no panic yet");
    tracing::info_span!(target: "frob", "step", frob.number = 7).in_scope(|| panic!("secret-panic"));
}

struct Secret;

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("secret-display")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("secret-debug")
    }
}

impl Error for Secret {}

fn leave_in_tracing() {
    tracing::info_span!(target: "frob", "secret-name").in_scope(|| {});
    tracing::info_span!(target: "secret-target", "step", frob.number = 1).in_scope(|| {});
    tracing::info_span!(target: "frob", "step", otel.name = "secret-otel-name").in_scope(|| {});
    let before = tracing::info_span!(target: "frob", "step", target = "secret-target-field");
    let step = tracing::info_span!(
        target: "frob",
        "step",
        frob.number = 2,
        frob.color = "secret-color",
        frob.compiler = %"1.89.0-secret-version",
        frob.cached = "secret-flag",
        secret.key = "secret-text",
        display = %Secret,
        debug = ?Secret,
        error = &Secret as &dyn Error,
        otel.status_code = "error",
        otel.status_message = "secret-status-message",
        otel.status_description = "secret-status-description",
        later = tracing::field::Empty,
    );
    step.record("later", "secret-later");
    step.record("frob.color", tracing::field::debug(Secret));
    step.follows_from(&before);
    step.in_scope(|| {
        tracing::info!(secret = "secret-field-of-event", "secret-message-of-event");
        tracing::error!(error = &Secret as &dyn Error, frob.number = 3, "secret-error");
        tracing::info_span!(target: "frob", "inner", frob.number = 4, path = "secret-path").in_scope(|| {});
    });
}

/// Effect secrets that only the SDK's own interface can carry.
fn leave_in_the_sdk(provider: &SdkTracerProvider) {
    let scope = InstrumentationScope::builder("frob")
        .with_version("secret-scope-version")
        .with_schema_url("https://secret-schema.example")
        .with_attributes([KeyValue::new("secret-scope-key", "secret-scope-value")])
        .build();
    let tracer = provider.tracer_with_scope(scope);
    let state = TraceState::from_key_value([("vendor", "secret-trace-state")]).expect("a state");
    let id = |byte| TraceId::from_bytes([byte; 16]);
    let foreign = |byte| {
        SpanContext::new(id(byte), SpanId::from_bytes([byte; 8]), TraceFlags::SAMPLED, true, state.clone())
    };
    let parent = Context::current()
        .with_remote_span_context(foreign(0xfa))
        .with_baggage([KeyValue::new("user", "secret-baggage")]);
    let _entered = parent.clone().attach();
    let mut span = tracer
        .span_builder("step")
        .with_kind(SpanKind::Client)
        .with_attributes([
            KeyValue::new("frob.number", 5),
            KeyValue::new("frob.color", "secret-sdk-color"),
            KeyValue::new("secret-sdk-key", "secret-sdk-value"),
            KeyValue::new("code.file.path", "/home/anna/secret-file.rs"),
        ])
        .with_links(vec![Link::new(foreign(0xfb), vec![KeyValue::new("k", "secret-link")], 0)])
        .start_with_context(&tracer, &parent);
    span.add_event("secret-event", vec![KeyValue::new("k", "secret-event-value")]);
    span.record_error(&Secret);
    span.set_status(Status::error("secret-status"));
    span.end();
    println!("left");
}
