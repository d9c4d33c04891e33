//! The trace that this process belongs to, from its starter's environment and into its children's.

use crate::destination::ChosenBy;
use crate::env::{self, Environment};
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

/// Reads a `traceparent` (W3C Trace Context, "traceparent Header Field Values"); nothing if it is malformed.
pub(crate) fn parse(text: &str) -> Option<(TraceId, SpanId)> {
    let mut parts = text.split('-');
    let version = hex::<1>(parts.next()?)?;
    let trace_id = hex::<16>(parts.next()?)?;
    let span_id = hex::<8>(parts.next()?)?;
    hex::<1>(parts.next()?)?;
    // Version 0 has exactly four parts; a later one may have more; 255 is forbidden.
    let well_formed = version != [255] && (version != [0] || parts.next().is_none());
    (well_formed && trace_id != [0; 16] && span_id != [0; 8]).then_some((trace_id, span_id))
}

/// Lower-case digits only, as the specification demands.
fn hex<const LENGTH: usize>(text: &str) -> Option<[u8; LENGTH]> {
    let digits = text.as_bytes();
    let well_formed =
        digits.len() == 2 * LENGTH && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if !well_formed {
        return None;
    }
    let mut bytes = [0; LENGTH];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let value = |digit: u8| char::from(digit).to_digit(16);
        *byte = (value(pair[0])? << 4 | value(pair[1])?) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

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
