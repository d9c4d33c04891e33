//! The `telemetry.toml` format of [tool-telemetry](https://docs.rs/tool-telemetry), which defines what a tool may report,
//! and the data model that the tool's static tables share with programs that read the file.
//!
//! ```
//! use tool_telemetry_definition::{DataPoints, Kind};
//!
//! let data_points = DataPoints::parse(
//!     r#"
//! format = 1
//!
//! [[data_point]]
//! key = "frob.command"
//! on = ["run"]
//! sentence = "The command being used"
//! why = "To know which commands to keep."
//! kind = "command"
//! values = ["build", "run"]
//! audience = "maker"
//! since = "1.0.0"
//! until = "never"
//! "#,
//! )?;
//! assert_eq!(data_points.data_points[0].kind, Kind::Command(&["build", "run"]));
//! # Ok::<(), tool_telemetry_definition::ParseErrors>(())
//! ```
//!
//! # The file
//! `format = 1`; optionally `tool`, the tool's name, and `telemetry_command`, the tool's own command about its telemetry
//! as users type it, such as `"frob telemetry"`, `times`, `"hour"` (the default) or `"exact"`, and `standard`, the names of
//! [ready-made data points](standard::STANDARD); and these tables:
//!
//! | table | keys |
//! | --- | --- |
//! | `[publisher]` | `name`, `contact`, `privacy` (an https address), `retention_days` (1 to 3650), `licence` (an SPDX identifier), and optionally `published_at` (the https address of the published aggregates); required if the tool's author has an endpoint |
//! | `[defaults]` | `audience`, `since`, and `until` for all entries that do not have them |
//! | `[[span]]` | `name`, `target` (the crate or module that makes it, or one above), `level` (optional: the most verbose level at which it is recorded, `error`, `warn`, `info`, `debug`, or `trace`; `info` by default), and the common keys |
//! | `[[data_point]]` | `key`, `on` (names of spans; `"run"` is the run itself), `kind` with its own keys, and the common keys |
//! | `[publish]` | `period`: how long installations are counted, `week` or `four weeks`, and optionally `epsilon`, the ε in which a period is published; required if there is a `[[count]]` |
//! | `[[count]]` | `of` (keys whose values make a cell), `at_most` (cells that one installation counts in a period; 25 in all tables together), and `releases` or `values` for what has no closed list |
//! | common | `sentence` (one line for the user, at most 76 characters), `why`, `audience` (`maker` or `operator`), `since` (a version), and `until` (a version or `never`) |
//!
//! | `kind` | its keys | a value that does not fit |
//! | --- | --- | --- |
//! | `bool` | | is dropped |
//! | `integer` | `min` and `max`, at most 10,000 values | is dropped |
//! | `exit_code` | only for the key `process.exit.code`, only on `run` | is dropped |
//! | `command` | `values`; one data point, only on `run` | becomes `other` |
//! | `set` | `values` | becomes `other` |
//! | `version` | | becomes `other` |
//! | `moniker` | `prefixes`, and optionally `suffixes` | becomes `other` |
//!
//! There is no kind for free text, no pattern, and no hash: a definition that [`DataPoints::parse`] accepts cannot let a
//! name, an address, or a path through.
//!
//! # Features
//! `parse` (default) adds [`DataPoints::parse`], [`content_hash`], and [`compare()`], and depends on `toml` and a crate
//! for SHA-256. Without it, the crate has no dependencies: a tool contains only the types and the admission of values.
//!
//! # Code map
//! `data_points` and `counts` hold the types, and `version` the versions in them. `counted_value` says which values a
//! table of installations counts by name. `admission` turns a field's value
//! into a [`Value`]. `standard` has the ready-made data points. `parse` reads a file, and `compare` tells a reviewer whether a changed file collects more or less.

// The documentation links to items of the feature.
#![cfg_attr(not(feature = "parse"), allow(rustdoc::broken_intra_doc_links))]

mod admission;
#[cfg(feature = "parse")]
mod compare;
#[cfg(feature = "parse")]
mod content_hash;
mod counted_value;
mod counts;
mod data_points;
#[cfg(feature = "parse")]
mod parse;
pub mod standard;
mod version;

pub use admission::Value;
#[cfg(feature = "parse")]
pub use compare::{Change, Difference, compare};
#[cfg(feature = "parse")]
pub use content_hash::content_hash;
pub use counts::{
    Count, DEFAULT_EPSILON, EPSILONS, ERROR_TYPE, ERROR_TYPES, MAX_CELLS, MAX_COUNTS, Period, SERVICE_VERSION,
};
pub use data_points::{ApprovedSpan, Audience, DataPoint, DataPoints, Kind, Level, Publisher, Times};
#[cfg(feature = "parse")]
pub use parse::{ParseError, ParseErrors};
pub use version::Version;

/// Whether a text is a valid name of a tool. A directory and a variable are named after it.
pub fn is_tool_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte))
}

/// `<TOOL>_TELEMETRY`: the tool's name in capitals, with `_` for characters that a variable's name cannot have.
///
/// ```
/// assert_eq!(tool_telemetry_definition::tool_variable("my-tool"), "MY_TOOL_TELEMETRY");
/// ```
pub fn tool_variable(tool: &str) -> String {
    let mut name: String =
        tool.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    name.push_str("_TELEMETRY");
    name
}

/// The name in `on` for the run itself, which is the root span.
pub const RUN: &str = "run";
/// How many data points one file may approve, so that a set of them is one `u64`.
pub const MAX_DATA_POINTS: usize = 64;
/// How many spans one file may approve, so that a set of them is one `u64`.
pub const MAX_SPANS: usize = 64;
/// How many members a closed list may have. A longer list could tell users apart.
pub const MAX_MEMBERS: usize = 250;
/// How many values an integer may have.
pub const MAX_INTEGER_VALUES: i64 = 10_000;
/// Characters of a sentence: a line of the notice has 80 columns, and 4 of them are margin.
pub const MAX_SENTENCE: usize = 76;
/// The value that replaces every value outside a closed list, and is therefore never a member of one.
pub const OTHER: &str = "other";
