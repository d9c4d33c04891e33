//! The measured cases.

use std::hint::black_box;
use std::time::Instant;

use tool_telemetry::{DataPoints, Telemetry};
use tracing::{Subscriber, info, info_span};
use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, Registry, fmt};

static DATA_POINTS: DataPoints = tool_telemetry::data_points!("tools/telemetry.toml");

pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Repetitions in one process.
    pub(crate) times: u32,
    /// Whether the opt-out variable is set.
    pub(crate) opted_out: bool,
    /// Runs the repetitions and returns their nanoseconds.
    pub(crate) run: fn(u32) -> u128,
}

/// A run writes its first 256 spans one by one.
const UNBATCHED: u32 = 256;
/// A run is limited to 1 MiB, about 1,000 spans.
const IN_ONE_RUN: u32 = 700;
const MANY: u32 = 100_000;

const fn case(name: &'static str, times: u32, run: fn(u32) -> u128) -> Case {
    Case { name, times, opted_out: false, run }
}

const fn opted_out(name: &'static str, times: u32, run: fn(u32) -> u128) -> Case {
    Case { name, times, opted_out: true, run }
}

pub(crate) const CASES: [Case; 34] = [
    case("span, no subscriber", MANY, |times| measure(times, approved)),
    case("span, Registry alone", MANY, |times| with(tracing_subscriber::registry(), times, approved)),
    case("span with 3 approved fields, written one by one", 200, |times| ours(times, 0, approved)),
    case("the same, written in batches", IN_ONE_RUN, |times| ours(times, UNBATCHED, approved)),
    case("the same with 7 more fields that are not approved", 200, |times| ours(times, 0, mixed)),
    case("the same with 7 more fields, formatted with `?`", 200, |times| ours(times, 0, formatted)),
    case("record of an approved field", MANY, |times| on_open(times, true, record_approved)),
    case("record of a field that is not approved", MANY, |times| on_open(times, true, record_other)),
    case("the same, formatted with `?`", MANY, |times| on_open(times, true, record_formatted)),
    case("span that is not approved", MANY, |times| ours(times, 0, other)),
    case("span that is not approved, in an approved one", MANY, |times| on_open(times, true, |_| other())),
    case("event", MANY, |times| ours(times, 0, event)),
    case("event in an approved span", MANY, |times| on_open(times, true, |_| event())),
    opted_out("opted out: approved span", MANY, |times| ours(times, 0, approved)),
    opted_out("opted out: record of a field", MANY, |times| on_open(times, true, record_approved)),
    opted_out("opted out: event", MANY, |times| ours(times, 0, event)),
    case("fmt layer alone: span", MANY, |times| with(everything(), times, other)),
    case("fmt layer and ours: span", MANY, |times| with_ours(everything(), times, other)),
    opted_out("fmt layer and ours, opted out: span", MANY, |times| with_ours(everything(), times, other)),
    case("fmt layer alone: event", MANY, |times| with(everything(), times, event)),
    case("fmt layer and ours: event", MANY, |times| with_ours(everything(), times, event)),
    opted_out("fmt layer and ours, opted out: event", MANY, |times| with_ours(everything(), times, event)),
    case("EnvFilter `warn` alone: span", MANY, |times| with(warnings(), times, other)),
    case("EnvFilter `warn` and ours: span", MANY, |times| with_ours(warnings(), times, other)),
    opted_out("EnvFilter `warn` and ours, opted out: span", MANY, |times| {
        with_ours(warnings(), times, other)
    }),
    case("EnvFilter `warn` alone: event", MANY, |times| with(warnings(), times, event)),
    case("EnvFilter `warn` and ours: event", MANY, |times| with_ours(warnings(), times, event)),
    opted_out("EnvFilter `warn` and ours, opted out: event", MANY, |times| {
        with_ours(warnings(), times, event)
    }),
    case("tracing-opentelemetry: span with 3 fields, not exported", MANY, |times| sdk(times, approved)),
    case("tracing-opentelemetry: the same with 7 more", MANY, |times| sdk(times, mixed)),
    case("tracing-opentelemetry: the same with 7 more, formatted with `?`", MANY, |times| {
        sdk(times, formatted)
    }),
    case("OpenTelemetry SDK: span with 3 attributes, not exported", MANY, sdk_alone),
    case("fastrace: root span with 3 properties, not exported", 10_000, fastrace_root),
    case("fastrace: local span with 3 properties", 10_000, fastrace_local),
];

