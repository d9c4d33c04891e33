//! The data that the other rooms exchange: the author's settings, the approved data points, spans, and their ids. Nothing
//! here reads a file or the clock.
//!
//! `data_points` holds the content of `telemetry.toml`, and `allowlist` the part of it that applies to one run. `span` is
//! the only form in which a span is passed on, stored, and sent. `omission` says what a run did not record.

pub(crate) mod allowlist;
pub(crate) mod cell;
pub(crate) mod chooser;
pub(crate) mod clock;
pub(crate) mod coarse;
pub(crate) mod data_points;
pub(crate) mod field_value;
pub(crate) mod hex;
pub(crate) mod ids;
pub(crate) mod omission;
pub(crate) mod own_command;
pub(crate) mod settings;
pub(crate) mod span;
pub(crate) mod tree;
