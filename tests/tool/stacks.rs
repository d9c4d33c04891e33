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
    let registry = tracing_subscriber::registry;
    let warn = || CountingFilter(LevelFilter::WARN);
    let env = || EnvFilter::new("warn");
    match (stack, telemetry) {
        ("alone", Some(ours)) => registry().with(ours.layer()).init(),
        ("alone", None) => registry().init(),
        ("before-plain", Some(ours)) => registry().with(ours.layer()).with(LoggingLayer).init(),
        ("after-plain", Some(ours)) => registry().with(LoggingLayer).with(ours.layer()).init(),
        ("before-plain" | "after-plain", None) => registry().with(LoggingLayer).init(),
        ("before-filtered", Some(ours)) => {
            registry().with(ours.layer()).with(LoggingLayer.with_filter(warn())).init();
        }
        ("after-filtered", Some(ours)) => {
            registry().with(LoggingLayer.with_filter(warn())).with(ours.layer()).init();
        }
        ("before-filtered" | "after-filtered", None) => {
            registry().with(LoggingLayer.with_filter(warn())).init()
        }
        ("before-env-filter", Some(ours)) => {
            registry().with(ours.layer()).with(env()).with(LoggingLayer).init()
        }
        ("after-env-filter", Some(ours)) => {
            registry().with(env()).with(LoggingLayer).with(ours.layer()).init()
        }
        ("before-env-filter" | "after-env-filter", None) => registry().with(env()).with(LoggingLayer).init(),
        ("before-level", Some(ours)) => {
            registry().with(ours.layer()).with(LevelFilter::INFO).with(LoggingLayer).init();
        }
        ("after-level", Some(ours)) => {
            registry().with(LevelFilter::INFO).with(LoggingLayer).with(ours.layer()).init();
        }
        ("before-level" | "after-level", None) => {
            registry().with(LevelFilter::INFO).with(LoggingLayer).init()
        }
        ("between-env-filter-and-plain", Some(ours)) => {
            registry().with(env()).with(ours.layer()).with(LoggingLayer).init();
        }
        ("between-env-filter-and-plain", None) => registry().with(env()).with(LoggingLayer).init(),
        ("between-filtered-and-plain", Some(ours)) => {
            let filtered = fmt::layer().with_writer(std::io::sink).with_filter(warn());
            registry().with(filtered).with(ours.layer()).with(LoggingLayer).init();
        }
        ("between-filtered-and-plain", None) => {
            let filtered = fmt::layer().with_writer(std::io::sink).with_filter(warn());
            registry().with(filtered).with(LoggingLayer).init();
        }
        ("before-two-filtered", Some(ours)) => {
            let filtered = fmt::layer().with_writer(std::io::sink).with_filter(warn());
            registry().with(ours.layer()).with(filtered).with(LoggingLayer.with_filter(warn())).init();
        }
        ("before-two-filtered", None) => {
            let filtered = fmt::layer().with_writer(std::io::sink).with_filter(warn());
            registry().with(filtered).with(LoggingLayer.with_filter(warn())).init();
        }
        ("and-then-ours", Some(ours)) => registry().with(LoggingLayer.and_then(ours.layer())).init(),
        ("and-then-ours", None) => registry().with(LoggingLayer).init(),
        ("on-fmt", Some(ours)) => {
            fmt().with_writer(std::io::sink).finish().with(LoggingLayer).with(ours.layer()).init()
        }
        ("on-fmt", None) => fmt().with_writer(std::io::sink).finish().with(LoggingLayer).init(),
        ("boxed", Some(ours)) => registry().with(LoggingLayer).with(ours.layer().boxed()).init(),
        ("boxed", None) => registry().with(LoggingLayer).init(),
        ("vec", Some(ours)) => registry().with(vec![ours.layer().boxed(), LoggingLayer.boxed()]).init(),
        ("vec", None) => registry().with(vec![LoggingLayer.boxed()]).init(),
        ("reload", Some(ours)) => {
            let (layer, _handle) = reload::Layer::<_, Registry>::new(ours.layer());
            registry().with(layer).with(LoggingLayer).init();
        }
        ("reload", None) => {
            let (layer, _handle) = reload::Layer::<_, Registry>::new(LoggingLayer);
            registry().with(layer).init();
        }
        ("and-then", Some(ours)) => registry().with(ours.layer().and_then(LoggingLayer)).init(),
        ("and-then", None) => registry().with(LoggingLayer).init(),
        other => panic!("no such stack: {other:?}"),
    }
    let level_before = LevelFilter::current();
    work();
    format!(
        "{}asked {}\nlevel {level_before}\n",
        SEEN.lock().expect("a witness"),
        ASKED.load(Ordering::Relaxed)
    )
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
