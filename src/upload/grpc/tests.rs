use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;
use std::time::Instant;

use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest,
};
use tokio::sync::oneshot;
use tonic::Code;
use tonic::codegen::Bytes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Server, ServerTlsConfig};

use super::*;
use crate::fixtures::{self, Authority};
use crate::upload::failure::TlsFailure;
use crate::upload::otlp_settings::IdentityFiles;
use crate::upload::transport::OtlpTransport;

const MAX_REQUEST_BYTES: usize = 64 * 1024 * 1024;

type Reply = Result<ExportTraceServiceResponse, Status>;

/// Sends one reply after the other, and keeps the requests.
#[derive(Debug, Clone, Default)]
struct ScriptedService {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    requests: Arc<Mutex<Vec<(MetadataMap, ExportTraceServiceRequest)>>>,
}

#[tonic::async_trait]
impl TraceService for ScriptedService {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        self.requests.lock().expect("a lock").push((metadata, message));
        let reply = self.replies.lock().expect("a lock").pop_front();
        match reply {
            Some(reply) => reply.map(Response::new),
            None => std::future::pending().await,
        }
    }
}

/// A receiver on loopback, on its own thread.
struct Receiver {
    address: SocketAddr,
    scripted: ScriptedService,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Receiver {
    fn start(replies: impl IntoIterator<Item = Reply>, tls: Option<ServerTlsConfig>) -> Self {
        Self::with(replies, tls, |service| service)
    }

    /// Starts with a changed service.
    fn with(
        replies: impl IntoIterator<Item = Reply>,
        tls: Option<ServerTlsConfig>,
        change: impl FnOnce(TraceServiceServer<ScriptedService>) -> TraceServiceServer<ScriptedService>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket option");
        let address = listener.local_addr().expect("its address");
        let scripted = ScriptedService::default();
        scripted.replies.lock().expect("a lock").extend(replies);
        let service = TraceServiceServer::new(scripted.clone()).accept_compressed(CompressionEncoding::Gzip);
        let service = change(service);
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            on_this_thread(async {
                let mut server = Server::builder();
                if let Some(tls) = tls {
                    server = server.tls_config(tls).expect("TLS");
                }
                let incoming =
                    TcpIncoming::from(tokio::net::TcpListener::from_std(listener).expect("a listener"));
                tokio::select! {
                    ended = server.add_service(service).serve_with_incoming(incoming) => ended.expect("a server"),
                    _ = stopped => (),
                }
            });
        });
        Self { address, scripted, stop, thread }
    }

    /// Stops the receiver and returns its requests.
    fn requests(self) -> Vec<(MetadataMap, ExportTraceServiceRequest)> {
        let _ = self.stop.send(());
        self.thread.join().expect("a server");
        std::mem::take(&mut self.scripted.requests.lock().expect("a lock"))
    }
}

fn on_this_thread<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

fn settings(address: SocketAddr) -> OtlpSettings {
    fixtures::settings(format!("http://{address}"), Protocol::Grpc)
}

fn open(settings: &OtlpSettings) -> GrpcTransport {
    GrpcTransport::open(settings, MAX_REQUEST_BYTES).expect("settings that can be used")
}

fn send(settings: &OtlpSettings) -> DeliveryOutcome {
    open(settings).send(&fixtures::batch(&fixtures::spans()))
}

fn ok() -> Reply {
    Ok(ExportTraceServiceResponse::default())
}

fn partial(rejected_spans: i64, error_message: &str) -> Reply {
    let partial_success = ExportTracePartialSuccess { rejected_spans, error_message: error_message.into() };
    Ok(ExportTraceServiceResponse { partial_success: Some(partial_success) })
}

/// A status with a `RetryInfo` behind another detail.
fn with_delay(code: Code, seconds: i64, nanos: i32) -> Reply {
    let info = RetryInfo { retry_delay: Some(Delay { seconds, nanos }) };
    let detail =
        |name: &str, value| Detail { type_url: format!("type.googleapis.com/google.rpc.{name}"), value };
    let details = vec![detail("ErrorInfo", vec![0xff]), detail("RetryInfo", info.encode_to_vec())];
    Err(Status::with_details(code, "test", RpcStatus { details }.encode_to_vec().into()))
}

#[test]
fn the_request_has_the_settings_and_the_spans() {
    for gzip in [false, true] {
        let receiver = Receiver::start([ok()], None);
        let mut settings = settings(receiver.address);
        settings.gzip = gzip;
        settings.headers = vec![("X-Key".into(), "a, b=c".into())];
        assert_eq!(send(&settings), DeliveryOutcome::DELIVERED);
        let (metadata, message) = receiver.requests().remove(0);
        let text = |name| metadata.get(name).and_then(|value| value.to_str().ok());
        assert_eq!(text("x-key"), Some("a, b=c"));
        assert_eq!(text("grpc-encoding"), gzip.then_some("gzip"));
        assert!(
            text("user-agent")
                .is_some_and(|value| value.starts_with(&format!("{} tonic/", user_agent::own())))
        );
        let batch_spans = fixtures::spans();
        let batch = fixtures::batch(&batch_spans);
        let [resource_spans] = &message.resource_spans[..] else { panic!("one resource") };
        let expected = ExportRequest::new(&batch).into_message();
        assert_eq!(resource_spans.scope_spans, expected.resource_spans[0].scope_spans);
        assert_eq!(resource_spans.resource.as_ref().map(|resource| resource.attributes.len()), Some(8));
    }
}

