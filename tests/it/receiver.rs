//! The OTLP receiver, over real sockets.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use prost::Message as _;
use tonic::codec::CompressionEncoding;
use tool_telemetry_receiver::{self, Answer, Encoding, Receiver, SpanKind, Transport, Value};

use crate::otlp::*;

/// A run that failed in its second step. Its spans arrive in the order in which they ended.
pub(crate) fn run() -> Vec<Span> {
    let mut root = span(1, "dotnet", 100);
    root.attributes = vec![
        text("process.executable.name", "dotnet"),
        attribute("process.exit.code", any_value::Value::IntValue(1)),
        text("error.type", "_OTHER"),
        text("dotnet.command", "build"),
    ];
    root.status = Some(Status { code: 2, message: String::new() });
    let mut late = child(1, 3, "target", 120);
    late.attributes = vec![
        text("dotnet.framework", "netcoreapp1.1"),
        attribute("incremental", any_value::Value::BoolValue(false)),
    ];
    vec![child(3, 4, "compile", 121), child(1, 2, "target", 110), late, root]
}

pub(crate) const RUN: &str = "\
dotnet [error] process.executable.name=dotnet process.exit.code=1 error.type=_OTHER dotnet.command=build
  target
  target dotnet.framework=netcoreapp1.1 incremental=false
    compile
";

#[test]
fn runs_arrive_over_http_and_grpc_with_and_without_gzip() {
    let ways: [&dyn Fn(&Receiver); 4] = [
        &|receiver| assert_eq!(send(receiver, &bytes(run())).partial_success(), None),
        &|receiver| {
            let headers = [("content-type", PROTOBUF), ("content-encoding", "gzip")];
            assert_eq!(
                post(receiver, "/v1/traces", &headers, &gzip(&bytes(run()))).unwrap().partial_success(),
                None
            );
        },
        &|receiver| assert_eq!(send_grpc(receiver, run(), None, TIMEOUT).unwrap().partial_success, None),
        &|receiver| {
            let answer = send_grpc(receiver, run(), Some(CompressionEncoding::Gzip), TIMEOUT);
            assert_eq!(answer.unwrap().partial_success, None);
        },
    ];
    for (way, send) in ways.iter().enumerate() {
        let receiver = Receiver::start().unwrap();
        send(&receiver);
        receiver.wait_for(1, TIMEOUT).unwrap();
        assert_eq!(receiver.tree(), RUN, "way {way}");
        assert_eq!(receiver.outside_contract(), [""; 0], "way {way}");
        let requests = receiver.requests();
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].transport(), if way < 2 { Transport::Http } else { Transport::Grpc });
        assert_eq!(requests[0].encoding(), Some(Encoding::Protobuf));
        assert_eq!(requests[0].is_gzip(), way % 2 == 1, "way {way}");
        assert_eq!(requests[0].spans().len(), 4);
    }
}

#[test]
fn accessors_return_everything_sent() {
    let receiver = Receiver::start().unwrap();
    send(&receiver, &bytes(run()));
    let traces = receiver.traces();
    let trace = &traces[0];
    assert_eq!((trace.trace_id(), trace.len()), ("01".repeat(16).as_str(), 4));
    let root = trace.root();
    assert_eq!((root.span_id(), root.parent_span_id()), ("0101010101010101", None));
    assert_eq!((root.start_unix_nano(), root.end_unix_nano()), (100, 110));
    assert_eq!(root.duration(), Duration::from_nanos(10));
    assert_eq!(
        (root.kind(), root.status(), root.flags()),
        (SpanKind::Internal, tool_telemetry_receiver::Status::Error, 0)
    );
    assert_eq!(root.attribute("process.exit.code"), Some(&Value::Int(1)));
    assert_eq!(root.resource_attributes(), [("service.name".to_owned(), Value::from("dotnet"))]);
    assert_eq!((root.scope_name(), root.scope_version()), ("a-scope", "0.1"));
    let compile = trace.span("compile").unwrap();
    assert_eq!(compile.parent_span_id(), Some("0303030303030303"));
    let request = &receiver.requests()[0];
    assert_eq!((request.method(), request.path(), request.error()), ("POST", "/v1/traces", None));
    assert_eq!(request.body_bytes(), bytes(run()).len() as u64);
}

