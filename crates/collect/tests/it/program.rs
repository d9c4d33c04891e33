//! The server as a process, and senders.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;

pub(crate) const PROTOBUF: &str = "application/x-protobuf";
pub(crate) const JSON: &str = "application/json";
/// Longer than anything takes that works, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A running server.
pub(crate) struct Server {
    child: Child,
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) metrics: SocketAddr,
    log: Option<std::thread::JoinHandle<String>>,
}

/// The program with a subcommand.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tool-telemetry-collect"));
    command.args(arguments);
    command
}

pub(crate) fn run(arguments: &[&str]) -> Output {
    program(arguments).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The definition of the example tool `dotnet`.
pub(crate) fn definition() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/dotnet/telemetry.toml")
}

/// The command of a server on free ports.
pub(crate) fn collect(store: &Path) -> Command {
    let mut command = program(&["collect", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]);
    command.args(["--metrics", "127.0.0.1:0", "--store"]).arg(store);
    command.arg("--data-points").arg(definition());
    command
}

impl Server {
    pub(crate) fn start(store: &Path) -> Self {
        Self::spawn(&mut collect(store))
    }

    /// Starts a command that ends up as a server, and waits until it can be reached.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self::try_spawn(command).expect("the server starts")
    }

    pub(crate) fn try_spawn(command: &mut Command) -> Option<Self> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut log = Vec::new();
            let _ = stderr.read_to_end(&mut log);
            text(&log)
        });
        let mut line = String::new();
        let _ = BufReader::new(child.stdout.take().unwrap()).read_line(&mut line);
        let mut words = line.split_whitespace().skip(1).map(|word| word.parse().unwrap());
        let (Some(http), Some(grpc), Some(metrics)) = (words.next(), words.next(), words.next()) else {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        };
        Some(Self { child, http, grpc, metrics, log: Some(log) })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Kills a server that is the child of strace, which would go on without it.
    #[cfg(target_os = "linux")]
    pub(crate) fn kill_traced(&mut self) {
        let children = format!("/proc/{0}/task/{0}/children", self.id());
        for child in std::fs::read_to_string(children).unwrap_or_default().split_whitespace() {
            let child = rustix::process::Pid::from_raw(child.parse().unwrap()).unwrap();
            let _ = rustix::process::kill_process(child, rustix::process::Signal::KILL);
        }
        // It ends when the server has.
        let _ = self.child.wait();
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, signal).unwrap();
    }

    /// Ends it in order, and returns its exit code and its log.
    #[cfg(unix)]
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        self.signal(rustix::process::Signal::TERM);
        let status = self.child.wait().unwrap();
        (status.code(), self.log.take().unwrap().join().unwrap())
    }

    /// Sends a request over HTTP.
    pub(crate) fn post(&self, content_type: &str, body: &[u8]) -> Option<Answer> {
        post(self.http, &[("content-type", content_type)], body)
    }

    /// Sends runs, and returns whether they were accepted.
    pub(crate) fn send(&self, runs: &[u32]) -> bool {
        let answer = self.post(PROTOBUF, &request(runs).encode_to_vec());
        answer.is_some_and(|answer| answer.status == 200 && answer.body.is_empty())
    }

    pub(crate) fn metrics(&self) -> String {
        get(self.metrics, "/metrics").unwrap().text()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        text(&self.body)
    }
}

/// One request on a connection of its own. `None` is no answer.
pub(crate) fn post(address: SocketAddr, headers: &[(&str, &str)], body: &[u8]) -> Option<Answer> {
    let mut head = format!("POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    exchange(address, &[format!("{head}connection: close\r\n\r\n").as_bytes(), body].concat())
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Option<Answer> {
    exchange(address, format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes())
}

/// Writes bytes, and reads until the server closes.
pub(crate) fn exchange(address: SocketAddr, request: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = text(&answer[..end]).to_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length: usize =
        head.lines().find_map(|line| line.strip_prefix("content-length: "))?.trim().parse().ok()?;
    let body = answer[end + 4..].to_vec();
    (body.len() == length).then_some(Answer { status, head, body })
}

pub(crate) fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

pub(crate) fn string(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.to_owned()))
}

/// Nanoseconds since the Unix epoch.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64
}

pub(crate) fn trace_id(number: u32) -> [u8; 16] {
    crate::fixture::trace_id(number)
}

/// A run of `dotnet` as its sender writes it.
pub(crate) fn run_span(number: u32) -> Span {
    let command = ["new", "restore", "build", "run", "test"][number as usize % 5];
    let start = now();
    Span {
        trace_id: trace_id(number).to_vec(),
        span_id: [&[7; 4], &number.to_be_bytes()[..]].concat(),
        flags: 0x101,
        name: "dotnet".to_owned(),
        kind: 1,
        start_time_unix_nano: start,
        end_time_unix_nano: start + 1_000_000 + u64::from(number),
        attributes: vec![
            string("process.executable.name", "dotnet"),
            attribute("process.exit.code", any_value::Value::IntValue(0)),
            string("dotnet.command", command),
        ],
        ..Span::default()
    }
}

pub(crate) fn request_of(spans: Vec<Span>) -> ExportTraceServiceRequest {
    request_under(None, spans)
}

/// A request whose spans were recorded under the telemetry.toml with a content hash.
pub(crate) fn request_under(hash: Option<&str>, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let resource = Resource {
        attributes: vec![
            string("service.name", "dotnet"),
            string("service.version", "1.0.0"),
            string("telemetry.sdk.language", "rust"),
        ]
        .into_iter()
        .chain(hash.map(|hash| string("tool_telemetry.data_points", hash)))
        .collect(),
        ..Resource::default()
    };
    let scope = InstrumentationScope { name: "tool-telemetry".to_owned(), ..InstrumentationScope::default() };
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
    let resource_spans = ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }
}

pub(crate) fn request(runs: &[u32]) -> ExportTraceServiceRequest {
    request_of(runs.iter().map(|number| run_span(*number)).collect())
}

/// The ids of the runs in a store, as `export` prints them, each as often as it is there; and `recount` agrees.
pub(crate) fn exported(store: &Path) -> Vec<String> {
    let store = store.to_str().unwrap();
    let recount = run(&["recount", "--store", store]);
    assert!(recount.status.success(), "{}{}", text(&recount.stdout), text(&recount.stderr));
    let export = run(&["export", "--store", store]);
    assert!(export.status.success(), "{}", text(&export.stderr));
    let id = |line: &str| {
        let json: serde_json::Value = serde_json::from_str(line).unwrap();
        json["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"].as_str().unwrap().to_owned()
    };
    let mut ids: Vec<String> = text(&export.stdout).lines().map(id).collect();
    ids.sort_unstable();
    ids
}

pub(crate) fn ids(runs: impl IntoIterator<Item = u32>) -> Vec<String> {
    let hex = |number| trace_id(number).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut ids: Vec<String> = runs.into_iter().map(hex).collect();
    ids.sort_unstable();
    ids
}
