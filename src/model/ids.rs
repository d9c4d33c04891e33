//! Random ids of traces, spans, and run files.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::span::{SpanId, TraceId};

/// The ids of one process: std's keyed hash of a counter. That takes 128 random bits from the system once, and needs no
/// crate.
#[derive(Debug)]
pub(crate) struct Ids {
    keys: RandomState,
    count: AtomicU64,
}

impl Ids {
    pub(crate) fn new() -> Self {
        Self { keys: RandomState::new(), count: AtomicU64::new(0) }
    }

    pub(crate) fn number(&self) -> u64 {
        self.keys.hash_one(self.count.fetch_add(1, Ordering::Relaxed))
    }

    /// Never all zero, as the trace context specification requires.
    pub(crate) fn span_id(&self) -> SpanId {
        self.number().max(1).to_be_bytes()
    }

    /// Never all zero.
    pub(crate) fn trace_id(&self) -> TraceId {
        (u128::from(self.number()) << 64 | u128::from(self.number().max(1))).to_be_bytes()
    }

    /// The id that replaces a foreign one. It is always the same in this process, and does not reveal the foreign id.
    #[cfg(feature = "sdk")]
    pub(crate) fn span_id_for(&self, foreign: &(TraceId, SpanId)) -> SpanId {
        self.keys.hash_one(foreign).max(1).to_be_bytes()
    }

    /// The trace id that replaces a foreign one.
    #[cfg(feature = "sdk")]
    pub(crate) fn trace_id_for(&self, foreign: &TraceId) -> TraceId {
        let half = |number: u8| u128::from(self.keys.hash_one((foreign, number)));
        (half(0) << 64 | half(1).max(1)).to_be_bytes()
    }

    /// The name of a run file. It contains neither a process id nor a time.
    pub(crate) fn file_name(&self) -> u128 {
        u128::from(self.number()) << 64 | u128::from(self.number())
    }
}
