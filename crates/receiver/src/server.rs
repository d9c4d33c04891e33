//! The receiver's thread: listeners, connections, and the bodies of answers.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::Duration;

use hyper::Response;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::Sleep;

use super::store::{Counted, Shared};
use super::{Transport, grpc, http};

/// Between two attempts to accept a connection while there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// How long the owner waits for the thread's end. It only takes longer than a millisecond while a large request
/// is being read, or in a function of a test; then the thread is left to itself.
const END: Duration = Duration::from_secs(2);

/// The running thread. Dropping it ends the thread and its sockets.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) http: SocketAddr,
    pub(super) grpc: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    /// In a mutex only so that a receiver can be shared between threads.
    ended: Mutex<mpsc::Receiver<()>>,
}

impl Server {
    pub(super) fn start(http: SocketAddr, grpc: SocketAddr, shared: Arc<Shared>) -> io::Result<Self> {
        let listen = |address: SocketAddr| {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok::<_, io::Error>((listener.local_addr()?, listener))
        };
        let (http, http_listener) = listen(http)?;
        let (grpc, grpc_listener) = listen(grpc)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let listeners = {
            // Registering with the reactor needs its context, and can fail.
            let _context = runtime.enter();
            [
                (tokio::net::TcpListener::from_std(http_listener)?, Transport::Http),
                (tokio::net::TcpListener::from_std(grpc_listener)?, Transport::Grpc),
            ]
        };
        let (end, asked_to_end) = oneshot::channel::<()>();
        let (at_end, ended) = mpsc::channel();
        thread::Builder::new().name("otlp-receiver".to_owned()).spawn(move || {
            runtime.block_on(async {
                for (listener, transport) in listeners {
                    tokio::spawn(accept(listener, transport, Arc::clone(&shared)));
                }
                let _ = asked_to_end.await;
            });
            // Drops every task, and with it every socket, before the owner goes on.
            drop(runtime);
            drop(at_end);
        })?;
        Ok(Self { http, grpc, end: Some(end), ended: Mutex::new(ended) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.end.take());
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = ended.recv_timeout(END);
    }
}

async fn accept(listener: tokio::net::TcpListener, transport: Transport, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let counted = shared.count(|state| &mut state.connections);
        let connection = Arc::new(Connection { shared: Arc::clone(&shared), task: OnceLock::new() });
        let serving = Arc::clone(&connection);
        let task = tokio::spawn(async move {
            let _counted = counted;
            serve(stream, transport, serving).await;
        });
        let _ = connection.task.set(task.abort_handle());
    }
}

/// Until either side ends the connection; how it ended is the sender's business.
async fn serve(stream: tokio::net::TcpStream, transport: Transport, connection: Arc<Connection>) {
    let io = TokioIo::new(stream);
    match transport {
        Transport::Http => {
            let service = service_fn(move |request| http::answer(request, Arc::clone(&connection)));
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
        }
        Transport::Grpc => {
            let service = service_fn(move |request| grpc::answer(request, Arc::clone(&connection)));
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(io, service)
                .await;
        }
    }
}

/// One connection, which an answer can end.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    /// Set before the task runs for the first time, since there is one thread only.
    task: OnceLock<AbortHandle>,
}

impl Connection {
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
    pub(super) fn overlap(&self) -> Counted {
        self.shared.count(|state| &mut state.overlaps)
    }
}

/// Says nothing until the sender gives up or the receiver ends.
pub(super) async fn never() -> ! {
    match std::future::pending::<Infallible>().await {}
}

/// The sender went away while its request was being read.
#[derive(Debug)]
pub(super) struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sender is gone")
    }
}

impl Error for Gone {}

/// The body of an answer.
pub(super) struct AnswerBody {
    content: Content,
    _overlap: Counted,
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
    /// The first bytes, then a space a second.
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
    pub(super) fn whole(bytes: impl Into<Bytes>, overlap: Counted) -> Self {
        let bytes = Some(bytes.into()).filter(|bytes: &Bytes| !bytes.is_empty());
        Self { content: Content::Whole(bytes), _overlap: overlap }
    }

    pub(super) fn grpc(body: tonic::body::Body, overlap: Counted) -> Self {
        Self { content: Content::Grpc(body), _overlap: overlap }
    }

    pub(super) fn cut(bytes: impl Into<Bytes>, connection: Arc<Connection>, overlap: Counted) -> Self {
        let content = Content::Cut { bytes: Some(bytes.into()), flushed: false, connection };
        Self { content, _overlap: overlap }
    }

    pub(super) fn drip(first: impl Into<Bytes>, overlap: Counted) -> Self {
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
                // One more turn of the loop, in which what was begun is written.
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

/// What a handler gives to hyper.
pub(super) type Answered = Result<Response<AnswerBody>, Gone>;
/// What hyper gives to a handler.
pub(super) type Asked = hyper::Request<Incoming>;
