//! An OTLP receiver on loopback, for tests and demonstrations; and [`wire`], which reads requests for it and for
//! `tool-telemetry collect`.
//!
//! ```
//! use std::time::Duration;
//! use tool_telemetry_receiver::Receiver;
//!
//! let receiver = Receiver::start()?;
//! # let send = |endpoint: String| -> std::io::Result<()> {
//! #     use std::io::{Read, Write};
//! #     let body = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c",
//! #         "spanId":"eee19b7ec3c1b174","name":"dotnet","kind":1,"startTimeUnixNano":"1","endTimeUnixNano":"2",
//! #         "attributes":[{"key":"dotnet.command","value":{"stringValue":"build"}}]}]}]}]}"#;
//! #     let mut stream = std::net::TcpStream::connect(endpoint.strip_prefix("http://").unwrap())?;
//! #     write!(stream, "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
//! #         connection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())?;
//! #     stream.read_to_end(&mut Vec::new())?;
//! #     Ok(())
//! # };
//! // ... a tool sends to `receiver.http_endpoint()` or `receiver.grpc_endpoint()` ...
//! # send(receiver.http_endpoint())?;
//! receiver.wait_for(1, Duration::from_secs(10))?;
//! assert_eq!(receiver.tree(), "dotnet dotnet.command=build\n");
//! assert!(receiver.outside_contract().is_empty());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! It runs in a thread of its own on two ports, and ends when it is dropped. It receives OTLP traces over HTTP/1.1
//! (`POST /v1/traces`; protobuf and JSON, gzip or not) and over gRPC (gzip or not), without TLS.
//!
//! # What it accepts
//!
//! - A body that cannot be read is answered with 400 or `INVALID_ARGUMENT`. A body of more than [`MAX_BODY`] bytes,
//!   compressed or not, is answered with 413 or a gRPC error. Another path, method, or content type is answered with
//!   404, 405, or 415.
//! - A span that breaks a rule of OTLP is rejected with a partial success, and the other spans of its request are
//!   accepted. The rules are: the ids have 16 and 8 bytes and are not all zero; a span is not its own parent; it
//!   has a name, a kind, a start, and an end that is not before the start; it has no reserved flags and a known
//!   status; and the attribute keys of the span and of its resource are unique and not empty. See
//!   [`Receiver::violations`].
//! - Anything that the wire contract (the directory `proto/`) has no room for is ignored, as OTLP requires for unknown
//!   fields: events, links, trace state, texts in a status, lists, doubles, bytes, and unknown fields. It is counted
//!   and never stored. See [`Receiver::outside_contract`].
//! - JSON is read as OTLP defines it: keys in lowerCamelCase only, enums as numbers only. A 64-bit integer that is a
//!   number instead of a string is read and counted as outside the contract.
//! - A span with the trace id and span id of an earlier one is dropped and counted. See [`Receiver::doubles`].
//!
//! # What it keeps
//!
//! Spans and requests, in memory, and spans in a file if [`Builder::keep_in`] is set. No address of a sender is
//! kept anywhere, and nothing of a request but its spans gets into the file.

pub mod answer;
mod check;
mod connection;
// Generated from proto/, and a test fails if they diverge. `wire` reads requests; the answers are these messages.
#[allow(dead_code, unreachable_pub, clippy::all)]
mod generated;
mod grpc;
mod http;
mod json;
mod refusal;
mod script;
mod server;
mod spans;
mod store;
pub mod wire;

use std::fs::{File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use script::Answer;
pub use spans::{Span, SpanKind, Status, Trace, Value};

use script::{LaterAnswers, Script};
use server::Server;
use store::{DateHeader, SharedState};

/// The most bytes that a request may have, after decompression too: 64 MiB, the limit that OTLP recommends.
pub const MAX_BODY: usize = 64 << 20;

/// A running receiver. Dropping it closes its ports and connections, within two seconds.
///
/// # Examples
///
/// A server that is down first:
///
/// ```
/// use tool_telemetry_receiver::{Answer, Receiver};
///
/// let receiver = Receiver::builder().answers([Answer::status(503), Answer::Reset]).start()?;
/// assert!(receiver.http_endpoint().starts_with("http://127.0.0.1:"));
/// assert_eq!(receiver.tree(), "");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Receiver {
    // First, so that the thread has ended before anything else is dropped.
    server: Server,
    shared: Arc<SharedState>,
    file: Option<PathBuf>,
}

