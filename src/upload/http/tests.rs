use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

use super::*;
use crate::fixtures::{self, Request, answer};
use crate::model::span;

fn settings(address: SocketAddr) -> OtlpSettings {
    fixtures::settings(format!("http://{address}/v1/traces"), Protocol::HttpProtobuf)
}

fn open(settings: &OtlpSettings) -> HttpTransport {
    HttpTransport::open(settings, MAX_REQUEST_BYTES, &|_| None).expect("settings that can be used")
}

fn send(settings: &OtlpSettings) -> DeliveryOutcome {
    open(settings).send(&fixtures::batch(&fixtures::spans()), SystemTime::UNIX_EPOCH)
}

/// Sends one request to a server with this response. Returns the outcome and the request.
fn exchange(answer: Vec<u8>, change: impl FnOnce(&mut OtlpSettings)) -> (DeliveryOutcome, Request) {
    let (address, server) = fixtures::serve(vec![answer]);
    let mut settings = settings(address);
    change(&mut settings);
    let answer = send(&settings);
    (answer, server.join().expect("a server").remove(0))
}

fn answered(answer: Vec<u8>) -> DeliveryOutcome {
    exchange(answer, |_| ()).0
}

pub(super) fn ok() -> Vec<u8> {
    answer("200 OK", fixtures::PROTOBUF, b"")
}

fn decoded(body: &[u8]) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest::decode(body).expect("a request of OTLP")
}

fn span_names(request: &ExportTraceServiceRequest) -> Vec<&str> {
    let spans = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    spans.flat_map(|scope| &scope.spans).map(|span| span.name.as_str()).collect()
}

/// The limit that is built in.
pub(super) const MAX_REQUEST_BYTES: usize = 64 * 1024 * 1024;

const NAMES: [&str; 7] =
    ["weave build", "weave run", "weave other", "weave", "resolve", "resolve", "resolve"];

#[test]
fn protobuf_is_posted_with_our_headers_only() {
    let (answer, request) = exchange(ok(), |settings| {
        settings.headers =
            vec![("X-Key".into(), "a, b=c".into()), ("authorization".into(), "Bearer x".into())];
    });
    assert_eq!(answer, DeliveryOutcome::DELIVERED);
    assert_eq!(request.head[0], "POST /v1/traces HTTP/1.1");
    assert_eq!(
        request.header_names(),
        ["accept-encoding", "authorization", "content-length", "content-type", "host", "user-agent", "x-key"]
    );
    assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
    assert_eq!(request.header("x-key"), Some("a, b=c"));
    assert_eq!(request.header("accept-encoding"), Some("identity"));
    let user_agent = format!("tool-telemetry/{} OTel-OTLP-Exporter-Rust/0.33.1", env!("CARGO_PKG_VERSION"));
    assert_eq!(request.header("user-agent"), Some(&*user_agent));
    let request = decoded(&request.body);
    assert_eq!(span_names(&request), NAMES);
    let [resource_spans] = &request.resource_spans[..] else { panic!("one resource") };
    assert_eq!(resource_spans.resource.as_ref().map(|resource| resource.attributes.len()), Some(8));
    let scope = resource_spans.scope_spans[0].scope.as_ref().expect("a scope");
    assert_eq!((&*scope.name, &*scope.version), (span::SCOPE_NAME, span::SCOPE_VERSION));
}

#[test]
fn the_body_is_compressed_if_the_settings_say_so() {
    let (answer, request) = exchange(ok(), |settings| settings.gzip = true);
    assert_eq!(answer, DeliveryOutcome::DELIVERED);
    assert_eq!(request.header("content-encoding"), Some("gzip"));
    let mut body = Vec::new();
    GzDecoder::new(&*request.body).read_to_end(&mut body).expect("gzip");
    assert_eq!(span_names(&decoded(&body)), NAMES);
}

