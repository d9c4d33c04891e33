//! Connections: how many there may be, and how long each may do nothing.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::ServerState;
use super::config::Limits;
use super::networks::Network;

/// Between two attempts to accept a connection while there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// Requests of one HTTP/2 connection at once.
const STREAMS: u32 = 128;
/// Streams that a sender reset before they were handled: more are an attack (CVE-2023-44487).
const RESETS: usize = 20;
/// Bytes of a request's head.
const HEAD: usize = 16 << 10;
/// Bytes of an HTTP/2 stream, and of a connection, that a sender may have under way.
const WINDOW: u32 = 1 << 16;

/// Accepts connections until the server ends, and then waits for those that are open.
pub(super) async fn accept(
    listener: TcpListener,
    app: Router,
    shared: Arc<ServerState>,
    mut ending: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(shared.limits.connections));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = ending.changed() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(_) => {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        shared.metrics.connections.fetch_add(1, Relaxed);
        let network = shared.networks.of(address);
        let place = Arc::clone(&places).try_acquire_owned().ok().zip(shared.networks.enter(network));
        let Some(place) = place else {
            // Closed at once; the sender comes again.
            shared.metrics.refused_connections.fetch_add(1, Relaxed);
            continue;
        };
        let (app, shared, ending) = (app.clone(), Arc::clone(&shared), ending.clone());
        connections.spawn(async move {
            let metrics = Arc::clone(&shared.metrics);
            metrics.open_connections.fetch_add(1, Relaxed);
            connection(stream, network, app, shared, ending).await;
            metrics.open_connections.fetch_sub(1, Relaxed);
            drop(place);
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(
    stream: TcpStream,
    network: Network,
    app: Router,
    shared: Arc<ServerState>,
    ending: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let limits = shared.limits;
    let tls = shared.loaded().tls.clone();
    // A connection that is kept open must not keep the writer.
    drop(shared);
    match tls {
        None => serve(stream, network, app, &limits, ending).await,
        Some(config) => {
            let handshake = TlsAcceptor::from(config).accept(stream);
            if let Ok(Ok(stream)) = tokio::time::timeout(limits.idle_time, handshake).await {
                serve(stream, network, app, &limits, ending).await;
            }
        }
    }
}

/// When a connection last began or ended a request.
struct Activity {
    start: Instant,
    under_way: AtomicU64,
    last: AtomicU64,
}

impl Activity {
    fn touch(&self) {
        self.last.store(self.start.elapsed().as_millis() as u64, Relaxed);
    }

    fn idle(&self) -> Duration {
        if self.under_way.load(Relaxed) > 0 {
            return Duration::ZERO;
        }
        self.start.elapsed().saturating_sub(Duration::from_millis(self.last.load(Relaxed)))
    }
}

/// Counts a request of a connection, also one that is dropped.
struct RequestGuard(Arc<Activity>);

impl RequestGuard {
    fn new(activity: &Arc<Activity>) -> Self {
        activity.under_way.fetch_add(1, Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Relaxed);
        self.0.touch();
    }
}

async fn serve<S>(
    stream: S,
    network: Network,
    app: Router,
    limits: &Limits,
    mut ending: watch::Receiver<bool>,
) where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let activity =
        Arc::new(Activity { start: Instant::now(), under_way: AtomicU64::new(0), last: AtomicU64::new(0) });
    let counted = Arc::clone(&activity);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(network);
        let under_way = RequestGuard::new(&counted);
        let app = app.clone();
        async move {
            let response: Result<Response<Body>, _> = app.oneshot(request.map(Body::new)).await;
            drop(under_way);
            response
        }
    });
    let Limits { idle_time, request_time, connection_age, .. } = *limits;
    let builder = builder(idle_time);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service).into_owned());
    let mut is_ending = false;
    loop {
        let check = idle_time.min(connection_age) / 4;
        let ends = tokio::select! {
            // How it ended is the sender's business.
            _ = &mut connection => return,
            _ = ending.changed(), if !is_ending => true,
            () = tokio::time::sleep(check) => {
                let age = activity.start.elapsed();
                // No head of a request in time, no next request in time, or no end in time.
                if activity.idle() >= idle_time || age >= connection_age + request_time + idle_time {
                    return;
                }
                age >= connection_age
            }
        };
        if ends && !is_ending {
            // The request that is under way is answered, and its sender told to connect again.
            connection.as_mut().graceful_shutdown();
            is_ending = true;
        }
    }
}

fn builder(idle_time: Duration) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(idle_time)
        // A sender that has closed its half still waits for its answer.
        .half_close(true)
        .max_buf_size(HEAD.max(8_192))
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(RESETS)
        .max_header_list_size(HEAD as u32)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(4 * WINDOW)
        .keep_alive_interval(idle_time)
        .keep_alive_timeout(idle_time);
    builder
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::sync::Notify;

    use super::*;

    /// A connection to a server that answers when it is told to.
    struct Connection {
        client: DuplexStream,
        received: Arc<Notify>,
        may_answer: Arc<Notify>,
        end: watch::Sender<bool>,
    }

    impl Connection {
        fn new(limits: Limits) -> Self {
            let (client, server) = tokio::io::duplex(1_024);
            let (end, ending) = watch::channel(false);
            let (received, may_answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let (begun, told) = (Arc::clone(&received), Arc::clone(&may_answer));
            let handler = async move || {
                begun.notify_one();
                told.notified().await;
            };
            let app = Router::new().route("/", get(handler));
            tokio::spawn(async move { serve(server, Network::of_tests(), app, &limits, ending).await });
            Self { client, received, may_answer, end }
        }

        async fn ask(&mut self) {
            self.client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            self.received.notified().await;
        }

        /// What the server sends next, or nothing if it has closed the connection.
        async fn answer(&mut self) -> String {
            let mut answer = [0; 1_024];
            let length = self.client.read(&mut answer).await.unwrap();
            String::from_utf8_lossy(&answer[..length]).to_lowercase()
        }
    }

    #[tokio::test]
    async fn an_old_connection_ends_behind_the_request_that_is_under_way() {
        let connection_age = Duration::from_millis(50);
        let mut connection = Connection::new(Limits { connection_age, ..Limits::default() });
        let start = Instant::now();
        let mut answers = 0;
        loop {
            connection.ask().await;
            if answers == 3 {
                // One that is under way when the time has come.
                tokio::time::sleep(2 * connection_age).await;
            }
            connection.may_answer.notify_one();
            let answer = connection.answer().await;
            assert!(answer.starts_with("http/1.1 200"), "answer {answers}: {answer:?}");
            answers += 1;
            if answer.contains("connection: close") {
                break;
            }
        }
        assert!(start.elapsed() >= connection_age && answers <= 4);
        assert_eq!(connection.answer().await, "");
    }

    #[tokio::test]
    async fn when_the_server_ends_a_request_is_answered_and_its_connection_closed() {
        let mut connection = Connection::new(Limits::default());
        connection.ask().await;
        connection.end.send(true).unwrap();
        connection.may_answer.notify_one();
        assert!(connection.answer().await.starts_with("http/1.1 200"));
        assert_eq!(connection.answer().await, "");
    }

    #[tokio::test]
    async fn an_idle_connection_is_closed() {
        let mut connection =
            Connection::new(Limits { idle_time: Duration::from_millis(50), ..Limits::default() });
        assert_eq!(connection.answer().await, "");
    }
}
