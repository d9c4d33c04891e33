//! Checks what the entries of a file say about each other.

use super::errors::Report;
use super::table::PositionedValue;
use crate::data_points::is_at_or_below;
use crate::{ApprovedSpan, Audience, DataPoint, Kind, MAX_DATA_POINTS, MAX_SPANS, RUN};

/// The semantic conventions' key for an exit code.
const EXIT_CODE: &str = "process.exit.code";

/// A span and its position in the file.
#[derive(Debug)]
pub(super) struct SpanEntry {
    /// Its `data_points` are still empty.
    pub(super) span: ApprovedSpan,
    pub(super) at: usize,
}

/// A data point, and the positions of those values that another entry may contradict.
#[derive(Debug)]
pub(super) struct DataPointEntry<'a> {
    pub(super) data_point: DataPoint,
    pub(super) at: usize,
    pub(super) key_at: usize,
    /// `None` if the kind has an error.
    pub(super) kind_at: Option<usize>,
    pub(super) audience_at: usize,
    /// Names of spans.
    pub(super) on: Vec<PositionedValue<&'a str>>,
}

impl DataPointEntry<'_> {
    pub(super) fn is_on(&self, span: &str) -> bool {
        self.on.iter().any(|name| name.value == span)
    }
}

pub(super) fn check(spans: &[SpanEntry], data_points: &[DataPointEntry<'_>], report: &mut Report<'_>) {
    if let Some(entry) = spans.get(MAX_SPANS) {
        report.error(entry.at, format!("the file has more than {MAX_SPANS} spans; remove some"));
    }
    if let Some(entry) = data_points.get(MAX_DATA_POINTS) {
        report.error(entry.at, format!("the file has more than {MAX_DATA_POINTS} data points; remove some"));
    }
    for (position, entry) in spans.iter().enumerate() {
        for earlier in &spans[..position] {
            check_unambiguous(entry, &earlier.span, report);
        }
    }
    // `on` may mean a span whose name has an error.
    let has_all_names = spans.iter().all(|entry| !entry.span.name.is_empty());
    for (position, entry) in data_points.iter().enumerate() {
        check_unique(entry, &data_points[..position], report);
        if has_all_names {
            check_spans_exist(entry, spans, report);
            check_audience(entry, spans, report);
        }
        check_run_kind(entry, report);
    }
}

/// A span has one entry, even if the target of one contains that of the other.
fn check_unambiguous(entry: &SpanEntry, earlier: &ApprovedSpan, report: &mut Report<'_>) {
    let span = &entry.span;
    if span.name != earlier.name || [span.name, span.target, earlier.target].contains(&"") {
        return;
    }
    if is_at_or_below(span.target, earlier.target) || is_at_or_below(earlier.target, span.target) {
        report.error(
            entry.at,
            format!(
                "the span {:?} of {} already has an entry, for {}; remove one of the two",
                span.name, span.target, earlier.target
            ),
        );
    }
}

fn check_unique(entry: &DataPointEntry<'_>, earlier: &[DataPointEntry<'_>], report: &mut Report<'_>) {
    let key = entry.data_point.key;
    if !key.is_empty() && earlier.iter().any(|earlier| earlier.data_point.key == key) {
        report.error(
            entry.key_at,
            format!("`key` is {key:?}, which already has an entry; add the spans to the `on` of that entry"),
        );
    }
    let is_command = |entry: &DataPointEntry<'_>| matches!(entry.data_point.kind, Kind::Command(_));
    if is_command(entry) && earlier.iter().any(is_command) {
        report.error(
            entry.kind_at.unwrap_or(entry.at),
            "a run has one command, and another data point already has the kind command; use the kind set for this one",
        );
    }
}

fn check_spans_exist(entry: &DataPointEntry<'_>, spans: &[SpanEntry], report: &mut Report<'_>) {
    for name in &entry.on {
        if name.value != RUN && !spans.iter().any(|entry| entry.span.name == name.value) {
            report.error(
                name.at,
                format!(
                    "`on` names {:?}, which is not a span of this file; add a `[[span]]` for it, or use \"run\"",
                    name.value
                ),
            );
        }
    }
}

/// A data point for the maker must be on a span that the maker receives.
fn check_audience(entry: &DataPointEntry<'_>, spans: &[SpanEntry], report: &mut Report<'_>) {
    let mut on = spans.iter().filter(|span| entry.is_on(span.span.name)).peekable();
    if entry.data_point.audience == Audience::Maker
        && !entry.is_on(RUN)
        && on.peek().is_some()
        && on.all(|span| span.span.audience == Audience::Operator)
    {
        report.error(
            entry.audience_at,
            "`audience` is \"maker\", but only operators receive the spans in `on`; use \"operator\", or make one of \
             the spans \"maker\"",
        );
    }
}

/// Checks the kinds that only the run itself may have.
fn check_run_kind(entry: &DataPointEntry<'_>, report: &mut Report<'_>) {
    let DataPoint { key, kind, .. } = &entry.data_point;
    let Some(kind_at) = entry.kind_at else {
        return;
    };
    let is_exit_code = matches!(kind, Kind::ExitCode);
    if *key == EXIT_CODE && !is_exit_code {
        report.error(
            kind_at,
            format!("`kind` is {:?}, but {EXIT_CODE} has the kind exit_code; use that", kind.name()),
        );
    }
    if is_exit_code && !key.is_empty() && *key != EXIT_CODE {
        report.error(
            entry.key_at,
            format!("`key` is {key:?}, but the kind exit_code has the key {EXIT_CODE}; use that"),
        );
    }
    if is_exit_code || matches!(kind, Kind::Command(_)) {
        for span in entry.on.iter().filter(|span| span.value != RUN) {
            report.error(
                span.at,
                format!(
                    "`on` names {:?}, but only the run itself has the kind {}; use `on = [\"run\"]`",
                    span.value,
                    kind.name()
                ),
            );
        }
    }
}
