//! A run as text: an indented tree with durations and data points.

use std::fmt::Write as _;

use crate::model::data_points::DataPoints;
use crate::model::span::{self, Ending, Span, SpanId, Subject};

/// Renders the spans of one run. The run's own span comes first, and children follow in the order of their starts.
///
/// `is_running` comes from the run's process. A span cannot tell: if the exit code is not approved, the span of a run that
/// ended looks the same.
pub(crate) fn render(
    spans: &[Span],
    data_points: &'static DataPoints,
    tool: &str,
    is_running: bool,
) -> String {
    let mut tree = Tree { spans, data_points, tool, is_running, out: String::new() };
    if let Some(run) = spans.first() {
        tree.span(run, 0);
    }
    tree.out
}

/// Deeper spans are not rendered, which limits the indentation and the stack.
const MAX_DEPTH: usize = 64;

struct Tree<'a> {
    spans: &'a [Span],
    data_points: &'static DataPoints,
    tool: &'a str,
    is_running: bool,
    out: String,
}

impl<'a> Tree<'a> {
    fn span(&mut self, span: &'a Span, depth: usize) {
        let _ = write!(self.out, "{:depth$}", "", depth = 2 * depth);
        let _ = span.write_name(self.tool, self.data_points, &mut self.out);
        let _ = write!(self.out, "  {}", duration(span));
        if let Subject::Run(ending) = span.subject {
            let _ = write!(self.out, "  {} = {}", span::EXECUTABLE_NAME, self.tool);
            match (ending, self.data_points.exit_code()) {
                (Some(Ending::Exited(code)), Some(position)) => {
                    let key = self.data_points.data_points[usize::from(position)].key;
                    let _ = write!(self.out, "  {key} = {code}");
                }
                _ if self.is_running => self.out.push_str("  (running)"),
                _ => {}
            }
            if let Some(error_type) = ending.and_then(Ending::error_type) {
                let _ = write!(self.out, "  {} = {error_type}", span::ERROR_TYPE);
            }
        }
        for (position, value) in &span.values {
            let data_point = &self.data_points.data_points[usize::from(*position)];
            let _ = write!(self.out, "  {} = ", data_point.key);
            let _ = data_point.render(value, &mut self.out);
        }
        self.out.push('\n');
        if depth < MAX_DEPTH {
            for child in self.children(span.span_id) {
                self.span(child, depth + 1);
            }
        }
    }

    fn children(&self, parent: SpanId) -> Vec<&'a Span> {
        let mut children: Vec<_> = self
            .spans
            .iter()
            .enumerate()
            .skip(1)
            .filter(|(_, span)| span.parent.is_some_and(|found| found.span_id == parent))
            .collect();
        children.sort_unstable_by_key(|(position, span)| (span.start, *position));
        children.into_iter().map(|(_, span)| span).collect()
    }
}

/// Three digits and a unit.
fn duration(span: &Span) -> String {
    let nanoseconds = span.end.saturating_sub(span.start);
    let (one, unit) = match nanoseconds {
        1_000_000_000.. => (1_000_000_000, "s"),
        1_000_000.. => (1_000_000, "ms"),
        _ => (1_000, "µs"),
    };
    // Integers, because the code that formats floats is 11 KB and nothing else needs it.
    let rounded = |step: u64| (nanoseconds + step / 2) / step;
    let whole = nanoseconds / one;
    if whole >= 100 {
        format!("{} {unit}", rounded(one))
    } else if whole >= 10 {
        let tenths = rounded(one / 10);
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    } else {
        let hundredths = rounded(one / 100);
        format!("{}.{:02} {unit}", hundredths / 100, hundredths % 100)
    }
}

#[cfg(all(test, feature = "http", feature = "grpc"))]
mod tests {
    use super::*;
    use crate::fixtures::{DATA_POINTS, spans};

    #[test]
    fn a_run_that_ended_without_an_exit_code_is_not_running() {
        let run = &spans()[..1];
        assert!(!render(run, &DATA_POINTS, "weave", false).contains("running"));
        assert!(render(run, &DATA_POINTS, "weave", true).contains("(running)"));
    }
}
