//! Ten thousand runs, and a server that cycles through every response that OTLP allows and every failure.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

use crate::Report;
use crate::ledger::Ledger;
use crate::test_user::TestUser;

const RUNS: u64 = 10_000;
/// The server refuses requests with more spans.
const MAX_SPANS: usize = 40;
const TIMEOUT: Duration = Duration::from_secs(120);

/// Checks recorded = delivered + pending + dropped, and that no run counts as delivered that the server did not
/// accept.
pub(crate) fn in_every_way() -> Report {
    let server = Server::start();
    let user = TestUser::sending_to(&format!("http://{}", server.address))
        .with("OTEL_EXPORTER_OTLP_TIMEOUT", "300")
        .with_tool_setting("FROB_LIMIT_RUNS", "1000000")
        .with_tool_setting("FROB_LIMIT_BYTES", "10000000000");
    let (started, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    while started.fetch_add(1, Ordering::Relaxed) < RUNS {
                        user.run_frob(["build", "--spans", "1"]);
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                user.flush();
            }
        });
        for writer in writers {
            let _ = writer.join();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    server.is_well.store(true, Ordering::Relaxed);
    let started = Instant::now();
    while !user.flush() && started.elapsed() < TIMEOUT {
        std::thread::sleep(Duration::from_millis(100));
    }
    let ledger = Ledger::of(&user);
    let accepted = server.accepted.lock().expect("traces").len() as u64;
    let figures = format!(
        "{RUNS} runs, {} delivered, {} pending, {} dropped; {} requests, {accepted} traces accepted",
        ledger.delivered,
        ledger.pending,
        ledger.dropped,
        server.requests.load(Ordering::Relaxed),
    );
    let violated = [
        (ledger.total() != RUNS, "a run is not accounted for"),
        (ledger.pending > 0, "a run stays pending for ever"),
        (ledger.delivered > accepted, "a run counts as delivered that the server never accepted"),
        (accepted < RUNS / 2, "less than half was accepted"),
    ];
    match violated.into_iter().find(|(is_violated, _)| *is_violated) {
        Some((_, what)) => Err(format!("{what}: {figures}\n{}", ledger.status)),
        None => Ok(figures),
    }
}

struct Server {
    address: SocketAddr,
    /// From now on each request is accepted.
    is_well: AtomicBool,
    requests: AtomicU64,
    /// The trace ids of accepted requests, even if the response was lost.
    accepted: Mutex<HashSet<Vec<u8>>>,
}

impl Server {
    fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = Arc::new(Self {
            address: listener.local_addr().expect("its address"),
            is_well: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            accepted: Mutex::default(),
        });
        let serving = Arc::clone(&server);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = Arc::clone(&serving);
                std::thread::spawn(move || while serving.answer_one(&stream).is_some() {});
            }
        });
        server
    }

    /// Answers one request. Returns `None` if the connection must be closed.
    fn answer_one(&self, stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(text) = line.strip_prefix("content-length:") {
                length = text.trim().parse().ok()?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let request = ExportTraceServiceRequest::decode(&*body).expect("a request of OTLP");
        let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        let traces: Vec<_> =
            scopes.flat_map(|scope| &scope.spans).map(|span| span.trace_id.clone()).collect();
        let number = self.requests.fetch_add(1, Ordering::Relaxed) as usize;
        let answers = answers();
        let answer = match () {
            () if self.is_well.load(Ordering::Relaxed) => &answers[0],
            () if traces.len() > MAX_SPANS => &TOO_LARGE[number % TOO_LARGE.len()].answer(),
            () => &answers[number % answers.len()],
        };
        if answer.accepts {
            self.accepted.lock().expect("traces").extend(traces);
        }
        let mut stream = stream;
        stream.write_all(&answer.bytes).ok()?;
        answer.goes_on.then_some(())
    }
}

struct Answer {
    accepts: bool,
    bytes: Vec<u8>,
    /// Whether the connection stays open.
    goes_on: bool,
}

/// A response without a body.
struct BodylessResponse(&'static str);

/// How servers reject a request that is too large.
const TOO_LARGE: [BodylessResponse; 3] = [
    BodylessResponse("413 Too Large"),
    BodylessResponse("429 Too Many"),
    BodylessResponse("400 Bad Request"),
];

impl BodylessResponse {
    fn answer(&self) -> Answer {
        let bytes = format!("HTTP/1.1 {}\r\nContent-Length: 0\r\n\r\n", self.0).into_bytes();
        Answer { accepts: false, bytes, goes_on: true }
    }
}

fn answers() -> Vec<Answer> {
    const OTLP: &str = "Content-Type: application/x-protobuf\r\n";
    let of = |accepts: bool, head: &str, body: &[u8], goes_on: bool| Answer {
        accepts,
        bytes: [head.as_bytes(), b"\r\n", body].concat(),
        goes_on,
    };
    let success = |headers: &str, body: &[u8]| {
        let head = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {}\r\n", body.len());
        of(true, &head, body, true)
    };
    let json = |text: &str| success("Content-Type: application/json\r\n", text.as_bytes());
    let failure = |status: &str, headers: &str| {
        of(false, &format!("HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\n"), b"", true)
    };
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    let _ = packed.write_all(b"\x0a\x02\x08\x01");
    let packed = packed.finish().unwrap_or_default();
    let many: String = (0..300).map(|number| format!("X-{number}: y\r\n")).collect();
    vec![
        success(OTLP, b"\x0a\x00"),
        success("", b""),
        success(&format!("{OTLP}Content-Encoding: gzip\r\n"), &packed),
        success(&format!("{OTLP}{many}"), b""),
        success(OTLP, b"\x0a\x02\x08\x64"),
        success(OTLP, b"\x0a\x0a\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
        success(OTLP, b"\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        json(r#"{"partialSuccess":null}"#),
        json(r#"{"partialSuccess":{"rejectedSpans":"9223372036854775808"}}"#),
        of(true, &format!("HTTP/1.0 200 OK\r\n{OTLP}"), b"", false),
        of(true, &format!("HTTP/1.1 200 OK\r\n{OTLP}Connection: close\r\n"), b"\x0a\x00", false),
        of(
            true,
            &format!("HTTP/1.1 200 OK\r\n{OTLP}Transfer-Encoding: chunked\r\n"),
            b"2\r\n\x0a\x00\r\n0\r\n\r\n",
            true,
        ),
        of(
            true,
            &format!("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n{OTLP}"),
            b"",
            true,
        ),
        // Accepted, but the response is lost.
        of(true, &format!("HTTP/1.1 200 OK\r\n{OTLP}Content-Length: 90\r\n"), b"\x0a", false),
        of(true, "", b"", false),
        // Not accepted.
        of(false, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n", b"<html>", true),
        failure("503 Busy", ""),
        failure("503 Busy", "Retry-After: 1\r\n"),
        failure("502 Bad Gateway", ""),
        failure("504 Gateway Timeout", ""),
        failure("407 Proxy Authentication Required", ""),
        failure("511 Network Authentication Required", ""),
        failure("307 Temporary Redirect", "Location: http://127.0.0.1:9/\r\n"),
        failure("400 Bad Request", ""),
        failure("401 Unauthorized", ""),
        failure("500 Oops", ""),
        // No response in time.
        Answer { accepts: false, bytes: b"HTTP/1.1 ".to_vec(), goes_on: true },
    ]
}
