//! `demo`: a server, its senders, two kills, and the counts, all on loopback and in a directory that goes again.

use std::io::{BufRead as _, BufReader, Read as _, Write as _, stdout};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::{Value as Json, json};

use super::Failure;
use super::failure::FAILED;
use crate::store::{SqliteStore, Store as _};
use crate::store_reader::{each_trace, hex};

const RUNS: u32 = 1_000;
const RUNS_AT_ONCE: u32 = 20;
/// Requests after which the server is killed.
const KILLS: [u32; 2] = [15, 35];
/// Planted in the runs, and searched for in the store afterwards.
const SECRET: &str = "/home/anna/secret-project";
const PATIENCE: Duration = Duration::from_secs(30);

/// Show it all on this machine: collect, 1,000 runs with planted secrets, two kills, and the counts
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 all is as it should be; 1 it is not; 2 it could not be shown.")]
pub struct DemoArguments {
    /// Keep the store here afterwards
    #[arg(long, value_name = "DIRECTORY")]
    store: Option<PathBuf>,
}

/// The server as a process of its own.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(directory: &Path) -> Result<Self, Failure> {
        let cannot = |error: std::io::Error| Failure::usage(format!("the server cannot be started: {error}"));
        let mut child = Command::new(std::env::current_exe().map_err(cannot)?)
            .args(["collect", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--metrics", "127.0.0.1:0"])
            .arg("--data-points")
            .arg(directory.join("telemetry.toml"))
            .arg("--store")
            .arg(directory.join("store"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(cannot)?;
        let mut line = String::new();
        let out = child.stdout.take().ok_or_else(|| Failure::usage("the server has no output"))?;
        BufReader::new(out).read_line(&mut line).map_err(cannot)?;
        match line.split_whitespace().nth(1) {
            Some(address) => Ok(Self { child, address: address.to_owned() }),
            None => Err(Failure::usage("the server ended at once; start `collect` to see why")),
        }
    }

    /// Sends a request, and returns whether the server answered that it has it.
    fn send(&self, body: &str) -> bool {
        let exchange = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(&self.address)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            write!(
                stream,
                "POST /v1/traces HTTP/1.1\r\nhost: demo\r\nuser-agent: {SECRET}\r\nconnection: close\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        exchange().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200") && answer.ends_with("{}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn run(arguments: &DemoArguments) -> Result<ExitCode, Failure> {
    let place = std::env::temp_dir().join(format!("tool-telemetry-demo-{}", std::process::id()));
    let directory = arguments.store.clone().unwrap_or_else(|| place.clone());
    let result = show(&directory);
    if arguments.store.is_none() {
        let _ = std::fs::remove_dir_all(&place);
    }
    result
}

fn show(directory: &Path) -> Result<ExitCode, Failure> {
    let unusable =
        |error: std::io::Error| Failure::usage(format!("{} cannot be used: {error}", directory.display()));
    std::fs::create_dir_all(directory).map_err(unusable)?;
    std::fs::write(directory.join("telemetry.toml"), include_str!("demo.toml")).map_err(unusable)?;
    let mut out = stdout().lock();
    let mut server = Server::start(directory)?;
    writeln!(out, "collect receives at http://{}", server.address)?;
    let requests: Vec<String> = (0..RUNS / RUNS_AT_ONCE).map(request).collect();
    let mut again = 0;
    for (number, body) in (0..).zip(&requests) {
        if KILLS.contains(&number) {
            // It has the request, and its sender does not know.
            server.send(body);
            drop(server);
            writeln!(out, "killed after {} runs, and started again", (number + 1) * RUNS_AT_ONCE)?;
            server = Server::start(directory)?;
        }
        while !server.send(body) {
            again += 1;
            if again > 10 {
                return Err(Failure::usage("the server does not answer"));
            }
        }
    }
    // As a sender does whose answer was lost.
    let repeated = requests.iter().filter(|body| server.send(body)).count();
    writeln!(
        out,
        "{RUNS} runs sent, with {SECRET} in five places of each; all {repeated} requests sent twice"
    )?;
    drop(server);
    report(directory, &mut out)
}

fn report(directory: &Path, out: &mut impl std::io::Write) -> Result<ExitCode, Failure> {
    let store = SqliteStore::open_to_read(&directory.join("store"))?;
    let mut runs = 0;
    let mut has_secret = false;
    each_trace(&store, |_, trace| {
        runs += 1;
        has_secret |= crate::store_reader::traces_data(&trace).to_string().contains(SECRET);
        Ok::<(), Failure>(())
    })?;
    for file in std::fs::read_dir(directory.join("store"))?.filter_map(Result::ok) {
        let bytes = std::fs::read(file.path())?;
        has_secret |= bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
    }
    writeln!(out, "{runs} runs are in the store")?;
    writeln!(out, "the secret is in {} of its files", if has_secret { "one" } else { "none" })?;
    for (cell, number) in store.cells()? {
        if ["runs", "demo.command", "process.exit.code"].contains(&cell.table.as_str()) {
            writeln!(out, "  {} {} {}: {number}", cell.week, cell.table, cell.values)?;
        }
    }
    let is_right = runs == RUNS && !has_secret;
    Ok(ExitCode::from(if is_right { 0 } else { FAILED }))
}

/// Some runs of the tool `demo`, with the secret wherever a tool could leave it.
fn request(number: u32) -> String {
    let spans: Vec<Json> = (number * RUNS_AT_ONCE..(number + 1) * RUNS_AT_ONCE).map(span).collect();
    json!({ "resourceSpans": [{
        "resource": { "attributes": [
            text("service.name", "demo"), text("service.version", "1.0.0"), text("host.name", SECRET),
        ] },
        "scopeSpans": [{ "scope": { "name": SECRET }, "spans": spans }],
    }] })
    .to_string()
}

fn span(number: u32) -> Json {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    // Not in the order in which they are sent, as random ids are not.
    let id = u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let command = ["build", "test", "run"][number as usize % 3];
    let code = i32::from(number.is_multiple_of(10));
    json!({
        "traceId": hex(&id.to_be_bytes()), "spanId": hex(&id.to_be_bytes()[..8]), "name": "demo", "kind": 1,
        "startTimeUnixNano": now.to_string(), "endTimeUnixNano": (now + 5_000_000).to_string(),
        "attributes": [
            text("process.executable.name", "demo"), text("demo.command", command), text("demo.project", SECRET),
            { "key": "process.exit.code", "value": { "intValue": code.to_string() } },
        ],
        "events": [{ "name": SECRET }],
        "status": { "message": SECRET },
    })
}

fn text(key: &str, value: &str) -> Json {
    json!({ "key": key, "value": { "stringValue": value } })
}
