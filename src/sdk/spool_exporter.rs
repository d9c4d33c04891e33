//! The spool as an exporter of the SDK.

use std::future::{self, Future};
use std::sync::{Mutex, PoisonError};

use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use super::ancestry::{Ancestry, Placement, SpanParent};
use super::approval;
use crate::model::span::{Parent, Span, Subject};
use crate::record::{RunId, Runs};

/// Writes approved spans to the runs of this process. [`Telemetry::span_exporter`](crate::Telemetry::span_exporter)
/// creates it.
///
/// It appends to the run's file, and the uploader sends the file after the run. It always returns Ok, even if telemetry
/// is off or the run has ended, because errors of telemetry do not belong in the program's log.
///
/// - A span belongs to the command that is open when the span ends, whichever trace it comes from. A run has one trace
///   id, and its spans get new ids that cannot be traced back. Spans without an approved ancestor, and spans whose
///   parent is in another process, become children of the run. A span that ends before the first command belongs to
///   that command. A span that ends between two commands belongs to none, so a program without commands calls
///   [`Telemetry::command`](crate::Telemetry::command) around all its work.
/// - Times are clamped to those of the run.
/// - A span is on disk once it is exported, below its parent. If the parent turns out not to be approved, the span is
///   written again, and the last line wins. A span whose ancestors never end, for example in a killed process, becomes
///   a child of the run.
#[derive(Debug)]
pub struct SpoolExporter {
    runs: Option<&'static Runs>,
    ancestries: Mutex<Vec<(RunId, Ancestry)>>,
}

impl SpoolExporter {
    pub(crate) fn new(runs: Option<&'static Runs>) -> Self {
        if let Some(omissions) = runs.and_then(Runs::omissions) {
            omissions.set_has_exporter();
        }
        Self { runs, ancestries: Mutex::default() }
    }
}

impl SpanExporter for SpoolExporter {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        if let Some(runs) = self.runs
            && let Some(place) = runs.parent_for(None)
            && !runs.is_forked_child()
        {
            let mut ancestries = self.ancestries.lock().unwrap_or_else(PoisonError::into_inner);
            ancestries.retain(|(run, _)| runs.started(*run).is_some());
            let known = ancestries.iter().position(|(run, _)| *run == place.run);
            let position = known.unwrap_or_else(|| {
                ancestries.push((place.run, Ancestry::default()));
                ancestries.len() - 1
            });
            let (run, ancestry) = &mut ancestries[position];
            for data in &batch {
                record(runs, *run, ancestry, data);
            }
        }
        future::ready(Ok(()))
    }
}

fn record(runs: &Runs, run: RunId, ancestry: &mut Ancestry, data: &SpanData) {
    let Some(first) = runs.started(run) else { return };
    let key = (data.span_context.trace_id().to_bytes(), data.span_context.span_id().to_bytes());
    let parent = SpanParent::of(data);
    let subject = approval::subject(&runs.allowlist, data);
    if let Some(omissions) = runs.omissions() {
        approval::leave_out(omissions, &runs.allowlist, subject, data);
    }
    if let Some(subject) = subject {
        let place = ancestry.place(parent);
        let parent = match place {
            Placement::Known(parent) => recorded_parent(runs, run, parent),
            Placement::Provisional(parent) => recorded_parent(runs, run, SpanParent::Local(parent)),
        };
        let (start, end) = approval::times(data);
        let last = runs.now().max(first);
        let mut span = Span {
            // The run sets its own.
            trace_id: [0; 16],
            span_id: runs.span_id_for(&key),
            parent,
            subject: Subject::Approved(subject),
            start: start.clamp(first, last),
            end: end.clamp(first, last),
            values: approval::values(&runs.allowlist, subject, data),
        };
        if runs.record_span(run, &mut span)
            && let Placement::Provisional(parent) = place
        {
            // A returned span keeps its place on disk.
            let _ = ancestry.wait(parent, span);
        }
    }
    for (mut span, parent) in ancestry.ended(key, parent, subject.is_some()) {
        let parent = recorded_parent(runs, run, parent);
        if span.parent != parent {
            span.parent = parent;
            runs.move_span(run, &span);
        }
    }
}

fn recorded_parent(runs: &Runs, run: RunId, parent: SpanParent) -> Option<Parent> {
    let span_id = match parent {
        SpanParent::Local(key) => runs.span_id_for(&key),
        SpanParent::None | SpanParent::Remote(_) => run.root(),
    };
    Some(Parent { span_id, is_remote: false })
}