#[test]
fn request_headers_are_kept_over_both_transports() {
    let receiver = Receiver::start().unwrap();
    let headers = [("content-type", PROTOBUF), ("X-Planted", "leaked")];
    post(&receiver, "/v1/traces", &headers, &bytes(run())).unwrap();
    send_grpc(&receiver, run(), None, TIMEOUT).unwrap();
    for request in receiver.requests() {
        assert_eq!(request.header("x-planted"), Some("leaked"));
        assert_eq!(request.header("authorization"), None);
    }
}

#[test]
fn siblings_are_ordered_by_start_name_and_id() {
    let receiver = Receiver::start().unwrap();
    let spans = vec![
        child(1, 6, "b", 20),
        child(1, 5, "c", 10),
        child(1, 4, "a", 20),
        child(1, 3, "b", 20),
        span(1, "root", 30),
    ];
    send(&receiver, &bytes(spans));
    assert_eq!(receiver.tree(), "root\n  c\n  a\n  b\n  b\n");
    let ids: Vec<_> = receiver.traces()[0].spans().map(|span| span.span_id()[..2].to_owned()).collect();
    assert_eq!(ids, ["01", "05", "04", "03", "06"]);
}

#[test]
fn orphans_are_roots_and_cycles_are_broken() {
    let receiver = Receiver::start().unwrap();
    send(&receiver, &bytes(vec![child(9, 1, "orphan", 5), child(3, 2, "ring", 6), child(2, 3, "gnir", 7)]));
    assert_eq!(receiver.tree(), "orphan\nring\n  gnir\n");
}

#[test]
fn deep_trees_do_not_overflow_the_stack() {
    let receiver = Receiver::start().unwrap();
    let id = |number: u32| u64::from(number + 1).to_be_bytes().to_vec();
    let spans = (0..5_000).map(|number| Span {
        span_id: id(number),
        parent_span_id: if number == 0 { Vec::new() } else { id(number - 1) },
        ..span(1, "step", 1)
    });
    send(&receiver, &bytes(spans.collect()));
    assert!(receiver.tree().ends_with(&format!("{}step\n", "  ".repeat(4_999))));
}

#[test]
fn ambiguous_text_is_quoted_in_a_tree() {
    let receiver = Receiver::start().unwrap();
    let mut odd = span(1, "two words", 1);
    odd.attributes = vec![
        text("number", "1"),
        text("flag", "true"),
        text("empty", ""),
        text("a=b", "c d"),
        text("escape", "\u{1b}[31m"),
        text("path", "C:/x"),
    ];
    send(&receiver, &bytes(vec![odd]));
    let expected = r#""two words" number="1" flag="true" empty="" "a=b"="c d" escape="\u{1b}[31m" path=C:/x"#;
    assert_eq!(receiver.tree(), format!("{expected}\n"));
}

#[test]
fn duplicate_spans_are_dropped_and_counted() {
    let receiver = Receiver::start().unwrap();
    send(&receiver, &bytes(vec![span(1, "a", 1), span(1, "again", 1), span(2, "b", 2)]));
    send_grpc(&receiver, vec![span(2, "b", 2), span(3, "c", 3)], None, TIMEOUT).unwrap();
    assert_eq!(receiver.tree(), "a\nb\nc\n");
    assert_eq!((receiver.doubles(), receiver.rejected()), (2, 0));
    // The same span id in another trace is a different span.
    send(&receiver, &bytes(vec![Span { trace_id: vec![2; 16], ..span(1, "d", 4) }]));
    assert_eq!((receiver.doubles(), receiver.traces().len()), (2, 2));
}

