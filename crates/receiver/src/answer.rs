//! The bodies of answers, in protobuf and in JSON.

use std::time::Duration;

use prost::Message as _;

use super::generated::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use super::{Encoding, json};

/// The body of success. `rejected` is the number of rejected spans and the reason. With 0 spans, the text is a warning.
pub fn success(encoding: Encoding, rejected: Option<(u64, &str)>) -> Vec<u8> {
    let partial_success = rejected.map(|(spans, message)| ExportTracePartialSuccess {
        rejected_spans: i64::try_from(spans).unwrap_or(i64::MAX),
        error_message: message.to_owned(),
    });
    match encoding {
        Encoding::Json => json::success(partial_success.as_ref()),
        Encoding::Protobuf => ExportTraceServiceResponse { partial_success }.encode_to_vec(),
    }
}

/// The body of failure: a `google.rpc.Status`. In protobuf, `retry_after` adds a `google.rpc.RetryInfo`, which gRPC
/// carries in `grpc-status-details-bin`. Over HTTP, the delay belongs in a header instead.
pub fn failure(encoding: Encoding, code: i32, message: &str, retry_after: Option<Duration>) -> Vec<u8> {
    if encoding == Encoding::Json {
        return json::failure(code, message);
    }
    let detail = |delay: Duration| {
        let retry_delay = Delay {
            seconds: i64::try_from(delay.as_secs()).unwrap_or(i64::MAX),
            nanos: delay.subsec_nanos().cast_signed(),
        };
        Detail {
            type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
            value: RetryInfo { retry_delay: Some(retry_delay) }.encode_to_vec(),
        }
    };
    let details = retry_after.map(detail).into_iter().collect();
    RpcStatus { code, message: message.to_owned(), details }.encode_to_vec()
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, prost::Message)]
struct Detail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}
