//! How to reach one destination: what the uploader was told, checked.

use std::path::PathBuf;
use std::time::Duration;

/// The settings of one destination, all from one source.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// For HTTP the whole address of the traces signal; for gRPC scheme, host and port.
    pub(crate) endpoint: String,
    pub(crate) protocol: Protocol,
    /// Decoded names and values.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) gzip: bool,
    /// For one request and its answer. Default 10 s (OTLP exporter specification).
    pub(crate) timeout: Duration,
    /// PEM file of the only roots to trust instead of the system's.
    pub(crate) certificate: Option<PathBuf>,
    /// PEM files for mutual TLS; both or none.
    pub(crate) client: Option<ClientIdentity>,
}

/// The certificate chain and key that the uploader shows to the server.
#[derive(Debug, Clone)]
pub(crate) struct ClientIdentity {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// The encodings and transports of OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    HttpProtobuf,
    HttpJson,
    Grpc,
}
