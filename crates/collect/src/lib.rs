//! Receives the runs of command-line tools over OTLP, keeps each once, and keeps nothing that tells two senders apart.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod approvals;
pub mod cells;
pub mod commands;
pub mod index;
pub mod judge;
pub mod keeper;
pub mod metrics;
pub mod reading;
pub mod row;
pub mod server;
pub mod shape;
pub mod store;
pub mod time;
pub mod trace;
mod varint;
pub mod writer;
