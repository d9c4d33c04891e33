//! What the benchmarks share: the tools and how they are built, running a program, and what it leaves on disk.
//!
//! - `whole_process`: what telemetry costs a process from its start to its end.
//! - `in_process`: what one span or field costs, as time and as instructions.
//! - `uploader`: what 10,000 waiting runs cost.

pub mod figures;
pub mod program;
pub mod spool;
pub mod tools;
