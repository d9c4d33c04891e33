//! [`Cell`]: a number of runs.

use crate::time::Week;

/// A cell of one table of one tool in one week.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cell {
    /// `service.name`.
    pub tool: String,
    /// The week.
    pub week: Week,
    /// The table.
    pub table: String,
    /// The values, as a JSON array.
    pub values: String,
}
