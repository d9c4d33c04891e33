//! The spool, which keeps runs between the end of a command and their delivery. Each destination has its own directory.
//!
//! ```text
//! <state>/<tool>/telemetry/<destination>/
//!     runs/run1-<random>.open       being written, and locked by its process
//!     runs/run1-<random>.jsonl      sealed: complete and pending
//!     outcomes/run1-<random>.<outcome>   its outcome, not counted yet
//!     sent/run1-<random>.jsonl      the last delivered runs, kept for `telemetry show`
//!     counters                      the number of runs for each outcome
//!     counts.jsonl                  what was counted in each open period, and the counts that wait; only with a `[[count]]`
//!     counters.damaged              damaged counters, after which counting began again
//!     backoff                       when to try again
//!     program.json                  the settings of a program that `tool-telemetry exec` runs, for its uploader
//!     uploader.lock                 held by the one running uploader, never deleted; lists the starts since one ended in order
//!     uploader.lease                replaces the lock on a file system without locks
//!     waiter                        exists while an uploader waits for the lock; an idle holder then releases it
//! ```
//!
//! Each step is a rename, so a kill between two steps neither counts a run twice nor loses it.
//!
//! Files import only files that stand further left: `directory` < `outcome` < `start_history` < `lock` < `run_file` <
//! `listing` < `counters` < `snapshot` < `limits` < `discard`. `backoff`, `program_file`, and `read` import none of them.

pub(crate) mod backoff;
pub(crate) mod counters;
pub(crate) mod directory;
pub(crate) mod discard;
pub(crate) mod limits;
pub(crate) mod listing;
pub(crate) mod lock;
pub(crate) mod outcome;
pub(crate) mod program_file;
pub(crate) mod read;
pub(crate) mod run_file;
pub(crate) mod snapshot;
pub(crate) mod start_history;
