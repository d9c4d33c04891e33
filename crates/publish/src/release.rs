//! What a file of the ledger says. It never changes: a mistake is corrected or withdrawn by a later file.

use serde::{Deserialize, Serialize};

/// A file of the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Entry {
    /// What is published of a period.
    Release(Release),
    /// The withdrawal of an earlier release.
    Withdrawal(Withdrawal),
}

/// The withdrawal of an earlier release. The release's file is deleted, and its period can only be released again as a
/// correction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withdrawal {
    /// The format of this file: 1.
    pub format: u32,
    /// The tool.
    pub tool: String,
    /// The first day of the period of the withdrawn release.
    pub start: String,
    /// Days in that period: 7 or 28.
    pub days: u32,
    /// The number of the withdrawn release: 1, or 2 for a correction.
    pub number: u32,
    /// Why it was withdrawn.
    pub reason: String,
    /// ρ of the withdrawn release, which stays spent.
    pub rho: f64,
    /// The day of the withdrawal in UTC.
    pub withdrawn: String,
    /// SHA-256 of the ledger's file before this one, in hexadecimal.
    pub previous: Option<String>,
    /// The name of the withdrawn file.
    pub file: String,
    /// SHA-256 of the withdrawn file, in hexadecimal, so that the chain can still be checked without it.
    pub sha256: String,
}

/// What is published of one tool and one period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// The format of this file: 1.
    pub format: u32,
    /// The tool.
    pub tool: String,
    /// The first day of the period in UTC, a Monday, such as `2026-11-23`.
    pub start: String,
    /// Days in the period: 7 or 28.
    pub days: u32,
    /// 1 is the first release of the period, and 2 its correction.
    pub number: u32,
    /// Why the period was released again. `None` for a first release.
    pub correction: Option<String>,
    /// The day of the release in UTC, such as `2026-12-28`.
    pub released: String,
    /// SHA-256 of the ledger's file before this one, in hexadecimal. `None` for the first.
    pub previous: Option<String>,
    /// The content hashes of the telemetry.toml files whose counts are in it, sorted.
    pub data_points: Vec<String>,
    /// What the noise promises.
    pub privacy: Privacy,
    /// How many reports were rejected, as a power of ten: `100` stands for 100 to 999, and 0 for none.
    pub rejected: u64,
    /// Whether a test-only switch chose the noise. Such a release must not be published.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub noise_is_known: bool,
    /// The tables, in the order of telemetry.toml.
    pub tables: Vec<Table>,
}

/// The parameters of the noise of one release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Privacy {
    /// ε of one period, all its releases up to this one together. A correction adds to that of the first release.
    pub epsilon: f64,
    /// δ of one period.
    pub delta: f64,
    /// ρ of zero-concentrated differential privacy of this release.
    pub rho: f64,
    /// How many counts one installation sends in a period at most, over all tables.
    pub counts_per_installation: u32,
    /// The standard deviation of the noise of each cell, rounded. The exact one is the square root of the variance.
    pub sigma: f64,
    /// The variance of the noise of each cell, a multiple of 0.001.
    pub variance: f64,
}

/// A published table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// The keys whose values make a cell, in the order of telemetry.toml.
    pub of: Vec<String>,
    /// How many cells of the table one installation counts at most.
    pub at_most: u32,
    /// A number below this is not shown.
    pub threshold: u64,
    /// Every cell of the table, also those that nobody counted.
    pub cells: Vec<Cell>,
}

/// A cell: one value for each key of its table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// The values, in the order of the table's keys: texts, booleans, or integers. `other` stands for all values that are not
    /// listed.
    pub values: Vec<serde_json::Value>,
    /// Installations, with noise and rounded to 5. `None` if the number is below the threshold.
    pub installations: Option<u64>,
}