#[test]
fn invalid_spans_are_rejected_and_the_others_accepted() {
    let twice = || vec![text("key", "1"), text("key", "2")];
    let good = || span(1, "good", 5);
    let broken = [
        ("trace id", Span { trace_id: vec![0; 16], ..good() }),
        ("trace id", Span { trace_id: vec![1; 15], ..good() }),
        ("span id", Span { span_id: vec![0; 8], ..good() }),
        ("span id", Span { span_id: Vec::new(), ..good() }),
        ("parent's span id", Span { parent_span_id: vec![0; 8], ..good() }),
        ("parent's span id", Span { parent_span_id: vec![1; 9], ..good() }),
        ("own parent", Span { parent_span_id: vec![1; 8], ..good() }),
        ("no name", Span { name: String::new(), ..good() }),
        ("kind", Span { kind: 0, ..good() }),
        ("kind", Span { kind: 6, ..good() }),
        ("no start time", Span { start_time_unix_nano: 0, ..good() }),
        ("ends before", Span { end_time_unix_nano: 4, ..good() }),
        ("reserved bits", Span { flags: 1 << 10, ..good() }),
        ("status code", Span { status: Some(Status { code: 3, ..Status::default() }), ..good() }),
        ("\"key\" is there twice", Span { attributes: twice(), ..good() }),
        ("without a key", Span { attributes: vec![text("", "")], ..good() }),
    ];
    for (rule, span) in broken {
        let receiver = Receiver::start().unwrap();
        let spans = vec![span, child(8, 9, "other", 6)];
        let (rejected, message) = send(&receiver, &bytes(spans.clone())).partial_success().unwrap();
        assert!(rejected == 1 && message.contains(rule), "{rule}: {rejected} {message}");
        assert_eq!(receiver.tree(), "other\n", "{rule}");
        assert_eq!(receiver.violations(), [message], "{rule}");
        let answer = send_grpc(&receiver, spans, None, TIMEOUT).unwrap();
        assert_eq!(answer.partial_success.unwrap().rejected_spans, 1, "{rule}");
        assert_eq!(receiver.rejected(), 2, "{rule}");
    }

    let receiver = Receiver::start().unwrap();
    let mut request = request(run());
    request.resource_spans[0].resource.as_mut().unwrap().attributes = twice();
    assert_eq!(send(&receiver, &request.encode_to_vec()).partial_success().unwrap().0, 4);
    assert_eq!(receiver.tree(), "");
}

