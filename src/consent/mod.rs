//! Consent: whether this process may collect, why, and for which destination.
//!
//! `preflight` gathers the facts, beginning with the variables that opt out. `decide` turns them into a `decision`. The
//! facts are the user's `choice`, the administrator's `policy`, and the `destination` with its `endpoint`. `notice` prints
//! the first-run notice.
//!
//! Files import only files that stand further left: `user_paths` < `decision`; `endpoint` < `destination` < `choice`;
//! then `policy` < `decide` < `preflight` < `notice`.

pub(crate) mod choice;
mod decide;
mod decision;
pub(crate) mod destination;
pub(crate) mod endpoint;
pub(crate) mod notice;
pub(crate) mod policy;
pub(crate) mod preflight;
pub(crate) mod user_paths;

pub use decision::{Decision, Reason};
