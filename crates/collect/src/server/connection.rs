//! Connections: how many there may be, and how long each may do nothing.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::ServerState;
use super::networks::Network;

/// Between two attempts to accept a connection while there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// A connection of this age ends at its next pause: otherwise one that only answers pings would stay for ever.
const OLDEST: Duration = Duration::from_secs(600);
/// Requests of one HTTP/2 connection at once.
const STREAMS: u32 = 128;
/// Streams that a sender reset before they were handled: more are an attack (CVE-2023-44487).
const RESETS: usize = 20;
/// Bytes of a request's head.
const HEAD: usize = 16 << 10;
/// Bytes of an HTTP/2 stream, and of a connection, that a sender may have under way.
const WINDOW: u32 = 1 << 16;

pub(super) async fn accept(
    listener: TcpListener,
    app: Router,
    shared: Arc<ServerState>,
    graceful: Arc<GracefulShutdown>,
    mut ending: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(shared.limits.connections));
    loop {
        let accepted = tokio::select! {
            _ = ending.changed() => return,
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
        let (app, shared, watcher) = (app.clone(), Arc::clone(&shared), graceful.watcher());
        tokio::spawn(async move {
            let metrics = Arc::clone(&shared.metrics);
            metrics.open_connections.fetch_add(1, Relaxed);
            connection(stream, network, app, shared, watcher).await;
            metrics.open_connections.fetch_sub(1, Relaxed);
            drop(place);
        });
    }
}

async fn connection(
    stream: TcpStream,
    network: Network,
    app: Router,
    shared: Arc<ServerState>,
    watcher: Watcher,
) {
    let _ = stream.set_nodelay(true);
    let limits = shared.limits;
    let tls = shared.loaded().tls.clone();
    // A connection that is kept open must not keep the writer.
    drop(shared);
    match tls {
        None => serve(stream, network, app, limits.idle_time, watcher).await,
        Some(config) => {
            let handshake = TlsAcceptor::from(config).accept(stream);
            if let Ok(Ok(stream)) = tokio::time::timeout(limits.idle_time, handshake).await {
                serve(stream, network, app, limits.idle_time, watcher).await;
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

async fn serve<S>(stream: S, network: Network, app: Router, idle_time: Duration, watcher: Watcher)
where
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
    let builder = builder(idle_time);
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    let mut connection = pin!(watcher.watch(connection));
    let mut is_ending = false;
    loop {
        let check = idle_time.min(OLDEST) / 4;
        tokio::select! {
            // How it ended is the sender's business.
            _ = &mut connection => return,
            () = tokio::time::sleep(check) => {
                let idle = activity.idle();
                // No head of a request in time, no next request in time, or no end for ten minutes.
                if idle >= idle_time || is_ending || activity.start.elapsed() >= OLDEST + idle_time {
                    return;
                }
                is_ending = activity.start.elapsed() >= OLDEST && !idle.is_zero();
            }
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
