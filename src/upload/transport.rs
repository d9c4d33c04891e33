//! The transport to one destination, over the protocol that its settings name.

use std::time::SystemTime;

use crate::consent::destination::Destination;
use crate::upload::delivery::{Batch, DeliveryOutcome, Transport};
use crate::upload::failure::{FailureKind, Setting, SettingError, TlsFailure};
#[cfg(feature = "grpc")]
use crate::upload::grpc::GrpcTransport;
#[cfg(feature = "http")]
use crate::upload::http::HttpTransport;
use crate::upload::otlp_settings::{OtlpSettings, Protocol};
use crate::upload::tls;

/// The size of a request before compression (OTLP exporter specification, "Request size limits").
const MAX_REQUEST_BYTES: usize = 64 * 1024 * 1024;

/// Sends batches over OTLP, one request after the other.
#[derive(Debug)]
pub(crate) struct OtlpTransport {
    transport: ProtocolTransport,
    /// `None` if they cannot be read.
    settings: Option<OtlpSettings>,
}

#[derive(Debug)]
enum ProtocolTransport {
    #[cfg(feature = "http")]
    Http(Box<HttpTransport>),
    #[cfg(feature = "grpc")]
    Grpc(Box<GrpcTransport>),
    /// The settings cannot be used, or this build lacks the protocol. The user can fix that, so no run is dropped.
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
            _ => Err(FailureKind::Settings(Setting::Protocol, SettingError::NotBuilt)),
        }
    }

    fn receiver_time(&self) -> Option<SystemTime> {
        match self {
            #[cfg(feature = "http")]
            Self::Http(transport) => transport.receiver_time(),
            #[cfg(feature = "grpc")]
            Self::Grpc(transport) => transport.receiver_time(),
            Self::Unusable(_) => None,
        }
    }

    /// Whether requests go through no proxy.
    fn is_direct(&self) -> bool {
        match self {
            #[cfg(feature = "http")]
            Self::Http(transport) => transport.is_direct(),
            _ => true,
        }
    }
}

impl OtlpTransport {
    /// Prepares everything except the connection.
    pub(crate) fn open(settings: &OtlpSettings) -> Self {
        let transport = ProtocolTransport::open(settings).unwrap_or_else(ProtocolTransport::Unusable);
        Self { transport, settings: Some(settings.clone()) }
    }

    /// Reads the settings of a destination and prepares everything except the connection.
    pub(crate) fn to(destination: &Destination) -> Self {
        match OtlpSettings::of(destination) {
            Ok(settings) => Self::open(&settings),
            Err(kind) => Self { transport: ProtocolTransport::Unusable(kind), settings: None },
        }
    }

    /// Sends the batch as one request and waits for the response, at most for the settings' timeout. An HTTP date in
    /// `Retry-After` is relative to `now`.
    pub(crate) fn send(&mut self, batch: &Batch<'_>, now: SystemTime) -> DeliveryOutcome {
        #[cfg(not(feature = "http"))]
        let _ = now;
        let outcome = match &mut self.transport {
            #[cfg(feature = "http")]
            ProtocolTransport::Http(transport) => transport.send(batch, now),
            #[cfg(feature = "grpc")]
            ProtocolTransport::Grpc(transport) => transport.send(batch),
            ProtocolTransport::Unusable(kind) => DeliveryOutcome::retry(*kind),
        };
        match (outcome, &self.settings) {
            (DeliveryOutcome::Retry { after: None, kind }, Some(settings)) => {
                DeliveryOutcome::retry(self.explain(kind, settings))
            }
            (outcome, _) => outcome,
        }
    }

    /// Finds out whether a connection failed because of client certificates.
    fn explain(&self, kind: FailureKind, settings: &OtlpSettings) -> FailureKind {
        match kind {
            FailureKind::Connection | FailureKind::Tls(TlsFailure::Other | TlsFailure::ClientRefused)
                if settings.client.is_none()
                    && self.transport.is_direct()
                    && tls::requests_certificate(settings) =>
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

impl Transport for OtlpTransport {
    fn deliver(&mut self, batch: &Batch<'_>) -> DeliveryOutcome {
        self.send(batch, SystemTime::now())
    }

    fn receiver_time(&self) -> Option<SystemTime> {
        self.transport.receiver_time()
    }
}

#[cfg(all(test, feature = "http", feature = "grpc"))]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn unusable_settings_lose_no_run() {
        let spans = fixtures::spans();
        for protocol in [Protocol::HttpProtobuf, Protocol::HttpJson, Protocol::Grpc] {
            let mut transport = OtlpTransport::open(&fixtures::settings("not an address", protocol));
            let outcome = transport.send(&fixtures::batch(&spans), SystemTime::UNIX_EPOCH);
            let kind = FailureKind::Settings(Setting::Endpoint, SettingError::NotAnAddress);
            assert_eq!(outcome, DeliveryOutcome::retry(kind));
        }
    }
}
