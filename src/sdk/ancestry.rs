//! The nearest approved ancestor of each approved span, although children end before their parents.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use opentelemetry::trace::SpanId as SdkSpanId;
use opentelemetry_sdk::trace::SpanData;

use crate::model::span::{Span, SpanId, TraceId};

/// Identifies an SDK span: its trace id and its span id.
pub(super) type SpanKey = (TraceId, SpanId);

/// The most ended spans that are remembered, and the most spans that wait for their parent to end: as many as the SDK's
/// batch processor queues (`OTEL_BSP_MAX_QUEUE_SIZE`). Each takes a few hundred bytes.
const MAX_ENDED: usize = 2048;
const MAX_WAITING: usize = 2048;

/// The parent of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SpanParent {
    None,
    /// A span of another process.
    Remote(SpanId),
    Local(SpanKey),
}

impl SpanParent {
    pub(super) fn of(data: &SpanData) -> Self {
        if data.parent_span_id == SdkSpanId::INVALID {
            SpanParent::None
        } else if data.parent_span_is_remote {
            SpanParent::Remote(data.parent_span_id.to_bytes())
        } else {
            SpanParent::Local((data.span_context.trace_id().to_bytes(), data.parent_span_id.to_bytes()))
        }
    }
}

/// The place of a span in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    /// No later span changes it.
    Known(SpanParent),
    /// Below this span if that turns out to be approved when it ends.
    Provisional(SpanKey),
}

#[derive(Debug, Clone, Copy)]
enum EndedSpan {
    Approved,
    Unapproved(SpanParent),
}

/// The spans that ended, and the spans whose place is not known yet. A span that exceeds the bounds keeps its
/// provisional place.
#[derive(Debug, Default)]
pub(super) struct Ancestry {
    ended: HashMap<SpanKey, EndedSpan>,
    /// The keys of `ended`, oldest first.
    order: VecDeque<SpanKey>,
    /// Keyed by the span that they wait for.
    waiting: HashMap<SpanKey, Vec<Span>>,
    waiting_count: usize,
    waiting_since: Option<Instant>,
}

impl Ancestry {
    /// The place of a span with this parent.
    pub(super) fn place(&self, mut parent: SpanParent) -> Placement {
        // Invented ids may form a circle.
        for _ in 0..=self.ended.len() {
            let SpanParent::Local(key) = parent else { return Placement::Known(parent) };
            match self.ended.get(&key) {
                Some(EndedSpan::Approved) => return Placement::Known(parent),
                Some(EndedSpan::Unapproved(next)) => parent = *next,
                None => return Placement::Provisional(key),
            }
        }
        Placement::Known(SpanParent::None)
    }

    /// Keeps a span until its parent ends. Returns it if too many spans wait.
    pub(super) fn wait(&mut self, parent: SpanKey, span: Span) -> Option<Span> {
        if self.waiting_count == MAX_WAITING {
            return Some(span);
        }
        self.waiting_count += 1;
        self.waiting_since.get_or_insert_with(Instant::now);
        self.waiting.entry(parent).or_default().push(span);
        None
    }

