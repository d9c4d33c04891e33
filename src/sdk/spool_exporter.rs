//! The spool as an exporter.

use std::future::{self, Future};
use std::sync::{Mutex, PoisonError};

use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use super::ancestry::{Above, Ancestry, Placement};
use super::approval;
use crate::model::span::{Parent, Span, Subject};
use crate::record::{RunId, Runs};

/// Puts approved spans into the runs of this process. Made by
/// [`Telemetry::span_exporter`](crate::Telemetry::span_exporter).
///
/// Nothing waits for it: it appends to the run's file, and the uploader sends that when the run is over. It always
/// answers that all is well, also when telemetry is off and when the run has ended; a fault of telemetry is no
/// business of the program's log.
///
/// - A span belongs to the command that is open when it ends, whichever trace of the SDK it comes from: a run has one
///   trace id, and the spans get ids of their own that can be led back to nothing. Spans without an approved ancestor,
///   and those whose parent is in another process, hang under the run. What ends before the first command belongs to
///   it, what ends after a command and before the next one to none: a program without commands calls
///   [`Telemetry::command`](crate::Telemetry::command) around all that it does.
/// - Times lie within the run.
/// - A span is on disk when it is exported, under the span that is above it. If that one turns out not to be approved
///   the span is written once more; the last line counts. A span whose ancestors never ended, as in a process that
///   was killed, hangs under the run.
#[derive(Debug)]
pub struct SpoolExporter {
    runs: Option<&'static Runs>,
    ancestries: Mutex<Vec<(RunId, Ancestry)>>,
}

impl SpoolExporter {
    pub(crate) fn new(runs: Option<&'static Runs>) -> Self {
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
    let above = Above::of(data);
    let subject = approval::subject(&runs.allowlist, data);
    if let Some(subject) = subject {
        let place = ancestry.place(above);
        let parent = match place {
            Placement::Known(above) => parent(runs, run, above),
            Placement::UntilItEnds(above) => parent(runs, run, Above::Span(above)),
        };
        let (start, end) = approval::times(data);
        let last = runs.now().max(first);
        let mut span = Span {
            // Its run's, once it is handed over.
            trace_id: [0; 16],
            span_id: runs.span_id_for(&key),
            parent,
            subject: Subject::Approved(subject),
            start: start.clamp(first, last),
            end: end.clamp(first, last),
            values: approval::values(&runs.allowlist, subject, data),
        };
        if runs.record_span(run, &mut span)
            && let Placement::UntilItEnds(above) = place
        {
            // Given back, it stays where it is written.
            let _ = ancestry.wait(above, span);
        }
    }
    for (mut span, above) in ancestry.ended(key, above, subject.is_some()) {
        let parent = parent(runs, run, above);
        if span.parent != parent {
            span.parent = parent;
            runs.move_span(run, &span);
        }
    }
}

fn parent(runs: &Runs, run: RunId, above: Above) -> Option<Parent> {
    let span_id = match above {
        Above::Span(key) => runs.span_id_for(&key),
        Above::Nothing | Above::Remote(_) => run.root(),
    };
    Some(Parent { span_id, remote: false })
}