impl Receiver {
    /// Starts a receiver on two free ports of 127.0.0.1 that accepts everything that OTLP allows.
    ///
    /// # Errors
    ///
    /// No port is free, or no thread can be started.
    pub fn start() -> io::Result<Self> {
        Self::builder().start()
    }

    /// A builder for a receiver with other settings.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The base URL for OTLP over HTTP, `http://127.0.0.1:PORT`: what `OTEL_EXPORTER_OTLP_ENDPOINT` takes. Spans
    /// go to `/v1/traces` below it.
    pub fn http_endpoint(&self) -> String {
        format!("http://{}", self.server.http)
    }

    /// The URL for OTLP over gRPC, `http://127.0.0.1:PORT`.
    pub fn grpc_endpoint(&self) -> String {
        format!("http://{}", self.server.grpc)
    }

    /// The absolute path of the file that spans are kept in, if there is one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Adds answers to the queue, one for each further request.
    ///
    /// # Examples
    ///
    /// ```
    /// use tool_telemetry_receiver::{Answer, Receiver};
    ///
    /// let receiver = Receiver::start()?;
    /// // ... a first request is accepted ...
    /// receiver.answer_next([Answer::grpc(14)]);
    /// // ... and the next one finds the service unavailable.
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn answer_next(&self, answers: impl IntoIterator<Item = Answer>) {
        self.shared.script().queue.extend(answers);
    }

    /// Sets the time that further answers tell in their `Date` header; `None` for answers without one. Until the first call it
    /// is this machine's time.
    pub fn set_date(&self, date: Option<SystemTime>) {
        self.shared.set_date(date.map_or(DateHeader::Missing, DateHeader::Fixed));
    }

    /// The spans received so far as trees, in the order of their first start.
    pub fn traces(&self) -> Vec<Trace> {
        let spans = self.spans();
        spans::traces(&spans)
    }

    /// The text of all [traces](Self::traces), one below the other. [`Trace`] has an example.
    pub fn tree(&self) -> String {
        self.traces().iter().map(Trace::tree).collect()
    }

    /// The spans received so far, in the order received.
    pub fn spans(&self) -> Vec<Span> {
        self.shared.state().spans.clone()
    }

