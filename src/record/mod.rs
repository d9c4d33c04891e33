//! Recording: from the spans of `tracing` to the file of a run.
//!
//! 1. `layer` sees every span, and `span_recorder` asks `call_sites` whether its call site is approved.
//! 2. `visitor` reads the approved fields, which is where a value is checked.
//! 3. `open_span` holds the span until it closes, with its `parent_span`.
//! 4. `runs` finds the run of the span's command, and `run` writes the span to the run's file.
//!
//! `omissions` collects what is not recorded, if the user or a test asks.
//!
//! `trace_context` joins the trace of the parent process and of child processes. `fork` keeps a forked child from recording.

pub(crate) mod call_sites;
mod fork;
pub(crate) mod layer;
mod omissions;
pub(crate) mod open_span;
mod parent_span;
mod run;
mod run_clock;
mod runs;
mod span_recorder;
pub(crate) mod trace_context;
mod visitor;

pub(crate) use omissions::Omissions;
pub(crate) use parent_span::{ParentSpan, RunId};
pub(crate) use run::{EndedRun, SealedRun};
pub(crate) use runs::*;
