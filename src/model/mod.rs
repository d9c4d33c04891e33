//! The data that the other rooms exchange: the author's settings, the approved data points, spans, and their ids. Nothing
//! here reads a file or the clock.

pub(crate) mod allowlist;
pub(crate) mod chosen_by;
pub(crate) mod clock;
pub(crate) mod data_points;
pub(crate) mod hex;
pub(crate) mod ids;
pub(crate) mod own_command;
pub(crate) mod settings;
pub(crate) mod span;
pub(crate) mod tree;
