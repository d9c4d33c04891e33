//! The parts that the benchmarks share: building the tools, running a program, and inspecting its files.
//!
//! - `whole_process` measures what telemetry costs a process from start to end.
//! - `in_process` measures what one span or field costs, in time and in instructions.
//! - `uploader` measures what 10,000 pending runs cost.

pub mod figures;
pub mod program;
pub mod spool;
pub mod tools;