#[test]
fn a_gzip_response_is_decompressed() {
    for gzip in [false, true] {
        // A gRPC server in Go responds in the request's compression, and others in one that the client accepts.
        let compressing =
            |service: TraceServiceServer<ScriptedService>| service.send_compressed(CompressionEncoding::Gzip);
        let receiver = Receiver::with([partial(2, &"long ".repeat(100))], None, compressing);
        let mut settings = settings(receiver.address);
        settings.gzip = gzip;
        assert_eq!(send(&settings), DeliveryOutcome::Delivered { rejected: 2, warned: false });
        let (metadata, _) = receiver.requests().remove(0);
        assert!(
            metadata.get("grpc-accept-encoding").is_some_and(|value| value == "gzip,identity"),
            "{metadata:?}"
        );
    }
}

#[test]
fn each_response_has_its_outcome() {
    let retry = |after, code| DeliveryOutcome::Retry { after, kind: FailureKind::Grpc(code) };
    let refused = |code| DeliveryOutcome::Refused { kind: FailureKind::Grpc(code) };
    let script = [
        (ok(), DeliveryOutcome::DELIVERED),
        (partial(0, ""), DeliveryOutcome::DELIVERED),
        (partial(2, "bad"), DeliveryOutcome::Delivered { rejected: 2, warned: false }),
        (partial(0, "hmm"), DeliveryOutcome::Delivered { rejected: 0, warned: true }),
        (Err(Status::unavailable("x")), retry(None, 14)),
        (with_delay(Code::Unavailable, 3, 500_000_000), retry(Some(Duration::from_millis(3500)), 14)),
        (with_delay(Code::ResourceExhausted, 0, 0), retry(Some(Duration::ZERO), 8)),
        (with_delay(Code::ResourceExhausted, -1, i32::MIN), retry(Some(Duration::ZERO), 8)),
        (Err(Status::resource_exhausted("x")), refused(8)),
        (
            Err(Status::with_details(Code::ResourceExhausted, "x", Bytes::from_static(b"\xff\xff"))),
            refused(8),
        ),
        (with_delay(Code::InvalidArgument, 1, 0), refused(3)),
        (Err(Status::unauthenticated("x")), refused(16)),
        (Err(Status::unimplemented("x")), refused(12)),
        (Err(Status::cancelled("x")), retry(None, 1)),
        (Err(Status::data_loss("x")), retry(None, 15)),
    ];
    let (replies, wanted): (Vec<_>, Vec<_>) = script.into_iter().unzip();
    let receiver = Receiver::start(replies, None);
    let mut transport = open(&settings(receiver.address));
    let spans = fixtures::spans();
    let answers: Vec<_> = wanted.iter().map(|_| transport.send(&fixtures::batch(&spans))).collect();
    assert_eq!(answers, wanted);
    assert_eq!(receiver.requests().len(), wanted.len());
}

#[test]
fn a_request_over_the_limit_is_not_sent() {
    let receiver = Receiver::start([ok()], None);
    let mut transport = GrpcTransport::open(&settings(receiver.address), 1000).expect("usable settings");
    let answer = transport.send(&fixtures::batch(&fixtures::spans()));
    assert_eq!(answer, DeliveryOutcome::Refused { kind: FailureKind::TooLarge });
    assert!(receiver.requests().is_empty());
}

#[test]
fn the_timeout_bounds_the_whole_exchange() {
    let receiver = Receiver::start([], None);
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    for address in [receiver.address, silent.local_addr().expect("its address")] {
        for scheme in ["http", "https"] {
            // A receiver without TLS ends the handshake early.
            if scheme == "https" && address == receiver.address {
                continue;
            }
            let mut settings = settings(address);
            settings.endpoint = format!("{scheme}://{address}");
            settings.timeout = Duration::from_millis(300);
            let start = Instant::now();
            assert_eq!(send(&settings), DeliveryOutcome::retry(FailureKind::Timeout), "{settings:?}");
            assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        }
    }
    receiver.requests();
}

