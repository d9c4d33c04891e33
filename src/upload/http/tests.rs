use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

use super::*;
use crate::model::span;
use crate::testing::{self, Authority, Request, answer};

fn settings(address: SocketAddr) -> OtlpSettings {
    testing::settings(format!("http://{address}/v1/traces"), Protocol::HttpProtobuf)
}

fn open(settings: &OtlpSettings) -> HttpTransport {
    HttpTransport::open(settings, MAX_REQUEST_BYTES, &|_| None).expect("settings that can be used")
}

fn send(settings: &OtlpSettings) -> DeliveryOutcome {
    open(settings).send(&testing::batch(&testing::spans()), SystemTime::UNIX_EPOCH)
}

/// Sends once to a server that answers so, and gives the request too.
fn exchange(answer: Vec<u8>, change: impl FnOnce(&mut OtlpSettings)) -> (DeliveryOutcome, Request) {
    let (address, server) = testing::serve(vec![answer]);
    let mut settings = settings(address);
    change(&mut settings);
    let answer = send(&settings);
    (answer, server.join().expect("a server").remove(0))
}

fn answered(answer: Vec<u8>) -> DeliveryOutcome {
    exchange(answer, |_| ()).0
}

fn ok() -> Vec<u8> {
    answer("200 OK", testing::PROTOBUF, b"")
}

fn decoded(body: &[u8]) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest::decode(body).expect("a request of OTLP")
}

fn span_names(request: &ExportTraceServiceRequest) -> Vec<&str> {
    let spans = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    spans.flat_map(|scope| &scope.spans).map(|span| span.name.as_str()).collect()
}

/// The limit that is built in.
const MAX_REQUEST_BYTES: usize = 64 * 1024 * 1024;

const NAMES: [&str; 7] = ["weave", "weave", "weave", "weave", "resolve", "resolve", "resolve"];

#[test]
fn posts_protobuf_and_nothing_but_our_headers() {
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
    assert_eq!(resource_spans.resource.as_ref().map(|resource| resource.attributes.len()), Some(7));
    let scope = resource_spans.scope_spans[0].scope.as_ref().expect("a scope");
    assert_eq!((&*scope.name, &*scope.version), (span::SCOPE_NAME, span::SCOPE_VERSION));
}

#[test]
fn compresses_when_told() {
    let (answer, request) = exchange(ok(), |settings| settings.gzip = true);
    assert_eq!(answer, DeliveryOutcome::DELIVERED);
    assert_eq!(request.header("content-encoding"), Some("gzip"));
    let mut body = Vec::new();
    GzDecoder::new(&*request.body).read_to_end(&mut body).expect("gzip");
    assert_eq!(span_names(&decoded(&body)), NAMES);
}

