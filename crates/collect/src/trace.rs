//! Traces as they are kept, and how two copies of one trace are joined.

use std::sync::Arc;

use crate::shape::{Period, Role, Shape};
use crate::time::{Hour, Week};

/// 16 bytes, not all zero.
pub type TraceId = [u8; 16];
/// 8 bytes, not all zero.
pub type SpanId = [u8; 8];

/// One span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// With the trace id, it identifies the span for ever.
    pub id: SpanId,
    /// The parent's id, whether that span is here or not.
    pub parent: Option<SpanId>,
    /// The hour in which it started.
    pub hour: Hour,
    /// Nanoseconds from its start to its end.
    pub duration: u64,
    /// The rest.
    pub shape: Arc<Shape>,
}

impl Span {
    /// Whether this copy of a span says more than `other` and replaces it.
    ///
    /// A run arrives provisionally when it begins and again at its end, so the copy that lasted longer is the last
    /// word. Between equally long ones any fixed order will do: the result must not depend on the order of arrival,
    /// so that a repeated delivery changes nothing. The hour never decides: a span starts once.
    fn replaces(&self, other: &Span) -> bool {
        let order = |span: &Span| (span.duration, span.parent.is_some(), span.parent);
        (order(self), &self.shape).cmp(&(order(other), &other.shape)).is_gt()
    }
}

/// All spans of one trace id: usually one run of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The id.
    pub id: TraceId,
    /// At least one, each id once, sorted by id.
    pub spans: Vec<Span>,
}

impl Trace {
    /// A trace of these spans, of which there is at least one. Several copies of one span become one.
    pub fn new(id: TraceId, spans: Vec<Span>) -> Self {
        let mut trace = Self { id, spans: Vec::new() };
        if spans.len() == 1 {
            trace.spans = spans;
        } else {
            trace.absorb(spans);
        }
        trace
    }

    /// Adds spans of the same trace, and returns whether that changed anything.
    ///
    /// The order in which spans are absorbed does not matter, nor does absorbing one again. A count is alone in its trace:
    /// beside another span it is not absorbed, nor is a span beside it.
    pub fn absorb(&mut self, spans: Vec<Span>) -> bool {
        let mut has_changed = false;
        for span in spans {
            match self.spans.binary_search_by(|there| there.id.cmp(&span.id)) {
                Ok(place) => {
                    let there = &mut self.spans[place];
                    if may_replace(span.shape.role(), there.shape.role()) && span.replaces(there) {
                        let hour = there.hour;
                        *there = Span { hour, ..span };
                        has_changed = true;
                    }
                }
                Err(_) if !self.spans.is_empty() && (self.is_count() || span.shape.role().is_count()) => {}
                Err(place) => {
                    self.spans.insert(place, span);
                    has_changed = true;
                }
            }
        }
        has_changed
    }

    /// The week that the trace is kept under: that of its first start, or for a count the last one of its period.
    pub fn week(&self) -> Week {
        let first = self.spans.iter().map(|span| span.hour).min().unwrap_or(Hour(0)).week();
        match self.spans.first().map(|span| span.shape.role()) {
            Some(Role::Count(period)) => Week(first.0 + weeks(period) - 1),
            _ => first,
        }
    }

    /// Whether it is a count and not a run.
    pub fn is_count(&self) -> bool {
        self.spans.first().is_some_and(|span| span.shape.role().is_count())
    }
}

/// A run never becomes a count, and a count never one of another period.
fn may_replace(role: Role, there: Role) -> bool {
    role == there || !(role.is_count() || there.is_count())
}

/// The weeks of a period.
pub fn weeks(period: Period) -> u32 {
    match period {
        Period::Week => 1,
        Period::FourWeeks => 4,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::shape::{ShapeContent, Status, Value};

    pub(crate) fn shape(role: Role, name: &str, attributes: &[(&str, Value<'_>)]) -> Arc<Shape> {
        Arc::new(Shape::new(&ShapeContent {
            resource: vec![("service.name", Value::Text("frob")), ("service.version", Value::Text("1.2.0"))],
            role,
            status: Status::Unset,
            flags: 0x101,
            name,
            attributes: attributes.to_vec(),
        }))
    }

    pub(crate) fn run(id: u8, duration: u64, attributes: &[(&str, Value<'_>)]) -> Span {
        Span {
            id: [id; 8],
            parent: None,
            hour: Hour(500_000),
            duration,
            shape: shape(Role::Run, "frob", attributes),
        }
    }

    pub(crate) fn step(id: u8, parent: u8, name: &str, attributes: &[(&str, Value<'_>)]) -> Span {
        Span {
            id: [id; 8],
            parent: Some([parent; 8]),
            hour: Hour(500_000),
            duration: 5,
            shape: shape(Role::Step, name, attributes),
        }
    }

    #[test]
    fn the_last_word_wins_in_any_order_of_arrival() {
        let provisional = run(1, 0, &[]);
        let last = run(1, 900, &[("process.exit.code", Value::Int(0))]);
        let step = step(2, 1, "target", &[]);
        let expected = Trace::new([7; 16], vec![last.clone(), step.clone()]);
        for order in [
            [&provisional, &step, &last],
            [&last, &provisional, &step],
            [&step, &last, &provisional],
            [&last, &step, &last],
        ] {
            let mut trace = Trace::new([7; 16], vec![order[0].clone()]);
            trace.absorb(order[1..].iter().map(|span| (*span).clone()).collect());
            assert_eq!(trace, expected);
        }
    }

    #[test]
    fn absorbing_again_changes_nothing() {
        let mut trace = Trace::new([7; 16], vec![run(1, 900, &[]), step(2, 1, "target", &[])]);
        let again = trace.spans.clone();
        assert!(!trace.absorb(again));
        assert!(trace.absorb(vec![step(3, 1, "target", &[])]));
        assert!(trace.absorb(vec![run(1, 901, &[])]));
    }

    #[test]
    fn a_count_is_alone_in_its_trace() {
        let mut count = run(1, 0, &[]);
        count.shape = shape(Role::Count(Period::FourWeeks), "count", &[]);
        let mut second = count.clone();
        second.id = [2; 8];
        let mut trace = Trace::new([7; 16], vec![count.clone(), second.clone()]);
        assert!(!trace.absorb(vec![second.clone(), step(3, 1, "target", &[]), run(1, 900, &[])]));
        assert_eq!(trace.spans, [count.clone()]);
        assert_eq!(trace.week().0, Hour(500_000).week().0 + 3);
        let mut trace = Trace::new([7; 16], vec![run(1, 0, &[])]);
        assert!(!trace.absorb(vec![count, second]));
        assert_eq!(trace.spans, [run(1, 0, &[])]);
    }

    #[test]
    fn a_span_keeps_its_first_hour() {
        let mut trace = Trace::new([7; 16], vec![run(1, 1, &[])]);
        let mut later = run(1, 2, &[]);
        later.hour = Hour(600_000);
        assert!(trace.absorb(vec![later]));
        assert_eq!((trace.spans[0].hour, trace.spans[0].duration), (Hour(500_000), 2));
    }
}