#[test]
fn a_lost_connection_is_retried() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = closed.local_addr().expect("its address");
    drop(closed);
    assert_eq!(send(&settings(address)), DeliveryOutcome::retry(FailureKind::Connection));
    // The server responds in the wrong protocol, or not at all.
    for text in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b""] {
        let (address, server) = fixtures::serve_by(|mut stream| {
            let _ = std::io::Write::write_all(&mut stream, text);
        });
        assert_eq!(send(&settings(address)), DeliveryOutcome::retry(FailureKind::Connection));
        server.join().expect("a server");
    }
    let receiver = Receiver::start([ok()], None);
    let mut transport = open(&settings(receiver.address));
    let spans = fixtures::spans();
    assert_eq!(transport.send(&fixtures::batch(&spans)), DeliveryOutcome::DELIVERED);
    assert_eq!(receiver.requests().len(), 1);
    assert_eq!(transport.send(&fixtures::batch(&spans)), DeliveryOutcome::retry(FailureKind::Connection));
}

/// Sends the same HTTP/2 response, which is not gRPC, to every request.
fn serve_http2(status: u16, content_type: &'static str) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a socket option");
    let address = listener.local_addr().expect("its address");
    let (stop, stopped) = oneshot::channel();
    let thread = std::thread::spawn(move || {
        on_this_thread(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            let stream = listener.accept().await.expect("a connection").0;
            let service = hyper::service::service_fn(move |_| async move {
                let answer = http::Response::builder().status(status).header("content-type", content_type);
                Ok::<_, Infallible>(answer.body(Full::new(Bytes::from_static(b"<html>"))).expect("an answer"))
            });
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                _ = connection => (),
                _ = stopped => (),
            }
        });
    });
    (address, stop, thread)
}

#[test]
fn a_response_that_is_not_grpc_delivers_nothing() {
    for (status, content_type, wanted) in [
        (200, "text/html", DeliveryOutcome::retry(FailureKind::NotOtlp)),
        (503, "text/html", DeliveryOutcome::retry(FailureKind::Http(503))),
        (302, "text/html", DeliveryOutcome::retry(FailureKind::Http(302))),
        (404, "text/html", DeliveryOutcome::Refused { kind: FailureKind::Http(404) }),
    ] {
        let (address, stop, thread) = serve_http2(status, content_type);
        assert_eq!(send(&settings(address)), wanted, "{status}");
        let _ = stop.send(());
        thread.join().expect("a server");
    }
}

#[test]
fn only_the_given_root_is_trusted() {
    let (authority, clients, stranger) = (Authority::new(), Authority::new(), Authority::new());
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let (certificate, key) = authority.issue("127.0.0.1");
    let tls = ServerTlsConfig::new()
        .identity(tonic::transport::Identity::from_pem(certificate.pem(), key.serialize_pem()))
        .client_ca_root(tonic::transport::Certificate::from_pem(&clients.root));
    let receiver = Receiver::start([ok(), ok()], Some(tls));
    let (certificate, key) = clients.issue("weave.invalid");
    let mut settings = settings(receiver.address);
    settings.endpoint = format!("https://{}", receiver.address);
    settings.certificate = Some(write("root.pem", &authority.root));
    settings.client = Some(IdentityFiles {
        certificate: write("client.pem", &certificate.pem()),
        key: write("client.key", &key.serialize_pem()),
    });
    assert_eq!(send(&settings), DeliveryOutcome::DELIVERED);

    let mut anonymous = settings.clone();
    anonymous.client = None;
    let spans = fixtures::spans();
    let answer =
        OtlpTransport::open(&anonymous).send(&fixtures::batch(&spans), std::time::SystemTime::UNIX_EPOCH);
    assert_eq!(answer, DeliveryOutcome::retry(FailureKind::Tls(TlsFailure::ClientCertificate)));

    let mut misled = settings.clone();
    misled.certificate = Some(write("stranger.pem", &stranger.root));
    assert_eq!(send(&misled), DeliveryOutcome::retry(FailureKind::Tls(TlsFailure::UnknownIssuer)));
    assert_eq!(receiver.requests().len(), 1);
}

#[test]
fn opening_rejects_unusable_settings() {
    let unusable = |change: &dyn Fn(&mut OtlpSettings)| {
        let mut settings = fixtures::settings("https://collector.invalid", Protocol::Grpc);
        change(&mut settings);
        assert!(GrpcTransport::open(&settings, MAX_REQUEST_BYTES).is_err(), "{settings:?}");
    };
    for endpoint in ["", "collector.invalid:4317", "unix:///tmp/socket", "http://a b"] {
        unusable(&|settings| settings.endpoint = endpoint.into());
    }
    for (name, value) in [("a b", "c"), ("", "c"), ("a", "b\nc"), ("a", "\u{e9}"), ("a-bin", "AAAA")] {
        unusable(&|settings| settings.headers = vec![(name.into(), value.into())]);
    }
    unusable(&|settings| settings.protocol = Protocol::HttpProtobuf);
    unusable(&|settings| settings.certificate = Some("/missing.pem".into()));
    let missing = IdentityFiles { certificate: "/missing.pem".into(), key: "/missing.key".into() };
    unusable(&|settings| settings.client = Some(missing.clone()));
}