#[cfg(feature = "http-json")]
#[test]
fn json_is_posted_on_one_line() {
    for gzip in [false, true] {
        let (answer, request) =
            exchange(answer("200 OK", fixtures::JSON, b"{\"partialSuccess\":{}}"), |settings| {
                settings.protocol = Protocol::HttpJson;
                settings.gzip = gzip;
            });
        assert_eq!(answer, DeliveryOutcome::DELIVERED);
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(request.header("content-encoding"), gzip.then_some("gzip"));
        let mut json = String::new();
        if gzip {
            GzDecoder::new(&*request.body).read_to_string(&mut json).expect("gzip");
        } else {
            json = String::from_utf8(request.body).expect("UTF-8");
        }
        // The names of runs are the only texts with a space.
        assert!(!json.replace("weave ", "").contains(['\n', ' ']), "{json}");
        let request: ExportTraceServiceRequest = serde_json::from_str(&json).expect("a request of OTLP");
        assert_eq!(span_names(&request), NAMES);
    }
}

#[test]
fn each_response_has_its_outcome() {
    let refused = |kind| DeliveryOutcome::Refused { kind };
    let html = "Content-Type: text/html\r\n";
    for (reply, wanted) in [
        (ok(), DeliveryOutcome::DELIVERED),
        (answer("200 OK", "", b""), DeliveryOutcome::DELIVERED),
        (answer("204 No Content", "", b""), DeliveryOutcome::DELIVERED),
        (
            answer("200 OK", fixtures::PROTOBUF, b"\x0a\x02\x08\x02"),
            DeliveryOutcome::Delivered { rejected: 2, warned: false },
        ),
        (answer("200 OK", html, b"<html>Log in</html>"), DeliveryOutcome::retry(FailureKind::NotOtlp)),
        (answer("200 OK", html, b""), DeliveryOutcome::retry(FailureKind::NotOtlp)),
        (answer("400 Bad Request", fixtures::PROTOBUF, b"\x12\x04test"), refused(FailureKind::Http(400))),
        (answer("413 Content Too Large", "", b""), refused(FailureKind::TooLarge)),
        (answer("500 Internal Server Error", html, b"oops"), refused(FailureKind::Http(500))),
        (answer("503 Service Unavailable", "", b""), DeliveryOutcome::retry(FailureKind::Http(503))),
        (b"SSH-2.0-OpenSSH_9.9\r\n\r\n\r\n".to_vec(), DeliveryOutcome::retry(FailureKind::NotOtlp)),
    ] {
        let shown = String::from_utf8_lossy(&reply).into_owned();
        assert_eq!(answered(reply), wanted, "{shown}");
    }
}

/// The bytes of a response.
fn raw(head: &str, body: &[u8]) -> Vec<u8> {
    [head.as_bytes(), b"\r\n", body].concat()
}

