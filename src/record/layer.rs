//! The `tracing` layer: approved spans in, `Span` records out, and nothing that another layer could notice.
//!
//! How layers influence each other is decided by `tracing-subscriber` (0.3.20 to 0.3.23 were read) from three answers
//! of each layer, and this is what ours says:
//!
//! - *Is this call site of interest?* Of one that is not approved we say nothing at all: neither "always", which
//!   would make the others' "never" a "sometimes" that is asked again for every span and event, nor "never",
//!   which would do the same to their "always".
//! - *Does the layer filter for itself?* Yes, so that our silence is not taken for interest. Who stands on the other
//!   side of us must find what it would find without us, so the question is answered exactly as often as it is about
//!   our own place: see [`LayerPosition`]. `fmt().finish()` panics when a layer registers a filter, so the subscriber's type
//!   is looked at first.
//! - *Up to which level?* As far as approved spans go; `OFF` when nothing is recorded, which the others' levels win
//!   over. Where our place is not known, in a tree of layers or behind a reload, nothing: that costs a little and
//!   silences nobody.

use std::any::TypeId;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Metadata, Subscriber};
use tracing_subscriber::filter::Filtered;
use tracing_subscriber::layer::{Context, Filter, Layer};
use tracing_subscriber::registry::{LookupSpan, Registry};

use crate::record::call_sites::CallSites;
use crate::record::open_span::{OpenSpan, values};
use crate::record::{ParentSpan, Runs};

/// Records approved spans. Made by [`Telemetry::layer`](crate::Telemetry::layer); without effect when nothing is
/// recorded.
pub struct TelemetryLayer<S> {
    recording: Option<&'static Runs>,
    filtered: Filtered<Recorder, Approved, S>,
    /// Whether the subscriber below supports filters of single layers, and ours is registered there.
    registered: bool,
    place: LayerPosition,
}

/// Where the layer stands, as far as `tracing-subscriber`'s questions tell.
///
/// Each `Layered` asks its layer, and what it is put on, whether there are filters of single layers. A `Registry`
/// counts as having them. A layer put directly on one therefore answers yes twice: for itself, and in place of the
/// registry, which the next layer no longer sees. Elsewhere it answers yes once, for itself. After that it is asked
/// by layers further out, which must not find it.
#[derive(Debug, Default)]
struct LayerPosition {
    /// How often to say yes; 0 before the layer was put on a subscriber.
    yeses: u32,
    asked: AtomicU32,
    /// Asked before it was put anywhere: it is one of several layers that are put somewhere together.
    in_tree: AtomicBool,
}

impl LayerPosition {
    fn put_on<S: 'static>(&mut self) {
        self.yeses = if TypeId::of::<S>() == TypeId::of::<Registry>() { 2 } else { 1 };
    }

    fn filters_for_itself(&self) -> bool {
        if self.yeses == 0 {
            self.in_tree.store(true, Ordering::Relaxed);
        }
        !self.in_tree.load(Ordering::Relaxed) && self.asked.fetch_add(1, Ordering::Relaxed) < self.yeses
    }

    fn is_known(&self) -> bool {
        !self.in_tree.load(Ordering::Relaxed) && self.asked.load(Ordering::Relaxed) > 0
    }
}

impl<S> std::fmt::Debug for TelemetryLayer<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TelemetryLayer").field("recording", &self.recording.is_some()).finish_non_exhaustive()
    }
}

impl<S> TelemetryLayer<S> {
    pub(crate) fn new(recording: Option<&'static Runs>) -> Self {
        let filtered = Filtered::new(Recorder::new(recording), Approved { recording });
        Self { recording, filtered, registered: false, place: LayerPosition::default() }
    }

    fn approves(&self, metadata: &Metadata<'_>) -> bool {
        self.recording.is_some_and(|runs| runs.allowlist.span(metadata).is_some())
    }
}

