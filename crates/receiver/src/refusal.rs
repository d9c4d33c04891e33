//! Why a request is refused as a whole, as each transport says it.

use hyper::StatusCode;
use prost::Message as _;

use super::json;

/// A request that is not stored.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) http: StatusCode,
    pub(super) grpc: tonic::Code,
    /// For people; it repeats no value of the request.
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn unreadable(message: impl Into<String>) -> Self {
        Self { http: StatusCode::BAD_REQUEST, grpc: tonic::Code::InvalidArgument, message: message.into() }
    }

    pub(super) fn too_large() -> Self {
        Self {
            http: StatusCode::PAYLOAD_TOO_LARGE,
            grpc: tonic::Code::ResourceExhausted,
            message: format!("the request has more than {} bytes", super::MAX_BODY),
        }
    }

    pub(super) fn wrong_path() -> Self {
        Self {
            http: StatusCode::NOT_FOUND,
            grpc: tonic::Code::Unimplemented,
            message: "traces are received at this path only: POST /v1/traces".to_owned(),
        }
    }

    pub(super) fn wrong_method() -> Self {
        Self {
            http: StatusCode::METHOD_NOT_ALLOWED,
            grpc: tonic::Code::Unimplemented,
            message: "traces are received with POST only".to_owned(),
        }
    }

    pub(super) fn wrong_type(message: &str) -> Self {
        Self {
            http: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            grpc: tonic::Code::InvalidArgument,
            message: message.to_owned(),
        }
    }

    /// The file could not be written: the sender may try again.
    pub(super) fn not_kept(error: &std::io::Error) -> Self {
        Self {
            http: StatusCode::SERVICE_UNAVAILABLE,
            grpc: tonic::Code::Unavailable,
            message: format!("the file cannot be written: {}", error.kind()),
        }
    }
}

/// `google.rpc.Status`: the body of an HTTP failure, and the details of a gRPC one.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
    #[prost(string, tag = "2")]
    pub(super) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) details: Vec<Detail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Detail {
    #[prost(string, tag = "1")]
    pub(super) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    pub(super) retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Delay {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(super) nanos: i32,
}

/// The body of an HTTP failure, in the encoding of the request.
pub(super) fn body(as_json: bool, code: tonic::Code, message: &str) -> Vec<u8> {
    if as_json {
        json::failure(code as i32, message)
    } else {
        let status = RpcStatus { code: code as i32, message: message.to_owned(), details: Vec::new() };
        status.encode_to_vec()
    }
}
