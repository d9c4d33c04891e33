//! Why a request is refused as a whole, and how each transport reports it. Nothing of the request is repeated.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::StatusCode;
use tonic::Code;

/// A request that is refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) http: StatusCode,
    pub(super) grpc: Code,
    pub(super) message: Cow<'static, str>,
    pub(super) retry_after: Option<Duration>,
    /// In the metrics.
    pub(super) label: &'static str,
}

const fn refusal(http: StatusCode, grpc: Code, label: &'static str, message: &'static str) -> Refusal {
    Refusal { http, grpc, message: Cow::Borrowed(message), retry_after: None, label }
}

/// A request that may come again. `RESOURCE_EXHAUSTED` would need a `RetryInfo` for that; `UNAVAILABLE` does not.
const fn unavailable(seconds: u64, label: &'static str, message: &'static str) -> Refusal {
    Refusal {
        http: StatusCode::SERVICE_UNAVAILABLE,
        grpc: Code::Unavailable,
        message: Cow::Borrowed(message),
        retry_after: Some(Duration::from_secs(seconds)),
        label,
    }
}

impl Refusal {
    /// Too much is going on.
    pub(super) const BUSY: Self = unavailable(10, "busy", "too much arrives at once");
    /// It took too long. A sender would not repeat a 408.
    pub(super) const LATE: Self = unavailable(10, "late", "the request took too long");
    /// The store could not be written.
    pub(super) const NOT_KEPT: Self = unavailable(60, "not_kept", "the runs cannot be stored now");
    /// Its network has sent more than its share. With a `RetryInfo`, a sender repeats it.
    pub(super) const QUOTA: Self = Self {
        http: StatusCode::TOO_MANY_REQUESTS,
        grpc: Code::ResourceExhausted,
        message: Cow::Borrowed("too many requests of this network in a minute"),
        retry_after: Some(Duration::from_secs(60)),
        label: "over_quota",
    };
    /// A telemetry.toml is not loaded here.
    pub(super) const UNKNOWN_DATA_POINTS: Self =
        unavailable(3_600, "unknown_data_points", "the telemetry.toml of these runs is not known here yet");
    /// The body ended early, so nobody reads the answer.
    pub(super) const GONE: Self =
        refusal(StatusCode::BAD_REQUEST, Code::Cancelled, "gone", "the body ended early");
    /// A bearer token is needed.
    pub(super) const UNAUTHENTICATED: Self = refusal(
        StatusCode::UNAUTHORIZED,
        Code::Unauthenticated,
        "unauthenticated",
        "a bearer token is needed",
    );
    /// Another path.
    pub(super) const PATH: Self = refusal(
        StatusCode::NOT_FOUND,
        Code::Unimplemented,
        "wrong_path",
        "traces are received at POST /v1/traces, and over gRPC by TraceService/Export",
    );
    /// Another method.
    pub(super) const METHOD: Self = refusal(
        StatusCode::METHOD_NOT_ALLOWED,
        Code::Unimplemented,
        "wrong_method",
        "traces are received by POST",
    );
    /// Another content type.
    pub(super) const TYPE: Self = refusal(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::InvalidArgument,
        "wrong_type",
        "the content type is neither application/x-protobuf nor application/json",
    );
    /// Another compression.
    pub(super) const ENCODING: Self = refusal(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::Unimplemented,
        "wrong_encoding",
        "the content encoding is neither gzip nor identity",
    );

    /// It cannot be read.
    pub(super) fn bad(message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        Self { message, ..refusal(StatusCode::BAD_REQUEST, Code::InvalidArgument, "unreadable", "") }
    }

    /// It is larger than is taken. Without a `RetryInfo`, a sender does not repeat it.
    pub(super) fn too_large(limit: usize) -> Self {
        let message = format!("the request has more than {limit} bytes").into();
        Self { message, ..refusal(StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted, "too_large", "") }
    }

    /// It holds more than is taken.
    pub(super) fn too_many(message: String) -> Self {
        let message = message.into();
        Self { message, ..refusal(StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted, "too_large", "") }
    }
}
