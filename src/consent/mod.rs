//! Consent: whether this process may collect, why, and for which destination.
//!
//! `preflight` gathers the facts, beginning with the variables that opt out. `decide` turns them into a `decision`. The
//! facts are the user's `choice`, the administrator's `policy`, and the `destination` with its `endpoint`. `notice` prints
//! the first-run notice.
//!
//! A file may import the files before it in this list: `user_paths`, `decision`, `endpoint`, `destination`,
//! `choice`, `policy`, `decide`, `preflight`, `notice`.

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
