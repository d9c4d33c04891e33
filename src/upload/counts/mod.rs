//! Counts of installations: a delivered run gives cells, and each cell is counted once a period, in a span of its own.
//!
//! 1. `cells` finds the cells of a run.
//! 2. `state` decides which of them may be counted now, and remembers what was counted. It touches no file and no clock.
//! 3. `file` keeps the state of one destination in one file, which also holds the counts that wait. One rename therefore
//!    counts a cell and stores its count: a kill in between cannot lose one or count it again.
//! 4. `sending` sends the counts that are due, after the runs of another pass: each in a request and on a connection of its
//!    own.
//!
//! Only the uploader counts, under its lock, and only for the maker's destination, because only the maker publishes.

pub(crate) mod cells;
mod file;
mod sending;
mod state;

pub(crate) use file::{CountFile, InstallationCounter};
pub(crate) use state::PeriodCounts;
