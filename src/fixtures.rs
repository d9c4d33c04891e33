//! Fixtures for unit tests: spans, and scripted servers on loopback.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};

use crate::model::cell::{Cell, CellValue, CountSpan};
use crate::model::data_points::{ApprovedSpan, Audience, DataPoint, DataPoints, Kind, Level, Value, Version};
use crate::model::span::{Ending, Parent, Span, Subject, Tool};
use crate::upload::delivery::{Batch, RunBatch};
use crate::upload::otlp_settings::{OtlpSettings, Protocol};

const fn data_point(key: &'static str, kind: Kind) -> DataPoint {
    DataPoint {
        key,
        sentence: "A test",
        why: "to test",
        kind,
        audience: Audience::Maker,
        since: Version::new(1, 0, 0),
        until: None,
    }
}

pub(crate) static DATA_POINTS: DataPoints = DataPoints {
    spans: &[ApprovedSpan {
        name: "resolve",
        target: "weave::resolve",
        level: Level::Info,
        sentence: "Resolving",
        why: "to test",
        audience: Audience::Maker,
        since: Version::new(1, 0, 0),
        until: None,
        data_points: &[2, 3, 4, 5],
    }],
    data_points: &[
        data_point("weave.command", Kind::Command(&["build", "run"])),
        data_point("process.exit.code", Kind::ExitCode),
        data_point("weave.verbose", Kind::Bool),
        data_point("weave.packages", Kind::Integer { min: 0, max: 1000 }),
        data_point("weave.cargo_version", Kind::Version),
        data_point("weave.framework", Kind::Moniker { prefixes: &["net"], suffixes: &["-windows"] }),
    ],
    on_run: &[0, 1, 2],
    ..DataPoints::EMPTY
};

pub(crate) const TOOL: Tool<'static> =
    Tool { name: "weave", version: "1.4.0", content_hash: Some(DATA_POINTS.content_hash) };

/// One span of each kind: runs that are running, succeed, fail, and are cut off, and approved spans with different
/// parents.
pub(crate) fn spans() -> Vec<Span> {
    let text = |position: u8, text: &str| {
        let value = DATA_POINTS.data_points[usize::from(position)].admit_text(text);
        (position, value.expect("an admitted value"))
    };
    let span = |id: u8, parent, subject, values| Span {
        trace_id: [id | 0x40; 16],
        span_id: [id | 0x80; 8],
        parent,
        subject,
        start: 1_763_900_000_000_000_001 + u64::from(id),
        end: 1_763_900_000_123_456_789 + u64::from(id),
        values,
    };
    let local = Some(Parent { span_id: [0x11; 8], is_remote: false });
    let remote = Some(Parent { span_id: [0x12; 8], is_remote: true });
    vec![
        span(1, None, Subject::Run(None), vec![text(0, "build")]),
        span(2, None, Subject::Run(Some(Ending::Exited(0))), vec![text(0, "run"), (2, Value::Bool(true))]),
        span(3, remote, Subject::Run(Some(Ending::Exited(101))), vec![text(0, "no such command")]),
        span(4, None, Subject::Run(Some(Ending::CutOff)), Vec::new()),
        span(5, local, Subject::Approved(0), vec![(3, Value::Integer(-1)), text(4, "1.89.0-beta.2")]),
        span(6, remote, Subject::Approved(0), vec![text(5, "net8.0-windows"), (2, Value::Bool(false))]),
        span(7, local, Subject::Approved(0), Vec::new()),
    ]
}

pub(crate) fn batch(spans: &[Span]) -> Batch<'_> {
    Batch::Runs(RunBatch { data_points: &DATA_POINTS, tool: TOOL, spans })
}

/// A count with a value of each type.
pub(crate) fn count() -> CountSpan {
    let values = [
        ("weave.command", CellValue::Text("build".to_owned())),
        ("weave.verbose", CellValue::Bool(true)),
        ("weave.packages", CellValue::Integer(-3)),
    ];
    let cell = Cell(values.map(|(key, value)| (key.to_owned(), value)).into());
    CountSpan { trace_id: [0x51; 16], span_id: [0x52; 8], start: 1_795_392_000, cell }
}

/// Settings with a short timeout, so that a hanging test fails soon.
pub(crate) fn settings(endpoint: impl Into<String>, protocol: Protocol) -> OtlpSettings {
    OtlpSettings {
        endpoint: endpoint.into(),
        protocol,
        headers: Vec::new(),
        gzip: false,
        timeout: Duration::from_secs(5),
        certificate: None,
        client: None,
    }
}

/// A received request.
#[derive(Debug)]
pub(crate) struct Request {
    /// The request line and the header lines.
    pub(crate) head: Vec<String>,
    pub(crate) body: Vec<u8>,
    /// The number of its connection, from 0.
    pub(crate) connection: usize,
}

impl Request {
    /// The value of the header with this lower-case name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The names of all headers, in lower case and sorted.
    pub(crate) fn header_names(&self) -> Vec<String> {
        let name = |line: &String| line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        let mut names: Vec<_> = self.head.iter().skip(1).map(name).collect();
        names.sort();
        names
    }
}

