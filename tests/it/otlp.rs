//! Fixture: spans and senders for the receiver's tests, from opentelemetry-proto and ureq, which do not use our
//! contract.

use std::io::Write as _;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use tonic::codec::CompressionEncoding;
use tool_telemetry_receiver::Receiver;

/// How long a test waits before it fails. Long enough for a loaded machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);
pub(crate) const PROTOBUF: &str = "application/x-protobuf";
pub(crate) const JSON: &str = "application/json";

pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.to_owned()))
}

pub(crate) fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// A root span of trace 1 that lasts 10 ns.
pub(crate) fn span(id: u8, name: &str, start: u64) -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![id; 8],
        name: name.to_owned(),
        kind: 1,
        start_time_unix_nano: start,
        end_time_unix_nano: start + 10,
        ..Span::default()
    }
}

pub(crate) fn child(parent: u8, id: u8, name: &str, start: u64) -> Span {
    Span { parent_span_id: vec![parent; 8], ..span(id, name, start) }
}

pub(crate) fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope = InstrumentationScope {
        name: "a-scope".to_owned(),
        version: "0.1".to_owned(),
        ..InstrumentationScope::default()
    };
    let resource = Resource { attributes: vec![text("service.name", "dotnet")], ..Resource::default() };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    }
}

pub(crate) fn bytes(spans: Vec<Span>) -> Vec<u8> {
    request(spans).encode_to_vec()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

/// An HTTP response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    headers: ureq::http::HeaderMap,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The partial success of a protobuf response: the rejected spans and the message.
    pub(crate) fn partial_success(&self) -> Option<(i64, String)> {
        assert_eq!((self.status, self.header("content-type")), (200, PROTOBUF));
        let response = ExportTraceServiceResponse::decode(&self.body[..]).unwrap();
        response.partial_success.map(|partial| (partial.rejected_spans, partial.error_message))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A client that follows no redirect, returns any status, and keeps one connection open.
pub(crate) fn client(timeout: Duration) -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(timeout))
        .proxy(None)
        .build()
        .into()
}

pub(crate) fn post(
    receiver: &Receiver,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Response, ureq::Error> {
    post_with(&client(TIMEOUT), receiver, path, headers, body)
}

pub(crate) fn post_with(
    client: &ureq::Agent,
    receiver: &Receiver,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Response, ureq::Error> {
    let mut request = client.post(format!("{}{path}", receiver.http_endpoint()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response = request.send(body)?;
    let body = response.body_mut().with_config().limit(1 << 20).read_to_vec()?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Response { status, body, headers })
}

/// Sends protobuf over HTTP.
pub(crate) fn send(receiver: &Receiver, body: &[u8]) -> Response {
    post(receiver, "/v1/traces", &[("content-type", PROTOBUF)], body).unwrap()
}

pub(crate) fn send_json(receiver: &Receiver, body: &str) -> Response {
    post(receiver, "/v1/traces", &[("content-type", JSON)], body.as_bytes()).unwrap()
}

/// Sends one request over gRPC, on its own connection.
pub(crate) fn send_grpc(
    receiver: &Receiver,
    spans: Vec<Span>,
    compression: Option<CompressionEncoding>,
    timeout: Duration,
) -> Result<ExportTraceServiceResponse, tonic::Status> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sending = async {
        let endpoint = tonic::transport::Endpoint::from_shared(receiver.grpc_endpoint()).unwrap();
        let mut client = TraceServiceClient::new(endpoint.connect().await.unwrap());
        if let Some(compression) = compression {
            client = client.send_compressed(compression);
        }
        let mut request = tonic::Request::new(request(spans));
        request.metadata_mut().insert("x-planted", "leaked".parse().unwrap());
        client.export(request).await.map(tonic::Response::into_inner)
    };
    // tonic's own timeout only covers the head of the response.
    let late = |_| Err(tonic::Status::deadline_exceeded("the test's own timeout"));
    runtime.block_on(async { tokio::time::timeout(timeout, sending).await.unwrap_or_else(late) })
}
