//! What a run did not record, and why.
//!
//! An [`Omission`] names spans and keys of the tool's own code. It has no field for a value, so that its text can be shown
//! and pasted anywhere.

use std::fmt;

use super::data_points::{ApprovedSpan, Audience, DataPoint, Kind, Level, Version};
use super::field_value::ValueType;

/// Something that a run did not record, or recorded as `other`.
///
/// Its text says what to change, with the lines of `telemetry.toml`. It never contains a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Omission {
    pub(crate) item: OmittedItem,
    pub(crate) reason: OmissionReason,
    /// How often it happened.
    pub(crate) times: u32,
    /// The tool's version, which a new entry names.
    version: &'static str,
}

/// What was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OmittedItem {
    /// All spans.
    Spans,
    Span {
        name: String,
        target: String,
        level: Level,
    },
    Value {
        key: String,
        /// The name of its span, or of the run.
        span: String,
        /// The type that the code records.
        offered: ValueType,
    },
}

/// Why something was not recorded. Later versions may add reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OmissionReason {
    /// `telemetry.toml` does not approve it. It may approve something with a similar name.
    NotApproved {
        /// The approved name that is most similar.
        similar: Option<&'static str>,
    },
    /// The span is approved for another target.
    OtherTarget {
        /// The target that is approved.
        approved: &'static str,
    },
    /// The span is more verbose than the approved level.
    TooVerbose,
    /// The data point is approved, but not on this span.
    NotOnSpan,
    /// Its audience is `operator`, and the destination is the author's.
    OnlyForOperators,
    /// The tool's version is not before its `until`.
    Expired {
        /// Its `until`.
        until: Version,
    },
    /// The machine's policy does not allow it.
    Policy,
    /// The value's type does not fit the data point's kind.
    WrongType {
        /// The name of the kind.
        kind: &'static str,
    },
    /// The number is outside of the range.
    OutOfRange {
        /// The smallest number.
        min: i64,
        /// The largest number.
        max: i64,
    },
    /// The value is not in the closed list, so `other` was recorded.
    Other {
        /// The name of the kind.
        kind: &'static str,
    },
    /// The library records it by itself.
    SetByLibrary,
    /// No command was open when the span was opened.
    NoCommand,
    /// The span's run had ended, or was full.
    RunEnded,
    /// No subscriber has the telemetry layer.
    NoLayer,
    /// Several layers were added, and they record each span only once.
    SeveralLayers,
    /// A filter of the whole subscriber hides the span from every layer.
    HiddenByFilter,
    /// A feature of the crate `tracing` removes the span at compile time.
    HiddenByFeature,
}

impl Omission {
    pub(crate) fn new(item: OmittedItem, reason: OmissionReason, version: &'static str) -> Self {
        Self { item, reason, times: 1, version }
    }

    /// The name of the span, or the key. Empty if all spans are concerned.
    pub fn name(&self) -> &str {
        match &self.item {
            OmittedItem::Spans => "",
            OmittedItem::Span { name, .. } => name,
            OmittedItem::Value { key, .. } => key,
        }
    }

    /// Why it was left out.
    pub fn reason(&self) -> &OmissionReason {
        &self.reason
    }

    /// The crate that a span comes from.
    pub(crate) fn crate_name(&self) -> Option<&str> {
        match &self.item {
            OmittedItem::Span { target, .. } => target.split("::").next(),
            OmittedItem::Spans | OmittedItem::Value { .. } => None,
        }
    }
}

impl OmissionReason {
    /// Why an entry does not apply to a run.
    fn of_entry(audience: Audience, until: Option<Version>, is_for_operator: bool, tool: &str) -> Self {
        if audience == Audience::Operator && !is_for_operator {
            return Self::OnlyForOperators;
        }
        match until {
            Some(until) if Version::parse(tool).is_none_or(|tool| tool >= until) => Self::Expired { until },
            _ => Self::Policy,
        }
    }

