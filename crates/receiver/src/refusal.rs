//! Why a request is refused as a whole, and how each transport reports it.

use hyper::StatusCode;

/// A request that is not stored.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) http: StatusCode,
    pub(super) grpc: tonic::Code,
    /// For the sender's user. It repeats no value of the request.
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

    /// The file could not be written, so the sender may try again.
    pub(super) fn not_kept(error: &std::io::Error) -> Self {
        Self {
            http: StatusCode::SERVICE_UNAVAILABLE,
            grpc: tonic::Code::Unavailable,
            message: format!("the file cannot be written: {}", error.kind()),
        }
    }
}
