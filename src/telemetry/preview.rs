//! Prints a run: `<TOOL>_TELEMETRY=log`, `=trace`, and `=explain`.

use std::fmt::Write as _;
use std::io::Write as _;

use super::explanation;
use crate::consent::Decision;
use crate::consent::destination::Destination;
use crate::env::ModeOverride;
use crate::model::data_points::DataPoints;
use crate::model::hex;
use crate::model::omission::Omission;
use crate::model::settings::Settings;
use crate::model::span::{LineWriter, Span, Tool};
use crate::model::tree;
use crate::upload::counts::cells;

/// How the user wants to see the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preview {
    /// `log`: the OTLP that would be sent.
    Otlp,
    /// `trace`: a tree.
    Tree,
    /// `explain`: a tree, and what was left out.
    Explanation,
    /// Nothing is printed, and a test gets the run.
    Capture,
}

/// A run that ended, as it is previewed.
#[derive(Debug)]
pub(crate) struct PreviewedRun {
    /// The run's own span comes first. Empty if the run was discarded.
    pub(crate) spans: Vec<Span>,
    pub(crate) omissions: Vec<Omission>,
    /// Whether it is also stored.
    pub(crate) is_stored: bool,
    /// Whether installations may be counted by it.
    pub(crate) is_countable: bool,
}

impl Preview {
    pub(crate) fn from_mode(mode_override: ModeOverride) -> Option<Self> {
        match mode_override {
            ModeOverride::Log => Some(Preview::Otlp),
            ModeOverride::Trace => Some(Preview::Tree),
            ModeOverride::Explain => Some(Preview::Explanation),
            ModeOverride::None | ModeOverride::Off | ModeOverride::Unrecognized | ModeOverride::Otlp => None,
        }
    }

    /// Prints the run to stderr in one write, possibly while the process exits. The trace id is printed only if the run
    /// is stored, because otherwise it never arrives.
    pub(crate) fn show(
        self,
        settings: &Settings,
        decision: &Decision,
        destination: Option<&Destination>,
        run: &PreviewedRun,
    ) {
        let PreviewedRun { spans, omissions, is_stored, is_countable } = run;
        let Some(data_points) = settings.data_points else {
            return;
        };
        let name = settings.name;
        let mut text = String::new();
        match self {
            Preview::Otlp if decision.is_on => {
                let origin = destination.map(Destination::origin).unwrap_or_default();
                let _ = writeln!(text, "{name} telemetry: this would be sent to {origin}:");
                let content_hash = Some(data_points.content_hash);
                let tool = Tool { name, version: settings.version, content_hash };
                text.push_str(&LineWriter::new(data_points, tool).text(spans));
                text.push_str(&Self::counts(settings, data_points, spans, *is_countable));
            }
            Preview::Otlp => {
                let _ = writeln!(text, "{name} telemetry: nothing would be sent: {}", decision.reason);
            }
            Preview::Tree => {
                text.push_str(&tree::render(spans, data_points, name, false));
                if let (true, Some(destination), Some(run)) = (*is_stored, destination, spans.first()) {
                    let id = hex::text(&run.trace_id);
                    let _ = writeln!(text, "trace {id} goes to {}", destination.origin());
                }
            }
            Preview::Explanation => {
                text = explanation::of_run(settings, data_points, spans, omissions);
                explanation::push_destination(decision, destination, &mut text);
            }
            Preview::Capture => return,
        }
        print(&text);
    }

    /// The counts of installations that the run could cause. The uploader decides which of them are new.
    fn counts(settings: &Settings, data_points: &DataPoints, spans: &[Span], is_countable: bool) -> String {
        let cells =
            if is_countable { cells::of_run(settings.version, spans, data_points) } else { Vec::new() };
        let Some(period) = data_points.period.filter(|_| !cells.is_empty()) else { return String::new() };
        let mut text = format!(
            "{} telemetry: each of these is also counted, at most once per period ({period}), in a span of its own:\n",
            settings.name,
        );
        for cell in cells {
            let _ = writeln!(text, "{}", cell.text());
        }
        text
    }
}

/// Prints to stderr in one write.
pub(super) fn print(text: &str) {
    // A closed stderr is the user's choice.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