#[test]
fn non_otlp_requests_are_refused_with_the_matching_status() {
    let receiver = Receiver::start().unwrap();
    let good = bytes(run());
    type Headers<'a> = &'a [(&'a str, &'a str)];
    let cases: [(u16, &str, Headers<'_>, &[u8]); 10] = [
        (404, "/", &[("content-type", PROTOBUF)], &good),
        (404, "/v1/traces/", &[("content-type", PROTOBUF)], &good),
        (404, "/v1/metrics", &[("content-type", PROTOBUF)], &good),
        (415, "/v1/traces", &[("content-type", "text/plain")], &good),
        (415, "/v1/traces", &[], &good),
        (415, "/v1/traces", &[("content-type", PROTOBUF), ("content-encoding", "deflate")], &good),
        (400, "/v1/traces", &[("content-type", PROTOBUF), ("content-encoding", "gzip")], &good),
        (400, "/v1/traces", &[("content-type", PROTOBUF)], &good[..good.len() - 1]),
        (400, "/v1/traces", &[("content-type", JSON)], &good),
        (400, "/v1/traces", &[("content-type", JSON)], b"[]"),
    ];
    for (number, (status, path, headers, body)) in cases.iter().enumerate() {
        let got = post(&receiver, path, headers, body).unwrap();
        assert_eq!(got.status, *status, "case {number}");
        let type_asked = headers.first().map_or("text/plain", |(_, value)| value);
        let is_otlp = [PROTOBUF, JSON].contains(&type_asked);
        assert_eq!(got.header("content-type"), if is_otlp { type_asked } else { "text/plain" });
        assert!(receiver.requests()[number].error().is_some(), "case {number}");
    }
    let got = client(TIMEOUT).get(format!("{}/v1/traces", receiver.http_endpoint())).call().unwrap();
    assert_eq!((got.status().as_u16(), got.headers()["allow"].to_str().unwrap()), (405, "POST"));
    assert_eq!(receiver.spans().len(), 0);
    // Parameters and case of the content type do not matter.
    let headers = [("content-type", "Application/JSON; charset=utf-8")];
    assert_eq!(post(&receiver, "/v1/traces", &headers, b"{}").unwrap().text(), "{}");
}

#[test]
fn gzip_bombs_are_stopped_over_both_transports() {
    // A gzip file may have many members. A reader that goes past the limit finds the broken end.
    let mut packed = gzip(&[0; 1 << 20]).repeat(tool_telemetry_receiver::MAX_BODY >> 20);
    packed.extend(gzip(&[0]));
    packed.extend(b"not gzip");
    assert!(packed.len() < 1_000_000);
    let receiver = Receiver::start().unwrap();
    let headers = [("content-type", PROTOBUF), ("content-encoding", "gzip")];
    assert_eq!(post(&receiver, "/v1/traces", &headers, &packed).unwrap().status, 413);

    let name = "x".repeat(tool_telemetry_receiver::MAX_BODY);
    // An unoptimised client takes 4 s to pack 64 MiB if it is alone, and other tests run beside it. A client that gave up
    // first would look like one that was refused.
    let patience = 10 * TIMEOUT;
    let error = send_grpc(&receiver, vec![span(1, &name, 1)], Some(CompressionEncoding::Gzip), patience);
    let code = error.unwrap_err().code();
    assert!(![tonic::Code::Ok, tonic::Code::DeadlineExceeded].contains(&code), "{code}");
    assert_eq!((receiver.spans().len(), receiver.requests().len()), (0, 2));
}

#[test]
fn an_oversized_body_is_refused_unread() {
    let receiver = Receiver::start().unwrap();
    let mut stream = connect(&receiver);
    let length = tool_telemetry_receiver::MAX_BODY + 1;
    write!(
        stream,
        "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: {PROTOBUF}\r\ncontent-length: {length}\r\n\r\n"
    )
    .unwrap();
    let mut answer = [0; 12];
    // The announced length is enough; no body was sent.
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

pub(crate) fn connect(receiver: &Receiver) -> TcpStream {
    let stream = TcpStream::connect(receiver.http_endpoint().strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream
}

#[test]
fn grpc_has_one_method() {
    let receiver = Receiver::start().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let status = runtime.block_on(async {
        let channel = tonic::transport::Endpoint::from_shared(receiver.grpc_endpoint()).unwrap();
        let mut grpc = tonic::client::Grpc::new(channel.connect().await.unwrap());
        grpc.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<_, ExportTraceServiceResponse>::default();
        let path = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export".parse().unwrap();
        grpc.unary(tonic::Request::new(request(run())), path, codec).await.unwrap_err()
    });
    assert_eq!(status.code(), tonic::Code::Unimplemented);
    assert_eq!(receiver.spans().len(), 0);
}

#[test]
fn dropping_a_receiver_closes_its_connections() {
    let receiver = Receiver::builder().always(Answer::Hang).start().unwrap();
    let address = receiver.http_endpoint();
    let mut streams: Vec<_> = (0..3).map(|_| connect(&receiver)).collect();
    for stream in &mut streams {
        write!(stream, "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").unwrap();
    }
    receiver.wait_until(|receiver| receiver.requests().len() == 3, TIMEOUT).unwrap();
    let start = Instant::now();
    drop(receiver);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    for mut stream in streams {
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
    assert!(TcpStream::connect(address.strip_prefix("http://").unwrap()).is_err());
}

#[test]
fn wait_for_returns_the_traces_or_reports_what_is_missing() {
    let receiver = Receiver::start().unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| receiver.wait_for(2, TIMEOUT).unwrap());
        send(&receiver, &bytes(run()));
        send(&receiver, &bytes(vec![Span { trace_id: vec![2; 16], ..span(1, "other", 1) }]));
        let names: Vec<_> =
            waiting.join().unwrap().iter().map(|trace| trace.root().name().to_owned()).collect();
        assert_eq!(names, ["other", "dotnet"]);
    });
    let error = receiver.wait_for(3, Duration::from_millis(1)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert!(error.to_string().contains("3 traces; 2 connections, 2 requests"), "{error}");
    assert!(error.to_string().ends_with(RUN), "{error}");
}

#[test]
fn connections_and_requests_are_counted() {
    let receiver = Receiver::start().unwrap();
    let headers = [("content-type", PROTOBUF)];
    let client = client(TIMEOUT);
    for _ in 0..5 {
        post_with(&client, &receiver, "/v1/traces", &headers, &bytes(run())).unwrap();
    }
    assert_eq!((receiver.connections(), receiver.peak_connections(), receiver.peak_requests()), (1, 1, 1));
    drop(client);

    let receiver = Receiver::start().unwrap();
    for _ in 0..20 {
        send(&receiver, &bytes(run()));
    }
    assert_eq!((receiver.connections(), receiver.peak_requests()), (20, 1));
    // The receiver notices that a connection is closed a moment after its client has opened the next one.
    assert!(receiver.peak_connections() < 20, "closed connections are not open");

    let receiver = Receiver::builder().answers(vec![Answer::Hang; 3]).start().unwrap();
    let mut streams: Vec<_> = (0..3).map(|_| connect(&receiver)).collect();
    for (number, stream) in streams.iter_mut().enumerate() {
        write!(stream, "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").unwrap();
        receiver.wait_until(|receiver| receiver.requests().len() == number + 1, TIMEOUT).unwrap();
    }
    assert_eq!((receiver.connections(), receiver.peak_connections(), receiver.peak_requests()), (3, 3, 3));
}

#[test]
fn accepted_spans_are_kept_as_otlp_json_lines() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("received.jsonl");
    let answers = [Answer::Ok, Answer::status(503)];
    let receiver = Receiver::builder().keep_in(&path).answers(answers).start().unwrap();
    assert_eq!(receiver.file(), Some(path.as_path()));
    let mut remote = child(7, 1, "dotnet", 1);
    remote.flags = 0x301;
    remote.attributes =
        vec![text("a", "\u{1}\"\\ü\u{2028}"), attribute("b", any_value::Value::IntValue(i64::MIN))];
    let headers = [("content-type", PROTOBUF), ("authorization", "secret")];
    // Accepted, refused, a duplicate with a rejected span, and accepted.
    let bad = Span { kind: 0, ..span(2, "bad", 1) };
    for spans in [vec![remote.clone()], vec![span(3, "lost", 1)], vec![remote.clone(), bad], run()] {
        post(&receiver, "/v1/traces", &headers, &bytes(spans)).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = kept.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(kept.ends_with('\n') && !kept.contains("secret") && !kept.contains("127.0.0.1"));
    let expected = serde_json::json!({"resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "dotnet"}}]},
        "scopeSpans": [{
            "scope": {"name": "a-scope", "version": "0.1"},
            "spans": [{
                "traceId": "01".repeat(16), "spanId": "01".repeat(8), "parentSpanId": "07".repeat(8),
                "flags": 0x301, "name": "dotnet", "kind": 1,
                "startTimeUnixNano": "1", "endTimeUnixNano": "11",
                "attributes": [
                    {"key": "a", "value": {"stringValue": "\u{1}\"\\ü\u{2028}"}},
                    {"key": "b", "value": {"intValue": "-9223372036854775808"}},
                ],
                "status": {},
            }],
        }],
    }]});
    assert_eq!(serde_json::from_str::<serde_json::Value>(lines[0]).unwrap(), expected);

    // Each line is a request. Sent to another receiver, it gives the same spans, all inside the contract.
    let reader = Receiver::start().unwrap();
    for line in lines {
        assert_eq!(send_json(&reader, line).text(), "{}");
    }
    assert_eq!(reader.tree(), receiver.tree());
    assert_eq!(reader.outside_contract(), [""; 0]);
    // A second receiver appends to the same file.
    drop(receiver);
    let receiver = Receiver::builder().keep_in(&path).start().unwrap();
    send(&receiver, &bytes(vec![span(5, "later", 9)]));
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 3);
}

