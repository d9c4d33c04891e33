//! OTLP over HTTP/1.1.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes};
use hyper::header::HeaderValue;
use hyper::http::request;
use hyper::{Method, Response, StatusCode, header};

use super::answer;
use super::check::Content;
use super::connection::{
    AnswerBody, Connection, DRIP, DisconnectError, HandlerResult, IncomingRequest, never,
};
use super::refusal::Refusal;
use super::script::Answer;
use super::store::{CountGuard, RequestOutcome};
use super::wire::{self, Limits};
use super::{Encoding, MAX_BODY, Request, Transport};

/// The default path for OTLP traces.
const PATH: &str = "/v1/traces";
const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
/// A truncated answer announces this many bytes more than it sends.
const MISSING: usize = 64;

pub(super) async fn answer(asked: IncomingRequest, connection: Arc<Connection>) -> HandlerResult {
    let overlap = connection.overlap();
    let (parts, body) = asked.into_parts();
    let encoding = encoding(&parts);
    let gzip = header_text(&parts, header::CONTENT_ENCODING).eq_ignore_ascii_case("gzip");
    let mut request = Request::new(Transport::Http, encoding, gzip, &parts);

    // A body that is announced as too large is not read, and the connection ends with the answer.
    if body.size_hint().lower() > MAX_BODY as u64 {
        let taken = connection.shared.take(request, Err(Refusal::too_large()));
        return give(taken, encoding, connection, overlap).await;
    }
    let body = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Refusal::too_large()),
        Err(_) => return Err(DisconnectError),
    };
    request.body_bytes = body.as_ref().map_or(0, Bytes::len) as u64;
    let content = body.and_then(|body| read(&parts, encoding, gzip, &body));
    let taken = connection.shared.take(request, content);
    give(taken, encoding, connection, overlap).await
}

fn header_text(parts: &request::Parts, name: header::HeaderName) -> &str {
    parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim()
}

fn encoding(parts: &request::Parts) -> Option<Encoding> {
    let content_type = header_text(parts, header::CONTENT_TYPE);
    match content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        PROTOBUF => Some(Encoding::Protobuf),
        JSON => Some(Encoding::Json),
        _ => None,
    }
}

fn read(
    parts: &request::Parts,
    encoding: Option<Encoding>,
    gzip: bool,
    body: &[u8],
) -> Result<Content, Refusal> {
    if parts.uri.path() != PATH {
        return Err(Refusal::wrong_path());
    }
    if parts.method != Method::POST {
        return Err(Refusal::wrong_method());
    }
    let encoding = encoding.ok_or_else(|| {
        Refusal::wrong_type("the content type is neither application/x-protobuf nor application/json")
    })?;
    let unpacked;
    let body = match header_text(parts, header::CONTENT_ENCODING) {
        _ if gzip => {
            unpacked = gunzip(body)?;
            &unpacked
        }
        "" | "identity" => body,
        _ => {
            return Err(Refusal::wrong_type("the content encoding is neither gzip nor identity"));
        }
    };
    match encoding {
        Encoding::Protobuf => read_protobuf(body),
        Encoding::Json => read_json(body),
    }
}

/// Decompresses a body to at most [`MAX_BODY`] bytes.
fn gunzip(body: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(body)
        .take(MAX_BODY as u64 + 1)
        .read_to_end(&mut unpacked)
        .map_err(|_| Refusal::unreadable("the body is not gzip"))?;
    if unpacked.len() > MAX_BODY {
        return Err(Refusal::too_large());
    }
    Ok(unpacked)
}

/// Reads and checks a request in protobuf, as gRPC does too.
pub(super) fn read_protobuf(body: &[u8]) -> Result<Content, Refusal> {
    let request =
        wire::read_protobuf(body, &Limits::NONE).map_err(|error| Refusal::unreadable(error.to_string()));
    request.map(Content::from)
}

pub(super) fn read_json(body: &[u8]) -> Result<Content, Refusal> {
    let json = serde_json::from_slice(body).map_err(|_| Refusal::unreadable("the body is not JSON"))?;
    let request =
        wire::read_json(&json, &Limits::NONE).map_err(|error| Refusal::unreadable(error.to_string()));
    request.map(Content::from)
}

