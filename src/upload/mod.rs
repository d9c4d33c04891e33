//! The uploader: how runs leave the spool.
//!
//! How a batch travels:
//!
//! 1. `schedule` decides whether a command starts an uploader, and `launch` starts it: the same program, detached, with
//!    an environment that we construct.
//! 2. `process` is the uploader's process, from its start to its exit code.
//! 3. `uploader` takes the spool's lock and repeats until no run is pending. It seals the runs of dead processes, reads
//!    runs into batches, sends them, halves a refused batch, and records each run's outcome.
//! 4. `counts` counts the cells of delivered runs, and sends the counts that are due, if a `[[count]]` asks for them.
//! 5. `transport` picks the protocol: `http` with `proxy` and `forward_proxy`, or `grpc`; both use `tls`,
//!    `otlp_settings`, and the export request of `sdk_data`.
//! 6. `delivery` turns an HTTP or gRPC status into a `DeliveryOutcome`: delivered, retried, or refused. `failure` names
//!    what went wrong, and `failure_text` explains it to the user. `spool::backoff` decides when the next try is due.

pub(crate) mod counts;
// Without OTLP, no answer is parsed.
#[cfg_attr(not(any(feature = "http", feature = "grpc")), allow(dead_code))]
pub(crate) mod delivery;
pub(crate) mod failure;
pub(crate) mod failure_text;
#[cfg(feature = "http")]
mod forward_proxy;
#[cfg(feature = "grpc")]
pub(crate) mod grpc;
#[cfg(feature = "http")]
pub(crate) mod http;
pub(crate) mod launch;
#[cfg(any(feature = "http", feature = "grpc"))]
pub(crate) mod otlp_settings;
pub(crate) mod process;
#[cfg(feature = "http")]
pub(crate) mod proxy;
pub(crate) mod schedule;
#[cfg(any(feature = "http", feature = "grpc", feature = "sdk"))]
pub(crate) mod sdk_data;
#[cfg(any(feature = "http", feature = "grpc"))]
pub(crate) mod tls;
#[cfg(any(feature = "http", feature = "grpc"))]
pub(crate) mod transport;
pub(crate) mod uploader;
#[cfg(any(feature = "http", feature = "grpc"))]
mod user_agent;

/// Whether this build can send over OTLP.
pub(crate) const CAN_DELIVER: bool = cfg!(any(feature = "http", feature = "grpc"));
