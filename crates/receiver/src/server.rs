//! The receiver's thread and its listeners.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use hyper::Response;
use hyper::header::{self, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::oneshot;

use super::connection::{AnswerBody, Connection, DisconnectError};
use super::store::SharedState;
use super::{Transport, grpc, http};

/// The pause between two attempts to accept a connection while no descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// How long the owner waits for the thread's end. It takes longer than a millisecond only while a large request is
/// being read or a test's function runs. After this time the thread is left to end by itself.
const END: Duration = Duration::from_secs(2);

/// The running thread. Dropping it ends the thread and its sockets.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) http: SocketAddr,
    pub(super) grpc: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    /// In a mutex, only so that threads can share a receiver.
    ended: Mutex<mpsc::Receiver<()>>,
}

impl Server {
    pub(super) fn start(http: SocketAddr, grpc: SocketAddr, shared: Arc<SharedState>) -> io::Result<Self> {
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

async fn accept(listener: tokio::net::TcpListener, transport: Transport, shared: Arc<SharedState>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let counted = shared.count(|state| &mut state.connections);
        let connection = Arc::new(Connection::new(Arc::clone(&shared)));
        let serving = Arc::clone(&connection);
        let task = tokio::spawn(async move {
            let _counted = counted;
            serve(stream, transport, serving).await;
        });
        connection.runs_in(task.abort_handle());
    }
}

/// Serves until either side ends the connection. An error concerns only the sender.
async fn serve(stream: tokio::net::TcpStream, transport: Transport, connection: Arc<Connection>) {
    let io = TokioIo::new(stream);
    match transport {
        Transport::Http => {
            let service = service_fn(move |request| {
                let connection = Arc::clone(&connection);
                async move {
                    Ok::<_, DisconnectError>(dated(
                        http::answer(request, connection.clone()).await?,
                        &connection,
                    ))
                }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .auto_date_header(false)
                .serve_connection(io, service)
                .await;
        }
        Transport::Grpc => {
            let service = service_fn(move |request| {
                let connection = Arc::clone(&connection);
                async move {
                    Ok::<_, DisconnectError>(dated(
                        grpc::answer(request, connection.clone()).await?,
                        &connection,
                    ))
                }
            });
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .auto_date_header(false)
                .serve_connection(io, service)
                .await;
        }
    }
}

/// The answer with its `Date`, if it has one.
fn dated(mut response: Response<AnswerBody>, connection: &Connection) -> Response<AnswerBody> {
    let date = connection.shared.date().map(httpdate::fmt_http_date);
    if let Some(Ok(date)) = date.map(HeaderValue::try_from) {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}