#[test]
fn every_form_of_a_success_is_accepted() {
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\n";
    let partial = b"\x0a\x02\x08\x02";
    let packed = body::gzip(partial);
    let with_length =
        |head: &str, body: &[u8]| raw(&format!("{head}Content-Length: {}\r\n", body.len()), body);
    let many: String = (0..1_000).map(|number| format!("X-Many-{number}: {number}\r\n")).collect();
    let large = format!("Set-Cookie: {}\r\n", "a".repeat(200_000));
    let chunked = b"1\r\n\x0a\r\n3;ext=1\r\n\x02\x08\x02\r\n0\r\nX-Trailer: 1\r\n\r\n";
    for (what, reply) in [
        ("gzip", with_length(&format!("{OK}Content-Encoding: gzip\r\n"), &packed)),
        (
            "gzip in two members",
            with_length(OK, &[body::gzip(&partial[..1]), body::gzip(&partial[1..])].concat()),
        ),
        ("gzip announced, not done", with_length(&format!("{OK}Content-Encoding: gzip\r\n"), partial)),
        ("chunked", raw(&format!("{OK}Transfer-Encoding: chunked\r\n"), chunked)),
        ("until the end", raw(&format!("{OK}Connection: close\r\n"), partial)),
        ("HTTP/1.0", raw("HTTP/1.0 200 OK\r\nContent-Type: application/x-protobuf\r\n", partial)),
        ("no reason", with_length("HTTP/1.1 200\r\nContent-Type: application/x-protobuf\r\n", partial)),
        ("a reason in Latin-1", {
            let mut reply = with_length(OK, partial);
            reply.splice(13..15, *b"\xe9\xe8");
            reply
        }),
        ("header case", with_length("HTTP/1.1 200 OK\r\nCONTENT-TYPE:APPLICATION/X-PROTOBUF\r\n", partial)),
        ("bare line ends", with_length(OK, partial).into_iter().filter(|byte| *byte != b'\r').collect()),
        ("1,000 headers", with_length(&format!("{OK}{many}"), partial)),
        ("a large header", with_length(&format!("{OK}{large}"), partial)),
        (
            "malformed headers",
            with_length(&format!("{OK}X Y: 1\r\nno colon\r\nX: a\r\n\tb\r\nZ : \x01\r\n"), partial),
        ),
        ("the length twice", with_length(&format!("{OK}Content-Length: 4\r\n"), partial)),
        ("100", [b"HTTP/1.1 100 Continue\r\nX-Odd: 1\r\n\r\n".to_vec(), with_length(OK, partial)].concat()),
        (
            "103",
            [b"HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n".to_vec(), with_length(OK, partial)].concat(),
        ),
        ("201", with_length("HTTP/1.1 201 Created\r\nContent-Type: application/x-protobuf\r\n", partial)),
        ("JSON", answer("200 OK", fixtures::JSON, br#"{"partialSuccess":{"rejectedSpans":"2"}}"#)),
    ] {
        assert_eq!(answered(reply), DeliveryOutcome::Delivered { rejected: 2, warned: false }, "{what}");
    }
    for (what, reply) in [
        ("empty", answer("200 OK", fixtures::PROTOBUF, b"")),
        ("empty without a type", answer("200 OK", "", b"")),
        ("empty until the end", raw("HTTP/1.1 200 OK\r\nConnection: close\r\n", b"")),
        ("204", raw("HTTP/1.1 204 No Content\r\n", b"")),
        ("the Collector's", answer("200 OK", fixtures::PROTOBUF, b"\x0a\x00")),
        ("rotel's", answer("200 OK", fixtures::JSON, br#"{"partialSuccess":null}"#)),
        ("empty gzip", answer("200 OK", fixtures::JSON, &body::gzip(b"{}"))),
    ] {
        assert_eq!(answered(reply), DeliveryOutcome::DELIVERED, "{what}");
    }
}

#[test]
fn an_endless_head_is_cut_off() {
    let (address, server) = fixtures::serve_by(|stream| {
        let mut stream = BufReader::new(stream);
        fixtures::read_request(&mut stream, 0);
        let stream = stream.get_mut();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"X-Endless: 1\r\n").is_ok() {}
    });
    assert_eq!(send(&settings(address)), DeliveryOutcome::retry(FailureKind::NotOtlp));
    server.join().expect("a server");
}

#[test]
fn a_response_before_the_end_of_the_request_counts() {
    let (address, server) = fixtures::serve_by(|mut stream| {
        // Leaves the rest unread, so that closing resets the connection.
        let _ = stream.read(&mut [0; 100]);
        let _ = stream.write_all(&answer("413 Content Too Large", "Connection: close\r\n", b""));
    });
    let spans = vec![fixtures::spans(); 5_000].concat();
    let answer = open(&settings(address)).send(&fixtures::batch(&spans), SystemTime::UNIX_EPOCH);
    assert_eq!(answer, DeliveryOutcome::Refused { kind: FailureKind::TooLarge });
    server.join().expect("a server");
}

#[test]
fn bytes_after_a_response_are_no_part_of_the_next() {
    let late =
        raw("HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n", b"\x0a\x00");
    let (address, server) = fixtures::serve(vec![late, ok()]);
    let mut transport = open(&settings(address));
    let spans = fixtures::spans();
    for _ in 0..2 {
        assert_eq!(
            transport.send(&fixtures::batch(&spans), SystemTime::UNIX_EPOCH),
            DeliveryOutcome::DELIVERED
        );
    }
    drop(transport);
    server.join().expect("a server");
}

#[test]
fn retry_after_is_relative_to_the_given_time() {
    for value in ["90", "Thu, 01 Jan 1970 00:01:30 GMT"] {
        let headers = format!("Retry-After: {value}\r\n");
        assert_eq!(
            answered(answer("429 Too Many Requests", &headers, b"")),
            DeliveryOutcome::Retry { after: Some(Duration::from_secs(90)), kind: FailureKind::Http(429) }
        );
    }
}

#[test]
fn a_date_in_retry_after_is_relative_to_the_servers_clock() {
    // Our clock says 1970.
    let headers = "Retry-After: Sun, 06 Nov 1994 08:50:07 GMT\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let after = Some(Duration::from_secs(30));
    let kind = FailureKind::Http(503);
    assert_eq!(answered(answer("503 Busy", headers, b"")), DeliveryOutcome::Retry { after, kind });
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let location = format!("Location: http://{}/v1/traces\r\n", elsewhere.local_addr().expect("its address"));
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"] {
        let code = status[..3].parse().expect("a number");
        assert_eq!(
            answered(answer(status, &location, b"moved")),
            DeliveryOutcome::retry(FailureKind::Http(code))
        );
    }
    elsewhere.set_nonblocking(true).expect("a socket option");
    assert!(elsewhere.accept().is_err(), "it was followed");
}

#[test]
fn a_request_over_the_limit_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut settings = settings(listener.local_addr().expect("its address"));
    // The limit applies before compression.
    settings.gzip = true;
    let mut transport = HttpTransport::open(&settings, 1000, &|_| None).expect("usable settings");
    let spans = fixtures::spans();
    let answer = transport.send(&fixtures::batch(&spans), SystemTime::UNIX_EPOCH);
    assert_eq!(answer, DeliveryOutcome::Refused { kind: FailureKind::TooLarge });
    listener.set_nonblocking(true).expect("a socket option");
    assert!(listener.accept().is_err(), "it was sent");
}

#[test]
fn an_endless_body_is_cut_off() {
    let (address, server) = fixtures::serve_by(|stream| {
        let mut stream = BufReader::new(stream);
        fixtures::read_request(&mut stream, 0);
        let stream = stream.get_mut();
        let _ = write!(stream, "HTTP/1.1 200 OK\r\n{}Transfer-Encoding: chunked\r\n\r\n", fixtures::JSON);
        let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
        while stream.write_all(&chunk).is_ok() {}
    });
    assert_eq!(send(&settings(address)), DeliveryOutcome::retry(FailureKind::TooLarge));
    server.join().expect("a server");
}

/// Sends one byte after the other, slowly, until the client closes the connection.
fn drips(answer: &'static [u8]) -> (SocketAddr, std::thread::JoinHandle<()>) {
    fixtures::serve_by(move |stream| {
        let mut stream = BufReader::new(stream);
        fixtures::read_request(&mut stream, 0);
        for byte in answer.iter().chain(std::iter::repeat(&b' ')) {
            if stream.get_mut().write_all(&[*byte]).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    })
}

#[test]
fn the_timeout_bounds_the_whole_exchange() {
    let hanging = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (in_head, one) = drips(b"HTTP/1.1 200 OK\r\nX: ");
    let (in_body, two) =
        drips(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n");
    for address in [hanging.local_addr().expect("its address"), in_head, in_body] {
        for https in [false, true] {
            // A server that drips clear text ends a TLS handshake early.
            if https && address != hanging.local_addr().expect("its address") {
                continue;
            }
            let mut settings = settings(address);
            settings.timeout = Duration::from_millis(if address == in_body { 2000 } else { 300 });
            if https {
                settings.endpoint = settings.endpoint.replace("http:", "https:");
            }
            let start = Instant::now();
            assert_eq!(send(&settings), DeliveryOutcome::retry(FailureKind::Timeout), "{settings:?}");
            assert!(start.elapsed() < settings.timeout + Duration::from_secs(2), "{:?}", start.elapsed());
        }
    }
    one.join().expect("a server");
    two.join().expect("a server");
}

#[test]
fn a_missing_response_is_retried() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("its address");
    assert_eq!(send(&settings(closed)), DeliveryOutcome::retry(FailureKind::Connection));
    for answer in [
        &b""[..],
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
    ] {
        let (address, server) = fixtures::serve_by(|stream| {
            let mut stream = BufReader::new(stream);
            fixtures::read_request(&mut stream, 0);
            let _ = stream.get_mut().write_all(answer);
        });
        assert_eq!(send(&settings(address)), DeliveryOutcome::retry(FailureKind::Connection));
        server.join().expect("a server");
    }
}

#[test]
fn requests_share_a_connection_until_the_server_closes_it() {
    let close = answer("200 OK", "Content-Type: application/x-protobuf\r\nConnection: close\r\n", b"");
    let failure = answer("400 Bad Request", "", b"no");
    let (address, server) = fixtures::serve(vec![ok(), failure, close, ok()]);
    let mut transport = open(&settings(address));
    let spans = fixtures::spans();
    let mut answers = Vec::new();
    for version in ["1.0.0", "1.0.0", "1.0.0", "2.0.0"] {
        let tool = span::Tool { version, ..fixtures::TOOL };
        let batch = delivery::RunBatch { data_points: &fixtures::DATA_POINTS, tool, spans: &spans };
        answers.push(transport.send(&Batch::Runs(batch), SystemTime::UNIX_EPOCH));
    }
    assert_eq!(
        answers,
        [
            DeliveryOutcome::DELIVERED,
            DeliveryOutcome::Refused { kind: FailureKind::Http(400) },
            DeliveryOutcome::DELIVERED,
            DeliveryOutcome::DELIVERED
        ]
    );
    drop(transport);
    let requests = server.join().expect("a server");
    let connections: Vec<_> = requests.iter().map(|request| request.connection).collect();
    assert_eq!(connections[..3], [0, 0, 0]);
    assert_ne!(connections[3], 0);
    let resource = decoded(&requests[3].body).resource_spans.remove(0).resource.expect("a resource");
    assert!(format!("{resource:?}").contains("2.0.0"), "the second version's own resource");
}

#[test]
fn ipv6_literals_are_reached() {
    // Not every machine that runs the tests has IPv6.
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        return;
    };
    let address = listener.local_addr().expect("its address");
    let server = std::thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().expect("a connection").0);
        let request = fixtures::read_request(&mut stream, 0);
        stream.get_mut().write_all(&ok()).expect("an answer");
        request
    });
    assert_eq!(send(&settings(address)), DeliveryOutcome::DELIVERED);
    let request = server.join().expect("a server").expect("a request");
    assert_eq!(request.header("host"), Some(&*address.to_string()));
}

