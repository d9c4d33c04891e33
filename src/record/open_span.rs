//! An approved span while it is open.

use crate::model::data_points::Value;
use crate::model::span::Span;
use crate::record::call_sites::CallSite;
use crate::record::{ParentSpan, RunId};

/// An open approved span.
#[derive(Debug)]
pub(crate) struct OpenSpan {
    pub(super) span: Span,
    pub(super) run: RunId,
    pub(super) call_site: &'static CallSite,
}

impl OpenSpan {
    /// This span as the parent of another.
    pub(crate) fn as_parent(&self) -> ParentSpan {
        ParentSpan { run: self.run, span: self.span.span_id }
    }

    pub(crate) fn set(&mut self, values: Vec<(u8, Value)>) {
        for (position, value) in values {
            self.span.set(position, value);
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
