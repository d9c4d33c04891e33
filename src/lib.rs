//! Honest telemetry for command-line tools: approved data points from ordinary `tracing` spans, on disk before the
//! command ends, delivered over OpenTelemetry (OTLP) by a detached process, and nothing at all when the person
//! opted out.
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use tool_telemetry::{DataPoints, Telemetry};
//! use tracing_subscriber::prelude::*;
//!
//! // Read and checked while the tool is compiled.
//! static DATA_POINTS: DataPoints = tool_telemetry::data_points!("tests/data/telemetry.toml");
//!
//! fn main() -> ExitCode {
//!     // First of all: the uploader is this same program.
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
//! A run is one trace. Its root span has the tool's name, its start and end, the exit code and `error.type`, and the
//! data points that `telemetry.toml` approves for the run. Below it are the approved spans with their approved
//! values. The resource says the tool's name and version, and which library recorded it.
//!
//! # What is never sent
//!
//! Whatever is not approved: it is not recorded in the first place. No text of the person's, since a value is a flag,
//! a bounded number, a member of a closed list, a version, or a moniker made of these. No hash, since a hash of a name
//! is a name. No event, link, trace state, status text, thread, code location, process id, host name or argument; the
//! OpenTelemetry convention for command-line programs asks for the process id and recommends the arguments, and both
//! are left out on purpose. `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` are not followed: they are free text.
//!
//! What the server can see besides: the IP address, and which runs share a request.
//!
//! # Features
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `http` (default) | delivery over HTTP and HTTPS, as protobuf |
//! | `http-json` | the same as JSON |
//! | `grpc` | delivery over gRPC |
//! | `clap` | the `telemetry` subcommand, or the flag `--telemetry` ([`command`]) |
//! | `sdk` | the OpenTelemetry SDK's traits |
//!
//! # Where things are
//!
//! [`Telemetry`] and [`Builder`] are what a tool's author meets; [`data_points!`] makes the tables; [`TelemetryLayer`]
//! takes the spans; [`command`] is what the person can ask; [`env`](mod@env) lists every variable. `ARCHITECTURE.md`
//! tells the rest.

#![cfg_attr(docsrs, feature(doc_cfg))]

// The code made by `data_points!` names this crate from outside, also in our own tests.
#[allow(unused_extern_crates)]
extern crate self as tool_telemetry;

#[cfg(doc)]
pub mod _documentation;
pub mod command;
mod consent;
pub mod env;
mod error;
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
#[cfg(all(test, feature = "http", feature = "grpc"))]
mod testing;
mod upload;

pub use consent::{Decision, Reason};
pub use error::Error;
pub use model::chosen_by::ChosenBy;
#[doc(inline)]
pub use model::data_points::{Audience, DataPoints, MAX_DATA_POINTS, MAX_SPANS, OTHER, Publisher, Version};
pub use model::settings::{CiPolicy, Limits};
pub use record::layer::TelemetryLayer;
pub use spool::{discard::DeletedRuns, outcome::Outcome};
pub use telemetry::{Builder, CommandGuard, CommandResult, FieldValue, Telemetry};
/// ```
/// use tool_telemetry::{DataPoints, data_points};
///
/// static DATA_POINTS: DataPoints = data_points!("tests/data/telemetry.toml");
///
/// assert_eq!(DATA_POINTS.publisher().unwrap().name, "Example Tools");
/// ```
///
/// A file that is missing does not compile:
///
/// ```compile_fail
/// static DATA_POINTS: tool_telemetry::DataPoints = tool_telemetry::data_points!("tests/data/missing.toml");
/// ```
///
/// The format is described in [`tool-telemetry-definition`](https://docs.rs/tool-telemetry-definition).
pub use tool_telemetry_macros::data_points;

/// What the code made by [`data_points!`](crate::model::data_points!) names; nothing for people.
#[doc(hidden)]
pub mod __private {
    pub use crate::model::data_points::{
        ApprovedSpan, Audience, DataPoint, DataPoints, Kind, Level, Publisher, Version,
    };
    pub use crate::model::settings::is_tool_name;
    pub use core::option::Option::{None, Some};
}
