//! What an uploader sends, and what an answer to it means. No I/O happens here.

use std::time::Duration;

use crate::data_points::DataPoints;
use crate::span::{Span, Tool};

/// The spans of some runs of one version of the tool: one request.
#[derive(Debug, Clone)]
pub(crate) struct Batch<'a> {
    pub(crate) data_points: &'static DataPoints,
    pub(crate) tool: Tool<'a>,
    pub(crate) spans: &'a [Span],
}

/// What became of a request, as far as the spool needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// All of it was accepted, or all but `rejected` spans, which must not be sent again (OTLP specification,
    /// "Partial Success"). A message without rejected spans is a warning.
    Delivered { rejected: u64, warned: bool },
    /// Keep everything and come back later; not before `after`, if the server said so.
    Retry {
        after: Option<Duration>,
        kind: FailureKind,
    },
    /// This request must not be sent again as it is.
    Refused { kind: FailureKind },
}

/// Kinds of failure, as the state on disk and `status` name them. Never a server's own text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// No connection: name not found, refused, unreachable, or reset before an answer.
    Connection,
    /// Connected, and no complete answer in time.
    Timeout,
    /// TLS could not be agreed, or the certificate is not trusted.
    Tls,
    /// An HTTP status that is not a success.
    Http(u16),
    /// A gRPC status that is not OK.
    Grpc(i32),
    /// An answer that is not OTLP, such as a captive portal's page.
    NotOtlp,
    /// The request or the answer is larger than the limit.
    TooLarge,
    /// The settings of the destination cannot be used: an endpoint, a header, a certificate file.
    Settings,
}

impl std::fmt::Display for FailureKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FailureKind::Connection => f.write_str("connection"),
            FailureKind::Timeout => f.write_str("timeout"),
            FailureKind::Tls => f.write_str("tls"),
            FailureKind::Http(status) => write!(f, "http {status}"),
            FailureKind::Grpc(code) => write!(f, "grpc {code}"),
            FailureKind::NotOtlp => f.write_str("not otlp"),
            FailureKind::TooLarge => f.write_str("too large"),
            FailureKind::Settings => f.write_str("settings"),
        }
    }
}
