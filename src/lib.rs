//! Honest telemetry for command-line tools.
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate self as tool_telemetry;

mod data_points;
#[cfg(feature = "receiver")]
pub mod receiver;
mod span;
#[cfg(feature = "spool")]
mod upload;

pub use data_points::{Audience, DataPoints, MAX_DATA_POINTS, MAX_SPANS, OTHER, Publisher, Version};
pub use tool_telemetry_macros::data_points;

/// What the code made by [`data_points!`](crate::data_points!) names; nothing for people.
#[doc(hidden)]
pub mod __private {
    pub use crate::data_points::{ApprovedSpan, DataPoint, Kind};
    pub use tracing::Level;
}
