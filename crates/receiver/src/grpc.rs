//! OTLP over gRPC: `TraceService/Export`.
//!
//! tonic does the framing, the compression, and the limits. The service uses tonic's raw layer instead of generated
//! code, because a codec for messages would discard everything outside the contract.

use std::future::{Ready, ready};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header;
use prost::bytes::Buf as _;
use tonic::codec::{BufferSettings, Codec, CompressionEncoding, DecodeBuf, Decoder};
use tonic::server::{Grpc, UnaryService};
use tonic_prost::ProstCodec;

use super::connection::{AnswerBody, Connection, DRIP, HandlerResult, IncomingRequest};
use super::generated::collector::trace::v1::ExportTraceServiceResponse;
use super::refusal::Refusal;
use super::script::Answer;
use super::store::SharedState;
use super::{Encoding, MAX_BODY, Request, Transport, answer, http};

const PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const CONTENT_TYPE: &str = "application/grpc";
/// The header of a frame: not compressed, and a length of 64 bytes, of which a truncated answer sends none.
const TRUNCATED_FRAME: [u8; 5] = [0, 0, 0, 0, 64];

pub(super) async fn answer(asked: IncomingRequest, connection: Arc<Connection>) -> HandlerResult {
    let overlap = connection.overlap();
    let (parts, body) = asked.into_parts();
    let gzip = parts.headers.get("grpc-encoding").is_some_and(|value| value == "gzip");
    let is_grpc = parts
        .headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(CONTENT_TYPE.as_bytes()));
    let request = Request::new(Transport::Grpc, is_grpc.then_some(Encoding::Protobuf), gzip, &parts);
    let refusal = if !is_grpc {
        Some(Refusal::wrong_type("the content type is not application/grpc"))
    } else if parts.uri.path() != PATH {
        Some(Refusal::wrong_path())
    } else {
        None
    };

    let given = Arc::new(OnceLock::new());
    let export = ExportCall {
        shared: Arc::clone(&connection.shared),
        request: request.clone(),
        refusal,
        given: Arc::clone(&given),
    };
    let mut response = Grpc::new(RawCodec)
        .accept_compressed(CompressionEncoding::Gzip)
        .apply_max_message_size_config(Some(MAX_BODY), None)
        .unary(export, hyper::Request::from_parts(parts, body))
        .await;
    // tonic itself refuses a message that is too large, is not gzip, or is not a frame.
    let answer = given.get().cloned().unwrap_or_else(|| {
        let refusal = Refusal::unreadable("the request is too large, or not a gRPC message");
        connection.shared.take(request, Err(refusal)).answer
    });
    match answer {
        Answer::Delay(delay) => tokio::time::sleep(delay).await,
        Answer::Truncated => {
            return Ok(response.map(|_| AnswerBody::cut(&TRUNCATED_FRAME[..], connection, overlap)));
        }
        Answer::Drip => {
            let mut frame = vec![0];
            frame.extend(DRIP.to_be_bytes());
            return Ok(response.map(|_| AnswerBody::drip(frame, overlap)));
        }
        Answer::Ok | Answer::PartialSuccess { .. } | Answer::Grpc { .. } => {}
        plain => return http::give_plain(plain, None, &connection, overlap).await,
    }
    if !is_grpc {
        // The gRPC protocol requires this status, so that no HTTP client takes the answer for a success.
        *response.status_mut() = hyper::StatusCode::UNSUPPORTED_MEDIA_TYPE;
    }
    Ok(response.map(|body| AnswerBody::grpc(body, overlap)))
}

/// One call.
struct ExportCall {
    shared: Arc<SharedState>,
    request: Request,
    refusal: Option<Refusal>,
    given: Arc<OnceLock<Answer>>,
}

impl UnaryService<Bytes> for ExportCall {
    type Response = ExportTraceServiceResponse;
    type Future = Ready<Result<tonic::Response<Self::Response>, tonic::Status>>;

    fn call(&mut self, message: tonic::Request<Bytes>) -> Self::Future {
        let message = message.into_inner();
        let mut request = self.request.clone();
        request.body_bytes = message.len() as u64;
        let content = match self.refusal.take() {
            Some(refusal) => Err(refusal),
            None => http::read_protobuf(&message),
        };
        let taken = self.shared.take(request, content);
        let result = match (&taken.answer, taken.outcome) {
            (Answer::Grpc { code, retry_info }, _) => Err(scripted(*code, *retry_info)),
            (_, Ok(partial_success)) => {
                Ok(tonic::Response::new(ExportTraceServiceResponse { partial_success }))
            }
            (_, Err(refusal)) => Err(tonic::Status::new(refusal.grpc, refusal.message)),
        };
        let _ = self.given.set(taken.answer);
        ready(result)
    }
}

/// A status, with a `RetryInfo` in its details if a delay is given.
fn scripted(code: i32, retry_info: Option<Duration>) -> tonic::Status {
    const MESSAGE: &str = "a scripted answer";
    let Some(delay) = retry_info else {
        return tonic::Status::new(tonic::Code::from(code), MESSAGE);
    };
    let details = answer::failure(Encoding::Protobuf, code, MESSAGE, Some(delay));
    tonic::Status::with_details(tonic::Code::from(code), MESSAGE, details.into())
}

/// Passes requests on as bytes, and encodes answers with prost.
#[derive(Debug, Clone, Copy)]
struct RawCodec;

#[derive(Debug)]
struct RawDecoder;

impl Codec for RawCodec {
    type Encode = ExportTraceServiceResponse;
    type Decode = Bytes;
    type Encoder = <ProstCodec<Self::Encode, Self::Encode> as Codec>::Encoder;
    type Decoder = RawDecoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<Self::Encode, Self::Encode>::raw_encoder(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        RawDecoder
    }
}

impl Decoder for RawDecoder {
    type Item = Bytes;
    type Error = tonic::Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, tonic::Status> {
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }
}
