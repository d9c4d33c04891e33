//! Counts of installations: `[publish]` and `[[count]]`. A count says that a cell occurred on one installation in one
//! period, and nothing else.

use std::fmt;

/// How many counts of all tables together one installation may send in a period.
pub const MAX_COUNTS: u8 = 25;
/// How many cells a table may have. Each cell is published with noise of its own.
pub const MAX_CELLS: usize = 10_000;

/// ε of a period if `telemetry.toml` does not state it.
pub const DEFAULT_EPSILON: f64 = 2.0;
/// What ε may be. Below, noise drowns a tool of 100,000 installations; above, it hides nobody.
pub const EPSILONS: std::ops::RangeInclusive<f64> = 0.1..=8.0;

/// The library's own attribute of a failed run, which a table may count.
pub const ERROR_TYPE: &str = "error.type";
/// The values of [`ERROR_TYPE`]: an exit code that is not 0, and a process that ended without one.
pub const ERROR_TYPES: [&str; 2] = ["_OTHER", "cut_off"];
/// The version of the tool, which a table may count against its `releases`.
pub const SERVICE_VERSION: &str = "service.version";

const DAY: u64 = 24 * 60 * 60;
/// Monday, 5 January 1970, in days since the Unix epoch. Periods of four weeks begin there.
const FIRST_MONDAY: u64 = 4;

/// How long installations are counted before a result is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Period {
    /// From Monday to Sunday.
    Week,
    /// Four weeks, for a tool with fewer than about 2,000 weekly installations.
    FourWeeks,
}

impl Period {
    /// All periods and their names in `telemetry.toml`.
    pub const NAMED: [(Self, &'static str); 2] = [(Self::Week, "week"), (Self::FourWeeks, "four weeks")];

    /// Seconds in a period.
    pub const fn seconds(self) -> u64 {
        match self {
            Self::Week => 7 * DAY,
            Self::FourWeeks => 28 * DAY,
        }
    }

    /// The period's first second, a Monday 00:00 UTC. Both times are seconds since the Unix epoch. Times before Monday,
    /// 5 January 1970 belong to the first period.
    ///
    /// ```
    /// use tool_telemetry_definition::Period;
    ///
    /// let saturday = 1_795_827_600; // 28 November 2026, 01:00 UTC
    /// let monday = 1_795_392_000; // 23 November 2026, 00:00 UTC
    /// assert_eq!(Period::Week.start(saturday), monday);
    /// assert_eq!(Period::Week.start(monday), monday);
    /// assert_eq!(Period::Week.start(monday - 1), monday - 7 * 24 * 60 * 60);
    /// ```
    pub const fn start(self, time: u64) -> u64 {
        let first = FIRST_MONDAY * DAY;
        first + time.saturating_sub(first) / self.seconds() * self.seconds()
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMED[*self as usize].1)
    }
}

/// A table of cells: a `[[count]]`. A count has exactly the keys of its table as attributes, and no two tables have the
/// same keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// The keys whose values make a cell: data points for the maker, [`ERROR_TYPE`], or [`SERVICE_VERSION`].
    pub of: &'static [&'static str],
    /// How many cells of the table one installation may count in a period.
    pub at_most: u8,
    /// The values of [`SERVICE_VERSION`] that are counted. Any other counts as `other`.
    pub releases: &'static [&'static str],
    /// The values of the table's open data point that are counted. Any other counts as `other`.
    pub values: &'static [&'static str],
}

impl Count {
    /// Whether these keys are the table's, in any order.
    pub fn has_keys<'a>(&self, keys: impl Iterator<Item = &'a str> + Clone) -> bool {
        keys.clone().count() == self.of.len()
            && keys.clone().all(|key| self.of.contains(&key))
            && self.of.iter().all(|of| keys.clone().any(|key| key == *of))
    }
}
