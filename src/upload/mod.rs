//! The uploader: how runs leave the spool.

// Without OTLP, nothing reads an answer.
#[cfg_attr(not(any(feature = "http", feature = "grpc")), allow(dead_code))]
pub(crate) mod answer;
#[cfg(feature = "http")]
mod body;
pub(crate) mod detach;
pub(crate) mod failure;
#[cfg(feature = "http")]
mod forward;
#[cfg(feature = "grpc")]
pub(crate) mod grpc;
#[cfg(feature = "http")]
pub(crate) mod http;
#[cfg(any(feature = "http", feature = "grpc"))]
pub(crate) mod otlp_settings;
pub(crate) mod process;
#[cfg(feature = "http")]
pub(crate) mod proxy;
#[cfg(feature = "http")]
mod response;
pub(crate) mod schedule;
#[cfg(any(feature = "http", feature = "grpc", feature = "sdk"))]
pub(crate) mod sdk_data;
#[cfg(any(feature = "http", feature = "grpc"))]
pub(crate) mod tls;
#[cfg(any(feature = "http", feature = "grpc"))]
pub(crate) mod transport;
pub(crate) mod uploader;

/// Whether this build can send at all.
pub(crate) const CAN_DELIVER: bool = cfg!(any(feature = "http", feature = "grpc"));
