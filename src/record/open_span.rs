//! An approved span while it is open.

use tracing::span::{Attributes, Record};

use crate::model::data_points::Value;
use crate::model::omission::OmissionReason;
use crate::model::span::{Parent, Span, Subject};
use crate::record::call_sites::CallSite;
use crate::record::visitor::Visitor;
use crate::record::{ParentSpan, RunId, Runs};

/// An open approved span.
#[derive(Debug)]
pub(crate) struct OpenSpan {
    span: Span,
    run: RunId,
    call_site: &'static CallSite,
}

impl OpenSpan {
    /// Opens a span under its nearest approved ancestor or under the run. `None` if it belongs to no run.
    pub(crate) fn new(
        runs: &Runs,
        call_site: &'static CallSite,
        attributes: &Attributes<'_>,
        ancestor: Option<ParentSpan>,
    ) -> Option<Self> {
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
        Some(Self { span, run: parent.run, call_site })
    }

    /// This span as the parent of another.
    pub(crate) fn as_parent(&self) -> ParentSpan {
        ParentSpan { run: self.run, span: self.span.span_id }
    }

    pub(crate) fn call_site(&self) -> &'static CallSite {
        self.call_site
    }

    pub(crate) fn set(&mut self, values: Vec<(u8, Value)>) {
        for (position, value) in values {
            self.span.set(position, value);
        }
    }

    /// Closes the span and records it in its run.
    pub(crate) fn close(mut self, runs: &Runs) {
        self.span.end = runs.now().max(self.span.start);
        if !runs.record_span(self.run, &mut self.span) {
            runs.omit_span(self.call_site.span, OmissionReason::RunEnded);
        }
    }
}

/// The nearest approved span that this thread has entered. `None` if the subscriber is not based on a `Registry`.
pub(crate) fn entered() -> Option<ParentSpan> {
    use tracing_subscriber::Registry;
    use tracing_subscriber::registry::LookupSpan as _;

    tracing::dispatcher::get_default(|dispatch| {
        let registry = dispatch.downcast_ref::<Registry>()?;
        let span = registry.span(dispatch.current_span().id()?)?;
        span.scope().find_map(|span| span.extensions().get::<OpenSpan>().map(OpenSpan::as_parent))
    })
}

/// The approved values of a record. The caller must hold no lock or borrow, because a field's own code may use spans.
pub(crate) fn values(runs: &Runs, call_site: &CallSite, record: &Record<'_>) -> Vec<(u8, Value)> {
    let mut values = Vec::new();
    let data_points = runs.allowlist.data_points;
    record.record(&mut Visitor::new(data_points, runs.omissions(), call_site, &mut values));
    values
}