#[test]
fn opening_rejects_unusable_settings() {
    let unusable = |change: &dyn Fn(&mut OtlpSettings)| {
        let mut settings = fixtures::settings("https://collector.invalid/v1/traces", Protocol::HttpProtobuf);
        change(&mut settings);
        assert!(HttpTransport::open(&settings, MAX_REQUEST_BYTES, &|_| None).is_err(), "{settings:?}");
    };
    for endpoint in
        ["", "collector.invalid", "ftp://collector.invalid/", "http://", "http:///v1/traces", "http://a b/"]
    {
        unusable(&|settings| settings.endpoint = endpoint.into());
    }
    for (name, value) in [("a b", "c"), ("", "c"), ("a", "b\nc"), ("a", "b\0")] {
        unusable(&|settings| settings.headers = vec![(name.into(), value.into())]);
    }
    unusable(&|settings| settings.protocol = Protocol::Grpc);
    let settings = fixtures::settings("http://collector.invalid/v1/traces", Protocol::HttpProtobuf);
    let variable = |name: &str| (name == "http_proxy").then(|| "gopher://x".to_owned());
    assert!(HttpTransport::open(&settings, MAX_REQUEST_BYTES, &variable).is_err());
}

/// The exporter reads these variables. The test runs in another process, because variables are global.
#[test]
fn the_environment_adds_nothing() {
    const VARIABLES: [(&str, &str); 8] = [
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "authorization=Bearer somebody,content-type=text/evil,content-encoding=gzip",
        ),
        (
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
            "authorization=Bearer somebody,x-planted=1,content-encoding=br",
        ),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
        ("OTEL_RESOURCE_ATTRIBUTES", "planted=yes"),
        ("OTEL_SERVICE_NAME", "planted"),
    ];
    if std::env::var_os(VARIABLES[0].0).is_none() {
        let this = std::env::current_exe().expect("this test's program");
        let name = "upload::http::tests::the_environment_adds_nothing";
        let mut child = std::process::Command::new(this);
        let output = child.args(["--exact", name]).envs(VARIABLES).output().expect("another process");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let (answer, request) =
        exchange(ok(), |settings| settings.headers = vec![("x-key".into(), "ours".into())]);
    assert_eq!(answer, DeliveryOutcome::DELIVERED);
    assert_eq!(
        request.header_names(),
        ["accept-encoding", "content-length", "content-type", "host", "user-agent", "x-key"]
    );
    assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
    assert!(request.header("user-agent").is_some_and(|value| value.starts_with("tool-telemetry/")));
    let request = decoded(&request.body);
    assert_eq!(span_names(&request), NAMES);
    assert!(!format!("{request:?}").contains("planted"));
}
