//! The server: OTLP in, one store behind it.
//!
//! hyper and axum speak HTTP, and tower's layers bound what is under way; here is what senders are told and what they may
//! take. Every address takes OTLP over HTTP/1.1, over HTTP/2, and over gRPC.

mod admin;
mod body;
mod config;
mod connection;
mod networks;
mod otlp;
mod refusal;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::error_handling::HandleErrorLayer;
use axum::http::Uri;
use axum::response::Response;
use axum::routing::{any, get};
use tokio::sync::watch;
use tower::ServiceBuilder;
use tower::limit::GlobalConcurrencyLimitLayer;
use tracing::{error, info, warn};

use crate::approvals::ContentHash;
use crate::judge::Catalog;
use crate::keeper::Keeper;
use crate::metrics::Metrics;
use crate::store::SqliteStore;
use crate::time::Hour;
use crate::writer::{Configuration, Writer};

pub use config::{Config, DataPointsFile, Limits, LoadedFiles, StartError};

use body::Budget;
use networks::Networks;
use refusal::Refusal;

/// How long requests that are under way may take when the server ends.
const DRAIN: Duration = Duration::from_secs(10);
/// Distinct hashes of unknown files that are logged. Senders choose them.
const MAX_HASHES: usize = 100;

/// What all connections share.
pub(super) struct ServerState {
    // Dependencies.
    writer: Writer,
    metrics: Arc<Metrics>,
    // Configuration.
    limits: Limits,
    loaded: RwLock<Arc<LoadedFiles>>,
    // State.
    budget: Budget,
    networks: Networks,
    unknown_hashes: Mutex<HashSet<ContentHash>>,
}

