//! The way to one destination, whichever protocol it speaks.

use std::time::SystemTime;

use crate::consent::destination::Destination;
use crate::upload::delivery::{Batch, DeliveryOutcome, Transport};
use crate::upload::failure::{FailureKind, Setting, SettingFault, TlsFailure};
#[cfg(feature = "grpc")]
use crate::upload::grpc::GrpcTransport;
#[cfg(feature = "http")]
use crate::upload::http::HttpTransport;
use crate::upload::otlp_settings::{OtlpSettings, Protocol};
use crate::upload::tls;

/// The version of the OTLP exporter that is named to servers; a test holds it against the lock file.
#[cfg(feature = "http")]
const EXPORTER_VERSION: &str = "0.33.1";

/// The size of a request before compression (OTLP exporter specification, "Request size limits").
const MAX_REQUEST_BYTES: usize = 64 * 1024 * 1024;

/// A destination that spans can be sent to, one request after the other.
#[derive(Debug)]
pub(crate) struct OtlpTransport {
    way: ProtocolTransport,
    /// Nothing if they could not be read.
    settings: Option<OtlpSettings>,
}

#[derive(Debug)]
enum ProtocolTransport {
    #[cfg(feature = "http")]
    Http(Box<HttpTransport>),
    #[cfg(feature = "grpc")]
    Grpc(Box<GrpcTransport>),
    /// The settings cannot be used, or the protocol is not in this build. They can be mended, so nothing is lost
    /// by it before its time.
    Unusable(FailureKind),
}

impl ProtocolTransport {
    fn open(settings: &OtlpSettings) -> Result<Self, FailureKind> {
        match settings.protocol {
            #[cfg(feature = "http")]
            Protocol::HttpProtobuf | Protocol::HttpJson => {
                let variable = |name: &str| std::env::var(name).ok();
                let transport = HttpTransport::open(settings, MAX_REQUEST_BYTES, &variable)?;
                Ok(Self::Http(Box::new(transport)))
            }
            #[cfg(feature = "grpc")]
            Protocol::Grpc => Ok(Self::Grpc(Box::new(GrpcTransport::open(settings, MAX_REQUEST_BYTES)?))),
            #[allow(unreachable_patterns, reason = "with every feature each protocol has its transport")]
            _ => Err(FailureKind::Settings(Setting::Protocol, SettingFault::NotBuilt)),
        }
    }

    /// Whether no proxy stands between.
    fn is_direct(&self) -> bool {
        match self {
            #[cfg(feature = "http")]
            Self::Http(transport) => transport.is_direct(),
            _ => true,
        }
    }
}

impl OtlpTransport {
    /// Prepares everything but the connection.
    pub(crate) fn open(settings: &OtlpSettings) -> Self {
        let way = ProtocolTransport::open(settings).unwrap_or_else(ProtocolTransport::Unusable);
        Self { way, settings: Some(settings.clone()) }
    }

    /// Reads the settings of a destination, and prepares everything but the connection.
    pub(crate) fn to(destination: &Destination) -> Self {
        match OtlpSettings::of(destination) {
            Ok(settings) => Self::open(&settings),
            Err(kind) => Self { way: ProtocolTransport::Unusable(kind), settings: None },
        }
    }

    /// Sends the batch as one request and waits for the answer, at most for the settings' timeout. `now` is what an
    /// HTTP date in `Retry-After` is read against.
    pub(crate) fn send(&mut self, batch: &Batch<'_>, now: SystemTime) -> DeliveryOutcome {
        #[cfg(not(feature = "http"))]
        let _ = now;
        let answer = match &mut self.way {
            #[cfg(feature = "http")]
            ProtocolTransport::Http(transport) => transport.send(batch, now),
            #[cfg(feature = "grpc")]
            ProtocolTransport::Grpc(transport) => transport.send(batch),
            ProtocolTransport::Unusable(kind) => DeliveryOutcome::retry(*kind),
        };
        match (answer, &self.settings) {
            (DeliveryOutcome::Retry { after: None, kind }, Some(settings)) => {
                DeliveryOutcome::retry(self.explain(kind, settings))
            }
            (answer, _) => answer,
        }
    }

    /// What a failed connection has to do with client certificates.
    fn explain(&self, kind: FailureKind, settings: &OtlpSettings) -> FailureKind {
        match kind {
            FailureKind::Connection | FailureKind::Tls(TlsFailure::Other | TlsFailure::ClientRefused)
                if settings.client.is_none()
                    && self.way.is_direct()
                    && tls::asks_for_certificate(settings) =>
            {
                FailureKind::Tls(TlsFailure::ClientCertificate)
            }
            FailureKind::Tls(TlsFailure::ClientRefused) if settings.client.is_none() => {
                FailureKind::Tls(TlsFailure::Other)
            }
            kind => kind,
        }
    }
}

/// Our name, and then the exporter's: over HTTP that is `opentelemetry-otlp`'s (OTLP exporter specification, "User
/// Agent").
#[cfg(feature = "http")]
pub(crate) fn user_agent() -> String {
    format!("{} OTel-OTLP-Exporter-Rust/{EXPORTER_VERSION}", own_user_agent())
}

/// Our name. Over gRPC there is no other exporter; tonic adds its own name.
pub(crate) fn own_user_agent() -> String {
    use crate::model::span::{SCOPE_NAME, SCOPE_VERSION};
    format!("{SCOPE_NAME}/{SCOPE_VERSION}")
}

impl Transport for OtlpTransport {
    fn deliver(&mut self, batch: &Batch<'_>) -> DeliveryOutcome {
        self.send(batch, SystemTime::now())
    }
}

#[cfg(all(test, feature = "http", feature = "grpc"))]
mod tests {
    use super::*;
    use crate::model::span::SDK_VERSION;
    use crate::testing;

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
            let mut transport = OtlpTransport::open(&testing::settings("not an address", protocol));
            let answer = transport.send(&testing::batch(&spans), SystemTime::UNIX_EPOCH);
            let kind = FailureKind::Settings(Setting::Endpoint, SettingFault::NotAnAddress);
            assert_eq!(answer, DeliveryOutcome::retry(kind));
        }
    }
}
