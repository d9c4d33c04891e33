//! The OTLP receiver over real sockets.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use prost::Message as _;
use tonic::codec::CompressionEncoding;
use tool_telemetry::receiver::{self, Answer, Encoding, Receiver, SpanKind, Transport, Value};

use crate::otlp::*;

/// A run that failed in its second step; its spans arrive in the order in which they ended.
fn run() -> Vec<Span> {
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

const RUN: &str = "\
dotnet [error] process.executable.name=dotnet process.exit.code=1 error.type=_OTHER dotnet.command=build
  target
  target dotnet.framework=netcoreapp1.1 incremental=false
    compile
";

#[test]
fn a_run_is_a_tree_over_http_and_grpc_compressed_or_not() {
    let ways: [&dyn Fn(&Receiver); 4] = [
        &|receiver| assert_eq!(send(receiver, &bytes(run())).partial_success(), None),
        &|receiver| {
            let headers = [("content-type", PROTOBUF), ("content-encoding", "gzip")];
            assert_eq!(
                post(receiver, "/v1/traces", &headers, &gzip(&bytes(run()))).unwrap().partial_success(),
                None
            );
        },
        &|receiver| assert_eq!(send_grpc(receiver, run(), None, PATIENCE).unwrap().partial_success, None),
        &|receiver| {
            let answer = send_grpc(receiver, run(), Some(CompressionEncoding::Gzip), PATIENCE);
            assert_eq!(answer.unwrap().partial_success, None);
        },
    ];
    for (way, send) in ways.iter().enumerate() {
        let receiver = Receiver::start().unwrap();
        send(&receiver);
        receiver.wait_for(1, PATIENCE).unwrap();
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