impl ServerState {
    fn loaded(&self) -> Arc<LoadedFiles> {
        Arc::clone(&self.loaded.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn catalog(&self) -> impl std::ops::Deref<Target = Catalog> {
        struct CurrentCatalog(Arc<LoadedFiles>);
        impl std::ops::Deref for CurrentCatalog {
            type Target = Catalog;
            fn deref(&self) -> &Catalog {
                &self.0.catalog
            }
        }
        CurrentCatalog(self.loaded())
    }

    fn tokens(&self) -> Option<Vec<String>> {
        self.loaded().tokens.clone()
    }

    fn is_new_hash(&self, hash: ContentHash) -> bool {
        let mut hashes = self.unknown_hashes.lock().unwrap_or_else(PoisonError::into_inner);
        hashes.len() < MAX_HASHES && hashes.insert(hash)
    }

    fn replace(&self, loaded: LoadedFiles) {
        self.writer.configure(configuration(&loaded.catalog));
        self.unknown_hashes.lock().unwrap_or_else(PoisonError::into_inner).clear();
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
    }
}

fn configuration(catalog: &Catalog) -> Configuration {
    Configuration {
        tables: catalog.tables(),
        retention: catalog.retention(),
        definitions: catalog.texts().to_vec(),
    }
}

/// Where a server can be reached.
#[derive(Debug, Clone)]
pub struct RunningServer {
    /// OTLP.
    pub addresses: Vec<SocketAddr>,
    /// Metrics.
    pub metrics: Option<SocketAddr>,
    /// What it has done so far.
    pub numbers: Arc<Metrics>,
}

/// Runs the server until a signal ends the process.
///
/// # Errors
/// If it cannot start.
pub fn run(config: &Config, at_start: impl FnOnce(&RunningServer)) -> Result<(), StartError> {
    no_core_dumps();
    raise_descriptor_limit();
    let loaded = config.load()?;
    let bind = |(address, option): (&SocketAddr, _)| config::listen(*address, option);
    let listeners =
        config.addresses.iter().zip(["--http", "--grpc"]).map(bind).collect::<Result<Vec<_>, _>>()?;
    let metrics_listener = config.metrics.map(|address| config::listen(address, "--metrics")).transpose()?;
    let shared = Arc::new(open(config, loaded)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("otlp")
        .build()
        .map_err(|error| StartError::new(format!("the server cannot start its threads: {error}")))?;
    let result = runtime.block_on(serve(config, Arc::clone(&shared), listeners, metrics_listener, at_start));
    drop(runtime);
    match Arc::into_inner(shared) {
        Some(shared) => shared.writer.stop(),
        None => error!("a request is still under way; what it was not answered is not kept"),
    }
    info!("ended");
    result
}

/// Opens the store, and starts its writer.
fn open(config: &Config, loaded: LoadedFiles) -> Result<ServerState, StartError> {
    let unusable = |error: crate::store::StoreError| StartError::new(error.to_string());
    let store = SqliteStore::create_or_open(&config.store).map_err(unusable)?;
    let keeper = Keeper::open(store, Hour::now()).map_err(unusable)?;
    let (traces, bytes) = keeper.index_size();
    info!(traces, index_bytes = bytes, store = %config.store.display(), "the store is open");
    if keeper.damaged_rows() > 0 {
        warn!(rows = keeper.damaged_rows(), "rows do not hold what was written to them, and are put aside");
    }
    let metrics = Arc::new(Metrics::default());
    let writer = Writer::start(keeper, Arc::clone(&metrics))
        .map_err(|error| StartError::new(format!("the server cannot start a thread: {error}")))?;
    writer.configure(configuration(&loaded.catalog));
    Ok(ServerState {
        writer,
        metrics,
        limits: config.limits,
        loaded: RwLock::new(Arc::new(loaded)),
        budget: Budget::new(config.limits.bodies, config.limits.body),
        networks: Networks::new(
            config.limits.connections_of_network,
            config.limits.requests_of_network,
            Instant::now(),
        ),
        unknown_hashes: Mutex::default(),
    })
}

async fn serve(
    config: &Config,
    shared: Arc<ServerState>,
    listeners: Vec<std::net::TcpListener>,
    metrics_listener: Option<std::net::TcpListener>,
    at_start: impl FnOnce(&RunningServer),
) -> Result<(), StartError> {
    let listen = |listener: std::net::TcpListener| {
        let listener = tokio::net::TcpListener::from_std(listener);
        listener.map_err(|error| StartError::new(format!("the server cannot listen: {error}")))
    };
    let listeners = listeners.into_iter().map(listen).collect::<Result<Vec<_>, _>>()?;
    let metrics_listener = metrics_listener.map(listen).transpose()?;
    let local = |listener: &tokio::net::TcpListener| {
        listener.local_addr().map_err(|error| StartError::new(format!("the server has no address: {error}")))
    };
    let reachable = RunningServer {
        addresses: listeners.iter().map(local).collect::<Result<_, _>>()?,
        metrics: metrics_listener.as_ref().map(local).transpose()?,
        numbers: Arc::clone(&shared.metrics),
    };
    let mut signals = Signals::new()?;
    let (end, ending) = watch::channel(false);
    let app = app(&shared);
    let mut acceptors = tokio::task::JoinSet::new();
    for listener in listeners {
        acceptors.spawn(connection::accept(listener, app.clone(), Arc::clone(&shared), ending.clone()));
    }
    if let Some(listener) = metrics_listener {
        acceptors.spawn(admin::serve(listener, Arc::clone(&shared), ending.clone()));
    }
    for tool in shared.catalog().short_retention() {
        warn!(tool, "`retention_days` is below 35; counts go before they can be published");
    }
    info!(
        addresses = listed(&reachable.addresses),
        metrics = listed(reachable.metrics.as_slice()),
        tools = listed(&shared.catalog().tools()),
        "ready"
    );
    at_start(&reachable);
    while let Signal::Reload = signals.next().await {
        match config.load() {
            Ok(loaded) => {
                shared.replace(loaded);
                shared.metrics.reloads.fetch_add(1, Ordering::Relaxed);
                info!(tools = listed(&shared.catalog().tools()), "the configuration is read again");
            }
            Err(error) => error!(%error, "the configuration cannot be read again; the old one stays"),
        }
    }
    info!("ending; requests that are under way are answered");
    let _ = end.send(true);
    let ended = async { while acceptors.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, ended).await.is_err() {
        warn!("some requests did not end in time; their senders come again");
    }
    Ok(())
}

/// The items for a log line.
fn listed<T: ToString>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

fn app(shared: &Arc<ServerState>) -> Router {
    let for_errors = Arc::clone(&shared.metrics);
    let limits = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(move |uri, error| overloaded(Arc::clone(&for_errors), uri, error)))
        .load_shed()
        .layer(GlobalConcurrencyLimitLayer::new(shared.limits.requests))
        .timeout(shared.limits.request_time);
    Router::new()
        .route(otlp::HTTP_PATH, any(otlp::http))
        .route(otlp::GRPC_PATH, any(otlp::grpc))
        .layer(limits)
        .route("/healthz", get(async || "ok\n"))
        .fallback(otlp::elsewhere)
        .with_state(Arc::clone(shared))
}

/// The answer to a request that the limits above end.
async fn overloaded(metrics: Arc<Metrics>, uri: Uri, error: tower::BoxError) -> Response {
    let refusal = if error.is::<tower::timeout::error::Elapsed>() { Refusal::LATE } else { Refusal::BUSY };
    metrics.request(refusal.label);
    if uri.path() == otlp::GRPC_PATH { otlp::grpc_refusal(refusal) } else { otlp::plain_refusal(refusal) }
}

enum Signal {
    Reload,
    End,
}

/// The signals that an operator sends to a running server.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn new() -> Result<Self, StartError> {
        use tokio::signal::unix::{SignalKind, signal};
        let on =
            |kind| signal(kind).map_err(|error| StartError::new(format!("no signal can be had: {error}")));
        Ok(Self { terminate: on(SignalKind::terminate())?, hangup: on(SignalKind::hangup())? })
    }

    #[cfg(not(unix))]
    fn new() -> Result<Self, StartError> {
        Ok(Self {})
    }

    #[cfg(unix)]
    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::End,
            _ = tokio::signal::ctrl_c() => Signal::End,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) -> Signal {
        let _ = tokio::signal::ctrl_c().await;
        Signal::End
    }
}

/// Connections take descriptors, and the usual soft limit of 1,024 is for programs that use `select`.
fn raise_descriptor_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let maximum = getrlimit(Resource::Nofile).maximum;
        // What cannot be raised stays, and connections beyond it wait.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}

/// A dump would hold requests that are under way, with the addresses that they come from.
fn no_core_dumps() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let none = Rlimit { current: Some(0), maximum: Some(0) };
        if let Err(error) = setrlimit(Resource::Core, none) {
            warn!(%error, "core dumps cannot be turned off");
        }
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        // Also keeps other processes of the same user from reading this one's memory.
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            warn!(%error, "core dumps cannot be turned off");
        }
    }
}