fn measure(times: u32, mut what: impl FnMut()) -> u128 {
    // The first call registers the call site.
    what();
    let started = Instant::now();
    repeat(times, what);
    started.elapsed().as_nanos()
}

/// Callgrind counts only inside this function, which it finds by name.
#[inline(never)]
fn repeat(times: u32, mut what: impl FnMut()) {
    for _ in 0..times {
        what();
    }
}

fn with(subscriber: impl Subscriber + Send + Sync, times: u32, what: impl FnMut()) -> u128 {
    tracing::subscriber::set_global_default(subscriber).expect("the first");
    measure(times, what)
}

fn telemetry() -> Telemetry {
    Telemetry::builder("bench-tool", "1.0.0").data_points(&DATA_POINTS).start()
}

/// With our layer alone, after `before` spans.
fn ours(times: u32, before: u32, mut what: impl FnMut()) -> u128 {
    let telemetry = telemetry();
    tracing_subscriber::registry().with(telemetry.layer()).init();
    let mut taken = 0;
    let _ = telemetry.command("build", || {
        (0..before).for_each(|_| what());
        taken = measure(times, &mut what);
    });
    taken
}

/// With our layer alone, inside an open span.
fn on_open(times: u32, is_approved: bool, what: impl Fn(&tracing::Span)) -> u128 {
    let telemetry = telemetry();
    tracing_subscriber::registry().with(telemetry.layer()).init();
    let mut taken = 0;
    let _ = telemetry.command("build", || {
        let span = if is_approved {
            info_span!(
                target: "bench_tool", "step",
                "step.files" = tracing::field::Empty, "step.path" = tracing::field::Empty,
            )
        } else {
            info_span!(target: "other", "step", "step.files" = tracing::field::Empty)
        };
        let _entered = span.clone().entered();
        taken = measure(times, || what(&span));
    });
    taken
}

/// With our layer and another subscriber's layers.
fn with_ours<S>(subscriber: S, times: u32, what: impl FnMut()) -> u128
where
    S: Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a> + Send + Sync,
{
    let telemetry = telemetry();
    tracing::subscriber::set_global_default(subscriber.with(telemetry.layer())).expect("the first");
    let mut taken = 0;
    let _ = telemetry.command("build", || taken = measure(times, what));
    taken
}

/// Logs everything, and discards the text.
fn everything() -> impl Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a> + Send + Sync {
    Registry::default().with(fmt::layer().with_writer(std::io::sink))
}

/// Logs warnings, and discards the text.
fn warnings() -> impl Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a> + Send + Sync {
    Registry::default().with(fmt::layer().with_writer(std::io::sink).with_filter(EnvFilter::new("warn")))
}

fn approved() {
    let span = info_span!(
        target: "bench_tool", "step",
        "step.kind" = "compile", "step.cached" = black_box(true), "step.files" = black_box(7_u64),
    );
    let _entered = span.enter();
    black_box(());
}

fn mixed() {
    let span = info_span!(
        target: "bench_tool", "step",
        "step.kind" = "compile", "step.cached" = black_box(true), "step.files" = black_box(7_u64),
        path = black_box("/home/me"), name = black_box("me"), depth = black_box(3_u64), ok = black_box(true),
        size = black_box(1_000_i64), ratio = black_box(0.5), kind = black_box("file"),
    );
    let _entered = span.enter();
    black_box(());
}

