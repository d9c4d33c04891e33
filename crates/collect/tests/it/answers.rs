//! What senders are told.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tonic::codec::CompressionEncoding;
use tonic::{Code, Status};

use crate::program::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Sends over gRPC, and returns the rejected spans.
fn grpc(
    server: &Server,
    request: ExportTraceServiceRequest,
    compression: Option<CompressionEncoding>,
    token: Option<&str>,
) -> Result<i64, Status> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = TraceServiceClient::connect(format!("http://{}", server.grpc)).await.unwrap();
        if let Some(compression) = compression {
            client = client.send_compressed(compression);
        }
        let mut request = tonic::Request::new(request);
        if let Some(token) = token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let answer = client.export(request).await?.into_inner();
        Ok(answer.partial_success.map_or(0, |partial| partial.rejected_spans))
    })
}

fn json_of(number: u32) -> String {
    let span = run_span(number);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    serde_json::json!({ "resourceSpans": [{
        "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": "dotnet" } }] },
        "scopeSpans": [{ "spans": [{
            "traceId": hex(&span.trace_id), "spanId": hex(&span.span_id), "name": "dotnet", "kind": 1,
            "startTimeUnixNano": span.start_time_unix_nano.to_string(),
            "endTimeUnixNano": span.end_time_unix_nano.to_string(),
            "attributes": [{ "key": "dotnet.command", "value": { "stringValue": "build" } }],
        }] }],
    }] })
    .to_string()
}

#[test]
fn every_encoding_and_transport_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let body = |number| request(&[number]).encode_to_vec();
    let gzipped = [("content-type", PROTOBUF), ("content-encoding", "gzip")];
    assert!(server.send(&[1]));
    assert_eq!(post(server.http, &gzipped, &gzip(&body(2))).unwrap().status, 200);
    let answer = server.post(JSON, json_of(3).as_bytes()).unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
    let headers = [("content-type", "Application/JSON; charset=utf-8"), ("content-encoding", "GZIP")];
    assert_eq!(post(server.http, &headers, &gzip(json_of(4).as_bytes())).unwrap().text(), "{}");
    assert_eq!(grpc(&server, request(&[5]), None, None).unwrap(), 0);
    assert_eq!(grpc(&server, request(&[6]), Some(CompressionEncoding::Gzip), None).unwrap(), 0);
    // Each address takes both.
    assert_eq!(post(server.grpc, &[("content-type", PROTOBUF)], &body(7)).unwrap().status, 200);
    // The old name of gzip, and a file of several members.
    let headers = [("content-type", PROTOBUF), ("content-encoding", "x-gzip")];
    assert_eq!(post(server.http, &headers, &gzip(&body(8))).unwrap().status, 200);
    let members: Vec<u8> = body(9).chunks(50).flat_map(gzip).collect();
    assert_eq!(post(server.http, &headers, &members).unwrap().status, 200);
    assert_eq!(exported(directory.path()), ids(1..=9));
}

#[test]
fn a_sender_over_grpc_does_not_repeat_a_request_that_is_too_large() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    // Zeros, which are 8 KiB in gzip.
    let mut large = request(&[1]);
    large.resource_spans[0].scope_spans[0].spans[0].name = "\0".repeat(9 << 20);
    for compression in [None, Some(CompressionEncoding::Gzip)] {
        let status = grpc(&server, large.clone(), compression, None).unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        // OTLP, "Failures": with a RetryInfo the sender would repeat it.
        assert!(!text(status.details()).contains("RetryInfo"));
    }
}

#[test]
fn what_is_no_request_is_refused_with_its_own_status() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let good = request(&[1]).encode_to_vec();
    let large = vec![0; 9 << 20];
    type Case<'a> = (u16, &'a [(&'a str, &'a str)], &'a [u8]);
    let cases: [Case<'_>; 8] = [
        (400, &[("content-type", PROTOBUF)], b"\xff"),
        (400, &[("content-type", JSON)], b"[]"),
        (400, &[("content-type", JSON)], b"{"),
        (400, &[("content-type", PROTOBUF), ("content-encoding", "gzip")], b"not gzip"),
        (413, &[("content-type", PROTOBUF)], &large),
        (415, &[("content-type", "text/plain")], &good),
        (415, &[], &good),
        (415, &[("content-type", PROTOBUF), ("content-encoding", "br")], &good),
    ];
    for (status, headers, body) in cases {
        assert_eq!(post(server.http, headers, body).unwrap().status, status, "{headers:?}");
    }
    let answer = get(server.http, "/v1/traces").unwrap();
    assert_eq!(answer.status, 405);
    assert!(answer.head.contains("allow: post"), "{}", answer.head);
    assert_eq!(get(server.http, "/").unwrap().status, 404);
    assert_eq!(get(server.http, "/healthz").unwrap().text(), "ok\n");
    assert_eq!(exported(directory.path()), ids([]));
}

