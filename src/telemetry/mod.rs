//! The types that a tool's author uses.
//!
//! A file may import the files before it in this list: `command_result`, `standard`, `explanation`, `preview`,
//! `recording`, `guard`, `handle`, `start`, `builder`.

mod builder;
mod command_result;
mod explanation;
mod guard;
mod handle;
mod preview;
mod recording;
mod standard;
mod start;

pub use builder::Builder;
pub use command_result::CommandResult;
pub use guard::CommandGuard;
pub use handle::Telemetry;
pub(crate) use preview::PreviewedRun;