    pub(crate) fn of_span(span: &ApprovedSpan, is_for_operator: bool, tool: &str) -> Self {
        Self::of_entry(span.audience, span.until, is_for_operator, tool)
    }

    pub(crate) fn of_data_point(data_point: &DataPoint, is_for_operator: bool, tool: &str) -> Self {
        Self::of_entry(data_point.audience, data_point.until, is_for_operator, tool)
    }

    /// Why a data point did not admit a value of this type.
    pub(crate) fn of_value(data_point: &DataPoint, offered: ValueType) -> Self {
        match data_point.kind {
            Kind::Integer { min, max } if offered == ValueType::Integer => Self::OutOfRange { min, max },
            kind => Self::WrongType { kind: kind.name() },
        }
    }
}

impl fmt::Display for Omission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.item {
            OmittedItem::Spans => f.write_str("all spans")?,
            OmittedItem::Span { name, target, .. } => write!(f, "span `{name}` of `{target}`")?,
            OmittedItem::Value { key, span, .. } => write!(f, "`{key}` on `{span}`")?,
        }
        if self.times > 1 {
            write!(f, " ({} times)", self.times)?;
        }
        f.write_str(": ")?;
        self.explain(f)
    }
}

impl Omission {
    /// The reason as a sentence, and what to do.
    fn explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            OmissionReason::NotApproved { similar } => {
                match similar {
                    Some(similar) => {
                        write!(f, "not approved, but `{similar}` is. Correct the name, or add")?;
                    }
                    None => f.write_str("not approved. Add")?,
                }
                f.write_str(" to telemetry.toml:")?;
                self.write_entry(f)
            }
            OmissionReason::OtherTarget { approved } => {
                let OmittedItem::Span { target, .. } = &self.item else { return Ok(()) };
                write!(
                    f,
                    "approved only for the target `{approved}`. Change its entry:\n    target = \"{target}\""
                )
            }
            OmissionReason::TooVerbose => {
                let OmittedItem::Span { level, .. } = &self.item else { return Ok(()) };
                write!(f, "more verbose than approved. Change its entry:\n    level = \"{level}\"")
            }
            OmissionReason::NotOnSpan => {
                let OmittedItem::Value { span, .. } = &self.item else { return Ok(()) };
                write!(f, "approved, but not there. Add to `on` of its entry:\n    on = [\"{span}\"]")
            }
            OmissionReason::OnlyForOperators => f.write_str(
                "only operators receive it. Change its entry, and raise `since`:\n    audience = \"maker\"",
            ),
            OmissionReason::Expired { until } => {
                write!(f, "not recorded from version {until} on. Change its entry:\n    until = \"never\"")
            }
            OmissionReason::Policy => f.write_str("this machine's policy does not allow it."),
            OmissionReason::WrongType { kind } => self.explain_type(f, kind),
            OmissionReason::OutOfRange { min, max } => {
                write!(
                    f,
                    "a number outside of {min} to {max}. Change its entry:\n    min = {min}\n    max = {max}"
                )
            }
            OmissionReason::Other { kind: "command" | "set" } => {
                write!(
                    f,
                    "a value that is not listed became `other`. Add it to its entry:\n    values = [\"…\"]"
                )
            }
            OmissionReason::Other { kind } => {
                write!(f, "a text that does not fit the kind {kind} became `other`.")
            }
            OmissionReason::SetByLibrary => f.write_str("the library records it. Remove the call."),
            OmissionReason::NoCommand => {
                f.write_str("no command was open. Open the span inside of `telemetry.command(…)`.")
            }
            OmissionReason::RunEnded => {
                f.write_str("its run had ended or was full. Close the span before the command ends.")
            }
            OmissionReason::NoLayer => f.write_str(
                "the layer is missing. Add to `main`, after `start()`:\n    \
                 tracing_subscriber::registry().with(telemetry.layer()).init();",
            ),
            OmissionReason::SeveralLayers => {
                f.write_str("several telemetry layers were added, but one records all. Remove the others.")
            }
            OmissionReason::HiddenByFilter => f.write_str(
                "a filter of the whole subscriber hides it. Let it filter only the log:\n    \
                 registry().with(telemetry.layer()).with(fmt::layer().with_filter(filter))",
            ),
            OmissionReason::HiddenByFeature => f.write_str(
                "compiled out by a `max_level_…` feature of the crate tracing. Remove the feature.",
            ),
        }
    }

    fn explain_type(&self, f: &mut fmt::Formatter<'_>, kind: &str) -> fmt::Result {
        let OmittedItem::Value { offered, .. } = &self.item else { return Ok(()) };
        let (found, line) = match offered {
            ValueType::Bool => ("a flag", "kind = \"bool\""),
            ValueType::Integer => ("an integer", "kind = \"integer\""),
            ValueType::Text => ("a text", "kind = \"set\""),
            ValueType::Fraction => {
                return write!(f, "a fraction, but its kind is {kind}. Record a whole number.");
            }
            ValueType::Error => {
                return write!(f, "an error, but its kind is {kind}. Record one of a closed list.");
            }
        };
        write!(f, "{found}, but its kind is {kind}. Record another type, or change its entry:\n    {line}")
    }

    /// The lines that would approve it.
    fn write_entry(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.item {
            OmittedItem::Spans => {}
            OmittedItem::Span { name, target, level } => {
                write!(f, "\n    [[span]]\n    name = \"{name}\"\n    target = \"{target}\"")?;
                if *level > Level::Info {
                    write!(f, "\n    level = \"{level}\"")?;
                }
            }
            OmittedItem::Value { key, span, offered } => {
                write!(f, "\n    [[data_point]]\n    key = \"{key}\"\n    on = [\"{span}\"]")?;
                f.write_str(match offered {
                    ValueType::Bool => "\n    kind = \"bool\"",
                    ValueType::Integer | ValueType::Fraction => {
                        "\n    kind = \"integer\"\n    min = 0\n    max = 1000"
                    }
                    ValueType::Text | ValueType::Error => "\n    kind = \"set\"\n    values = [\"…\"]",
                })?;
            }
        }
        f.write_str("\n    sentence = \"…\"\n    why = \"…\"\n    audience = \"maker\"")?;
        write!(f, "\n    since = \"{}\"\n    until = \"never\"", self.version)
    }
}

