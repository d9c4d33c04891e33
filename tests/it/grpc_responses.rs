//! gRPC responses that are valid and unusual.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::Notify;

use crate::test_user::TestUser;

/// An empty message of gRPC, which is a full success.
const EMPTY_MESSAGE: &[u8] = &[0; 5];

/// A gRPC server that accepts everything.
struct Server {
    endpoint: String,
    requests: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// Sends this message in each response. With `leaves`, a GOAWAY follows it.
    fn start(message: &'static [u8], leaves: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket option");
        let endpoint = format!("http://{}", listener.local_addr().expect("its address"));
        let (requests, connections) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let server =
            Self { endpoint, requests: Arc::clone(&requests), connections: Arc::clone(&connections) };
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                while let Ok((stream, _)) = listener.accept().await {
                    connections.fetch_add(1, Ordering::SeqCst);
                    serve(stream, message, leaves, &requests).await;
                }
            });
        });
        server
    }

    fn counts(&self) -> (usize, usize) {
        (self.requests.load(Ordering::SeqCst), self.connections.load(Ordering::SeqCst))
    }
}

/// Serves one connection until the client or, with `leaves`, the server ends it.
async fn serve(
    stream: tokio::net::TcpStream,
    message: &'static [u8],
    leaves: bool,
    requests: &Arc<AtomicUsize>,
) {
    let is_leaving = Arc::new(Notify::new());
    let service = service_fn(|request: Request<Incoming>| {
        let (is_leaving, requests) = (Arc::clone(&is_leaving), Arc::clone(requests));
        async move {
            request.into_body().collect().await?;
            requests.fetch_add(1, Ordering::SeqCst);
            let trailers = async move {
                if leaves {
                    is_leaving.notify_one();
                    // The client gets the GOAWAY before its response ends, so its next request needs a new connection.
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
                Some(Ok(HeaderMap::from_iter([(
                    "grpc-status".parse().expect("a name"),
                    "0".parse().expect("a value"),
                )])))
            };
            let body = Full::new(Bytes::from_static(message)).with_trailers(trailers);
            let response = Response::builder().header("content-type", "application/grpc").body(body);
            Ok::<_, hyper::Error>(response.expect("a response"))
        }
    });
    let connection =
        http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = is_leaving.notified(), if leaves => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// Flushes two runs of different versions, which need two requests.
fn flush_two_runs(server: &Server) -> TestUser {
    let user = TestUser::sending_to(&server.endpoint)
        .with("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        .backing_off(&server.endpoint);
    for version in ["1.0.0", "2.0.0"] {
        assert!(
            user.frob_command(["build"]).env("FROB_VERSION", version).status().is_ok_and(|it| it.success())
        );
    }
    assert!(user.flush(), "{}", user.status());
    user
}

#[test]
fn a_goaway_opens_a_new_connection_and_loses_nothing() {
    let server = Server::start(EMPTY_MESSAGE, true);
    let user = flush_two_runs(&server);
    assert_eq!((user.count("delivered"), user.count("pending")), (2, 0));
    assert_eq!(server.counts(), (2, 2), "each request is sent once, on a connection of its own");
}

#[test]
fn a_success_without_a_message_is_delivered() {
    let server = Server::start(b"", false);
    let user = flush_two_runs(&server);
    assert_eq!((user.count("delivered"), user.count("pending")), (2, 0));
    assert_eq!(server.counts(), (2, 1));
}
