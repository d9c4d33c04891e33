//! `collect`: the server.

use std::io::{IsTerminal as _, Write as _, stderr, stdout};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use clap::Args;

use super::Failure;
use crate::metrics::Metrics;
use crate::server::{Config, DataPointsFile, Limits, RunningServer, run as serve};

/// How often the progress line is written.
const PROGRESS: Duration = Duration::from_secs(1);

/// Receive runs over OTLP, and keep each once
///
/// Each address takes OTLP over HTTP (protobuf and JSON), over gRPC, and gzip. No address, no header, and no time of
/// arrival is kept. SIGHUP reads the telemetry.toml files, the certificate, and the tokens again; SIGTERM answers what is
/// under way and ends.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 ended as it was told; 2 it could not start.")]
pub struct CollectArguments {
    /// The data points of a tool; may be given more than once, also for one tool: its last file is its newest
    /// [TOOL is needed if the file has no `telemetry_command`]
    #[arg(long, value_name = "[TOOL=]FILE", required = true)]
    data_points: Vec<String>,
    /// The directory of the store; made if it is not there
    #[arg(long, value_name = "DIRECTORY")]
    store: PathBuf,
    /// Where OTLP over HTTP is received
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4318")]
    http: SocketAddr,
    /// Where OTLP over gRPC is received
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4317")]
    grpc: SocketAddr,
    /// Where `/metrics` and `/healthz` are served
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4319")]
    metrics: SocketAddr,
    /// The certificate chain, as a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// The key of the certificate, as a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// A file with a bearer token in each line, of which a sender must have one
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// Connections at once from one network, a /24 or a /48 of IPv6; loopback is not limited
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().connections_of_network)]
    connections_of_network: usize,
    /// Requests in a minute from one network; loopback is not limited
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().requests_of_network)]
    requests_of_network: u32,
    /// Try the configuration, and do not start
    #[arg(long)]
    check: bool,
}

impl CollectArguments {
    fn config(&self) -> Config {
        Config {
            store: self.store.clone(),
            data_points: self.data_points.iter().map(|text| DataPointsFile::parse(text)).collect(),
            addresses: vec![self.http, self.grpc],
            metrics: Some(self.metrics),
            tls: self.tls_certificate.clone().zip(self.tls_key.clone()),
            tokens: self.tokens.clone(),
            limits: Limits {
                connections_of_network: self.connections_of_network,
                requests_of_network: self.requests_of_network,
                ..Limits::default()
            },
        }
    }
}

pub(super) fn run(arguments: &CollectArguments) -> Result<ExitCode, Failure> {
    let config = arguments.config();
    if arguments.check {
        let loaded = config.load()?;
        let tools = loaded.catalog.tools();
        writeln!(stdout(), "the configuration is fine; it serves {}", tools.join(", "))?;
        for tool in loaded.catalog.short_retention() {
            let why =
                "a period is closed 28 days after its end, so its counts go before they can be published";
            writeln!(stdout(), "warning: `retention_days` of {tool} is below 35; {why}")?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    log_to_stderr();
    serve(&config, |reachable| {
        if stderr().is_terminal() {
            show_progress(Arc::clone(&reachable.numbers));
        } else {
            told(reachable);
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// A line for programs that start the server on port 0.
fn told(reachable: &RunningServer) {
    let addresses: Vec<String> = reachable.addresses.iter().map(ToString::to_string).collect();
    let metrics = reachable.metrics.map_or_else(String::new, |address| address.to_string());
    let _ = writeln!(stdout(), "ready {} {metrics}", addresses.join(" "));
    let _ = stdout().flush();
}

/// For people in words, for programs as JSON.
fn log_to_stderr() {
    let builder = tracing_subscriber::fmt().with_writer(stderr).with_target(false);
    // A subscriber that is there already is that of a test.
    let _ = if stderr().is_terminal() {
        builder.with_ansi(false).compact().try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
}

fn show_progress(metrics: Arc<Metrics>) {
    let show = move || {
        let mut last = String::new();
        loop {
            let (traces, spans) = (metrics.traces.load(Relaxed), metrics.spans.load(Relaxed));
            let open = metrics.open_connections.load(Relaxed);
            let line = format!("{traces} runs, {spans} spans, {open} connections");
            if line != last {
                let _ = write!(stderr(), "\r\x1b[K{line}");
                last = line;
            }
            std::thread::sleep(PROGRESS);
        }
    };
    // Without it the server works as well.
    let _ = std::thread::Builder::new().name("progress".to_owned()).spawn(show);
}