/// The name among `known` that is most similar, if one is similar enough to be meant.
pub(crate) fn most_similar(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let limit = 1 + name.len() / 6;
    known
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| (1..=limit).contains(distance))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many bytes must be inserted, removed, replaced, or swapped with the next one (optimal string alignment).
fn distance(one: &str, other: &str) -> usize {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for row in 1..=one.len() {
        let mut next = vec![row];
        for column in 1..=other.len() {
            let is_same = one[row - 1] == other[column - 1];
            let mut best =
                (last[column - 1] + usize::from(!is_same)).min(last[column] + 1).min(next[column - 1] + 1);
            let is_swapped = row > 1
                && column > 1
                && one[row - 1] == other[column - 2]
                && one[row - 2] == other[column - 1];
            if is_swapped {
                best = best.min(before_last[column - 2] + 1);
            }
            next.push(best);
        }
        before_last = std::mem::replace(&mut last, next);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_similar_and_another_word_is_not() {
        let similar = |name| most_similar(name, ["frob.number", "frob.color", "frob.cached"].into_iter());
        assert_eq!(similar("frob.nubmer"), Some("frob.number"));
        assert_eq!(similar("frob.colour"), Some("frob.color"));
        assert_eq!(similar("frob_color"), Some("frob.color"));
        assert_eq!(similar("path"), None);
        assert_eq!(similar("frob.threads"), None);
        assert_eq!(similar("frob.color"), None, "the name itself is no typo");
    }
}
