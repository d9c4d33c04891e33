//! Receives the runs of command-line tools over OTLP, keeps each once, and keeps nothing that tells two senders apart.
//!
//! `docs/collect.md` explains how a server is run. The wire is read by [`tool_telemetry_receiver::wire`].
//!
//! # The way of a run
//! [`server`] takes a request within its limits, [`judge`] removes what no telemetry.toml approves, and [`writer`] hands all
//! requests that wait to the [`keeper`], which finds out in its [`index`] what is new, counts the [`cells`], packs a
//! [`row`], and has the [`store`] make it one durable change. Only then is the request answered.
//!
//! # Invariants
//! - Nothing unapproved, no address, no header, and no time finer than an hour gets past [`judge`].
//! - A trace is in exactly one row and not stale there. The order of arrival decides nothing.
//! - The cells are a function of the traces that are kept.
//! - A change is durable before anyone is told of it.
//!
//! Imports go up this list and never down: `time`, `varint` < `shape` < `trace` < `row`, `cell`, `counts` < `marks` < `cells` < `index` < `store` <
//! `approvals` < `judge` < `keeper`, `store_reader` < `metrics`, `writer` < `server` < `commands`.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod approvals;
pub mod cell;
pub mod cells;
pub mod commands;
pub mod counts;
pub mod index;
pub mod judge;
pub mod keeper;
pub mod marks;
pub mod metrics;
pub mod row;
pub mod server;
pub mod shape;
pub mod store;
pub mod store_reader;
pub mod time;
pub mod trace;
mod varint;
pub mod writer;
