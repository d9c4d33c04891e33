//! [`ForeignSpan`]: a span that another process measured.

use crate::model::allowlist::Allowlist;
use crate::model::span::{Parent, Span, SpanId, Subject, TraceId};

/// A span of a program that `tool-telemetry exec` runs.
#[derive(Debug, Clone, Copy)]
pub struct ForeignSpan<'a> {
    /// Its name. The target does not matter, because the program has no modules that we know.
    pub name: &'a str,
    /// Its id, which is not zero.
    pub id: [u8; 8],
    /// The span that it is part of. `None` for the run.
    pub parent: Option<[u8; 8]>,
    /// Nanoseconds since the Unix epoch.
    pub start: u64,
    /// Nanoseconds since the Unix epoch.
    pub end: u64,
    /// Its data points, unchecked.
    pub values: &'a [(String, String)],
}

impl ForeignSpan<'_> {
    /// What is approved of the span. `None` if it is not approved itself.
    pub(super) fn approved(&self, allowlist: &Allowlist, trace_id: TraceId, root: SpanId) -> Option<Span> {
        let data_points = allowlist.data_points;
        let is_named = |position: &u8| data_points.spans[usize::from(*position)].name == self.name;
        let position = (0..data_points.spans.len() as u8)
            .filter(is_named)
            .find(|position| allowlist.has_span(*position))?;
        let is_id = |id: &SpanId| *id != [0; 8];
        let mut span = Span {
            trace_id,
            span_id: Some(self.id).filter(is_id)?,
            parent: Some(Parent { span_id: self.parent.filter(is_id).unwrap_or(root), is_remote: false }),
            subject: Subject::Approved(position),
            start: self.start.max(1),
            end: self.end.max(self.start).max(1),
            values: Vec::new(),
        };
        for (key, text) in self.values {
            let allowed = data_points.spans[usize::from(position)].data_points;
            let Some(key) = data_points.key_among(allowed, key).filter(|key| allowlist.has_data_point(*key))
            else {
                continue;
            };
            if let Some(value) = data_points.data_points[usize::from(key)].admit_text(text) {
                span.set(key, value);
            }
        }
        Some(span)
    }
}
