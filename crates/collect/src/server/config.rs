//! What the server is told, and what can be wrong with it.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::approvals::{Approvals, parse_once};
use crate::judge::Catalog;

/// Larger than any file with 64 spans and 64 data points of 250 members.
const MAX_DEFINITION_BYTES: u64 = 4 << 20;

/// The server's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The directory of the store.
    pub store: PathBuf,
    /// The telemetry.toml files; the last one of a tool is its newest.
    pub data_points: Vec<DataPointsFile>,
    /// Where OTLP is received, by the options `--http` and `--grpc`. Each address takes both.
    pub addresses: Vec<SocketAddr>,
    /// Where the metrics are served.
    pub metrics: Option<SocketAddr>,
    /// The certificate chain and its key, as PEM files.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// A file with a bearer token in each line, of which a sender must have one.
    pub tokens: Option<PathBuf>,
    /// What one sender may take.
    pub limits: Limits,
}

/// A telemetry.toml, and the tool that it belongs to if the file does not name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataPointsFile {
    /// `service.name`.
    pub tool: Option<String>,
    /// The file.
    pub path: PathBuf,
}

impl DataPointsFile {
    /// Reads `FILE` or `TOOL=FILE`.
    pub fn parse(text: &str) -> Self {
        match text.split_once('=') {
            Some((tool, path)) if !tool.is_empty() && !tool.contains(['/', '\\', '.']) => {
                Self { tool: Some(tool.to_owned()), path: path.into() }
            }
            _ => Self { tool: None, path: text.into() },
        }
    }
}

/// What one sender, and all together, may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request, after decompression too. Senders send at most 4,096 spans at once, which are below 4 MiB.
    pub body: usize,
    /// Spans of a request.
    pub spans: usize,
    /// Attributes of a span.
    pub attributes: usize,
    /// Bytes of all requests that are being read.
    pub bodies: usize,
    /// Requests at once.
    pub requests: usize,
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one network: a /24, or a /48 of IPv6. Loopback is a proxy, and not limited.
    pub connections_of_network: usize,
    /// Requests in a minute from one network. A sender puts up to 4,096 spans into one, and comes again after 60 s.
    pub requests_of_network: u32,
    /// From the head of a request to its answer.
    pub request_time: Duration,
    /// For a handshake, for the head of a request, and between two requests.
    pub idle_time: Duration,
    /// After this time a connection ends behind the request that is under way. Otherwise one that only answers pings
    /// would stay for ever, and a load balancer could not move a sender that never pauses.
    pub connection_age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 8 << 20,
            spans: 16_384,
            attributes: 128,
            bodies: 64 << 20,
            requests: 1_024,
            connections: 4_096,
            connections_of_network: 512,
            requests_of_network: 6_000,
            request_time: Duration::from_secs(30),
            idle_time: Duration::from_secs(15),
            connection_age: Duration::from_secs(600),
        }
    }
}

/// Why the server cannot start, in words for its operator.
#[derive(Debug)]
pub struct StartError(String);

impl StartError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

/// What is read from files, and again at a SIGHUP.
#[derive(Debug)]
pub struct LoadedFiles {
    /// The definitions.
    pub catalog: Catalog,
    /// TLS, unless it is off.
    pub tls: Option<Arc<ServerConfig>>,
    /// Bearer tokens, unless none is needed.
    pub tokens: Option<Vec<String>>,
}

impl Config {
    /// Reads the files that the configuration names.
    ///
    /// # Errors
    /// If one cannot be read or used.
    pub fn load(&self) -> Result<LoadedFiles, StartError> {
        Ok(LoadedFiles {
            catalog: self.catalog()?,
            tls: self.tls.as_ref().map(|(certificate, key)| tls(certificate, key)).transpose()?,
            tokens: self.tokens.as_deref().map(tokens).transpose()?,
        })
    }