    /// The requests whose bodies arrived, in the order received, whatever the answer was.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.clone()
    }

    /// Spans that were dropped because an earlier one has the same trace id and span id.
    pub fn doubles(&self) -> u64 {
        self.shared.state().doubles
    }

    /// Spans that break a rule of OTLP.
    pub fn rejected(&self) -> u64 {
        self.shared.state().rejected
    }

    /// For each of the first 1,000 rejected spans, its name and the rule that it breaks.
    pub fn violations(&self) -> Vec<String> {
        self.shared.state().violations.clone()
    }

    /// What requests carried beyond the wire contract, as distinct paths in alphabetical order, such as
    /// `resource_spans.scope_spans.spans.events (11)`. The number is that of the field; an unknown key of JSON is
    /// quoted and has none.
    ///
    /// A known field with its default value carries nothing, and is not listed. After 1,000 distinct paths the rest is
    /// `and others`.
    pub fn outside_contract(&self) -> Vec<String> {
        self.shared.state().outside.paths()
    }

    /// How often something lay outside the wire contract.
    pub fn outside_contract_count(&self) -> u64 {
        self.shared.state().outside.count()
    }

    /// Connections so far, to both ports.
    pub fn connections(&self) -> u64 {
        self.shared.state().connections.total
    }

    /// The most connections that were open at once, on both ports together.
    pub fn peak_connections(&self) -> u64 {
        self.shared.state().connections.peak
    }

    /// The most requests that were under way at once, from the arrival of their head until their answer was
    /// handed over to the connection.
    pub fn peak_requests(&self) -> u64 {
        self.shared.state().overlaps.peak
    }

    /// Waits until there are at least `traces` traces, and returns them.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut) after `timeout`, with what there is in the message.
    pub fn wait_for(&self, traces: usize, timeout: Duration) -> io::Result<Vec<Trace>> {
        let enough = || Some(self.traces()).filter(|there| there.len() >= traces);
        self.shared.wait(timeout, enough).ok_or_else(|| self.timed_out(&format!("{traces} traces")))
    }

    /// Waits until `condition` holds. It is checked again after every request and every change of a connection.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut) after `timeout`, with what there is in the message.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use tool_telemetry_receiver::Receiver;
    ///
    /// let receiver = Receiver::start()?;
    /// receiver.wait_until(|receiver| receiver.requests().is_empty(), Duration::from_secs(10))?;
    /// let late = receiver.wait_until(|receiver| receiver.doubles() > 0, Duration::ZERO).unwrap_err();
    /// assert_eq!(late.kind(), std::io::ErrorKind::TimedOut);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait_until(
        &self,
        mut condition: impl FnMut(&Receiver) -> bool,
        timeout: Duration,
    ) -> io::Result<()> {
        let holds = || condition(self).then_some(());
        self.shared.wait(timeout, holds).ok_or_else(|| self.timed_out("the condition"))
    }

    fn timed_out(&self, what: &str) -> io::Error {
        let state = self.shared.state();
        let (requests, connections) = (state.requests.len(), state.connections.total);
        drop(state);
        let message = format!(
            "still waiting for {what}; {connections} connections, {requests} requests, and these spans:\n{}",
            self.tree()
        );
        io::Error::new(io::ErrorKind::TimedOut, message)
    }
}

/// The settings of a receiver. [`start`](Self::start) comes last.
///
/// | | default |
/// | --- | --- |
/// | [`answers`](Self::answers) | none |
/// | [`always`](Self::always), [`answer_with`](Self::answer_with) | [`Answer::Ok`] |
/// | [`keep_in`](Self::keep_in) | no file |
/// | [`http_address`](Self::http_address), [`grpc_address`](Self::grpc_address) | a free port of 127.0.0.1 |
///
/// # Examples
///
/// A backend that refuses one run for ever, and accepts all others:
///
/// ```
/// use tool_telemetry_receiver::{Answer, Receiver};
///
/// let receiver = Receiver::builder()
///     .answer_with(|request| match request.spans().iter().any(|span| span.name() == "poison") {
///         true => Answer::status(400),
///         false => Answer::Ok,
///     })
///     .start()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a receiver is there once it is started"]
pub struct Builder {
    script: Script,
    file: Option<PathBuf>,
    http: SocketAddr,
    grpc: SocketAddr,
}

impl Default for Builder {
    fn default() -> Self {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { script: Script::default(), file: None, http: free, grpc: free }
    }
}

impl Builder {
    /// Adds answers, one for each request on either port, whatever its path.
    pub fn answers(mut self, answers: impl IntoIterator<Item = Answer>) -> Self {
        self.script.queue.extend(answers);
        self
    }

    /// Sets the answer to every request once no queued answer is left.
    pub fn always(mut self, answer: Answer) -> Self {
        self.script.afterwards = LaterAnswers::Always(answer);
        self
    }

    /// Sets a function that decides the answer to every request once no queued answer is left. It runs in the
    /// receiver's thread, which does nothing else in the meantime.
    pub fn answer_with(mut self, decide: impl FnMut(&Request) -> Answer + Send + 'static) -> Self {
        self.script.afterwards = LaterAnswers::Decide(Box::new(decide));
        self
    }

