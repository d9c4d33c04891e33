//! A connection, and the bodies of the answers on it.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::Response;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::task::AbortHandle;
use tokio::time::Sleep;

use super::store::{CountGuard, SharedState};

/// One connection, which an answer can end.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) shared: Arc<SharedState>,
    /// Set before the task runs for the first time, because there is only one thread.
    task: OnceLock<AbortHandle>,
}

impl Connection {
    pub(super) fn new(shared: Arc<SharedState>) -> Self {
        Self { shared, task: OnceLock::new() }
    }

    /// The task that serves the connection. Ending it closes the connection.
    pub(super) fn runs_in(&self, task: AbortHandle) {
        let _ = self.task.set(task);
    }

    pub(super) fn close(&self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }

    /// Closes the connection in place of an answer.
    pub(super) async fn reset(&self) -> ! {
        self.close();
        never().await
    }

    /// A request that is being answered, until its answer's body is dropped.
    pub(super) fn overlap(&self) -> CountGuard {
        self.shared.count(|state| &mut state.overlaps)
    }
}

/// Gives no answer. The wait ends when the sender gives up or the receiver ends.
pub(super) async fn never() -> ! {
    match std::future::pending::<Infallible>().await {}
}

/// The sender went away while its request was being read.
#[derive(Debug)]
pub(super) struct DisconnectError;

impl fmt::Display for DisconnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sender is gone")
    }
}

impl Error for DisconnectError {}

/// The body of an answer.
pub(super) struct AnswerBody {
    content: Content,
    _overlap: CountGuard,
}

enum Content {
    Whole(Option<Bytes>),
    Grpc(tonic::body::Body),
    /// The bytes, and then the connection is closed.
    Cut {
        bytes: Option<Bytes>,
        flushed: bool,
        connection: Arc<Connection>,
    },
    /// The first bytes, and then one space each second.
    Drip {
        first: Option<Bytes>,
        pause: Pin<Box<Sleep>>,
        left: u32,
    },
}

/// The length of a dripping answer, in bytes and thus in seconds.
pub(super) const DRIP: u32 = 3_600;
const DRIP_PAUSE: Duration = Duration::from_secs(1);

impl AnswerBody {
    pub(super) fn whole(bytes: impl Into<Bytes>, overlap: CountGuard) -> Self {
        let bytes = Some(bytes.into()).filter(|bytes: &Bytes| !bytes.is_empty());
        Self { content: Content::Whole(bytes), _overlap: overlap }
    }

    pub(super) fn grpc(body: tonic::body::Body, overlap: CountGuard) -> Self {
        Self { content: Content::Grpc(body), _overlap: overlap }
    }

    pub(super) fn cut(bytes: impl Into<Bytes>, connection: Arc<Connection>, overlap: CountGuard) -> Self {
        let content = Content::Cut { bytes: Some(bytes.into()), flushed: false, connection };
        Self { content, _overlap: overlap }
    }

    pub(super) fn drip(first: impl Into<Bytes>, overlap: CountGuard) -> Self {
        let first = Some(first.into()).filter(|bytes: &Bytes| !bytes.is_empty());
        let pause = Box::pin(tokio::time::sleep(DRIP_PAUSE));
        Self { content: Content::Drip { first, pause, left: DRIP }, _overlap: overlap }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let data = |bytes| Poll::Ready(Some(Ok(Frame::data(bytes))));
        match &mut self.content {
            Content::Whole(bytes) => bytes.take().map_or(Poll::Ready(None), data),
            Content::Grpc(body) => {
                let frame = ready!(Pin::new(body).poll_frame(context));
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Content::Cut { bytes, flushed, connection } => {
                if let Some(bytes) = bytes.take() {
                    return data(bytes);
                }
                // One more turn of the event loop, which writes the bytes so far.
                if std::mem::replace(flushed, true) {
                    connection.close();
                } else {
                    context.waker().wake_by_ref();
                }
                Poll::Pending
            }
            Content::Drip { first, pause, left } => {
                if let Some(first) = first.take() {
                    return data(first);
                }
                if *left == 0 {
                    return Poll::Ready(None);
                }
                ready!(pause.as_mut().poll(context));
                *left -= 1;
                pause.set(tokio::time::sleep(DRIP_PAUSE));
                data(Bytes::from_static(b" "))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_none(),
            Content::Grpc(body) => body.is_end_stream(),
            Content::Cut { .. } | Content::Drip { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Content::Grpc(body) => body.size_hint(),
            // The header has their length.
            Content::Cut { .. } | Content::Drip { .. } => SizeHint::default(),
        }
    }
}

/// The result of a handler, for hyper.
pub(super) type HandlerResult = Result<Response<AnswerBody>, DisconnectError>;
/// A request as hyper passes it to a handler.
pub(super) type IncomingRequest = hyper::Request<Incoming>;
