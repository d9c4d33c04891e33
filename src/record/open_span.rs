//! An approved span from its opening to its closing.

use tracing::span::{Attributes, Record};

use crate::model::data_points::Value;
use crate::model::span::{Parent, Span, Subject};
use crate::record::call_sites::CallSite;
use crate::record::visitor::Visitor;
use crate::record::{ParentSpan, RunId, Runs};

/// An approved span that is open.
#[derive(Debug)]
pub(crate) struct OpenSpan {
    span: Span,
    run: RunId,
    call_site: &'static CallSite,
}

impl OpenSpan {
    /// Opens it below the nearest approved span above it, or below the run. Nothing if it belongs to no run.
    pub(crate) fn new(
        runs: &Runs,
        call_site: &'static CallSite,
        attributes: &Attributes<'_>,
        above: Option<ParentSpan>,
    ) -> Option<Self> {
        let place = runs.place(above)?;
        let data_points = runs.allowlist.data_points;
        let approved = &data_points.spans[usize::from(call_site.span)];
        let mut values = Vec::with_capacity(approved.data_points.len());
        attributes.record(&mut Visitor::new(data_points, call_site, &mut values));
        let start = runs.now();
        let span = Span {
            // Its run's, once it is handed over: until then nobody asks.
            trace_id: [0; 16],
            span_id: runs.new_span_id(),
            parent: Some(Parent { span_id: place.span, remote: false }),
            subject: Subject::Approved(call_site.span),
            start,
            end: start,
            values,
        };
        Some(Self { span, run: place.run, call_site })
    }

    /// Where what is opened below it hangs.
    pub(crate) fn place(&self) -> ParentSpan {
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

    /// Closes it and hands it to its run.
    pub(crate) fn close(mut self, runs: &Runs) {
        self.span.end = runs.now().max(self.span.start);
        runs.span_closed(self.run, &mut self.span);
    }
}

/// The nearest approved span that is entered in this thread. Nothing where spans are kept neither by our own subscriber
/// nor by `tracing-subscriber`'s registry.
pub(crate) fn entered() -> Option<ParentSpan> {
    use tracing_subscriber::Registry;
    use tracing_subscriber::registry::LookupSpan as _;

    tracing::dispatcher::get_default(|dispatch| {
        let registry = dispatch.downcast_ref::<Registry>()?;
        let span = registry.span(dispatch.current_span().id()?)?;
        span.scope().find_map(|span| span.extensions().get::<OpenSpan>().map(OpenSpan::place))
    })
}

/// The approved values of a record. To be called while nothing is borrowed: a field's own code may do as it likes
/// with spans.
pub(crate) fn values(runs: &Runs, call_site: &CallSite, record: &Record<'_>) -> Vec<(u8, Value)> {
    let mut values = Vec::new();
    record.record(&mut Visitor::new(runs.allowlist.data_points, call_site, &mut values));
    values
}
