//! OTLP over gRPC: the `TraceService` of `opentelemetry-proto` on tonic, with a runtime on this thread.
//!
//! The gRPC exporter of `opentelemetry-otlp` hides partial success and `RetryInfo`, and adds the environment's headers,
//! so this module calls the service itself. tonic supports no proxy. An endpoint behind one needs HTTP.

use std::error::Error as _;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use http_body_util::BodyExt as _;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;
use tokio::runtime::Runtime;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::codegen::{Service, http};
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use crate::upload::delivery::{self, Batch, DeliveryOutcome};
use crate::upload::failure::{FailureKind, Setting, SettingError};
use crate::upload::otlp_settings::{OtlpSettings, Protocol};
use crate::upload::sdk_data::ExportRequest;
use crate::upload::{tls, user_agent};

/// A runtime, and a client with its connection, for one destination.
#[derive(Debug)]
pub(crate) struct GrpcTransport {
    /// Taken when the transport is dropped.
    runtime: Option<Runtime>,
    client: TraceServiceClient<RecordingChannel>,
    head: Arc<Mutex<Option<ResponseHead>>>,
    metadata: MetadataMap,
    timeout: Duration,
    max_request_bytes: usize,
    /// The receiver's clock at its last answer.
    receiver_time: Option<SystemTime>,
}

impl GrpcTransport {
    /// Reads certificates, but opens no connection.
    pub(crate) fn open(settings: &OtlpSettings, max_request_bytes: usize) -> Result<Self, FailureKind> {
        let no_address = FailureKind::Settings(Setting::Endpoint, SettingError::NotAnAddress);
        if settings.protocol != Protocol::Grpc {
            return Err(FailureKind::Settings(Setting::Protocol, SettingError::NotBuilt));
        }
        // Checked here, because tonic also accepts `unix:` sockets.
        let address: http::Uri = settings.endpoint.parse().map_err(|_| no_address)?;
        address.host().filter(|host| !host.is_empty()).ok_or(no_address)?;
        let is_https = match address.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(no_address),
        };
        let mut endpoint = Endpoint::from(address)
            .connect_timeout(settings.timeout)
            .user_agent(user_agent::own())
            .map_err(|_| no_address)?;
        if is_https {
            endpoint = endpoint.tls_config(tls::for_tonic(settings)?).map_err(|_| no_address)?;
        }
        let metadata = metadata(&settings.headers)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|_| FailureKind::Connection)?;
        let head = Arc::default();
        let channel = {
            let _entered = runtime.enter();
            RecordingChannel { channel: endpoint.connect_lazy(), head: Arc::clone(&head) }
        };
        // A server may respond in the request's compression unasked, as every server in Go does.
        let mut client = TraceServiceClient::new(channel).accept_compressed(CompressionEncoding::Gzip);
        if settings.gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        let timeout = settings.timeout;
        let runtime = Some(runtime);
        Ok(Self { runtime, client, head, metadata, timeout, max_request_bytes, receiver_time: None })
    }

    /// The receiver's clock at its last answer. Servers in Go tell none.
    pub(crate) fn receiver_time(&self) -> Option<SystemTime> {
        self.receiver_time
    }

    pub(crate) fn send(&mut self, batch: &Batch<'_>) -> DeliveryOutcome {
        let Some(runtime) = &self.runtime else {
            return DeliveryOutcome::retry(FailureKind::Connection);
        };
        let message = ExportRequest::new(batch).into_message();
        if message.encoded_len() > self.max_request_bytes {
            return DeliveryOutcome::Refused { kind: FailureKind::TooLarge };
        }
        let mut request = Request::new(message);
        *request.metadata_mut() = self.metadata.clone();
        *lock(&self.head) = None;
        let exported = runtime.block_on(async {
            // From the name's resolution to the last byte of the response.
            tokio::time::timeout(self.timeout, self.client.export(request)).await
        });
        let head = lock(&self.head).take();
        let date = head.as_ref().and_then(|head| head.date.as_deref());
        self.receiver_time = date.and_then(delivery::parse_date);
        match exported {
            Ok(Ok(response)) => of_response(&response),
            Ok(Err(status)) => of_failure(&status, head.as_ref()),
            Err(_elapsed) => DeliveryOutcome::retry(FailureKind::Timeout),
        }
    }
}

