//! The `tracing` layer, which turns approved spans into `Span` records without any effect on other layers.
//!
//! `tracing-subscriber` (0.3.20 to 0.3.23 were read) derives the influence of a layer on others from three answers:
//!
//! - *Is this call site of interest?* The layer does not answer for a call site that is not approved. "Always" would turn
//!   another layer's "never" into a "sometimes", which is checked for every span and event. "Never" would do the same to
//!   another layer's "always". If the layer is alone on a `Registry`, it answers "never" for events, which then cost nothing.
//! - *Does the layer have its own filter?* Yes. Otherwise a call site that it does not answer for would count as one that it is
//!   interested in. A layer outside ours must see what it would see without ours, so we answer only where our own position
//!   asks ([`LayerPosition`]). `fmt().finish()` panics when a layer registers a filter, so the type of the subscriber is
//!   checked first.
//! - *Up to which level?* Up to the level of approved spans, or `OFF` if nothing is recorded. Other layers' levels override
//!   this. If the position is unknown, for example in a tree of layers or behind a reload, there is no answer, which is
//!   slower and never silences another layer.

use std::any::TypeId;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Metadata, Subscriber};
use tracing_subscriber::filter::Filtered;
use tracing_subscriber::layer::{Context, Filter, Layer};
use tracing_subscriber::registry::{LookupSpan, Registry};

use crate::record::Runs;
use crate::record::span_recorder::SpanRecorder;

/// Records approved spans. It is created by [`Telemetry::layer`](crate::Telemetry::layer), and has no effect if nothing is
/// recorded.
pub struct TelemetryLayer<S> {
    recording: Option<&'static Runs>,
    filtered: Filtered<SpanRecorder, ApprovedSpanFilter, S>,
    /// Whether the subscriber supports per-layer filters, and ours is registered with it.
    is_registered: bool,
    position: LayerPosition,
    /// Whether a subscriber in use has the layer. Only omissions need it.
    is_in_use: AtomicBool,
}

/// The position of the layer, which it derives from the questions of `tracing-subscriber`.
///
/// Each `Layered` asks its layer and its inner subscriber whether they have per-layer filters. A `Registry` counts as
/// having them. So a layer directly on a `Registry` answers yes twice: for itself, and for the registry, which it hides
/// from the next layer. Any other layer answers yes once. Later questions come from layers further out, for which the
/// answer is no.
#[derive(Debug, Default)]
struct LayerPosition {
    /// How often to answer yes, or 0 before the layer has a subscriber.
    yes_answers: u32,
    questions: AtomicU32,
    /// Whether a question came before the layer had a subscriber. Then it is in a tree of layers.
    is_in_tree: AtomicBool,
}

impl LayerPosition {
    fn set_subscriber<S: 'static>(&mut self) {
        self.yes_answers = if TypeId::of::<S>() == TypeId::of::<Registry>() { 2 } else { 1 };
    }

    fn answer(&self) -> bool {
        if self.yes_answers == 0 {
            self.is_in_tree.store(true, Ordering::Relaxed);
        }
        !self.is_in_tree.load(Ordering::Relaxed)
            && self.questions.fetch_add(1, Ordering::Relaxed) < self.yes_answers
    }

    fn is_known(&self) -> bool {
        !self.is_in_tree.load(Ordering::Relaxed) && self.questions.load(Ordering::Relaxed) > 0
    }

    /// Whether the layer is directly on a `Registry`, and no layer is on top of it.
    fn is_alone(&self) -> bool {
        self.is_known() && self.yes_answers == 2 && self.questions.load(Ordering::Relaxed) == 1
    }
}

impl<S> std::fmt::Debug for TelemetryLayer<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TelemetryLayer").field("recording", &self.recording.is_some()).finish_non_exhaustive()
    }
}