async fn give(
    taken: RequestOutcome,
    encoding: Option<Encoding>,
    connection: Arc<Connection>,
    overlap: CountGuard,
) -> HandlerResult {
    if let Answer::Delay(delay) = taken.answer {
        tokio::time::sleep(delay).await;
    }
    let as_json = encoding == Some(Encoding::Json);
    if !taken.answer.accepts() {
        return give_plain(taken.answer, encoding, &connection, overlap).await;
    }
    let partial = match taken.outcome {
        Ok(partial) => partial,
        Err(refusal) => return Ok(give_refusal(&refusal, encoding, overlap)),
    };
    let rejected =
        partial.as_ref().map(|partial| (partial.rejected_spans.unsigned_abs(), &partial.error_message[..]));
    let body = answer::success(encoding.unwrap_or(Encoding::Protobuf), rejected);
    let (length, body) = match taken.answer {
        Answer::Truncated => (body.len() + MISSING, AnswerBody::cut(body, connection, overlap)),
        Answer::Drip => (DRIP as usize, AnswerBody::drip(Bytes::new(), overlap)),
        _ => (body.len(), AnswerBody::whole(body, overlap)),
    };
    let mut response = respond(StatusCode::OK, content_type(as_json), body);
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    Ok(response)
}

fn content_type(as_json: bool) -> &'static str {
    if as_json { JSON } else { PROTOBUF }
}

fn give_refusal(refusal: &Refusal, encoding: Option<Encoding>, overlap: CountGuard) -> Response<AnswerBody> {
    let failure = |encoding| answer::failure(encoding, refusal.grpc as i32, &refusal.message, None);
    let (content_type, body) = match encoding {
        Some(Encoding::Json) => (JSON, failure(Encoding::Json)),
        Some(Encoding::Protobuf) => (PROTOBUF, failure(Encoding::Protobuf)),
        None => ("text/plain", refusal.message.clone().into_bytes()),
    };
    let mut response = respond(refusal.http, content_type, AnswerBody::whole(body, overlap));
    if refusal.http == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

/// The answers that do not depend on the request. A status has a body only for OTLP over HTTP. Over gRPC it stands for
/// the answer of a proxy, and a client would take a body for a broken message.
pub(super) async fn give_plain(
    answer: Answer,
    encoding: Option<Encoding>,
    connection: &Connection,
    overlap: CountGuard,
) -> HandlerResult {
    let (plain_type, scripted) = match encoding {
        None => ("text/plain", Vec::new()),
        Some(encoding) => {
            let as_json = encoding == Encoding::Json;
            let body = answer::failure(encoding, tonic::Code::Unknown as i32, "a scripted answer", None);
            (content_type(as_json), body)
        }
    };
    let (status, content_type, bytes, extra) = match answer {
        Answer::Status { status, retry_after } => {
            let extra = retry_after.map(|text| (header::RETRY_AFTER, text));
            (status_of(status), plain_type.to_owned(), scripted, extra)
        }
        Answer::Grpc { code, retry_info } => {
            let extra = retry_info.map(|delay| (header::RETRY_AFTER, whole_seconds(delay).to_string()));
            (http_status(code), plain_type.to_owned(), scripted, extra)
        }
        Answer::Body { status, content_type, bytes } => (status_of(status), content_type, bytes, None),
        Answer::Redirect(location) => {
            let extra = Some((header::LOCATION, location));
            (StatusCode::TEMPORARY_REDIRECT, plain_type.to_owned(), Vec::new(), extra)
        }
        Answer::Reset => connection.reset().await,
        // The answers that accept the request are given elsewhere.
        _ => never().await,
    };
    let mut response = respond(status, &content_type, AnswerBody::whole(bytes, overlap));
    if let Some((name, text)) = extra {
        response.headers_mut().insert(name, header_value(&text));
    }
    Ok(response)
}

fn whole_seconds(delay: Duration) -> u64 {
    delay.as_secs() + u64::from(delay.subsec_nanos() > 0)
}

fn respond(status: StatusCode, content_type: &str, body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header_value(content_type));
    response
}

/// A script's text as a header. Text that no header can hold, such as a newline, becomes empty.
fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// A number that is not an HTTP status becomes 500.
fn status_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The HTTP status for a gRPC status.
fn http_status(code: i32) -> StatusCode {
    match tonic::Code::from(code) {
        tonic::Code::InvalidArgument | tonic::Code::FailedPrecondition | tonic::Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        tonic::Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        tonic::Code::PermissionDenied => StatusCode::FORBIDDEN,
        tonic::Code::NotFound => StatusCode::NOT_FOUND,
        tonic::Code::AlreadyExists | tonic::Code::Aborted => StatusCode::CONFLICT,
        tonic::Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        tonic::Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        tonic::Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        tonic::Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