    /// Appends the received spans to this file, which is created if it is missing: OTLP/JSON Lines, the format of the
    /// OpenTelemetry file exporter, with one `TracesData` for each request that brought new spans. Its name should end
    /// with `.jsonl`.
    ///
    /// Only what the wire contract has room for is written, and before the request is answered. If that fails, the
    /// answer is 503 or `UNAVAILABLE`, and the spans do not count as received.
    pub fn keep_in(mut self, file: impl Into<PathBuf>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// The address to receive HTTP at. Port 0 is a free one.
    pub fn http_address(mut self, address: SocketAddr) -> Self {
        self.http = address;
        self
    }

    /// The address to receive gRPC at. Port 0 is a free one.
    pub fn grpc_address(mut self, address: SocketAddr) -> Self {
        self.grpc = address;
        self
    }

    /// Starts the receiver. It can be reached when this returns.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for an address that is not loopback, because the receiver
    /// authenticates nobody. Other errors if the file cannot be opened, a port is taken, or no thread can be started.
    pub fn start(self) -> io::Result<Receiver> {
        if !self.http.ip().is_loopback() || !self.grpc.ip().is_loopback() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the receiver's addresses must be loopback",
            ));
        }
        let path = self.file.map(std::path::absolute).transpose()?;
        let file = path.as_deref().map(open).transpose()?;
        let shared = Arc::new(SharedState::new(self.script, file));
        let server = Server::start(self.http, self.grpc, Arc::clone(&shared))?;
        Ok(Receiver { server, shared, file: path })
    }
}

/// For `fuzz/`: reads and checks a request. The line of the accepted spans must be accepted too.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn read(bytes: &[u8], is_json: bool) {
    let read = if is_json { http::read_json } else { http::read_protobuf };
    let Ok(content) = read(bytes) else { return };
    let line = json::line(&content.spans);
    let Ok(again) = http::read_json(line.as_bytes()) else { panic!("our own line is not read: {line}") };
    assert_eq!((again.spans.len(), again.violations.len()), (content.spans.len(), 0), "{line}");
    assert_eq!(again.outside.count(), 0, "{line}");
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    // Other users of this machine must not read it.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// The transport of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// OTLP over HTTP.
    Http,
    /// OTLP over gRPC.
    Grpc,
}

/// The encoding of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// Protobuf, binary.
    Protobuf,
    /// OTLP/JSON.
    Json,
}

/// A request that arrived.
#[derive(Debug, Clone)]
pub struct Request {
    transport: Transport,
    encoding: Option<Encoding>,
    gzip: bool,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body_bytes: u64,
    spans: Vec<Span>,
    error: Option<String>,
}

impl Request {
    fn new(
        transport: Transport,
        encoding: Option<Encoding>,
        gzip: bool,
        parts: &hyper::http::request::Parts,
    ) -> Self {
        let text =
            |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Self {
            transport,
            encoding,
            gzip,
            method: parts.method.to_string(),
            path: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            headers: parts.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
            body_bytes: 0,
            spans: Vec::new(),
            error: None,
        }
    }

    /// Its transport.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The encoding that its content type names; `None` if OTLP does not define that one.
    pub fn encoding(&self) -> Option<Encoding> {
        self.encoding
    }

    /// Whether its headers declare gzip.
    pub fn is_gzip(&self) -> bool {
        self.gzip
    }

    /// The method. OTLP uses `POST`.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The path and the query.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Names in lower case, and values; over gRPC also those of its metadata.
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The first value of a header, by its name in lower case.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # let receiver = tool_telemetry_receiver::Receiver::start()?;
    /// for request in receiver.requests() {
    ///     assert_eq!(request.header("authorization"), None);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(there, _)| there == name).map(|(_, value)| value.as_str())
    }

    /// Bytes of the body as they came over HTTP, or of the message after decompression over gRPC. 0 if it was
    /// too large to be read.
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// The spans that it carries and that obey the rules of OTLP, whether they were stored or not.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Why it cannot be read, if it cannot.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }
}
