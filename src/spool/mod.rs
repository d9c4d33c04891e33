//! The spool: where runs lie between the end of a command and their delivery. One folder for each destination.
//!
//! ```text
//! <state>/<tool>/telemetry/<destination>/
//!     runs/run1-<random>.open       being written; locked by its process for its whole life
//!     runs/run1-<random>.jsonl      sealed: complete, waiting
//!     outcomes/run1-<random>.<outcome>   what became of it, not counted yet
//!     sent/run1-<random>.jsonl      the last delivered runs, kept for `telemetry show`
//!     counters                      what became of all the others
//!     counters.damaged              counters that were not as we wrote them; counting began again
//!     backoff                       not before when to try again
//!     uploader.lock                 held by the one uploader at work; never deleted; names the starts that never reported
//!     uploader.lease                stands for the lock where the file system has none
//!     waiter                        somebody waits for the lock: who has nothing left to do gives it back
//! ```
//!
//! Each step is a rename, so a kill between two steps neither counts a run twice nor loses it.
//!
//! Files import only files that stand further left: `directory` < `outcome` < `start_history` < `lock` < `run_file` <
//! `listing` < `counters` < `snapshot` < `limits` < `discard`. `backoff` and `read` import none of them.

pub(crate) mod backoff;
pub(crate) mod counters;
pub(crate) mod directory;
pub(crate) mod discard;
pub(crate) mod limits;
pub(crate) mod listing;
pub(crate) mod lock;
pub(crate) mod outcome;
pub(crate) mod read;
pub(crate) mod run_file;
pub(crate) mod snapshot;
pub(crate) mod start_history;