#[cfg(target_os = "linux")]
#[test]
fn spans_that_cannot_be_kept_are_not_accepted() {
    let receiver = Receiver::builder().keep_in("/dev/full").start().unwrap();
    assert_eq!(send(&receiver, &bytes(run())).status, 503);
    assert_eq!(send_grpc(&receiver, run(), None, TIMEOUT).unwrap_err().code(), tonic::Code::Unavailable);
    assert_eq!((receiver.tree().as_str(), receiver.doubles()), ("", 0));
}

#[test]
fn addresses_are_loopback_and_configurable() {
    let everywhere = Receiver::builder().grpc_address(([0, 0, 0, 0], 0).into()).start().unwrap_err();
    assert_eq!(everywhere.kind(), std::io::ErrorKind::InvalidInput);
    let other = Receiver::builder().http_address(([127, 0, 0, 2], 0).into()).start();
    // Only Linux configures all of 127.0.0.0/8.
    if cfg!(target_os = "linux") {
        assert!(other.unwrap().http_endpoint().starts_with("http://127.0.0.2:"));
    }
    let receiver = Receiver::start().unwrap();
    let taken = receiver.http_endpoint().strip_prefix("http://").unwrap().parse().unwrap();
    assert_eq!(
        Receiver::builder().http_address(taken).start().unwrap_err().kind(),
        std::io::ErrorKind::AddrInUse
    );
}
