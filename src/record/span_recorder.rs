//! What the layer does with an approved span: it opens it, sets its values, and hands it to its run.

use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::Subscriber;
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use crate::model::data_points::Value;
use crate::model::omission::OmissionReason;
use crate::model::span::{Parent, Span, Subject};
use crate::record::call_sites::{CallSite, CallSites};
use crate::record::open_span::OpenSpan;
use crate::record::visitor::Visitor;
use crate::record::{ParentSpan, Runs};

/// Records the approved ones among the spans that it sees.
pub(super) struct SpanRecorder {
    recording: Option<&'static Runs>,
    /// While this is 0, no span that closes or records a field needs a lookup.
    open_spans: AtomicUsize,
    call_sites: CallSites,
}

impl SpanRecorder {
    pub(super) fn new(recording: Option<&'static Runs>) -> Self {
        Self { recording, open_spans: AtomicUsize::new(0), call_sites: CallSites::new() }
    }

    /// The recording and the span, if the span may be recorded.
    fn find<'a, S>(&self, id: &Id, context: &'a Context<'_, S>) -> Option<(&'static Runs, SpanRef<'a, S>)>
    where
        S: Subscriber + for<'b> LookupSpan<'b>,
    {
        let runs = self.recording.filter(|_| self.open_spans.load(Ordering::Relaxed) > 0)?;
        let span = context.span(id)?;
        (!self.call_sites.is_unapproved(span.metadata())).then_some((runs, span))
    }
}

impl<S> Layer<S> for SpanRecorder
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(runs) = self.recording else { return };
        let metadata = attributes.metadata();
        let Some(call_site) = self.call_sites.find_or_add(&runs.allowlist, metadata) else {
            if let Some(omissions) = runs.omissions() {
                omissions.add_unapproved(metadata);
            }
            return;
        };
        if let Some(omissions) = runs.omissions() {
            omissions.saw(call_site.span);
        }
        let Some(span) = context.span(id) else { return };
        let ancestor = nearest_approved(&span);
        let Some(open) = open(runs, call_site, attributes, ancestor) else { return };
        span.extensions_mut().replace(open);
        self.open_spans.fetch_add(1, Ordering::Relaxed);
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        let Some((runs, span)) = self.find(id, &context) else { return };
        let Some(call_site) = span.extensions().get::<OpenSpan>().map(|open| open.call_site) else {
            return;
        };
        let values = values(runs, call_site, record);
        if let Some(open) = span.extensions_mut().get_mut::<OpenSpan>() {
            open.set(values);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some((runs, span)) = self.find(&id, &context) else { return };
        let Some(open) = span.extensions_mut().remove::<OpenSpan>() else { return };
        self.open_spans.fetch_sub(1, Ordering::Relaxed);
        close(open, runs);
    }
}

/// The nearest approved ancestor of a span.
fn nearest_approved<'a, S>(span: &SpanRef<'a, S>) -> Option<ParentSpan>
where
    S: Subscriber + LookupSpan<'a>,
{
    span.scope().skip(1).find_map(|ancestor| ancestor.extensions().get::<OpenSpan>().map(OpenSpan::as_parent))
}

/// Opens a span under its nearest approved ancestor or under the run. `None` if it belongs to no run.
fn open(
    runs: &Runs,
    call_site: &'static CallSite,
    attributes: &Attributes<'_>,
    ancestor: Option<ParentSpan>,
) -> Option<OpenSpan> {
    let Some(parent) = runs.parent_for(ancestor) else {
        runs.omit_span(call_site.span, OmissionReason::NoCommand);
        return None;
    };
    let data_points = runs.allowlist.data_points;
    let approved = &data_points.spans[usize::from(call_site.span)];
    let mut values = Vec::with_capacity(approved.data_points.len());
    attributes.record(&mut Visitor::new(data_points, runs.omissions(), call_site, &mut values));
    let start = runs.now();
    let span = Span {
        // Its run sets the trace id when the span closes.
        trace_id: [0; 16],
        span_id: runs.new_span_id(),
        parent: Some(Parent { span_id: parent.span, is_remote: false }),
        subject: Subject::Approved(call_site.span),
        start,
        end: start,
        values,
    };
    Some(OpenSpan { span, run: parent.run, call_site })
}

/// Closes the span and records it in its run.
fn close(mut open: OpenSpan, runs: &Runs) {
    open.span.end = runs.now().max(open.span.start);
    if !runs.record_span(open.run, &mut open.span) {
        runs.omit_span(open.call_site.span, OmissionReason::RunEnded);
    }
}

/// The approved values of a record. The caller must hold no lock or borrow, because a field's own code may use spans.
fn values(runs: &Runs, call_site: &CallSite, record: &Record<'_>) -> Vec<(u8, Value)> {
    let mut values = Vec::new();
    let data_points = runs.allowlist.data_points;
    record.record(&mut Visitor::new(data_points, runs.omissions(), call_site, &mut values));
    values
}