#[test]
fn rejected_spans_are_a_partial_success_and_the_others_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let mut strange = run_span(2);
    strange.name = "anna".to_owned();
    let mut broken = run_span(3);
    broken.trace_id.pop();
    let request = request_of(vec![run_span(1), strange, broken]);
    assert_eq!(grpc(&server, request.clone(), None, None).unwrap(), 2);
    let answer = server.post(PROTOBUF, &request.encode_to_vec()).unwrap();
    assert!(!answer.text().contains("anna"), "{}", answer.text());
    assert_eq!(exported(directory.path()), ids([1]));
    let mut other = request;
    other.resource_spans[0].resource.as_mut().unwrap().attributes[0] = string("service.name", "anna");
    assert_eq!(grpc(&server, other, None, None).unwrap(), 3);
    let metrics = server.metrics();
    assert!(metrics.contains(r#"removed_total{kind="spans.unapproved"} 2"#), "{metrics}");
    assert!(!metrics.contains("anna") && !metrics.contains("dotnet"), "{metrics}");
}

#[test]
fn an_unknown_telemetry_toml_is_a_503_for_28_days() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let with_hash = |number: u32, age_days: u64| {
        let mut span = run_span(number);
        span.start_time_unix_nano -= age_days * 86_400_000_000_000;
        let mut request = request_of(vec![span]);
        let resource = request.resource_spans[0].resource.as_mut().unwrap();
        resource.attributes.push(string("tool_telemetry.data_points", &"ab".repeat(16)));
        request
    };
    let status = grpc(&server, with_hash(1, 0), None, None).unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(!status.details().is_empty(), "a RetryInfo");
    assert_eq!(grpc(&server, with_hash(1, 30), None, None).unwrap(), 1);
    let known =
        tool_telemetry_collect::approvals::ContentHash::of(&fs::read_to_string(definition()).unwrap());
    let mut request = request(&[2]);
    let resource = request.resource_spans[0].resource.as_mut().unwrap();
    resource.attributes.push(string("tool_telemetry.data_points", &known.to_string()));
    assert_eq!(grpc(&server, request, None, None).unwrap(), 0);
    assert_eq!(exported(directory.path()), ids([2]));
}

#[test]
fn a_sender_without_a_token_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens");
    fs::write(&tokens, "first-token\n\n  second-token\n").unwrap();
    let store = directory.path().join("store");
    let server = Server::spawn(collect(&store).arg("--tokens").arg(&tokens));
    let body = request(&[1]).encode_to_vec();
    for authorization in
        ["", "Bearer", "Bearer ", "Bearer first-toke", "Bearer first-tokens", "Basic first-token"]
    {
        let headers = [("content-type", PROTOBUF), ("authorization", authorization)];
        let answer = post(server.http, &headers, &body).unwrap();
        assert_eq!(answer.status, 401, "{authorization}");
        assert!(answer.head.contains("www-authenticate: bearer"), "{}", answer.head);
    }
    let headers = [("content-type", PROTOBUF), ("authorization", "bearer second-token")];
    assert_eq!(post(server.http, &headers, &body).unwrap().status, 200);
    assert_eq!(grpc(&server, request(&[2]), None, None).unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(grpc(&server, request(&[2]), None, Some("first-token")).unwrap(), 0);
    assert_eq!(get(server.http, "/healthz").unwrap().status, 200);
    assert_eq!(exported(&store), ids([1, 2]));
}

#[test]
fn with_a_certificate_only_tls_is_spoken() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(path("cert.pem"), own.cert.pem()).unwrap();
    fs::write(path("key.pem"), own.signing_key.serialize_pem()).unwrap();
    let mut command = collect(&path("store"));
    command.arg("--tls-certificate").arg(path("cert.pem")).arg("--tls-key").arg(path("key.pem"));
    let server = Server::spawn(&mut command);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(path("cert.pem")).unwrap()).unwrap();
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, TcpStream::connect(server.http).unwrap());
    let body = request(&[1]).encode_to_vec();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {PROTOBUF}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!server.send(&[2]), "without TLS nothing is received");
    assert_eq!(exported(&path("store")), ids([1]));
}
