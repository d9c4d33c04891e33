//! The listener of the operator: `/metrics` and `/healthz`. It is on loopback unless the operator says otherwise.

use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::ServerState;

/// Connections at once. A scraper has one.
const CONNECTIONS: usize = 16;

pub(super) async fn serve(
    listener: TcpListener,
    shared: Arc<ServerState>,
    mut ending: watch::Receiver<bool>,
) {
    let idle_time = shared.limits.idle_time;
    let app = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .with_state(Arc::clone(&shared.metrics));
    drop(shared);
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let stream = tokio::select! {
            _ = ending.changed() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => continue,
            },
        };
        let service = TowerToHyperService::new(app.clone());
        connections.spawn(async move {
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(idle_time).keep_alive(false);
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn metrics(
    axum::extract::State(metrics): axum::extract::State<Arc<crate::metrics::Metrics>>,
) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.text())
}