impl<S> TelemetryLayer<S> {
    pub(crate) fn new(recording: Option<&'static Runs>) -> Self {
        let filtered = Filtered::new(SpanRecorder::new(recording), ApprovedSpanFilter { recording });
        Self {
            recording,
            filtered,
            is_registered: false,
            position: LayerPosition::default(),
            is_in_use: AtomicBool::new(false),
        }
    }

    fn approves(&self, metadata: &Metadata<'_>) -> bool {
        self.recording.is_some_and(|runs| runs.must_see(metadata))
    }
}

/// Whether the subscriber supports per-layer filters, as a `Registry` and layers on it do. Asking it would panic if it does
/// not, so the name of its type decides. With an unknown type the layer has no filter, which is slower and records the same.
fn supports_filters<S>() -> bool {
    let name = std::any::type_name::<S>();
    let is_known = |part: &str| name.starts_with(part);
    (is_known("tracing_subscriber::layer::layered::Layered<")
        || is_known("tracing_subscriber::registry::sharded::Registry"))
        && name.contains("tracing_subscriber::registry::sharded::Registry")
        && !name.contains("tracing_subscriber::fmt::Subscriber<")
}

impl<S> Layer<S> for TelemetryLayer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_layer(&mut self, subscriber: &mut S) {
        self.position.set_subscriber::<S>();
        if self.recording.is_some() && supports_filters::<S>() {
            self.filtered.on_layer(subscriber);
            self.is_registered = true;
        }
    }

    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        let disables = metadata.is_event() && self.position.is_alone();
        if self.is_registered && (disables || self.approves(metadata)) {
            self.filtered.register_callsite(metadata)
        } else {
            Interest::always()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        if self.is_registered { self.filtered.enabled(metadata, context) } else { true }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.position.is_known().then(|| {
            let level = self.recording.and_then(Runs::level);
            level.map_or(LevelFilter::OFF, LevelFilter::from_level)
        })
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if self.is_registered {
            self.filtered.on_new_span(attributes, id, context);
        } else if self.recording.is_some() {
            self.filtered.inner().on_new_span(attributes, id, context);
        }
    }

    // The recorder is called without the filter, because it finds nothing in a span that is not approved.
    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.filtered.inner().on_record(id, values, context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.filtered.inner().on_close(id, context);
    }

    /// Every event must pass the filter, or its state would apply to the next span. The recorder never sees events.
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if self.is_registered {
            self.filtered.on_event(event, context);
        }
    }

    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        if self.is_registered {
            self.filtered.on_register_dispatch(dispatch);
        }
        if let Some(omissions) = self.recording.and_then(Runs::omissions)
            && !self.is_in_use.swap(true, Ordering::Relaxed)
        {
            omissions.add_layer();
        }
    }

    #[doc(hidden)]
    #[allow(unsafe_code)]
    unsafe fn downcast_raw(&self, id: TypeId) -> Option<*const ()> {
        if id == TypeId::of::<Self>() {
            return Some(std::ptr::from_ref(self).cast());
        }
        // SAFETY: the argument is passed on, and `Filtered` returns pointers to its own parts, which live as long as `self`.
        let part = unsafe { Layer::<S>::downcast_raw(&self.filtered, id) }?;
        let own_parts = [
            TypeId::of::<Filtered<SpanRecorder, ApprovedSpanFilter, S>>(),
            TypeId::of::<SpanRecorder>(),
            TypeId::of::<ApprovedSpanFilter>(),
        ];
        // The only other type that it knows is the private one that means "has its own filter".
        (own_parts.contains(&id) || self.position.answer()).then_some(part)
    }
}

/// Enables approved spans, or all spans if omissions are collected, and no events.
struct ApprovedSpanFilter {
    recording: Option<&'static Runs>,
}

impl<S> Filter<S> for ApprovedSpanFilter {
    fn enabled(&self, metadata: &Metadata<'_>, _context: &Context<'_, S>) -> bool {
        self.recording.is_some_and(|runs| runs.must_see(metadata))
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.recording.is_some_and(|runs| runs.must_see(metadata)) {
            Interest::always()
        } else {
            Interest::never()
        }
    }
}
