//! Honest telemetry for command-line tools.

#![cfg_attr(docsrs, feature(doc_cfg))]
// Without a transport nothing is sent, and without `spool` nothing is recorded: what would do it is never called.
#![cfg_attr(not(any(feature = "http", feature = "grpc")), allow(dead_code))]

// The code made by `data_points!` names this crate from outside, also in our own tests.
#[allow(unused_extern_crates)]
extern crate self as tool_telemetry;

mod allowlist;
#[cfg(feature = "spool")]
mod choice;
#[cfg(feature = "spool")]
pub mod command;
mod consent;
#[cfg(feature = "spool")]
mod context;
mod data_points;
mod destination;
pub mod env;
#[cfg(feature = "spool")]
mod error;
#[cfg(feature = "spool")]
mod ids;
mod layer;
#[cfg(feature = "spool")]
mod notice;
#[cfg(feature = "spool")]
mod platform;
#[cfg(feature = "spool")]
mod policy;
#[cfg(feature = "receiver")]
pub mod receiver;
mod run;
#[cfg(feature = "spool")]
mod sight;
mod span;
#[cfg(feature = "spool")]
mod spool;
#[cfg(feature = "spool")]
mod survey;
mod telemetry;
#[cfg(feature = "spool")]
mod tree;
#[cfg(feature = "spool")]
mod upload;
mod visitor;

pub use consent::{Decision, Reason};
pub use data_points::{Audience, DataPoints, MAX_DATA_POINTS, MAX_SPANS, OTHER, Publisher, Version};
pub use destination::ChosenBy;
#[cfg(feature = "spool")]
pub use error::Error;
pub use layer::TelemetryLayer;
#[cfg(feature = "spool")]
pub use spool::{counters::Outcome, discard::Deleted, limits::Limits};
pub use telemetry::{Builder, Command, CommandResult, FieldValue, InCi, Telemetry};
pub use tool_telemetry_macros::data_points;

/// What the code made by [`data_points!`](crate::data_points!) names; nothing for people.
#[doc(hidden)]
pub mod __private {
    pub use crate::data_points::{ApprovedSpan, DataPoint, Kind};
    pub use tracing::Level;
}
