//! The trace that this process belongs to, from its starter's environment and into its children's.

use crate::destination::ChosenBy;
use crate::env::{self, Environment};
use crate::hexadecimal;
use crate::span::{SpanId, TraceId};

/// The run or span that started this process. A foreign trace id is followed only to a destination that an
/// operator chose; to the maker only one of our own tools' is, since a trace id of somebody's own system would
/// tell more than was approved. `TRACESTATE` is never read.
pub(crate) fn parent(environment: Environment<'_>, chosen_by: ChosenBy) -> Option<(TraceId, SpanId)> {
    let read = |name| environment.text(name).and_then(|text| parse(&text));
    match chosen_by {
        ChosenBy::Operator => read(env::TRACEPARENT).or_else(|| read(env::PARENT)),
        ChosenBy::Maker => read(env::PARENT),
    }
}

/// What a child of this process gets in its environment. One variable and not both: a trace id that may have come
/// from somebody else's `TRACEPARENT` must not reach a maker through a child of ours.
pub(crate) fn for_child(
    environment: Environment<'_>,
    chosen_by: ChosenBy,
    trace_id: TraceId,
    span_id: SpanId,
) -> Vec<(&'static str, String)> {
    let parent = format!("00-{}-{}-01", hexadecimal::text(&trace_id), hexadecimal::text(&span_id));
    match chosen_by {
        ChosenBy::Maker => vec![(env::PARENT, parent)],
        ChosenBy::Operator if environment.raw(env::TRACESTATE).is_some() => {
            vec![(env::TRACEPARENT, parent), (env::TRACESTATE, String::new())]
        }
        ChosenBy::Operator => vec![(env::TRACEPARENT, parent)],
    }
}

/// Reads a `traceparent` (W3C Trace Context, "traceparent Header Field Values"); nothing if it is malformed.
pub(crate) fn parse(text: &str) -> Option<(TraceId, SpanId)> {
    let mut parts = text.split('-');
    let version = hexadecimal::parse::<1>(parts.next()?)?;
    let trace_id = hexadecimal::parse::<16>(parts.next()?)?;
    let span_id = hexadecimal::parse::<8>(parts.next()?)?;
    hexadecimal::parse::<1>(parts.next()?)?;
    // Version 0 has exactly four parts; a later one may have more; 255 is forbidden.
    let well_formed = version != [255] && (version != [0] || parts.next().is_none());
    (well_formed && trace_id != [0; 16] && span_id != [0; 8]).then_some((trace_id, span_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOREIGN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const OURS: &str = "00-0000000000000000000000000000000a-000000000000000b-01";

    fn look_up(name: &str) -> Option<std::ffi::OsString> {
        match name {
            env::TRACEPARENT => Some(FOREIGN.into()),
            env::TRACESTATE => Some("vendor=anna".into()),
            _ => None,
        }
    }

    fn id<const LENGTH: usize>(last: u8) -> [u8; LENGTH] {
        let mut id = [0; LENGTH];
        id[LENGTH - 1] = last;
        id
    }

    #[test]
    fn a_foreign_parent_is_followed_to_an_operator_only() {
        let environment = Environment::new(&look_up);
        assert_eq!(parent(environment, ChosenBy::Operator), parse(FOREIGN));
        assert_eq!(parent(environment, ChosenBy::Maker), None);
    }

    #[test]
    fn a_child_gets_one_variable_and_no_trace_state() {
        let environment = Environment::new(&look_up);
        let child = |environment, chosen_by| for_child(environment, chosen_by, id(0xa), id(0xb));
        assert_eq!(child(environment, ChosenBy::Maker), [(env::PARENT, OURS.to_owned())]);
        assert_eq!(
            child(environment, ChosenBy::Operator),
            [(env::TRACEPARENT, OURS.to_owned()), (env::TRACESTATE, String::new())]
        );
        let nothing = Environment::new(&|_| None);
        assert_eq!(child(nothing, ChosenBy::Operator), [(env::TRACEPARENT, OURS.to_owned())]);
    }

    #[test]
    fn without_a_run_a_child_gets_nothing() {
        let telemetry = crate::Telemetry::builder("no such name", "1.0.0").start();
        assert_eq!(telemetry.child_environment().count(), 0);
    }

    #[test]
    fn what_a_child_gets_it_reads() {
        for (chosen_by, variable) in [(ChosenBy::Maker, env::PARENT), (ChosenBy::Operator, env::TRACEPARENT)]
        {
            let look_up = |name: &str| (name == variable).then(|| OURS.into());
            assert_eq!(parent(Environment::new(&look_up), chosen_by), Some((id(0xa), id(0xb))));
        }
    }

    #[test]
    fn malformed_parents_are_ignored() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(parse(good).is_some());
        assert!(parse("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more").is_some());
        for text in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0é",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
