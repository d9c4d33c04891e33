//! The spool as an exporter.

use std::future::{self, Future};
use std::sync::{Mutex, PoisonError};

use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use super::ancestry::{Above, Ancestry, Place};
use super::approved;
use crate::run::Run;
use crate::span::{Parent, Span, Subject};

/// Puts approved spans into the run of this process. Made by
/// [`Telemetry::span_exporter`](crate::Telemetry::span_exporter).
///
/// Nothing waits for it: it appends to the run's file, and the uploader sends that when the run is over. It always
/// answers that all is well, also when telemetry is off and when the run has ended; a fault of telemetry is no
/// business of the program's log.
///
/// - All spans belong to the run, whichever trace of the SDK they come from: the run has one trace id, and the
///   spans get ids of their own that can be led back to nothing. Spans without an approved ancestor, and those whose
///   parent is in another process, hang under the run.
/// - Times lie within the run.
/// - A span is on disk when it is exported, under the span that is above it. If that one turns out not to be approved
///   the span is written once more; the last line counts. A span whose ancestors never ended, as in a process that
///   was killed, hangs under the run.
#[derive(Debug)]
pub struct SpoolExporter {
    run: Option<&'static Run>,
    ancestry: Mutex<Ancestry>,
}

impl SpoolExporter {
    pub(crate) fn new(run: Option<&'static Run>) -> Self {
        Self { run, ancestry: Mutex::default() }
    }
}

impl SpanExporter for SpoolExporter {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        if let Some(run) = self.run
            && !run.is_a_parents()
        {
            let mut ancestry = self.ancestry.lock().unwrap_or_else(PoisonError::into_inner);
            for data in &batch {
                record(run, &mut ancestry, data);
            }
        }
        future::ready(Ok(()))
    }
}

fn record(run: &Run, ancestry: &mut Ancestry, data: &SpanData) {
    let key = (data.span_context.trace_id().to_bytes(), data.span_context.span_id().to_bytes());
    let above = Above::of(data);
    let subject = approved::subject(&run.allowlist, data);
    if let Some(subject) = subject {
        let place = ancestry.place(above);
        let parent = match place {
            Place::Known(above) => parent(run, above),
            Place::UntilItEnds(above) => parent(run, Above::Span(above)),
        };
        let (start, end) = approved::times(data);
        let (first, last) = (run.started(), run.now());
        let span = Span {
            trace_id: run.trace_id(),
            span_id: run.span_id_for(&key),
            parent,
            subject: Subject::Approved(subject),
            start: start.clamp(first, last),
            end: end.clamp(first, last),
            values: approved::values(&run.allowlist, subject, data),
        };
        if run.span_closed(&span)
            && let Place::UntilItEnds(above) = place
        {
            // Given back, it stays where it is written.
            let _ = ancestry.wait(above, span);
        }
    }
    for (mut span, above) in ancestry.ended(key, above, subject.is_some()) {
        let parent = parent(run, above);
        if span.parent != parent {
            span.parent = parent;
            run.span_moved(&span);
        }
    }
}

fn parent(run: &Run, above: Above) -> Option<Parent> {
    let span_id = match above {
        Above::Span(key) => run.span_id_for(&key),
        Above::Nothing | Above::Remote(_) => run.root_id(),
    };
    Some(Parent { span_id, remote: false })
}