#[cfg(feature = "http-json")]
#[test]
fn posts_json_on_one_line() {
    for gzip in [false, true] {
        let (answer, request) =
            exchange(answer("200 OK", testing::JSON, b"{\"partialSuccess\":{}}"), |settings| {
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
        assert!(!json.contains(['\n', ' ']), "{json}");
        let request: ExportTraceServiceRequest = serde_json::from_str(&json).expect("a request of OTLP");
        assert_eq!(span_names(&request), NAMES);
    }
}

#[test]
fn the_answer_is_the_servers() {
    let refused = |kind| DeliveryOutcome::Refused { kind };
    let html = "Content-Type: text/html\r\n";
    for (reply, wanted) in [
        (ok(), DeliveryOutcome::DELIVERED),
        (answer("200 OK", "", b""), DeliveryOutcome::DELIVERED),
        (answer("204 No Content", "", b""), DeliveryOutcome::DELIVERED),
        (
            answer("200 OK", testing::PROTOBUF, b"\x0a\x02\x08\x02"),
            DeliveryOutcome::Delivered { rejected: 2, warned: false },
        ),
        (answer("200 OK", html, b"<html>Log in</html>"), DeliveryOutcome::retry(FailureKind::NotOtlp)),
        (answer("200 OK", html, b""), DeliveryOutcome::retry(FailureKind::NotOtlp)),
        (answer("400 Bad Request", testing::PROTOBUF, b"\x12\x04test"), refused(FailureKind::Http(400))),
        (answer("413 Content Too Large", "", b""), refused(FailureKind::TooLarge)),
        (answer("500 Internal Server Error", html, b"oops"), refused(FailureKind::Http(500))),
        (answer("503 Service Unavailable", "", b""), DeliveryOutcome::retry(FailureKind::Http(503))),
        (b"SSH-2.0-OpenSSH_9.9\r\n\r\n\r\n".to_vec(), DeliveryOutcome::retry(FailureKind::NotOtlp)),
    ] {
        let shown = String::from_utf8_lossy(&reply).into_owned();
        assert_eq!(answered(reply), wanted, "{shown}");
    }
}

/// The bytes of an answer from its head and its body.
fn raw(head: &str, body: &[u8]) -> Vec<u8> {
    [head.as_bytes(), b"\r\n", body].concat()
}

#[test]
fn each_freedom_of_a_server_is_a_success() {
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
        ("JSON", answer("200 OK", testing::JSON, br#"{"partialSuccess":{"rejectedSpans":"2"}}"#)),
    ] {
        assert_eq!(answered(reply), DeliveryOutcome::Delivered { rejected: 2, warned: false }, "{what}");
    }
    for (what, reply) in [
        ("empty", answer("200 OK", testing::PROTOBUF, b"")),
        ("empty without a type", answer("200 OK", "", b"")),
        ("empty until the end", raw("HTTP/1.1 200 OK\r\nConnection: close\r\n", b"")),
        ("204", raw("HTTP/1.1 204 No Content\r\n", b"")),
        ("the Collector's", answer("200 OK", testing::PROTOBUF, b"\x0a\x00")),
        ("rotel's", answer("200 OK", testing::JSON, br#"{"partialSuccess":null}"#)),
        ("empty gzip", answer("200 OK", testing::JSON, &body::gzip(b"{}"))),
    ] {
        assert_eq!(answered(reply), DeliveryOutcome::DELIVERED, "{what}");
    }
}

#[test]
fn a_head_beyond_all_bounds_is_no_answer() {
    let (address, server) = testing::serve_by(|stream| {
        let mut stream = BufReader::new(stream);
        testing::read_request(&mut stream, 0);
        let stream = stream.get_mut();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"X-Endless: 1\r\n").is_ok() {}
    });
    assert_eq!(send(&settings(address)), DeliveryOutcome::retry(FailureKind::NotOtlp));
    server.join().expect("a server");
}

#[test]
fn an_answer_before_the_request_is_read_is_read() {
    let (address, server) = testing::serve_by(|mut stream| {
        // Not read, so that closing resets the connection.
        let _ = stream.read(&mut [0; 100]);
        let _ = stream.write_all(&answer("413 Content Too Large", "Connection: close\r\n", b""));
    });
    let spans = vec![testing::spans(); 5_000].concat();
    let answer = open(&settings(address)).send(&testing::batch(&spans), SystemTime::UNIX_EPOCH);
    assert_eq!(answer, DeliveryOutcome::Refused { kind: FailureKind::TooLarge });
    server.join().expect("a server");
}

#[test]
fn more_than_an_answer_announced_is_no_part_of_the_next() {
    let late =
        raw("HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n", b"\x0a\x00");
    let (address, server) = testing::serve(vec![late, ok()]);
    let mut transport = open(&settings(address));
    let spans = testing::spans();
    for _ in 0..2 {
        assert_eq!(
            transport.send(&testing::batch(&spans), SystemTime::UNIX_EPOCH),
            DeliveryOutcome::DELIVERED
        );
    }
    drop(transport);
    server.join().expect("a server");
}

#[test]
fn retry_after_is_read_against_the_given_time() {
    for value in ["90", "Thu, 01 Jan 1970 00:01:30 GMT"] {
        let headers = format!("Retry-After: {value}\r\n");
        assert_eq!(
            answered(answer("429 Too Many Requests", &headers, b"")),
            DeliveryOutcome::Retry { after: Some(Duration::from_secs(90)), kind: FailureKind::Http(429) }
        );
    }
}

#[test]
fn a_date_in_retry_after_is_read_by_the_servers_own_clock() {
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
    // The limit is that before compression.
    settings.gzip = true;
    let mut transport = HttpTransport::open(&settings, 1000, &|_| None).expect("usable settings");
    let spans = testing::spans();
    let answer = transport.send(&testing::batch(&spans), SystemTime::UNIX_EPOCH);
    assert_eq!(answer, DeliveryOutcome::Refused { kind: FailureKind::TooLarge });
    listener.set_nonblocking(true).expect("a socket option");
    assert!(listener.accept().is_err(), "it was sent");
}

#[test]
fn an_endless_answer_is_cut_off() {
    let (address, server) = testing::serve_by(|stream| {
        let mut stream = BufReader::new(stream);
        testing::read_request(&mut stream, 0);
        let stream = stream.get_mut();
        let _ = write!(stream, "HTTP/1.1 200 OK\r\n{}Transfer-Encoding: chunked\r\n\r\n", testing::JSON);
        let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
        while stream.write_all(&chunk).is_ok() {}
    });
    assert_eq!(send(&settings(address)), DeliveryOutcome::retry(FailureKind::TooLarge));
    server.join().expect("a server");
}

/// Answers with one byte after the other, slowly, until the client goes.
fn drips(answer: &'static [u8]) -> (SocketAddr, std::thread::JoinHandle<()>) {
    testing::serve_by(move |stream| {
        let mut stream = BufReader::new(stream);
        testing::read_request(&mut stream, 0);
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
            // A server that drips in clear text ends a TLS handshake sooner.
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
fn no_connection_and_no_answer_are_retried() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("its address");
    assert_eq!(send(&settings(closed)), DeliveryOutcome::retry(FailureKind::Connection));
    for answer in [
        &b""[..],
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
    ] {
        let (address, server) = testing::serve_by(|stream| {
            let mut stream = BufReader::new(stream);
            testing::read_request(&mut stream, 0);
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
    let (address, server) = testing::serve(vec![ok(), failure, close, ok()]);
    let mut transport = open(&settings(address));
    let spans = testing::spans();
    let mut answers = Vec::new();
    for version in ["1.0.0", "1.0.0", "1.0.0", "2.0.0"] {
        let mut batch = testing::batch(&spans);
        batch.tool.version = version;
        answers.push(transport.send(&batch, SystemTime::UNIX_EPOCH));
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
        let request = testing::read_request(&mut stream, 0);
        stream.get_mut().write_all(&ok()).expect("an answer");
        request
    });
    assert_eq!(send(&settings(address)), DeliveryOutcome::DELIVERED);
    let request = server.join().expect("a server").expect("a request");
    assert_eq!(request.header("host"), Some(&*address.to_string()));
}

/// The way through a proxy, which is `scheme://u:p@address`, to an endpoint.
fn through(
    scheme: &str,
    proxy: SocketAddr,
    endpoint: &str,
    change: impl FnOnce(&mut OtlpSettings),
) -> DeliveryOutcome {
    let mut settings = testing::settings(endpoint, Protocol::HttpProtobuf);
    settings.headers = vec![("x-key".into(), "secret".into())];
    change(&mut settings);
    let variable = |name: &str| (name == "all_proxy").then(|| format!("{scheme}://u:p%2F@{proxy}"));
    let mut transport =
        HttpTransport::open(&settings, MAX_REQUEST_BYTES, &variable).expect("usable settings");
    let spans = testing::spans();
    transport.send(&testing::batch(&spans), SystemTime::UNIX_EPOCH)
}

/// u:p/
const CREDENTIALS: &str = "Basic dTpwLw==";
const BEHIND: &str = "http://collector.invalid:4318/v1/traces?x=%2F";

#[test]
fn a_proxy_is_asked_for_the_whole_address_of_a_plain_endpoint() {
    let (address, server) = testing::serve(vec![ok(), ok()]);
    for endpoint in [BEHIND, "http://collector.invalid/"] {
        assert_eq!(through("http", address, endpoint, |_| ()), DeliveryOutcome::DELIVERED);
    }
    let requests = server.join().expect("a proxy");
    let (with_port, without) = (&requests[0], &requests[1]);
    assert_eq!(with_port.head[0], format!("POST {BEHIND} HTTP/1.1"));
    assert_eq!(with_port.header("host"), Some("collector.invalid:4318"));
    assert_eq!(with_port.header("proxy-authorization"), Some(CREDENTIALS));
    assert_eq!(with_port.header("x-key"), Some("secret"));
    assert_eq!(without.head[0], "POST http://collector.invalid/ HTTP/1.1");
    assert_eq!(without.header("host"), Some("collector.invalid"));
}

#[test]
fn a_proxy_makes_a_tunnel_to_a_secure_endpoint_and_never_sees_the_headers() {
    let authority = Authority::new();
    let (collector, server) = authority.serve(None, rustls::ALL_VERSIONS, ok());
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("root.pem");
    std::fs::write(&root, &authority.root).expect("a file");
    let (address, proxy) = testing::serve_by(move |stream| {
        let mut stream = BufReader::new(stream);
        let connect = testing::read_request(&mut stream, 0).expect("a request");
        // The certificate is for an address, which is never asked for through a proxy where it is our own.
        assert_eq!(connect.head[0], "CONNECT collector.invalid:4318 HTTP/1.1");
        assert_eq!(connect.header("proxy-authorization"), Some(CREDENTIALS));
        assert_eq!(connect.header("x-key"), None);
        // ureq takes 20 headers here.
        let many = "X-Many: 1\r\n".repeat(100);
        write!(stream.get_mut(), "HTTP/1.1 200 OK\r\n{many}\r\n").expect("an answer");
        let collector = std::net::TcpStream::connect(collector).expect("a collector");
        testing::relay(stream.into_inner(), collector);
    });
    let answer = through("http", address, "https://collector.invalid:4318/v1/traces", |settings| {
        settings.certificate = Some(root);
    });
    // It is the collector's certificate that is looked at.
    assert_eq!(answer, DeliveryOutcome::retry(FailureKind::Tls(TlsFailure::OtherName)));
    assert!(server.join().expect("a server").is_none());
    proxy.join().expect("a proxy");
}

#[test]
fn a_proxy_of_socks_is_asked_for_the_name() {
    let (address, proxy) = testing::serve_by(|mut stream| {
        use std::io::Read as _;

        let mut exchange = |length: usize, answer: &[u8]| {
            let mut asked = vec![0; length];
            stream.read_exact(&mut asked).expect("a part of the negotiation");
            stream.write_all(answer).expect("an answer");
            asked
        };
        let methods = exchange(2, b"")[1];
        exchange(methods.into(), b"\x05\x02");
        assert_eq!(exchange(6, b"\x01\x00"), b"\x01\x01u\x02p/");
        let name = exchange(5, b"")[4];
        assert_eq!(exchange(name.into(), b""), b"collector.invalid");
        exchange(2, b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00");
        let request = testing::read_request(&mut BufReader::new(&stream), 0).expect("a request");
        assert_eq!(request.head[0], "POST /v1/traces?x=%2F HTTP/1.1");
        (&stream).write_all(&ok()).expect("an answer");
    });
    assert_eq!(through("socks5h", address, BEHIND, |_| ()), DeliveryOutcome::DELIVERED);
    proxy.join().expect("a proxy");
}

#[test]
fn a_proxys_refusal_is_told_apart_from_the_receivers() {
    let page = |status: &str, headers: &str| testing::answer(status, headers, b"no");
    let html = "Content-Type: text/html; charset=utf-8\r\n";
    let proxys = |status| DeliveryOutcome::retry(FailureKind::Proxy(status));
    let refused = |status| DeliveryOutcome::Refused { kind: FailureKind::Http(status) };
    for (secure, answered, wanted) in [
        (false, page("407 Proxy Authentication Required", ""), proxys(Some(407))),
        (false, page("403 Forbidden", html), proxys(Some(403))),
        (false, page("403 Forbidden", "X-Squid-Error: ERR_ACCESS_DENIED 0\r\n"), proxys(Some(403))),
        (false, page("403 Forbidden", "Proxy-Status: p; error=http_request_denied\r\n"), proxys(Some(403))),
        (false, page("500 Unable to connect", html), proxys(Some(500))),
        (false, page("403 Forbidden", testing::PROTOBUF), refused(403)),
        (false, page("403 Forbidden", ""), refused(403)),
        (true, page("407 Proxy Authentication Required", html), proxys(Some(407))),
        (true, page("403 Forbidden", html), proxys(Some(403))),
    ] {
        let (address, server) = testing::serve(vec![answered]);
        let endpoint = if secure { BEHIND.replace("http:", "https:") } else { BEHIND.to_owned() };
        assert_eq!(through("http", address, &endpoint, |_| ()), wanted);
        server.join().expect("a proxy");
    }
    // Nobody listens where the proxy should be.
    for endpoint in [BEHIND.to_owned(), BEHIND.replace("http:", "https:")] {
        assert_eq!(through("http", ([127, 0, 0, 1], 9).into(), &endpoint, |_| ()), proxys(None));
    }
}

#[test]
fn settings_that_cannot_be_used_are_found_when_opening() {
    let unusable = |change: &dyn Fn(&mut OtlpSettings)| {
        let mut settings = testing::settings("https://collector.invalid/v1/traces", Protocol::HttpProtobuf);
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
    let settings = testing::settings("http://collector.invalid/v1/traces", Protocol::HttpProtobuf);
    let variable = |name: &str| (name == "http_proxy").then(|| "gopher://x".to_owned());
    assert!(HttpTransport::open(&settings, MAX_REQUEST_BYTES, &variable).is_err());
}

/// The exporter adds what these variables say to every request; they are the process's, so this is another one.
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
