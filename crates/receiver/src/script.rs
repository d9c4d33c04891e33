//! Scripted answers.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::Request;

/// What the receiver answers to a request.
///
/// `Ok`, `PartialSuccess`, `Delay`, `Truncated`, and `Drip` accept the request. It is checked as usual (a wrong path is
/// still a 404), and its spans are stored when it arrives. The other answers ignore the request and store none of its
/// spans.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tool_telemetry_receiver::{Answer, Receiver};
///
/// // Busy twice, then slow, then as usual.
/// let receiver = Receiver::builder()
///     .answers([
///         Answer::status(503),
///         Answer::status(429).with_retry_after("2"),
///         Answer::Delay(Duration::from_millis(50)),
///     ])
///     .start()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// The answer that the request deserves: success; partial success if a span breaks the rules of OTLP; or 400 if the
    /// body cannot be read.
    Ok,
    /// Success with a partial success. The last `rejected` spans of the request are not stored. With 0 and an
    /// empty message it is present and empty, as the OpenTelemetry Collector answers full success.
    PartialSuccess {
        /// The number of rejected spans in the answer.
        rejected: u32,
        /// The text for the sender's user.
        message: String,
    },
    /// An HTTP status without an OTLP success. Over gRPC it is an HTTP answer without a gRPC status and without a
    /// body, such as a proxy in between gives. See [`Answer::status`].
    Status {
        /// The HTTP status.
        status: u16,
        /// The text of the `Retry-After` header, as it is.
        retry_after: Option<String>,
    },
    /// Any HTTP answer, such as a captive portal's page.
    Body {
        /// The HTTP status.
        status: u16,
        /// The text of the `Content-Type` header.
        content_type: String,
        /// The body.
        bytes: Vec<u8>,
    },
    /// A 307 with this `Location`.
    Redirect(String),
    /// The connection is closed without an answer.
    Reset,
    /// Accepted, but the connection is closed in the middle of the answer, so that the sender cannot know.
    Truncated,
    /// No answer, until the sender gives up or the receiver ends.
    Hang,
    /// Accepted, but the answer's body comes at one byte a second and would take an hour.
    Drip,
    /// Accepted, and answered after this time.
    Delay(Duration),
    /// A gRPC status other than OK. Over HTTP it becomes the HTTP status that corresponds to it, and the delay a
    /// `Retry-After` in whole seconds. See [`Answer::grpc`].
    Grpc {
        /// The gRPC status code, 1 to 16.
        code: i32,
        /// The delay of a `google.rpc.RetryInfo` in the status' details.
        retry_info: Option<Duration>,
    },
}

impl Answer {
    /// An HTTP status.
    pub fn status(status: u16) -> Self {
        Answer::Status { status, retry_after: None }
    }

    /// A gRPC status code other than 0 (OK).
    pub fn grpc(code: i32) -> Self {
        Answer::Grpc { code, retry_info: None }
    }

    /// The partial success of an answer: the last `rejected` spans are refused.
    pub fn partial_success(rejected: u32, message: impl Into<String>) -> Self {
        Answer::PartialSuccess { rejected, message: message.into() }
    }

    /// A captive portal: a 200 with a page of HTML.
    pub fn captive_portal() -> Self {
        Answer::Body {
            status: 200,
            content_type: "text/html; charset=utf-8".to_owned(),
            bytes: b"<!doctype html><title>Welcome</title><p>Sign in to use this network.</p>".to_vec(),
        }
    }

    /// Adds a `Retry-After` header to [`Answer::Status`]: seconds, an HTTP date, or an invalid text that a client must
    /// ignore. Other answers stay as they are.
    #[must_use]
    pub fn with_retry_after(mut self, text: impl Into<String>) -> Self {
        if let Answer::Status { retry_after, .. } = &mut self {
            *retry_after = Some(text.into());
        }
        self
    }

    /// Adds a `RetryInfo` to [`Answer::Grpc`]. Other answers stay as they are.
    #[must_use]
    pub fn with_retry_info(mut self, delay: Duration) -> Self {
        if let Answer::Grpc { retry_info, .. } = &mut self {
            *retry_info = Some(delay);
        }
        self
    }

    /// Whether the request's spans are stored.
    pub(super) fn accepts(&self) -> bool {
        matches!(
            self,
            Answer::Ok | Answer::PartialSuccess { .. } | Answer::Truncated | Answer::Drip | Answer::Delay(_)
        )
    }

    /// The spans at the end of the request that are not stored although it is accepted.
    pub(super) fn rejects(&self) -> usize {
        match self {
            Answer::PartialSuccess { rejected, .. } => *rejected as usize,
            _ => 0,
        }
    }
}

/// The answer once the queue is empty.
pub(super) enum LaterAnswers {
    Always(Answer),
    Decide(Box<dyn FnMut(&Request) -> Answer + Send>),
}

impl fmt::Debug for LaterAnswers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LaterAnswers::Always(answer) => f.debug_tuple("Always").field(answer).finish(),
            LaterAnswers::Decide(_) => f.debug_tuple("Decide").finish_non_exhaustive(),
        }
    }
}

/// A queue of answers, one for each request, and the answer after them.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) queue: VecDeque<Answer>,
    pub(super) afterwards: LaterAnswers,
}

impl Default for Script {
    fn default() -> Self {
        Self { queue: VecDeque::new(), afterwards: LaterAnswers::Always(Answer::Ok) }
    }
}

impl Script {
    pub(super) fn next(&mut self, request: &Request) -> Answer {
        match (self.queue.pop_front(), &mut self.afterwards) {
            (Some(answer), _) => answer,
            (None, LaterAnswers::Always(answer)) => answer.clone(),
            (None, LaterAnswers::Decide(decide)) => decide(request),
        }
    }
}
