//! Recording approved spans from `tracing` into the run file of a command.

pub(crate) mod call_sites;
mod fork;
pub(crate) mod layer;
pub(crate) mod open_span;
mod parent_span;
mod run;
mod runs;
pub(crate) mod trace_context;
mod visitor;

pub(crate) use parent_span::{ParentSpan, RunId};
pub(crate) use run::{EndedRun, SealedRun};
pub(crate) use runs::*;
