//! The types that a tool's author uses.
//!
//! Files import only files that stand further left: `command_result`, `foreign_span`, `program_trace`, `standard`,
//! `explanation` < `preview` < `recording` < `guard` < `handle` < `start` < `builder`.

mod builder;
mod command_result;
mod explanation;
mod foreign_span;
mod guard;
mod handle;
mod preview;
mod program_trace;
mod recording;
mod standard;
mod start;

pub use builder::Builder;
pub use command_result::CommandResult;
pub use foreign_span::ForeignSpan;
pub use guard::CommandGuard;
pub use handle::Telemetry;
pub(crate) use preview::PreviewedRun;
pub use program_trace::ProgramTrace;