fn formatted() {
    let one = black_box(Some(("/home/me", 3)));
    let span = info_span!(
        target: "bench_tool", "step",
        "step.kind" = "compile", "step.cached" = black_box(true), "step.files" = black_box(7_u64),
        a = ?one, b = ?one, c = ?one, d = ?one, e = ?one, f = ?one, g = ?one,
    );
    let _entered = span.enter();
    black_box(());
}

fn record_approved(span: &tracing::Span) {
    span.record("step.files", black_box(8_u64));
}

fn record_other(span: &tracing::Span) {
    span.record("step.path", black_box("/home/me"));
}

fn record_formatted(span: &tracing::Span) {
    span.record("step.path", tracing::field::debug(black_box(Some(("/home/me", 3)))));
}

fn other() {
    let span = info_span!(
        target: "other", "step",
        "step.kind" = "compile", "step.cached" = black_box(true), "step.files" = black_box(7_u64),
    );
    let _entered = span.enter();
    black_box(());
}

fn event() {
    info!(target: "other", number = black_box(7_u64), "done");
}

/// Discards spans, so that only recording is measured.
#[derive(Debug)]
struct DiscardingProcessor;

impl opentelemetry_sdk::trace::SpanProcessor for DiscardingProcessor {
    fn on_start(&self, _span: &mut opentelemetry_sdk::trace::Span, _context: &opentelemetry::Context) {}
    fn on_end(&self, span: opentelemetry_sdk::trace::SpanData) {
        black_box(&span);
    }
    fn force_flush(&self) -> opentelemetry_sdk::error::OTelSdkResult {
        Ok(())
    }
    fn shutdown_with_timeout(
        &self,
        _timeout: std::time::Duration,
    ) -> opentelemetry_sdk::error::OTelSdkResult {
        Ok(())
    }
}

fn provider() -> opentelemetry_sdk::trace::SdkTracerProvider {
    opentelemetry_sdk::trace::SdkTracerProvider::builder().with_span_processor(DiscardingProcessor).build()
}

fn sdk(times: u32, what: impl FnMut()) -> u128 {
    use opentelemetry::trace::TracerProvider as _;
    let layer = tracing_opentelemetry::layer().with_tracer(provider().tracer("bench-tool"));
    with(tracing_subscriber::registry().with(layer), times, what)
}

fn sdk_alone(times: u32) -> u128 {
    use opentelemetry::KeyValue;
    use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
    let tracer = provider().tracer("bench-tool");
    measure(times, || {
        let mut span = tracer.start("step");
        span.set_attribute(KeyValue::new("step.kind", "compile"));
        span.set_attribute(KeyValue::new("step.cached", black_box(true)));
        span.set_attribute(KeyValue::new("step.files", black_box(7)));
        span.end();
    })
}

/// Discards what `fastrace` reports in a thread of its own.
struct DiscardingReporter;

impl fastrace::collector::Reporter for DiscardingReporter {
    fn report(&mut self, spans: Vec<fastrace::collector::SpanRecord>) {
        black_box(spans);
    }
}

fn fastrace_root(times: u32) -> u128 {
    fastrace::set_reporter(DiscardingReporter, fastrace::collector::Config::default());
    let taken = measure(times, || {
        let root = fastrace::Span::root("step", fastrace::collector::SpanContext::random())
            .with_properties(|| [("step.kind", "compile"), ("step.cached", "true"), ("step.files", "7")]);
        let _entered = root.set_local_parent();
    });
    fastrace::flush();
    taken
}

fn fastrace_local(times: u32) -> u128 {
    fastrace::set_reporter(DiscardingReporter, fastrace::collector::Config::default());
    let taken = {
        let root = fastrace::Span::root("run", fastrace::collector::SpanContext::random());
        let _entered = root.set_local_parent();
        measure(times, || {
            let _span = fastrace::local::LocalSpan::enter_with_local_parent("step")
                .with_properties(|| [("step.kind", "compile"), ("step.cached", "true"), ("step.files", "7")]);
        })
    };
    fastrace::flush();
    taken
}
