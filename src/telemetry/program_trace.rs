//! [`ProgramTrace`]: the trace of a run, for the program that the run is.

use crate::consent::destination::Destination;
use crate::env::{self, Environment};
use crate::model::span::{SpanId, TraceId};
use crate::record::trace_context;

/// The trace of a run that `tool-telemetry exec` records for another program. The runs of tools that the program starts hang
/// under it.
#[derive(Debug)]
pub struct ProgramTrace {
    pub(super) destination: Destination,
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
}

impl ProgramTrace {
    /// The variables for the program with this process id.
    pub fn variables(&self, process: u32) -> Vec<(&'static str, String)> {
        let environment = Environment::process();
        let mut variables =
            trace_context::for_child(environment, &self.destination, self.trace_id, self.span_id, process);
        variables.push((env::SPAN, trace_context::traceparent(self.trace_id, self.span_id)));
        variables
    }
}