/// Whether the subscriber supports filters of single layers: a `Registry` does, and so does whatever passes the
/// question on to one. There is no way to ask without a panic, so the type's name must answer; for a name that
/// we do not know the layer goes without a filter of its own, which costs time but records the same.
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
        self.place.put_on::<S>();
        if self.recording.is_some() && supports_filters::<S>() {
            self.filtered.on_layer(subscriber);
            self.registered = true;
        }
    }

    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.registered && self.approves(metadata) {
            self.filtered.register_callsite(metadata)
        } else {
            Interest::always()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        if self.registered { self.filtered.enabled(metadata, context) } else { true }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.place.is_known().then(|| {
            let level = self.recording.and_then(|runs| runs.allowlist.level());
            level.map_or(LevelFilter::OFF, LevelFilter::from_level)
        })
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if self.registered {
            self.filtered.on_new_span(attributes, id, context);
        } else if self.recording.is_some() {
            self.filtered.inner().on_new_span(attributes, id, context);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if self.filtered.inner().has_open_spans() {
            if self.registered {
                self.filtered.on_record(id, values, context);
            } else {
                self.filtered.inner().on_record(id, values, context);
            }
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        if self.filtered.inner().has_open_spans() {
            if self.registered {
                self.filtered.on_close(id, context);
            } else {
                self.filtered.inner().on_close(id, context);
            }
        }
    }

    /// Registered, every event must pass our filter's bookkeeping, or a bit of it stays behind for the next
    /// span; the recorder itself never sees one.
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if self.registered {
            self.filtered.on_event(event, context);
        }
    }

    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        if self.registered {
            self.filtered.on_register_dispatch(dispatch);
        }
    }

    #[doc(hidden)]
    #[allow(unsafe_code)]
    unsafe fn downcast_raw(&self, id: TypeId) -> Option<*const ()> {
        if id == TypeId::of::<Self>() {
            return Some(std::ptr::from_ref(self).cast());
        }
        // SAFETY: passed on as it came. `Filtered` answers with pointers to its own parts, which live as long
        // as `self`.
        let part = unsafe { Layer::<S>::downcast_raw(&self.filtered, id) }?;
        let own_parts = [
            TypeId::of::<Filtered<Recorder, Approved, S>>(),
            TypeId::of::<Recorder>(),
            TypeId::of::<Approved>(),
        ];
        // The one other thing that it answers to is the private type that stands for "filters for itself".
        (own_parts.contains(&id) || self.place.filters_for_itself()).then_some(part)
    }
}

/// The filter: approved spans, no events.
struct Approved {
    recording: Option<&'static Runs>,
}

impl<S> Filter<S> for Approved {
    fn enabled(&self, metadata: &Metadata<'_>, _context: &Context<'_, S>) -> bool {
        self.recording.is_some_and(|runs| runs.allowlist.span(metadata).is_some())
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        let approved = self.recording.is_some_and(|runs| runs.allowlist.span(metadata).is_some());
        if approved { Interest::always() } else { Interest::never() }
    }
}

/// Records approved spans; it may be shown any.
struct Recorder {
    recording: Option<&'static Runs>,
    /// While it is 0, a span that is closed or gets a field is none of ours and need not be looked up.
    open_spans: AtomicUsize,
    call_sites: CallSites,
}

impl Recorder {
    fn new(recording: Option<&'static Runs>) -> Self {
        Self { recording, open_spans: AtomicUsize::new(0), call_sites: CallSites::default() }
    }

    fn has_open_spans(&self) -> bool {
        self.open_spans.load(Ordering::Relaxed) > 0
    }
}

impl<S> Layer<S> for Recorder
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(runs) = self.recording else { return };
        let Some(call_site) = self.call_sites.find_or_add(&runs.allowlist, attributes.metadata()) else {
            return;
        };
        let Some(registered) = context.span(id) else {
            return;
        };
        let above = self.nearest_approved(&registered);
        let Some(open) = OpenSpan::new(runs, call_site, attributes, above) else { return };
        registered.extensions_mut().replace(open);
        self.open_spans.fetch_add(1, Ordering::Relaxed);
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        let Some(runs) = self.recording else { return };
        let Some(registered) = context.span(id) else {
            return;
        };
        let Some(call_site) = registered.extensions().get::<OpenSpan>().map(OpenSpan::call_site) else {
            return;
        };
        let values = values(runs, call_site, record);
        if let Some(open) = registered.extensions_mut().get_mut::<OpenSpan>() {
            open.set(values);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(runs) = self.recording else { return };
        let Some(registered) = context.span(&id) else {
            return;
        };
        let Some(open) = registered.extensions_mut().remove::<OpenSpan>() else {
            return;
        };
        self.open_spans.fetch_sub(1, Ordering::Relaxed);
        open.close(runs);
    }
}

impl Recorder {
    /// The nearest ancestor that is recorded; the spans between do not exist for us.
    fn nearest_approved<'a, S>(
        &self,
        span: &tracing_subscriber::registry::SpanRef<'a, S>,
    ) -> Option<ParentSpan>
    where
        S: Subscriber + LookupSpan<'a>,
    {
        span.scope()
            .skip(1)
            .find_map(|ancestor| ancestor.extensions().get::<OpenSpan>().map(OpenSpan::as_parent))
    }
}
