//! The `telemetry.toml` format of [tool-telemetry](https://docs.rs/tool-telemetry): what a tool may report.
//!
//! ```
//! use tool_telemetry_definition::{Definition, Kind};
//!
//! let definition = Definition::parse(
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
//! assert!(matches!(&definition.data_points[0].kind, Kind::Command(values) if values.len() == 2));
//! # Ok::<(), tool_telemetry_definition::Faults>(())
//! ```
//!
//! # The file
//! `format = 1`; if the tool has a command about its telemetry, how people type it, such as
//! `telemetry_command = "frob telemetry"`, which documents then name; and these tables:
//!
//! | table | keys |
//! | --- | --- |
//! | `[publisher]` | `name`, `contact`, `privacy` (an https address), `retention_days` (1 to 3650), `licence` (an SPDX identifier); needed as soon as the maker has an endpoint |
//! | `[[span]]` | `name`, `target` (the crate or module that makes it; modules below it count too), `level` (optional: `error`, `warn`, `info`, `debug` or `trace`; the most verbose one at which it is recorded, `info` if not given), and the common ones |
//! | `[[data_point]]` | `key`, `on` (names of spans; `"run"` is the run itself), `kind` with its own keys, and the common ones |
//! | common | `sentence` (for the person, at most 76 characters), `why`, `audience` (`maker` or `operator`), `since` (a version), `until` (a version, or `never`) |
//!
//! | `kind` | its keys | a value that does not fit |
//! | --- | --- | --- |
//! | `bool` | | is dropped |
//! | `integer` | `min` and `max`, at most 10,000 values | is dropped |
//! | `exit_code` | only `process.exit.code`, only on `run` | is dropped |
//! | `command` | `values`; one data point, only on `run` | becomes `other` |
//! | `set` | `values` | becomes `other` |
//! | `version` | | becomes `other` |
//! | `moniker` | `prefixes`, and perhaps `suffixes` | becomes `other` |
//!
//! There is no kind for free text, no pattern and no hash: a definition that [`Definition::parse`] accepts cannot
//! let a name, an address or a path through.
//!
//! # Code map
//! `model` is what a checked file says; `parse` turns TOML into it, with `table` for keys and types, `text` for what
//! single texts must look like and `references` for what entries say about each other; `compare` tells a reviewer
//! what a change of the file means; `fault` and `version` are what they share.

mod compare;
mod fault;
mod model;
mod parse;
mod references;
mod table;
mod text;
mod version;

pub use compare::{Change, Difference, compare};
pub use fault::{Fault, Faults};
pub use model::{Audience, DataPoint, Definition, Kind, Level, Publisher, RUN, Span};
pub use version::{Stage, Version};

/// How many data points one file may approve, so that a set of them is one `u64`.
pub const MAX_DATA_POINTS: usize = 64;
/// How many spans one file may approve, so that a set of them is one `u64`.
pub const MAX_SPANS: usize = 64;
/// How many members a closed list may have. A longer list tells persons apart.
pub const MAX_MEMBERS: usize = 250;
/// How many values an integer may have.
pub const MAX_INTEGER_VALUES: i64 = 10_000;
/// Characters of a sentence: a line of the notice has 80 columns, four of them margin.
pub const MAX_SENTENCE: usize = 76;
/// What a value becomes that is not in its closed list; therefore never a member of one.
pub const OTHER: &str = "other";
