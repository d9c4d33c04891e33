//! Which approved span an approved span hangs under, when children end before their parents.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use opentelemetry::trace::SpanId as SdkSpanId;
use opentelemetry_sdk::trace::SpanData;

use crate::model::span::{Span, SpanId, TraceId};

/// A span of the SDK: its trace and its own id.
pub(super) type Key = (TraceId, SpanId);

/// EndedSpan spans that are remembered, and spans that wait for one above to end. Each is as much as the SDK's own
/// batch processor queues (`OTEL_BSP_MAX_QUEUE_SIZE`), and takes some hundred bytes.
const MOST_ENDED: usize = 2048;
const MOST_WAITING: usize = 2048;

/// What is above a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Above {
    Nothing,
    /// A span of another process.
    Remote(SpanId),
    Span(Key),
}

impl Above {
    pub(super) fn of(data: &SpanData) -> Self {
        if data.parent_span_id == SdkSpanId::INVALID {
            Above::Nothing
        } else if data.parent_span_is_remote {
            Above::Remote(data.parent_span_id.to_bytes())
        } else {
            Above::Span((data.span_context.trace_id().to_bytes(), data.parent_span_id.to_bytes()))
        }
    }
}

/// Where a span belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    /// Nothing that may still come changes it.
    Known(Above),
    /// Below this span, if it turns out to be approved when it ends.
    UntilItEnds(Key),
}

#[derive(Debug, Clone, Copy)]
enum EndedSpan {
    Approved,
    Unapproved(Above),
}

/// The spans that ended, and those whose place is not known yet. Bounded: what no longer fits keeps the place that
/// it has.
#[derive(Debug, Default)]
pub(super) struct Ancestry {
    ended: HashMap<Key, EndedSpan>,
    /// The keys of `ended`, oldest first.
    order: VecDeque<Key>,
    /// By the span that each waits for.
    waiting: HashMap<Key, Vec<Span>>,
    /// How many, and since when there are any.
    count: usize,
    since: Option<Instant>,
}

impl Ancestry {
    /// Where a span belongs that has this above it.
    pub(super) fn place(&self, above: Above) -> Placement {
        let mut above = above;
        // Ids that somebody made up may go round in a circle.
        for _ in 0..=self.ended.len() {
            let Above::Span(key) = above else { return Placement::Known(above) };
            match self.ended.get(&key) {
                Some(EndedSpan::Approved) => return Placement::Known(above),
                Some(EndedSpan::Unapproved(next)) => above = *next,
                None => return Placement::UntilItEnds(key),
            }
        }
        Placement::Known(Above::Nothing)
    }

    /// Keeps a span until the one above it ends; gives it back when too many wait.
    pub(super) fn wait(&mut self, above: Key, span: Span) -> Option<Span> {
        if self.count == MOST_WAITING {
            return Some(span);
        }
        self.count += 1;
        self.since.get_or_insert_with(Instant::now);
        self.waiting.entry(above).or_default().push(span);
        None
    }

    /// A span ended. Gives the spans whose place is known by it.
    pub(super) fn ended(&mut self, key: Key, above: Above, approved: bool) -> Vec<(Span, Above)> {
        let ended = if approved { EndedSpan::Approved } else { EndedSpan::Unapproved(above) };
        if self.ended.insert(key, ended).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > MOST_ENDED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ended.remove(&oldest);
        }
        let Some(children) = self.waiting.remove(&key) else { return Vec::new() };
        match self.place(Above::Span(key)) {
            Placement::Known(place) => {
                self.left(children.len());
                children.into_iter().map(|span| (span, place)).collect()
            }
            Placement::UntilItEnds(next) => {
                self.waiting.entry(next).or_default().extend(children);
                Vec::new()
            }
        }
    }

    /// Takes out everything that waits, if something has waited for so long.
    pub(super) fn take_waiting(&mut self, at_least: Duration) -> Vec<(Span, Key)> {
        if self.since.is_none_or(|since| since.elapsed() < at_least) {
            return Vec::new();
        }
        self.left(self.count);
        let waiting = std::mem::take(&mut self.waiting);
        waiting
            .into_iter()
            .flat_map(|(above, spans)| spans.into_iter().map(move |span| (span, above)))
            .collect()
    }

    fn left(&mut self, count: usize) {
        self.count -= count;
        if self.count == 0 {
            self.since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::span::Subject;

    const TRACE: TraceId = [1; 16];

    fn key(number: u16) -> Key {
        (TRACE, (u64::from(number) + 1).to_be_bytes())
    }

    fn below(number: u16) -> Above {
        Above::Span(key(number))
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

    /// What is known of each waiting span after a span ended.
    fn end(ancestry: &mut Ancestry, number: u16, above: Above, approved: bool) -> Vec<(SpanId, Above)> {
        let found = ancestry.ended(key(number), above, approved);
        found.into_iter().map(|(span, above)| (span.span_id, above)).collect()
    }

    #[test]
    fn a_child_waits_until_an_approved_span_or_the_top_is_reached() {
        let mut ancestry = Ancestry::default();
        assert_eq!(ancestry.place(below(8)), Placement::UntilItEnds(key(8)));
        assert!(ancestry.wait(key(8), span(9)).is_none());
        assert_eq!(end(&mut ancestry, 8, below(7), false), []);
        assert_eq!(end(&mut ancestry, 7, below(6), true), [(span(9).span_id, below(7))]);
        assert!(ancestry.wait(key(5), span(10)).is_none());
        assert_eq!(
            end(&mut ancestry, 5, Above::Remote([4; 8]), false),
            [(span(10).span_id, Above::Remote([4; 8]))]
        );
        assert_eq!((ancestry.count, ancestry.since.is_none()), (0, true));
    }

    #[test]
    fn a_child_that_ends_after_its_parent_waits_for_nothing() {
        let mut ancestry = Ancestry::default();
        end(&mut ancestry, 2, below(1), false);
        assert_eq!(ancestry.place(below(2)), Placement::UntilItEnds(key(1)));
        end(&mut ancestry, 1, Above::Nothing, true);
        assert_eq!(ancestry.place(below(2)), Placement::Known(below(1)));
    }

    #[test]
    fn spans_of_two_traces_with_the_same_id_are_two() {
        let mut ancestry = Ancestry::default();
        let other = ([2; 16], key(1).1);
        ancestry.ended(other, Above::Nothing, true);
        assert_eq!(ancestry.place(below(1)), Placement::UntilItEnds(key(1)));
    }

    #[test]
    fn parents_in_a_circle_end_somewhere() {
        let mut ancestry = Ancestry::default();
        ancestry.wait(key(1), span(9));
        end(&mut ancestry, 1, below(2), false);
        assert_eq!(end(&mut ancestry, 2, below(1), false), [(span(9).span_id, Above::Nothing)]);
        assert_eq!(end(&mut ancestry, 3, below(3), false), []);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut ancestry = Ancestry::default();
        for number in 0..10_000 {
            end(&mut ancestry, number, below(number + 1), number % 2 == 0);
            let given_back = ancestry.wait(key(20_000), span(number)).is_some();
            assert_eq!(given_back, usize::from(number) >= MOST_WAITING);
        }
        assert_eq!((ancestry.ended.len(), ancestry.order.len()), (MOST_ENDED, MOST_ENDED));
        assert!(ancestry.take_waiting(Duration::from_secs(3600)).is_empty());
        assert_eq!(ancestry.take_waiting(Duration::ZERO).len(), MOST_WAITING);
        assert!(ancestry.take_waiting(Duration::ZERO).is_empty());
    }
}
