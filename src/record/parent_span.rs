//! The parent of a span: a run, and a span in it.

use std::num::NonZeroU64;

use crate::model::span::SpanId;

/// Identifies a run in its process by the id of its root span. Several runs may share a trace id, because a process that
/// continues its parent's trace uses one for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RunId(NonZeroU64);

impl RunId {
    /// The run with this root span. Its id is never 0.
    pub(crate) fn of_root(root: SpanId) -> Self {
        Self(NonZeroU64::new(u64::from_be_bytes(root)).unwrap_or(NonZeroU64::MIN))
    }

    pub(crate) fn root(self) -> SpanId {
        self.0.get().to_be_bytes()
    }

    pub(crate) fn number(self) -> u64 {
        self.0.get()
    }

    pub(crate) fn from_number(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }
}

/// A run, and a span in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ParentSpan {
    pub(crate) run: RunId,
    pub(crate) span: SpanId,
}

impl ParentSpan {
    /// The run's root span as the parent.
    pub(crate) fn under(run: RunId) -> Self {
        Self { run, span: run.root() }
    }
}