impl Drop for GrpcTransport {
    /// Dropping a runtime waits for its blocking threads, and one of them may hang in the resolver.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Fails if a header is invalid or is binary metadata.
fn metadata(headers: &[(String, String)]) -> Result<MetadataMap, FailureKind> {
    let headers_error = |error| FailureKind::Settings(Setting::Headers, error);
    let mut metadata = MetadataMap::with_capacity(headers.len());
    for (name, value) in headers {
        let name = AsciiMetadataKey::from_bytes(name.to_ascii_lowercase().as_bytes())
            .map_err(|_| headers_error(SettingError::BadName))?;
        let value =
            Some(value).filter(|value| value.is_ascii()).ok_or(headers_error(SettingError::BadValue))?;
        let mut value =
            AsciiMetadataValue::try_from(value).map_err(|_| headers_error(SettingError::BadValue))?;
        value.set_sensitive(true);
        metadata.insert(name, value);
    }
    Ok(metadata)
}

fn of_response(response: &Response<ExportTraceServiceResponse>) -> DeliveryOutcome {
    match &response.get_ref().partial_success {
        Some(partial) => {
            DeliveryOutcome::from_partial_success(partial.rejected_spans, !partial.error_message.is_empty())
        }
        None => DeliveryOutcome::DELIVERED,
    }
}

/// tonic returns a status for every error, even if no server sent one.
fn of_failure(status: &Status, head: Option<&ResponseHead>) -> DeliveryOutcome {
    let Some(head) = head else {
        return DeliveryOutcome::retry(failure_kind(status));
    };
    if head.http_status != 200 {
        let after = head.retry_after.as_deref();
        let after = after
            .and_then(|after| delivery::parse_retry_after(after, head.date.as_deref(), SystemTime::now()));
        return DeliveryOutcome::from_http_status(head.http_status, after)
            .unwrap_or(DeliveryOutcome::retry(FailureKind::NotOtlp));
    }
    match head.grpc_status {
        _ if !head.is_grpc => DeliveryOutcome::retry(FailureKind::NotOtlp),
        // Accepted, but the message is missing or cannot be decoded.
        Some(0) => DeliveryOutcome::DELIVERED,
        Some(code) => DeliveryOutcome::from_grpc_status(code, retry_delay(status.details())),
        // The response ended before its status, or its message could not be decoded.
        None if status.source().is_some() => DeliveryOutcome::retry(failure_kind(status)),
        None => DeliveryOutcome::retry(FailureKind::NotOtlp),
    }
}

fn failure_kind(status: &Status) -> FailureKind {
    let mut source = status.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                return FailureKind::Tls(tls::failure(error));
            }
            if error.kind() == io::ErrorKind::TimedOut {
                return FailureKind::Timeout;
            }
        }
        source = error.source();
    }
    FailureKind::Connection
}

/// The HTTP side of a response.
#[derive(Debug)]
struct ResponseHead {
    http_status: u16,
    is_grpc: bool,
    /// From the headers or the trailers.
    grpc_status: Option<i32>,
    retry_after: Option<String>,
    date: Option<String>,
}

impl ResponseHead {
    fn of(response: &http::Response<Body>) -> Self {
        let text = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        Self {
            http_status: response.status().as_u16(),
            is_grpc: text("content-type").is_some_and(|value| value.starts_with("application/grpc")),
            grpc_status: grpc_status(response.headers()),
            retry_after: text("retry-after"),
            date: text("date"),
        }
    }
}

fn grpc_status(headers: &http::HeaderMap) -> Option<i32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// A channel that records the head of each response, which tonic's status hides.
#[derive(Debug, Clone)]
struct RecordingChannel {
    channel: Channel,
    head: Arc<Mutex<Option<ResponseHead>>>,
}

impl Service<http::Request<Body>> for RecordingChannel {
    type Response = http::Response<Body>;
    type Error = tonic::transport::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.channel.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let head = Arc::clone(&self.head);
        let response = self.channel.call(request);
        Box::pin(async move {
            let response = response.await?;
            *lock(&head) = Some(ResponseHead::of(&response));
            Ok(response.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    if let Some(trailers) = frame.trailers_ref()
                        && let Some(head) = &mut *lock(&head)
                    {
                        head.grpc_status = head.grpc_status.or(grpc_status(trailers));
                    }
                    frame
                }))
            }))
        })
    }
}

fn lock(head: &Mutex<Option<ResponseHead>>) -> std::sync::MutexGuard<'_, Option<ResponseHead>> {
    head.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The delay of a `google.rpc.RetryInfo` among the details of a `google.rpc.Status`.
fn retry_delay(details: &[u8]) -> Option<Duration> {
    let status = RpcStatus::decode(details).ok()?;
    let info = status.details.iter().find(|detail| detail.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(&*info.value).ok()?.retry_delay.unwrap_or_default();
    let seconds = u64::try_from(delay.seconds).unwrap_or(0).min(u32::MAX.into());
    Some(Duration::new(seconds, u32::try_from(delay.nanos).unwrap_or(0).min(999_999_999)))
}

/// `google.rpc.Status`, with only its details.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Detail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[cfg(test)]
mod tests;