    fn catalog(&self) -> Result<Catalog, StartError> {
        if self.data_points.is_empty() {
            return Err(StartError::new("no telemetry.toml is named; add `--data-points FILE`"));
        }
        let mut catalog = Catalog::default();
        for file in &self.data_points {
            let path = file.path.display();
            let length = fs::metadata(&file.path).map_err(|error| unreadable(&file.path, &error))?.len();
            if length > MAX_DEFINITION_BYTES {
                return Err(StartError::new(format!(
                    "{path} has {length} bytes, which no telemetry.toml has"
                )));
            }
            let text = fs::read_to_string(&file.path).map_err(|error| unreadable(&file.path, &error))?;
            let tool = tool_of(file, &text, self.data_points.len() == 1)?;
            let approvals = Approvals::parse(&tool, &text).map_err(|errors| {
                let lines = errors.iter().map(|error| {
                    format!("\n{path}:{}:{}: {}", error.line(), error.column(), error.message())
                });
                StartError::new(format!("{path} cannot be used:{}", lines.collect::<String>()))
            })?;
            catalog.add(approvals, text);
        }
        Ok(catalog)
    }
}

/// The tool that a file belongs to: its `tool`, or the one that the operator names for an old file without it. A file that
/// is alone may also tell it by `telemetry_command = "frob telemetry"`. A file with faults is told of by the one who reads
/// it next.
fn tool_of(file: &DataPointsFile, text: &str, is_alone: bool) -> Result<String, StartError> {
    let path = file.path.display();
    let Ok(data_points) = parse_once(text) else { return Ok("?".to_owned()) };
    let told = match (data_points.tool, &file.tool) {
        (Some(in_file), Some(named)) if in_file != named => {
            return Err(StartError::new(format!(
                "{path} is that of the tool {in_file:?}, not of {named:?}; write `--data-points {path}`"
            )));
        }
        (Some(in_file), _) => Some(in_file),
        (None, Some(named)) => Some(&**named),
        (None, None) if is_alone => {
            data_points.telemetry_command.and_then(|typed| typed.split_whitespace().next())
        }
        (None, None) => None,
    };
    told.map(str::to_owned).ok_or_else(|| {
        StartError::new(format!(
            "{path} does not tell which tool it belongs to; add `tool = \"…\"` to it, or, if tools were built with it as \
             it is, write `--data-points TOOL={path}`"
        ))
    })
}

fn tls(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, StartError> {
    let bad = |path: &Path, error: &dyn fmt::Display| {
        StartError::new(format!("{} cannot be used for TLS: {error}", path.display()))
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| bad(certificate, &error))?;
    if chain.is_empty() {
        return Err(bad(certificate, &"it holds no certificate"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| bad(key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => StartError::new(format!(
                "the key {} does not belong to the certificate {}",
                key.display(),
                certificate.display()
            )),
            error => bad(certificate, &error),
        })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn tokens(path: &Path) -> Result<Vec<String>, StartError> {
    let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    let tokens: Vec<String> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if tokens.is_empty() {
        return Err(StartError::new(format!("{} holds no token, so nobody could send", path.display())));
    }
    Ok(tokens)
}

fn unreadable(path: &Path, error: &std::io::Error) -> StartError {
    StartError::new(format!("{} cannot be read: {error}", path.display()))
}

/// Listens at an address.
pub(super) fn listen(address: SocketAddr, option: &str) -> Result<std::net::TcpListener, StartError> {
    let listener = std::net::TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => StartError::new(format!(
            "{address} is in use by another program; end that, or choose another address with `{option}`"
        )),
        ErrorKind::PermissionDenied => StartError::new(format!(
            "this user may not listen at {address}; choose a port from 1024 on with `{option}`, or give the service \
             CAP_NET_BIND_SERVICE"
        )),
        ErrorKind::AddrNotAvailable => {
            StartError::new(format!("this machine does not have the address {address} of `{option}`"))
        }
        _ => StartError::new(format!("cannot listen at {address}: {error}")),
    })
}