    /// Records the end of a span. Returns the spans whose place is now known.
    pub(super) fn ended(
        &mut self,
        key: SpanKey,
        parent: SpanParent,
        approved: bool,
    ) -> Vec<(Span, SpanParent)> {
        let ended = if approved { EndedSpan::Approved } else { EndedSpan::Unapproved(parent) };
        if self.ended.insert(key, ended).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > MAX_ENDED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ended.remove(&oldest);
        }
        let Some(children) = self.waiting.remove(&key) else { return Vec::new() };
        match self.place(SpanParent::Local(key)) {
            Placement::Known(place) => {
                self.remove_waiting(children.len());
                children.into_iter().map(|span| (span, place)).collect()
            }
            Placement::Provisional(next) => {
                self.waiting.entry(next).or_default().extend(children);
                Vec::new()
            }
        }
    }

    /// Takes all waiting spans if one has waited this long.
    pub(super) fn take_waiting(&mut self, at_least: Duration) -> Vec<(Span, SpanKey)> {
        if self.waiting_since.is_none_or(|since| since.elapsed() < at_least) {
            return Vec::new();
        }
        self.remove_waiting(self.waiting_count);
        let waiting = std::mem::take(&mut self.waiting);
        waiting
            .into_iter()
            .flat_map(|(parent, spans)| spans.into_iter().map(move |span| (span, parent)))
            .collect()
    }

    fn remove_waiting(&mut self, count: usize) {
        self.waiting_count -= count;
        if self.waiting_count == 0 {
            self.waiting_since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::span::Subject;

    const TRACE: TraceId = [1; 16];

    fn key(number: u16) -> SpanKey {
        (TRACE, (u64::from(number) + 1).to_be_bytes())
    }

    fn below(number: u16) -> SpanParent {
        SpanParent::Local(key(number))
    }

    fn span(number: u16) -> Span {
        Span {
            trace_id: TRACE,
            span_id: key(number).1,
            parent: None,
            subject: Subject::Approved(0),
            start: 1,
            end: 2,
            values: Vec::new(),
        }
    }

    /// Ends a span. Returns the parents of the spans whose place is now known.
    fn end(
        ancestry: &mut Ancestry,
        number: u16,
        parent: SpanParent,
        approved: bool,
    ) -> Vec<(SpanId, SpanParent)> {
        let found = ancestry.ended(key(number), parent, approved);
        found.into_iter().map(|(span, parent)| (span.span_id, parent)).collect()
    }

    #[test]
    fn a_child_waits_until_its_nearest_approved_ancestor_is_known() {
        let mut ancestry = Ancestry::default();
        assert_eq!(ancestry.place(below(8)), Placement::Provisional(key(8)));
        assert!(ancestry.wait(key(8), span(9)).is_none());
        assert_eq!(end(&mut ancestry, 8, below(7), false), []);
        assert_eq!(end(&mut ancestry, 7, below(6), true), [(span(9).span_id, below(7))]);
        assert!(ancestry.wait(key(5), span(10)).is_none());
        assert_eq!(
            end(&mut ancestry, 5, SpanParent::Remote([4; 8]), false),
            [(span(10).span_id, SpanParent::Remote([4; 8]))]
        );
        assert_eq!((ancestry.waiting_count, ancestry.waiting_since.is_none()), (0, true));
    }

    #[test]
    fn a_child_that_ends_after_its_parent_does_not_wait_for_it() {
        let mut ancestry = Ancestry::default();
        end(&mut ancestry, 2, below(1), false);
        assert_eq!(ancestry.place(below(2)), Placement::Provisional(key(1)));
        end(&mut ancestry, 1, SpanParent::None, true);
        assert_eq!(ancestry.place(below(2)), Placement::Known(below(1)));
    }

    #[test]
    fn spans_of_two_traces_may_have_the_same_id() {
        let mut ancestry = Ancestry::default();
        let other = ([2; 16], key(1).1);
        ancestry.ended(other, SpanParent::None, true);
        assert_eq!(ancestry.place(below(1)), Placement::Provisional(key(1)));
    }

    #[test]
    fn a_circle_of_parents_has_an_end() {
        let mut ancestry = Ancestry::default();
        ancestry.wait(key(1), span(9));
        end(&mut ancestry, 1, below(2), false);
        assert_eq!(end(&mut ancestry, 2, below(1), false), [(span(9).span_id, SpanParent::None)]);
        assert_eq!(end(&mut ancestry, 3, below(3), false), []);
    }

    #[test]
    fn memory_is_bounded() {
        let mut ancestry = Ancestry::default();
        for number in 0..10_000 {
            end(&mut ancestry, number, below(number + 1), number % 2 == 0);
            let given_back = ancestry.wait(key(20_000), span(number)).is_some();
            assert_eq!(given_back, usize::from(number) >= MAX_WAITING);
        }
        assert_eq!((ancestry.ended.len(), ancestry.order.len()), (MAX_ENDED, MAX_ENDED));
        assert!(ancestry.take_waiting(Duration::from_secs(3600)).is_empty());
        assert_eq!(ancestry.take_waiting(Duration::ZERO).len(), MAX_WAITING);
        assert!(ancestry.take_waiting(Duration::ZERO).is_empty());
    }
}
