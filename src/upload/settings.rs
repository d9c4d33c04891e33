//! How to reach one destination: what the uploader was told, checked.

use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::destination::Destination;

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

/// For one request and its answer, when nobody says otherwise (OTLP exporter specification, "Configuration
/// Options").
const TIMEOUT: Duration = Duration::from_secs(10);

impl Settings {
    /// What was set for a destination. A value that means nothing is ignored; the destination warns of it.
    pub(crate) fn of(destination: &Destination) -> Self {
        let setting = |wanted: &str| {
            destination.settings.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str())
        };
        let path = |wanted: &str| setting(wanted).map(PathBuf::from);
        let client = path("CLIENT_CERTIFICATE")
            .zip(path("CLIENT_KEY"))
            .map(|(certificate, key)| ClientIdentity { certificate, key });
        Self {
            endpoint: destination.endpoint.address.clone(),
            protocol: match setting("PROTOCOL") {
                Some("grpc") => Protocol::Grpc,
                Some("http/json") => Protocol::HttpJson,
                _ => Protocol::HttpProtobuf,
            },
            headers: match (setting("HEADERS"), setting("HEADERS_FILE")) {
                (Some(text), _) => headers(text),
                (None, Some(file)) => headers(&std::fs::read_to_string(file).unwrap_or_default()),
                (None, None) => Vec::new(),
            },
            gzip: setting("COMPRESSION") == Some("gzip"),
            timeout: setting("TIMEOUT")
                .and_then(|milliseconds| milliseconds.parse::<u32>().ok())
                .map_or(TIMEOUT, |milliseconds| Duration::from_millis(milliseconds.into())),
            certificate: path("CERTIFICATE"),
            client,
        }
    }
}

/// `name=value,name=value`, the values percent-decoded (OTLP exporter specification, "Specifying headers via
/// environment variables"); in a file also one a line.
fn headers(text: &str) -> Vec<(String, String)> {
    text.split([',', '\n'])
        .filter_map(|header| header.split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), value.trim()))
        .filter(|(name, _)| !name.is_empty())
        .filter_map(|(name, value)| Some((name, percent_decode_str(value).decode_utf8().ok()?.into_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_percent_decoded() {
        let wanted = [("authorization".to_owned(), "Bearer a=b".to_owned()), ("x".to_owned(), String::new())];
        assert_eq!(headers("authorization=Bearer%20a=b, x=,,broken"), wanted);
    }
}
