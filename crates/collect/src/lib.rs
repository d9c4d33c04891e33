//! Receives the runs of command-line tools over OTLP, and keeps each once. When a day is over, nothing in the store tells
//! which of its runs came from one sender.
//!
//! `docs/collect.md` explains how a server is run. The wire is read by [`tool_telemetry_receiver::wire`].
//!
//! # The way of a run
//! 1. [`server`] takes a request within its limits.
//! 2. [`judge`] removes what no telemetry.toml approves.
//! 3. [`writer`] hands all requests in its queue to the [`keeper`].
//! 4. The keeper looks in its [`index`] for what is new, counts the [`cells`], and packs a [`row`].
//! 5. The [`store`] makes all of it one durable change. Only then is each request answered.
//!
//! # Invariants
//! - Nothing unapproved, no address, no header, and no time finer than an hour gets past [`judge`].
//! - A trace is in exactly one row and not stale there. The order of arrival decides nothing.
//! - The cells are a function of the traces that are kept.
//! - A change is durable before anyone is told of it.
//!
//! A file may import the files before it in this list: `time`, `varint`, `shape`, `trace`, `row`, `cell`, `counts`,
//! `marks`, `cells`, `index`, `store`, `approvals`, `judge`, `keeper`, `store_reader`, `metrics`, `writer`, `server`,
//! `commands`.
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
