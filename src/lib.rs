//! Telemetry for command-line tools that users can trust.
//!
//! It records approved data points from ordinary `tracing` spans, writes them to disk before the command ends, and lets a
//! detached process send them over OpenTelemetry (OTLP). If the user opts out, it does nothing at all.
//!
//! ```
//! use std::process::ExitCode;
//!
//! use tool_telemetry::{DataPoints, Telemetry};
//! use tracing_subscriber::prelude::*;
//!
//! // Checked when the tool is compiled. The path is relative to the directory of Cargo.toml.
//! static DATA_POINTS: DataPoints = tool_telemetry::data_points!("tests/data/telemetry.toml");
//!
//! fn main() -> ExitCode {
//!     // The first statement, because the uploader is this same program.
//!     let telemetry = Telemetry::builder("frob", env!("CARGO_PKG_VERSION"))
//!         .data_points(&DATA_POINTS)
//!         .opt_out_var("FROB_TELEMETRY_OPTOUT")
//!         .start();
//!     tracing_subscriber::registry().with(telemetry.layer()).init();
//!     telemetry.command("build", || println!("building"))
//! }
//! ```
//!
//! # What is sent
//!
//! Each run is one trace. Its root span is named after the tool and the command, such as `frob build`, or after the tool
//! alone if there is no command. It has the start and end, the exit code, `error.type`, and the data points that
//! `telemetry.toml` approves for the run. Below it are the approved spans with their approved values. The resource has the
//! name and version of the tool and of this library, and the content hash of `telemetry.toml`.
//!
//! # What is never sent
//!
//! - Anything that is not approved. It is not even recorded.
//! - Free text or hashes. A value is a flag, a bounded number, a member of a closed list, a version, or a moniker made of
//!   these. A hash of a name identifies it as well as the name does.
//! - Events, links, trace states, status messages, threads, code locations, process ids, host names, and arguments. The
//!   OpenTelemetry convention for command-line programs requires the process id and recommends the arguments; both are left
//!   out on purpose.
//! - `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`, which are free text.
//!
//! The server does see the sender's IP address and which runs arrive in the same request.
//!
//! # Invariants
//!
//! - Nothing unapproved is stored. The allowlist applies where a value is recorded, not where it is exported.
//! - An invalid choice, policy, or value of `<TOOL>_TELEMETRY` turns telemetry off, and `status` names it.
//! - If telemetry is off, there is no file, process, thread, or socket. If a variable turns it off, there is not even an
//!   extra system call.
//! - No call panics or returns an error to the tool, except for a telemetry command.
//! - Nothing in the tool's process opens a socket.
//! - No recorded run disappears without a counted reason.
//! - No lock outlives its process.
//! - No uploader outlives its deadline.
//! - No run goes to another destination than the one that it was recorded for.
//!
//! # Features
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `http` (default) | delivery over HTTP and HTTPS as protobuf |
//! | `http-json` | the same as JSON |
//! | `grpc` | delivery over gRPC |
//! | `clap` | the `telemetry` subcommand and the `--telemetry` flag ([`command`]) |
//! | `sdk` | the OpenTelemetry SDK's traits |
//!
//! # Code map
//!
//! Modules import only modules above them. A span passes through `record::layer`, `record::run`, `spool::run_file`, and
//! `upload::uploader`, in this order.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`env`](mod@env), `error` | every environment variable, and the one [`Error`] |
//! | `platform` | system calls and file-system helpers |
//! | `model` | data points, the allowlist, spans, and settings |
//! | `consent` | whether telemetry is on and why, the destination, and the notice |
//! | `spool` | the runs on disk: run files, limits, counters, and locks |
//! | `record` | [`TelemetryLayer`], call sites, and the run of each command |
//! | `upload` | the detached uploader and its transports |
//! | `sdk` | exporters for the OpenTelemetry SDK |
//! | `telemetry` | [`Telemetry`] and [`Builder`], which a tool's author uses |
//! | [`command`] | `status`, `show`, `on`, `off`, `flush`, and `purge` |
//! | [`testing`] | what a command records, for a tool's unit tests |
//!
//! `ARCHITECTURE.md` has the details.

#![cfg_attr(docsrs, feature(doc_cfg))]

// The code that `data_points!` generates names this crate by its external name, also in our own tests.
#[allow(unused_extern_crates)]
extern crate self as tool_telemetry;

#[cfg(doc)]
pub mod _documentation;
pub mod command;
mod consent;
pub mod env;
mod error;
#[cfg(all(test, feature = "http", feature = "grpc"))]
mod fixtures;
#[cfg(all(fuzzing, feature = "clap"))]
#[doc(hidden)]
pub mod fuzzing;
mod model;
mod platform;
mod record;
#[cfg(feature = "sdk")]
pub mod sdk;
mod spool;
mod telemetry;
pub mod testing;
mod upload;

pub use consent::{Decision, Reason};
pub use error::Error;
pub use model::chooser::Chooser;
#[doc(inline)]
pub use model::data_points::{
    Audience, DataPoints, MAX_DATA_POINTS, MAX_SPANS, OTHER, Publisher, Times, Version,
};
pub use model::field_value::FieldValue;
pub use model::settings::{CiPolicy, Limits};
pub use record::layer::TelemetryLayer;
pub use spool::{discard::DeletedRuns, outcome::Outcome};
pub use telemetry::{Builder, CommandGuard, CommandResult, Telemetry};
#[doc(hidden)]
pub use telemetry::{ForeignSpan, ProgramTrace};
/// Makes an enum a value for [`Telemetry::record`]. A variant is recorded as its name in lower case, with `-` between words,
/// as clap names it.
///
/// ```
/// # static DATA_POINTS: tool_telemetry::DataPoints = tool_telemetry::data_points!("tests/data/telemetry.toml");
/// use tool_telemetry::{FieldValue, testing};
///
/// #[derive(FieldValue)]
/// enum Color {
///     Auto,
///     Always,
///     /// What it contains is never read.
///     #[field_value("never")]
///     Off(String),
/// }
///
/// let run = testing::record(&DATA_POINTS, |telemetry| {
///     telemetry.command("build", || telemetry.record("frob.color", Color::Off("anna".to_owned())))
/// });
/// assert_eq!(run.attribute("frob.color"), Some("never"));
/// ```
///
/// Anything but an enum does not compile:
///
/// ```compile_fail
/// #[derive(tool_telemetry::FieldValue)]
/// struct Color {
///     name: String,
/// }
/// ```
pub use tool_telemetry_macros::FieldValue;
/// ```
/// use tool_telemetry::{DataPoints, data_points};
///
/// static DATA_POINTS: DataPoints = data_points!("tests/data/telemetry.toml");
///
/// assert_eq!(DATA_POINTS.publisher().unwrap().name, "Example Tools");
/// ```
///
/// A missing file does not compile:
///
/// ```compile_fail
/// static DATA_POINTS: tool_telemetry::DataPoints = tool_telemetry::data_points!("tests/data/missing.toml");
/// ```
///
/// [`tool-telemetry-definition`](https://docs.rs/tool-telemetry-definition) describes the format.
pub use tool_telemetry_macros::data_points;

/// For the code that [`data_points!`] generates only.
#[doc(hidden)]
pub mod __private {
    pub use crate::model::data_points::{
        ApprovedSpan, Audience, Count, DataPoint, DataPoints, Kind, Level, Period, Publisher, Times, Version,
        is_tool_name,
    };
    pub use core::option::Option::{None, Some};
}
