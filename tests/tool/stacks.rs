//! Stacks of layers with ours in them, each with a witness that prints what other layers see.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tool_telemetry::Telemetry;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter, Layer};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

static SEEN: Mutex<String> = Mutex::new(String::new());
static ASKED: AtomicUsize = AtomicUsize::new(0);

/// A layer that logs what it sees.
struct LoggingLayer;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LoggingLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let depth = context.span_scope(id).map_or(0, |scope| scope.count());
        see(format_args!("span {} {}\n", attributes.metadata().name(), depth));
    }

    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        see(format_args!("event {}\n", event.metadata().level()));
    }

    fn on_close(&self, _id: Id, _context: Context<'_, S>) {
        see(format_args!("close\n"));
    }
}

fn see(what: std::fmt::Arguments<'_>) {
    let _ = SEEN.lock().expect("a witness").write_fmt(what);
}

/// A filter that counts its calls for call sites that are not approved. For approved ones it may be called more
/// often.
struct CountingFilter(LevelFilter);

impl<S> Filter<S> for CountingFilter {
    fn enabled(&self, metadata: &Metadata<'_>, _context: &Context<'_, S>) -> bool {
        if metadata.name() != "step" && metadata.name() != "inner" {
            ASKED.fetch_add(1, Ordering::Relaxed);
        }
        *metadata.level() <= self.0
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if *metadata.level() <= self.0 { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0)
    }
}

/// Runs the same code in this stack. Returns the log of the witness.
pub(crate) fn run(stack: &str, telemetry: Option<&Telemetry>) -> String {
    match telemetry {
        Some(ours) => install_with(stack, ours),
        None => install_without(stack),
    }
    let level_before = LevelFilter::current();
    work();
    format!(
        "{}asked {}\nlevel {level_before}\n",
        SEEN.lock().expect("a witness"),
        ASKED.load(Ordering::Relaxed)
    )
}

fn registry() -> Registry {
    tracing_subscriber::registry()
}

fn warn() -> CountingFilter {
    CountingFilter(LevelFilter::WARN)
}

fn env() -> EnvFilter {
    EnvFilter::new("warn")
}

/// A formatting layer with a filter of its own.
fn filtered<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> {
    fmt::layer().with_writer(std::io::sink).with_filter(warn())
}

/// Installs the stack with our layer.
fn install_with(stack: &str, ours: &Telemetry) {
    match stack {
        "alone" => registry().with(ours.layer()).init(),
        "before-plain" => registry().with(ours.layer()).with(LoggingLayer).init(),
        "after-plain" => registry().with(LoggingLayer).with(ours.layer()).init(),
        "before-filtered" => {
            registry().with(ours.layer()).with(LoggingLayer.with_filter(warn())).init();
        }
        "after-filtered" => {
            registry().with(LoggingLayer.with_filter(warn())).with(ours.layer()).init();
        }
        "before-env-filter" => registry().with(ours.layer()).with(env()).with(LoggingLayer).init(),
        "after-env-filter" => registry().with(env()).with(LoggingLayer).with(ours.layer()).init(),
        "before-level" => {
            registry().with(ours.layer()).with(LevelFilter::INFO).with(LoggingLayer).init();
        }
        "after-level" => {
            registry().with(LevelFilter::INFO).with(LoggingLayer).with(ours.layer()).init();
        }
        "between-env-filter-and-plain" => {
            registry().with(env()).with(ours.layer()).with(LoggingLayer).init();
        }
        "between-filtered-and-plain" => {
            registry().with(filtered()).with(ours.layer()).with(LoggingLayer).init();
        }
        "before-two-filtered" => {
            registry().with(ours.layer()).with(filtered()).with(LoggingLayer.with_filter(warn())).init();
        }
        "and-then-ours" => registry().with(LoggingLayer.and_then(ours.layer())).init(),
        "on-fmt" => fmt().with_writer(std::io::sink).finish().with(LoggingLayer).with(ours.layer()).init(),
        "boxed" => registry().with(LoggingLayer).with(ours.layer().boxed()).init(),
        "vec" => registry().with(vec![ours.layer().boxed(), LoggingLayer.boxed()]).init(),
        "reload" => {
            let (layer, _handle) = reload::Layer::<_, Registry>::new(ours.layer());
            registry().with(layer).with(LoggingLayer).init();
        }
        "and-then" => registry().with(ours.layer().and_then(LoggingLayer)).init(),
        "twice" => registry().with(ours.layer()).with(ours.layer()).init(),
        "none" => registry().with(LoggingLayer).init(),
        "not-in-use" => drop(registry().with(ours.layer())),
        other => panic!("no such stack: {other}"),
    }
}

/// Installs the same stack without our layer.
fn install_without(stack: &str) {
    match stack {
        "alone" => registry().init(),
        "before-plain" | "after-plain" | "and-then" | "and-then-ours" | "boxed" => {
            registry().with(LoggingLayer).init();
        }
        "before-filtered" | "after-filtered" => registry().with(LoggingLayer.with_filter(warn())).init(),
        "before-env-filter" | "after-env-filter" | "between-env-filter-and-plain" => {
            registry().with(env()).with(LoggingLayer).init();
        }
        "before-level" | "after-level" => registry().with(LevelFilter::INFO).with(LoggingLayer).init(),
        "between-filtered-and-plain" => {
            registry().with(filtered()).with(LoggingLayer).init();
        }
        "before-two-filtered" => {
            registry().with(filtered()).with(LoggingLayer.with_filter(warn())).init();
        }
        "on-fmt" => fmt().with_writer(std::io::sink).finish().with(LoggingLayer).init(),
        "vec" => registry().with(vec![LoggingLayer.boxed()]).init(),
        "reload" => {
            let (layer, _handle) = reload::Layer::<_, Registry>::new(LoggingLayer);
            registry().with(layer).init();
        }
        other => panic!("no such stack: {other}"),
    }
}

fn work() {
    for number in 0..3_u32 {
        let outer = tracing::warn_span!(target: "somebody", "outer", secret = number);
        let _outer = outer.enter();
        let step = tracing::info_span!(target: "frob", "step", frob.number = number);
        let _step = step.enter();
        tracing::info_span!(target: "somebody", "between").in_scope(|| {
            tracing::warn!("an event");
            tracing::debug!("another");
            tracing::info_span!(target: "frob", "inner", frob.number = number).in_scope(|| {});
        });
        // The same name from another target is not approved.
        tracing::info_span!(target: "somebody", "step", frob.number = number).in_scope(|| {});
    }
}
