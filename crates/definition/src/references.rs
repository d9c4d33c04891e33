//! What the entries of a file say about each other.

use crate::fault::Report;
use crate::{Audience, DataPoint, Kind, MAX_DATA_POINTS, MAX_SPANS, RUN, Span};

/// The one key that an exit code may have: the semantic conventions' name for it.
const EXIT_CODE: &str = "process.exit.code";

/// A span and its place in the file.
#[derive(Debug)]
pub(crate) struct SpanEntry {
    pub(crate) span: Span,
    pub(crate) at: usize,
}

/// A data point and the places of what others may contradict.
#[derive(Debug)]
pub(crate) struct DataPointEntry {
    pub(crate) data_point: DataPoint,
    pub(crate) at: usize,
    pub(crate) key_at: usize,
    /// Nothing if the kind could not be read.
    pub(crate) kind_at: Option<usize>,
    pub(crate) audience_at: usize,
    /// One for each name in `on`.
    pub(crate) on_at: Vec<usize>,
}

pub(crate) fn check(spans: &[SpanEntry], data_points: &[DataPointEntry], report: &mut Report<'_>) {
    if let Some(entry) = spans.get(MAX_SPANS) {
        report.fault(entry.at, format!("this is one span more than {MAX_SPANS}; leave some out"));
    }
    if let Some(entry) = data_points.get(MAX_DATA_POINTS) {
        report.fault(entry.at, format!("this is one data point more than {MAX_DATA_POINTS}; leave some out"));
    }
    for (position, entry) in spans.iter().enumerate() {
        for earlier in &spans[..position] {
            unambiguous(entry, &earlier.span, report);
        }
    }
    // A span whose name could not be read may be the one that is meant.
    let has_all_names = spans.iter().all(|entry| !entry.span.name.is_empty());
    for (position, entry) in data_points.iter().enumerate() {
        unique(entry, &data_points[..position], report);
        if has_all_names {
            known_spans(entry, spans, report);
            audience(entry, spans, report);
        }
        run_kinds(entry, report);
    }
}

/// A span has one entry, also when the target of one contains that of the other.
fn unambiguous(entry: &SpanEntry, earlier: &Span, report: &mut Report<'_>) {
    let span = &entry.span;
    if span.name != earlier.name
        || [&span.name, &span.target, &earlier.target].iter().any(|text| text.is_empty())
    {
        return;
    }
    let is_below = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    if is_below(&span.target, &earlier.target) || is_below(&earlier.target, &span.target) {
        report.fault(
            entry.at,
            format!(
                "the span {:?} of {} has an entry already, for {}; keep one of the two",
                span.name, span.target, earlier.target
            ),
        );
    }
}

fn unique(entry: &DataPointEntry, earlier: &[DataPointEntry], report: &mut Report<'_>) {
    let key = &entry.data_point.key;
    if !key.is_empty() && earlier.iter().any(|earlier| earlier.data_point.key == *key) {
        report.fault(
            entry.key_at,
            format!(
                "`key` is {key:?}, which has an entry already; name further spans in the `on` of that one"
            ),
        );
    }
    let is_command = |entry: &DataPointEntry| matches!(entry.data_point.kind, Kind::Command(_));
    if is_command(entry) && earlier.iter().any(is_command) {
        report.fault(
            entry.kind_at.unwrap_or(entry.at),
            "a run has one command, and another data point has the kind command; use the kind set for this one",
        );
    }
}

fn known_spans(entry: &DataPointEntry, spans: &[SpanEntry], report: &mut Report<'_>) {
    for (name, &at) in entry.data_point.on.iter().zip(&entry.on_at) {
        if name != RUN && !spans.iter().any(|entry| entry.span.name == *name) {
            report.fault(
                at,
                format!("`on` names {name:?}, which is no span of this file; add a `[[span]]` for it, or use \"run\""),
            );
        }
    }
}

/// What the maker may receive must be on something that the maker receives.
fn audience(entry: &DataPointEntry, spans: &[SpanEntry], report: &mut Report<'_>) {
    let data_point = &entry.data_point;
    let mut on = spans.iter().filter(|entry| data_point.is_on(&entry.span.name)).peekable();
    if data_point.audience == Audience::Maker
        && !data_point.is_on(RUN)
        && on.peek().is_some()
        && on.all(|entry| entry.span.audience == Audience::Operator)
    {
        report.fault(
            entry.audience_at,
            "`audience` is \"maker\", but only operators receive the spans it is on; make it \"operator\", or make \
             one of the spans \"maker\"",
        );
    }
}

/// The kinds that only the run itself may have.
fn run_kinds(entry: &DataPointEntry, report: &mut Report<'_>) {
    let data_point = &entry.data_point;
    let Some(kind_at) = entry.kind_at else {
        return;
    };
    let name = match data_point.kind {
        Kind::ExitCode => "exit_code",
        Kind::Command(_) => "command",
        _ => {
            if data_point.key == EXIT_CODE {
                report.fault(
                    kind_at,
                    format!("`kind` is {:?}, but {EXIT_CODE} must be an exit_code", data_point.kind.name()),
                );
            }
            return;
        }
    };
    if name == "exit_code" && !data_point.key.is_empty() && data_point.key != EXIT_CODE {
        report.fault(
            entry.key_at,
            format!("`key` is {:?}, but an exit_code must have the key {EXIT_CODE}", data_point.key),
        );
    }
    for (span, &at) in data_point.on.iter().zip(&entry.on_at) {
        if span != RUN {
            report.fault(
                at,
                format!(
                    "`on` names {span:?}, but only the run itself has the kind {name}; use `on = [\"run\"]`"
                ),
            );
        }
    }
}
