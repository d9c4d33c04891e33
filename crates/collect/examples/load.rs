//! Load for an OTLP/HTTP receiver: `load ADDRESS PID CONNECTIONS RUNS-A-REQUEST SECONDS [RUNS-A-SECOND]`.
//!
//! Prints the runs a second that were answered with success, the latency, and the CPU and memory of the process PID, which
//! is the receiver. The client builds each body once and only changes its ids, so that it takes little of the machine.

#![allow(clippy::print_stdout, reason = "it is a program for a terminal")]

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Marks where ids lie in a body.
const MARK: [u8; 16] = *b"0123456789abcdef";

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// A run with 7 attributes, as tools report it.
fn span(number: usize) -> Span {
    let text = |text: &str| any_value::Value::StringValue(text.to_owned());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let command = ["new", "restore", "build", "run", "test", "publish", "pack"][number % 7];
    Span {
        trace_id: MARK.to_vec(),
        span_id: MARK[..8].to_vec(),
        flags: 0x101,
        name: "dotnet".to_owned(),
        kind: 1,
        start_time_unix_nano: now,
        end_time_unix_nano: now
            + 1_000_000
            + (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) % 5_000_000_000,
        attributes: vec![
            attribute("process.executable.name", text("dotnet")),
            attribute("process.exit.code", any_value::Value::IntValue(i64::from(number.is_multiple_of(11)))),
            attribute("dotnet.command", text(command)),
        ],
        ..Span::default()
    }
}

fn body(runs: usize, salt: usize) -> Vec<u8> {
    let text = |text: &str| any_value::Value::StringValue(text.to_owned());
    let resource = [
        ("service.name", "dotnet"),
        ("service.version", "1.0.0"),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.name", "opentelemetry"),
    ];
    let resource = Resource {
        attributes: resource.map(|(key, value)| attribute(key, text(value))).to_vec(),
        ..Resource::default()
    };
    let spans = (0..runs).map(|run| span(run + salt)).collect();
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }.encode_to_vec()
}

/// A small generator: ids must differ, and nothing else.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[derive(Default)]
struct Measured {
    latencies: Vec<u32>,
    refused: u64,
}

async fn sender(
    address: SocketAddr,
    runs: usize,
    seed: u64,
    end: Instant,
    pause: Option<Duration>,
) -> Measured {
    let mut random = Random(seed);
    let body = body(runs, seed as usize);
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut request = [head.as_bytes(), &body].concat();
    let places: Vec<usize> =
        request.windows(8).enumerate().filter(|(_, it)| *it == &MARK[..8]).map(|(place, _)| place).collect();
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).unwrap();
    let mut result = Measured::default();
    let mut answer = vec![0; 4_096];
    // Answers of success are alike in all but their date, so that only the first is parsed.
    let mut length_of_success = 0;
    let mut due =
        Instant::now() + pause.unwrap_or_default().mul_f64((random.next() % 1_000) as f64 / 1_000.0);
    while Instant::now() < end {
        for place in &places {
            // A trace id, or a span id: the eight bytes behind a trace id's first eight stay as they are.
            request[*place..place + 8].copy_from_slice(&random.next().to_le_bytes());
        }
        let mut start = Instant::now();
        if let Some(pause) = pause {
            tokio::time::sleep_until(due.into()).await;
            // Not from now: a request that had to wait for the answer to the last one is late.
            start = due;
            due += pause;
        }
        if stream.write_all(&request).await.is_err() {
            // A receiver that was killed ends the load.
            let Ok(again) = TcpStream::connect(address).await else { break };
            stream = again;
            continue;
        }
        let mut got = 0;
        loop {
            match stream.read(&mut answer[got..]).await {
                Ok(0) | Err(_) => break,
                Ok(length) => got += length,
            }
            if got == length_of_success && is_success(&answer) {
                break;
            }
            if let Some(end) = answer[..got].windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
                let length =
                    head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
                if got >= end + 4 + length.unwrap_or(0) {
                    break;
                }
            }
        }
        if is_success(&answer[..got]) {
            length_of_success = got;
            result.latencies.push(start.elapsed().as_micros() as u32);
        } else {
            result.refused += 1;
            if got == 0 {
                let Ok(again) = TcpStream::connect(address).await else { break };
                stream = again;
            }
        }
    }
    result
}

fn is_success(answer: &[u8]) -> bool {
    answer.starts_with(b"HTTP/1.1 200")
}

/// CPU seconds of a process, and its peak of memory in megabytes.
fn usage(pid: &str) -> (f64, f64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<f64> = stat
        .rsplit(") ")
        .next()
        .unwrap_or_default()
        .split(' ')
        .map(|field| field.parse().unwrap_or(0.0))
        .collect();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().trim_end_matches(" kB").parse::<f64>().ok());
    // In hundredths of a second, on every Linux that is in use.
    (fields.get(11..13).map_or(0.0, |ticks| ticks.iter().sum::<f64>() / 100.0), peak.unwrap_or(0.0) / 1_024.0)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, pid, connections, runs, seconds, rest @ ..] = &arguments[..] else {
        panic!("load ADDRESS PID CONNECTIONS RUNS-A-REQUEST SECONDS [RUNS-A-SECOND]");
    };
    let address: SocketAddr = address.parse().unwrap();
    let (connections, runs): (u64, usize) = (connections.parse().unwrap(), runs.parse().unwrap());
    let time = Duration::from_secs(seconds.parse().unwrap());
    let rate: Option<f64> = rest.first().map(|rate| rate.parse().unwrap());
    let pause = rate.map(|rate| Duration::from_secs_f64(connections as f64 * runs as f64 / rate));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let before = usage(pid);
    let start = Instant::now();
    let salt = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let results = runtime.block_on(async {
        let senders: Vec<_> = (0..connections)
            .map(|number| tokio::spawn(sender(address, runs, salt ^ number << 48, start + time, pause)))
            .collect();
        let mut results = Vec::new();
        for sender in senders {
            results.push(sender.await.unwrap());
        }
        results
    });
    let (took, after) = (start.elapsed().as_secs_f64(), usage(pid));
    let mut latencies: Vec<u32> = results.iter().flat_map(|result| result.latencies.clone()).collect();
    latencies.sort_unstable();
    let refused: u64 = results.iter().map(|result| result.refused).sum();
    let done = latencies.len() * runs;
    let at = |share: f64| {
        latencies.get((latencies.len() as f64 * share) as usize).copied().unwrap_or(0) as f64 / 1_000.0
    };
    println!(
        "{done} runs answered, {:.0} runs/s, {:.0} requests/s, 50 % {:.1} ms, 99 % {:.1} ms, longest {:.1} ms, {refused} refused, {:.2} µs of CPU a run, {:.0} MB",
        done as f64 / took,
        latencies.len() as f64 / took,
        at(0.5),
        at(0.99),
        f64::from(latencies.last().copied().unwrap_or(0)) / 1_000.0,
        (after.0 - before.0) * 1e6 / done.max(1) as f64,
        after.1,
    );
}
