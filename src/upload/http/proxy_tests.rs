use std::io::{BufReader, Write as _};
use std::net::SocketAddr;

use super::tests::{MAX_REQUEST_BYTES, ok};
use super::*;
use crate::fixtures::{self, Authority};

/// Sends through the proxy `scheme://u:p%2F@address` to an endpoint.
fn through(
    scheme: &str,
    proxy: SocketAddr,
    endpoint: &str,
    change: impl FnOnce(&mut OtlpSettings),
) -> DeliveryOutcome {
    let mut settings = fixtures::settings(endpoint, Protocol::HttpProtobuf);
    settings.headers = vec![("x-key".into(), "secret".into())];
    change(&mut settings);
    let variable = |name: &str| (name == "all_proxy").then(|| format!("{scheme}://u:p%2F@{proxy}"));
    let mut transport =
        HttpTransport::open(&settings, MAX_REQUEST_BYTES, &variable).expect("usable settings");
    let spans = fixtures::spans();
    transport.send(&fixtures::batch(&spans), SystemTime::UNIX_EPOCH)
}

/// u:p/
const CREDENTIALS: &str = "Basic dTpwLw==";
const BEHIND: &str = "http://collector.invalid:4318/v1/traces?x=%2F";

#[test]
fn a_proxy_forwards_requests_for_an_http_endpoint() {
    let (address, server) = fixtures::serve(vec![ok(), ok()]);
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
fn a_tunnel_to_an_https_endpoint_hides_the_headers() {
    let authority = Authority::new();
    let (collector, server) = authority.serve(None, rustls::ALL_VERSIONS, ok());
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().join("root.pem");
    std::fs::write(&root, &authority.root).expect("a file");
    let (address, proxy) = fixtures::serve_by(move |stream| {
        let mut stream = BufReader::new(stream);
        let connect = fixtures::read_request(&mut stream, 0).expect("a request");
        // The certificate is for a loopback address, which is never reached through a proxy.
        assert_eq!(connect.head[0], "CONNECT collector.invalid:4318 HTTP/1.1");
        assert_eq!(connect.header("proxy-authorization"), Some(CREDENTIALS));
        assert_eq!(connect.header("x-key"), None);
        // ureq accepts 20 headers here.
        let many = "X-Many: 1\r\n".repeat(100);
        write!(stream.get_mut(), "HTTP/1.1 200 OK\r\n{many}\r\n").expect("an answer");
        let collector = std::net::TcpStream::connect(collector).expect("a collector");
        fixtures::relay(stream.into_inner(), collector);
    });
    let answer = through("http", address, "https://collector.invalid:4318/v1/traces", |settings| {
        settings.certificate = Some(root);
    });
    // The client checks the collector's certificate.
    assert_eq!(answer, DeliveryOutcome::retry(FailureKind::Tls(TlsFailure::OtherName)));
    assert!(server.join().expect("a server").is_none());
    proxy.join().expect("a proxy");
}

#[test]
fn a_socks_proxy_resolves_the_name() {
    let (address, proxy) = fixtures::serve_by(|mut stream| {
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
        let request = fixtures::read_request(&mut BufReader::new(&stream), 0).expect("a request");
        assert_eq!(request.head[0], "POST /v1/traces?x=%2F HTTP/1.1");
        (&stream).write_all(&ok()).expect("an answer");
    });
    assert_eq!(through("socks5h", address, BEHIND, |_| ()), DeliveryOutcome::DELIVERED);
    proxy.join().expect("a proxy");
}

#[test]
fn a_refusal_by_the_proxy_is_not_the_receivers() {
    let page = |status: &str, headers: &str| fixtures::answer(status, headers, b"no");
    let html = "Content-Type: text/html; charset=utf-8\r\n";
    let proxys = |status| DeliveryOutcome::retry(FailureKind::Proxy(status));
    let refused = |status| DeliveryOutcome::Refused { kind: FailureKind::Http(status) };
    for (secure, answered, wanted) in [
        (false, page("407 Proxy Authentication Required", ""), proxys(Some(407))),
        (false, page("403 Forbidden", html), proxys(Some(403))),
        (false, page("403 Forbidden", "X-Squid-Error: ERR_ACCESS_DENIED 0\r\n"), proxys(Some(403))),
        (false, page("403 Forbidden", "Proxy-Status: p; error=http_request_denied\r\n"), proxys(Some(403))),
        (false, page("500 Unable to connect", html), proxys(Some(500))),
        (false, page("403 Forbidden", fixtures::PROTOBUF), refused(403)),
        (false, page("403 Forbidden", ""), refused(403)),
        (true, page("407 Proxy Authentication Required", html), proxys(Some(407))),
        (true, page("403 Forbidden", html), proxys(Some(403))),
    ] {
        let (address, server) = fixtures::serve(vec![answered]);
        let endpoint = if secure { BEHIND.replace("http:", "https:") } else { BEHIND.to_owned() };
        assert_eq!(through("http", address, &endpoint, |_| ()), wanted);
        server.join().expect("a proxy");
    }
    // No proxy listens at the address.
    for endpoint in [BEHIND.to_owned(), BEHIND.replace("http:", "https:")] {
        assert_eq!(through("http", ([127, 0, 0, 1], 9).into(), &endpoint, |_| ()), proxys(None));
    }
}
