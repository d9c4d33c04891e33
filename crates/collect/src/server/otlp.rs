//! OTLP over HTTP and over gRPC: the same request behind two envelopes.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use tool_telemetry_receiver::wire::{self, read_json, read_protobuf};
use tool_telemetry_receiver::{Encoding, answer};
use tracing::warn;

use super::ServerState;
use super::body::BodyBuffer;
use super::networks::Network;
use super::refusal::Refusal;
use crate::judge::Verdict;
use crate::time::Hour;

/// Where OTLP over HTTP is received.
pub(super) const HTTP_PATH: &str = "/v1/traces";
/// Where OTLP over gRPC is received.
pub(super) const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
const GRPC: &str = "application/grpc";
/// A tree of JSON values takes about this many times its text; protobuf is read where it lies.
const JSON_SIZE: usize = 4;
/// A gRPC message: compressed or not, and its length.
const FRAME_HEAD: usize = 5;

/// What a sender gets: the spans that were not accepted, and why.
type PartialSuccess = Option<(u64, &'static str)>;

/// Answers `POST /v1/traces`.
pub(super) async fn http(State(shared): State<Arc<ServerState>>, request: Request<Body>) -> Response {
    let encoding = encoding(request.headers());
    let result = async {
        if request.method() != Method::POST {
            return Err(Refusal::METHOD);
        }
        let encoding = encoding.ok_or(Refusal::TYPE)?;
        shared.check_quota(request.extensions())?;
        let (parts, body) = request.into_parts();
        shared.authenticate(&parts.headers)?;
        let gzip = match text(&parts.headers, CONTENT_ENCODING) {
            "" | "identity" => false,
            // The same by RFC 9110, 8.4.1.3.
            coding if ["gzip", "x-gzip"].iter().any(|gzip| coding.eq_ignore_ascii_case(gzip)) => true,
            _ => return Err(Refusal::ENCODING),
        };
        let body = shared.budget.read(body).await?;
        let body = if gzip { shared.budget.unpack(body).await? } else { body };
        shared.receive(encoding, &body).await
    };
    let result = result.await;
    shared.told(&result);
    let encoding = encoding.unwrap_or(Encoding::Json);
    let (status, body) = match &result {
        Ok(rejected) => (StatusCode::OK, answer::success(encoding, *rejected)),
        Err(refusal) => {
            (refusal.http, answer::failure(encoding, refusal.grpc as i32, &refusal.message, None))
        }
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let content_type = if encoding == Encoding::Json { JSON } else { PROTOBUF };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Err(refusal) = result {
        if let Some(delay) = refusal.retry_after {
            headers.insert(RETRY_AFTER, delay.as_secs().into());
        }
        match refusal.http {
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(axum::http::header::ALLOW, HeaderValue::from_static("POST"));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
    }
    response
}

/// Answers `TraceService/Export`.
pub(super) async fn grpc(State(shared): State<Arc<ServerState>>, request: Request<Body>) -> Response {
    let result = async {
        let (parts, body) = request.into_parts();
        if !text(&parts.headers, CONTENT_TYPE).starts_with(GRPC) {
            return Err(Refusal::TYPE);
        }
        shared.check_quota(&parts.extensions)?;
        shared.authenticate(&parts.headers)?;
        let gzip = match text(&parts.headers, HeaderName::from_static("grpc-encoding")) {
            "" | "identity" => false,
            "gzip" => true,
            _ => return Err(Refusal::ENCODING),
        };
        let body = shared.budget.read(body).await?;
        let (message, is_packed) = unframe(body)?;
        let message = match (is_packed, gzip) {
            (false, _) => message,
            (true, true) => shared.budget.unpack(message).await?,
            (true, false) => return Err(Refusal::bad("a compressed message without grpc-encoding")),
        };
        shared.receive(Encoding::Protobuf, &message).await
    };
    let result = result.await;
    shared.told(&result);
    match result {
        Ok(rejected) => {
            let message = answer::success(Encoding::Protobuf, rejected);
            let mut frame = vec![0];
            frame.extend_from_slice(&(message.len() as u32).to_be_bytes());
            frame.extend_from_slice(&message);
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            let body = Full::new(Bytes::from(frame)).with_trailers(async move { Some(Ok(trailers)) });
            let mut response = Response::new(Body::new(body));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(GRPC));
            response
        }
        Err(refusal) => grpc_refusal(refusal),
    }
}

pub(super) fn grpc_refusal(refusal: Refusal) -> Response {
    let code = refusal.grpc as i32;
    let details = answer::failure(Encoding::Protobuf, code, &refusal.message, refusal.retry_after);
    tonic::Status::with_details(refusal.grpc, refusal.message, details.into()).into_http()
}

/// A refusal of a request whose encoding is not known.
pub(super) fn plain_refusal(refusal: Refusal) -> Response {
    let mut response = Response::new(Body::from(refusal.message.into_owned()));
    *response.status_mut() = refusal.http;
    if let Some(delay) = refusal.retry_after {
        response.headers_mut().insert(RETRY_AFTER, delay.as_secs().into());
    }
    response
}

/// Answers every other path.
pub(super) async fn elsewhere() -> Response {
    plain_refusal(Refusal::PATH)
}

/// Takes the one message of a request out of its frame.
fn unframe(body: BodyBuffer) -> Result<(BodyBuffer, bool), Refusal> {
    let (head, message) =
        body.bytes().split_first_chunk::<FRAME_HEAD>().ok_or(Refusal::bad("not a gRPC message"))?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if message.len() != length || head[0] > 1 {
        return Err(Refusal::bad("not one whole gRPC message"));
    }
    let is_packed = head[0] == 1;
    Ok((body.without_start(FRAME_HEAD), is_packed))
}

fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    let content_type = text(headers, CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    if content_type.eq_ignore_ascii_case(PROTOBUF) {
        Some(Encoding::Protobuf)
    } else if content_type.eq_ignore_ascii_case(JSON) {
        Some(Encoding::Json)
    } else {
        None
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim()
}

impl ServerState {
    /// Reads, judges, and keeps a request.
    async fn receive(&self, encoding: Encoding, body: &BodyBuffer) -> Result<PartialSuccess, Refusal> {
        self.metrics.body_bytes.fetch_add(body.bytes().len() as u64, Relaxed);
        let now = Hour::now();
        let verdict = match encoding {
            Encoding::Protobuf => {
                let request =
                    read_protobuf(body.bytes(), &self.wire_limits()).map_err(|error| unreadable(&error))?;
                self.catalog().judge(&request, now)
            }
            _ => {
                let _room = self.budget.room(JSON_SIZE * body.bytes().len())?;
                let json: serde_json::Value =
                    serde_json::from_slice(body.bytes()).map_err(|_| Refusal::bad("the body is not JSON"))?;
                let request = read_json(&json, &self.wire_limits()).map_err(|error| unreadable(&error))?;
                self.catalog().judge(&request, now)
            }
        };
        let judged = match verdict {
            Verdict::Judged(judged) => judged,
            Verdict::Unknown(hash) => {
                self.missing(hash);
                return Err(Refusal::UNKNOWN_DATA_POINTS);
            }
        };
        for (reason, number) in &judged.counts {
            self.metrics.removed(reason, *number);
        }
        let (mut rejected, mut reason) = (judged.rejected, judged.reason);
        if !judged.traces.is_empty() || !judged.counts.is_empty() {
            let outcome = self.writer.keep(judged).await.map_err(|_| Refusal::NOT_KEPT)?;
            if outcome.late_spans > 0 {
                self.metrics.removed("spans.late", outcome.late_spans);
                rejected += outcome.late_spans;
                reason = reason.or(Some("the week of these runs is closed"));
            }
        }
        Ok((rejected > 0).then_some((rejected, reason.unwrap_or_default())))
    }

    fn wire_limits(&self) -> wire::Limits {
        wire::Limits { spans: self.limits.spans, attributes: self.limits.attributes }
    }

    /// Refuses a request if the sender's network has used its quota for this minute.
    fn check_quota(&self, extensions: &Extensions) -> Result<(), Refusal> {
        let network = extensions.get::<Network>().copied();
        let is_admitted = network.is_none_or(|network| self.networks.admits(network, Instant::now()));
        if is_admitted { Ok(()) } else { Err(Refusal::QUOTA) }
    }

    /// Refuses a sender without one of the tokens.
    fn authenticate(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let tokens = self.tokens();
        let Some(tokens) = tokens.as_deref() else { return Ok(()) };
        let given = text(headers, AUTHORIZATION);
        let token = given.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let token = token.map_or("", |(_, token)| token.trim()).as_bytes();
        // All of them, in the same time whichever it is.
        let is_one = tokens.iter().fold(false, |is_one, known| is_one | is_same(known.as_bytes(), token));
        if is_one { Ok(()) } else { Err(Refusal::UNAUTHENTICATED) }
    }

    fn told(&self, result: &Result<PartialSuccess, Refusal>) {
        self.metrics.request(match result {
            Ok(None) => "accepted",
            Ok(Some(_)) => "partly_accepted",
            Err(refusal) => refusal.label,
        });
    }

    /// Logs which file is missing, once for each.
    fn missing(&self, hash: Option<crate::approvals::ContentHash>) {
        let Some(hash) = hash else { return };
        if self.is_new_hash(hash) {
            warn!(%hash, "runs arrive of a telemetry.toml that is not loaded; their senders keep them for 28 days");
        }
    }
}

/// Compares in a time that does not depend on how much is right.
fn is_same(known: &[u8], given: &[u8]) -> bool {
    let difference = known.iter().zip(given).fold(0, |difference, (one, other)| difference | (one ^ other));
    known.len() == given.len() && difference == 0
}

fn unreadable(error: &wire::ReadError) -> Refusal {
    if error.is_too_large() { Refusal::too_many(error.to_string()) } else { Refusal::bad(error.to_string()) }
}
