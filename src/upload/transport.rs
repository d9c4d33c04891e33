//! The way to one destination, whichever protocol it speaks.

use std::time::SystemTime;

use crate::upload::answer::Deliver;
use crate::upload::answer::{self, Answer, Batch, FailureKind};
#[cfg(feature = "grpc")]
use crate::upload::grpc::GrpcTransport;
#[cfg(feature = "http")]
use crate::upload::http::HttpTransport;
use crate::upload::settings::{Protocol, Settings};

/// The version of the OTLP exporter that is named to servers; a test holds it against the lock file.
const EXPORTER_VERSION: &str = "0.33.1";

/// The size of a request before compression (OTLP exporter specification, "Request size limits").
const MAX_REQUEST_BYTES: usize = 64 * 1024 * 1024;

/// A destination that spans can be sent to, one request after the other.
#[derive(Debug)]
pub(crate) enum Transport {
    #[cfg(feature = "http")]
    Http(Box<HttpTransport>),
    #[cfg(feature = "grpc")]
    Grpc(Box<GrpcTransport>),
    /// The settings cannot be used, or the protocol is not in this build. They can be mended, so nothing is lost
    /// by it before its time.
    Unusable,
}

impl Transport {
    /// Prepares everything but the connection.
    pub(crate) fn open(settings: &Settings) -> Self {
        let transport = match settings.protocol {
            #[cfg(feature = "http")]
            Protocol::HttpProtobuf | Protocol::HttpJson => {
                let variable = |name: &str| std::env::var(name).ok();
                HttpTransport::open(settings, MAX_REQUEST_BYTES, &variable)
                    .map(|transport| Self::Http(Box::new(transport)))
            }
            #[cfg(feature = "grpc")]
            Protocol::Grpc => GrpcTransport::open(settings, MAX_REQUEST_BYTES)
                .map(|transport| Self::Grpc(Box::new(transport))),
            #[allow(unreachable_patterns, reason = "with every feature each protocol has its transport")]
            _ => None,
        };
        transport.unwrap_or(Self::Unusable)
    }

    /// Sends the batch as one request and waits for the answer, at most for the settings' timeout. `now` is what an
    /// HTTP date in `Retry-After` is read against.
    pub(crate) fn send(&mut self, batch: &Batch<'_>, now: SystemTime) -> Answer {
        #[cfg(not(feature = "http"))]
        let _ = now;
        match self {
            #[cfg(feature = "http")]
            Self::Http(transport) => transport.send(batch, now),
            #[cfg(feature = "grpc")]
            Self::Grpc(transport) => transport.send(batch),
            Self::Unusable => answer::retry(FailureKind::Settings),
        }
    }
}

/// Our name stands before the exporter's (OTLP exporter specification, "User Agent").
pub(crate) fn user_agent() -> String {
    use crate::span::{SCOPE_NAME, SCOPE_VERSION};
    format!("{SCOPE_NAME}/{SCOPE_VERSION} OTel-OTLP-Exporter-Rust/{EXPORTER_VERSION}")
}

impl Deliver for Transport {
    fn deliver(&mut self, batch: &Batch<'_>) -> Answer {
        self.send(batch, SystemTime::now())
    }
}

#[cfg(all(test, feature = "http", feature = "grpc"))]
mod tests {
    use super::*;
    use crate::span::SDK_VERSION;
    use crate::upload::testing;

    #[test]
    fn the_versions_named_are_those_that_are_built() {
        let lock = include_str!("../../Cargo.lock");
        for (name, version) in [("opentelemetry-otlp", EXPORTER_VERSION), ("opentelemetry_sdk", SDK_VERSION)]
        {
            assert!(
                lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n")),
                "{name} {version}"
            );
        }
    }

    #[test]
    fn settings_that_cannot_be_used_lose_nothing() {
        let spans = testing::spans();
        for protocol in [Protocol::HttpProtobuf, Protocol::HttpJson, Protocol::Grpc] {
            let mut transport = Transport::open(&testing::settings("not an address", protocol));
            let answer = transport.send(&testing::batch(&spans), SystemTime::UNIX_EPOCH);
            assert_eq!(answer, answer::retry(FailureKind::Settings));
        }
    }
}
