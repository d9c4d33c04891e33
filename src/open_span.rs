//! An approved span from its opening to its closing.

use tracing::span::{Attributes, Record};

use crate::call_sites::CallSite;
use crate::data_points::Value;
use crate::run::Run;
use crate::span::{Parent, Span, SpanId, Subject};
#[cfg(feature = "spool")]
use crate::subscriber::TelemetrySubscriber;
use crate::visitor::Visitor;

/// An approved span that is open.
#[derive(Debug)]
pub(crate) struct OpenSpan {
    span: Span,
    call_site: &'static CallSite,
}

impl OpenSpan {
    /// Opens it below the nearest approved span above it, or below the run.
    pub(crate) fn new(
        run: &Run,
        call_site: &'static CallSite,
        attributes: &Attributes<'_>,
        parent: Option<SpanId>,
    ) -> Self {
        let data_points = run.allowlist.data_points;
        let approved = &data_points.spans[usize::from(call_site.span)];
        let mut values = Vec::with_capacity(approved.data_points.len());
        attributes.record(&mut Visitor::new(data_points, call_site, &mut values));
        let start = run.now();
        let span = Span {
            trace_id: run.trace_id(),
            span_id: run.new_span_id(),
            parent: Some(Parent { span_id: parent.unwrap_or(run.root_id()), remote: false }),
            subject: Subject::Approved(call_site.span),
            start,
            end: start,
            values,
        };
        Self { span, call_site }
    }

    pub(crate) fn id(&self) -> SpanId {
        self.span.span_id
    }

    pub(crate) fn call_site(&self) -> &'static CallSite {
        self.call_site
    }

    pub(crate) fn set(&mut self, values: Vec<(u8, Value)>) {
        for (position, value) in values {
            self.span.set(position, value);
        }
    }

    /// Closes it and hands it to the run.
    pub(crate) fn close(mut self, run: &Run) {
        self.span.end = run.now().max(self.span.start);
        run.span_closed(&self.span);
    }
}

/// The nearest approved span that is entered in this thread. Nothing where spans are kept neither by our own subscriber
/// nor by `tracing-subscriber`'s registry.
#[cfg(feature = "spool")]
pub(crate) fn entered() -> Option<SpanId> {
    use tracing_subscriber::Registry;
    use tracing_subscriber::registry::LookupSpan as _;

    tracing::dispatcher::get_default(|dispatch| {
        if let Some(own) = dispatch.downcast_ref::<TelemetrySubscriber>() {
            return own.entered_span();
        }
        let registry = dispatch.downcast_ref::<Registry>()?;
        let span = registry.span(dispatch.current_span().id()?)?;
        span.scope().find_map(|span| span.extensions().get::<OpenSpan>().map(OpenSpan::id))
    })
}

/// The approved values of a record. To be called while nothing is borrowed: a field's own code may do as it likes
/// with spans.
pub(crate) fn values(run: &Run, call_site: &CallSite, record: &Record<'_>) -> Vec<(u8, Value)> {
    let mut values = Vec::new();
    record.record(&mut Visitor::new(run.allowlist.data_points, call_site, &mut values));
    values
}