/// Reads one HTTP/1.1 request with a `Content-Length`. Returns nothing if the peer has closed the connection.
pub(crate) fn read_request(stream: &mut impl BufRead, connection: usize) -> Option<Request> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let mut request = Request { head, body: Vec::new(), connection };
    let length = request.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    request.body.resize(length, 0);
    stream.read_exact(&mut request.body).ok()?;
    Some(request)
}

/// Sends one answer after the other, over any number of connections. The thread returns the requests.
pub(crate) fn serve(answers: Vec<Vec<u8>>) -> (SocketAddr, JoinHandle<Vec<Request>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    let thread = std::thread::spawn(move || {
        let mut requests = Vec::new();
        let mut answers = answers.into_iter();
        let mut next = answers.next();
        for connection in 0.. {
            if next.is_none() {
                break;
            }
            let mut stream = BufReader::new(listener.accept().expect("a connection").0);
            while let Some(answer) = &next
                && let Some(request) = read_request(&mut stream, connection)
            {
                requests.push(request);
                // The client may have closed the connection during a long answer.
                let _ = stream.get_mut().write_all(answer);
                next = answers.next();
            }
        }
        requests
    });
    (address, thread)
}

/// Hands the first connection to `answer`.
pub(crate) fn serve_by(answer: impl FnOnce(TcpStream) + Send + 'static) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    let thread = std::thread::spawn(move || answer(listener.accept().expect("a connection").0));
    (address, thread)
}

/// Forwards bytes both ways until both sides have closed.
pub(crate) fn relay(one: TcpStream, other: TcpStream) {
    let pass_on = |from: &TcpStream, to: &TcpStream| {
        let (mut from, mut to) = (from, to);
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| pass_on(&other, &one));
        pass_on(&one, &other);
    });
}

/// An HTTP response with a `Content-Length`.
pub(crate) fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut answer =
        format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    answer
}

/// The header line of a protobuf response.
pub(crate) const PROTOBUF: &str = "Content-Type: application/x-protobuf\r\n";
/// The header line of a JSON response.
pub(crate) const JSON: &str = "Content-Type: application/json\r\n";

/// A certificate authority for one test.
pub(crate) struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    /// The root, as PEM.
    pub(crate) root: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().expect("a key");
        let root = params.self_signed(&key).expect("a root").pem();
        Self { issuer: rcgen::Issuer::new(params, key), root }
    }

    /// Issues a certificate for this name or address.
    pub(crate) fn issue(&self, name: &str) -> (rcgen::Certificate, rcgen::KeyPair) {
        let params = rcgen::CertificateParams::new([name.to_owned()]).expect("a name");
        let key = rcgen::KeyPair::generate().expect("a key");
        (params.signed_by(&key, &self.issuer).expect("a certificate"), key)
    }

    /// The configuration of a server that accepts only the clients of `clients`, if given.
    fn server(
        &self,
        clients: Option<&Authority>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .expect("versions");
        let builder = match clients {
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                let root = CertificateDer::from_pem_slice(authority.root.as_bytes()).expect("a root");
                roots.add(root).expect("a root");
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.expect("a verifier"))
            }
            None => builder.with_no_client_auth(),
        };
        let (certificate, key) = self.issue("127.0.0.1");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        builder.with_single_cert(vec![certificate.der().clone()], key).expect("a certificate")
    }

    /// Answers one request over TLS. The thread returns it, or nothing if none arrived.
    pub(crate) fn serve(
        &self,
        clients: Option<&Authority>,
        versions: &[&'static SupportedProtocolVersion],
        answer: Vec<u8>,
    ) -> (SocketAddr, JoinHandle<Option<Request>>) {
        serve_tls(self.server(clients, versions), 1, answer)
    }

    /// The same, after `turned_away` connections without a request.
    pub(crate) fn serve_after(
        &self,
        clients: Option<&Authority>,
        versions: &[&'static SupportedProtocolVersion],
        turned_away: usize,
        answer: Vec<u8>,
    ) -> (SocketAddr, JoinHandle<Option<Request>>) {
        serve_tls(self.server(clients, versions), 1 + turned_away, answer)
    }

    /// A server with a self-signed certificate, which `is_ca` marks as an authority.
    pub(crate) fn serve_self_signed(
        is_ca: bool,
        answer: Vec<u8>,
    ) -> (String, SocketAddr, JoinHandle<Option<Request>>) {
        let mut params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
        params.is_ca = if is_ca {
            rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained)
        } else {
            rcgen::IsCa::ExplicitNoCa
        };
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .expect("versions")
            .with_no_client_auth();
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let config = builder.with_single_cert(vec![certificate.der().clone()], key).expect("a certificate");
        let (address, server) = serve_tls(config, 1, answer);
        (certificate.pem(), address, server)
    }
}

/// Answers one request over one of `connections` connections.
fn serve_tls(
    config: ServerConfig,
    connections: usize,
    answer: Vec<u8>,
) -> (SocketAddr, JoinHandle<Option<Request>>) {
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    let thread = std::thread::spawn(move || {
        (0..connections).find_map(|connection| {
            let stream = listener.accept().expect("a connection").0;
            let tls = ServerConnection::new(Arc::clone(&config)).expect("a connection");
            let mut stream = BufReader::new(StreamOwned::new(tls, stream));
            let request = read_request(&mut stream, connection)?;
            stream.get_mut().write_all(&answer).ok()?;
            stream.get_mut().flush().ok()?;
            Some(request)
        })
    });
    (address, thread)
}
