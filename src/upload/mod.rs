//! The uploader: how runs leave the spool.

pub(crate) mod answer;
#[cfg(feature = "http")]
mod body;
#[cfg(feature = "http")]
pub(crate) mod http;
#[cfg(feature = "http")]
mod proxy;
#[cfg(feature = "http")]
mod response;
#[cfg(any(feature = "http", feature = "grpc", feature = "sdk"))]
pub(crate) mod sdk_data;
pub(crate) mod settings;
#[cfg(all(test, feature = "http", feature = "grpc"))]
mod testing;
#[cfg(feature = "http")]
mod tls;
pub(crate) mod transport;
