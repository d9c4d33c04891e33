//! Nobody hurts the server, and honest senders are served in the meantime.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, any_value};
use prost::Message as _;

use crate::program::*;

/// Megabytes that a server may take, besides the ids.
const MAX_MEMORY: u64 = 256;

/// The most memory that a server has taken, in megabytes.
fn peak_memory(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1_024
}

fn open_connections(server: &Server) -> u64 {
    let name = "tool_telemetry_collect_connections_open ";
    server.metrics().lines().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap()
}

/// A server that survived, and still serves.
fn check(server: &Server) {
    assert!(server.send(&[1, 2, 3]));
    assert!(peak_memory(server) < MAX_MEMORY, "{} MB", peak_memory(server));
}

#[test]
fn a_thousand_slow_senders_are_cut_off_and_honest_ones_served() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let limit = rustix::process::Rlimit { current: Some(4_000), maximum: Some(4_000) };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit);
    let starts: [&[u8]; 4] = [
        b"",
        b"POST /v1/traces HTTP/1.1\r\nhost:",
        b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 999999\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    ];
    let mut slow: Vec<TcpStream> = (0..1_000)
        .map(|number| {
            let mut stream =
                TcpStream::connect(if number % 2 == 0 { server.http } else { server.grpc }).unwrap();
            stream.write_all(starts[number % 4]).unwrap();
            stream
        })
        .collect();
    for round in 0..20 {
        slow.iter_mut().skip(2).step_by(4).for_each(|stream| drop(stream.write_all(b"x")));
        assert!(server.send(&[100 + round]));
    }
    let start = Instant::now();
    while open_connections(&server) > 2 {
        assert!(start.elapsed() < PATIENCE, "{} connections are open", open_connections(&server));
        std::thread::sleep(Duration::from_millis(200));
    }
    check(&server);
}

#[test]
fn a_gzip_bomb_is_stopped_at_the_limit() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![0; 16 << 20]).unwrap();
    // 7 GB of zeros in 7 MB: a file of gzip can have many members.
    let bomb = encoder.finish().unwrap().repeat(440);
    let headers = [("content-type", PROTOBUF), ("content-encoding", "gzip")];
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let status = post(server.http, &headers, &bomb).map(|answer| answer.status);
                // 503 where others have taken the room.
                assert!(matches!(status, Some(413 | 503) | None), "{status:?}");
            });
        }
    });
    check(&server);
}

#[test]
fn a_body_without_end_is_stopped_at_the_limit() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let mut stream = TcpStream::connect(server.http).unwrap();
    let head = "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = [b"10000\r\n", &[0x5a; 1 << 16][..], b"\r\n"].concat();
    let mut written = 0_u64;
    while stream.write_all(&chunk).is_ok() {
        written += 1 << 16;
        assert!(written < 1 << 30, "the server reads for ever");
    }
    check(&server);
}

#[test]
fn a_hundred_thousand_attributes_reject_their_span_only() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let mut many = run_span(1);
    many.attributes.extend((0..100_000).map(|number| string(&format!("k{number}"), "v")));
    let answer = server.post(PROTOBUF, &request_of(vec![many, run_span(2)]).encode_to_vec()).unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("too many attributes"), "{}", answer.text());
    check(&server);
    assert_eq!(exported(directory.path()), ids([1, 2, 3]));
}

#[test]
fn too_many_spans_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    // Two bytes a span: prost makes 112 MB of 2 KB of such gzip.
    let spans = [0x12, 0x00].repeat(1 << 20);
    let nested = |number: u8, content: &[u8]| {
        let mut bytes = vec![number << 3 | 2];
        prost::encoding::encode_varint(content.len() as u64, &mut bytes);
        [&bytes[..], content].concat()
    };
    let answer = server.post(PROTOBUF, &nested(1, &nested(2, &spans))).unwrap();
    assert_eq!(answer.status, 413);
    check(&server);
}

#[test]
fn values_nested_ten_thousand_deep_are_skipped() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let mut value = AnyValue { value: Some(any_value::Value::BoolValue(true)) };
    for _ in 0..90 {
        value = AnyValue { value: Some(any_value::Value::ArrayValue(ArrayValue { values: vec![value] })) };
    }
    let mut span = run_span(9);
    span.attributes.push(attribute("deep", value.value.unwrap()));
    assert_eq!(server.post(PROTOBUF, &request_of(vec![span]).encode_to_vec()).unwrap().status, 200);
    // Ten thousand levels, which no encoder writes.
    let mut deep = Vec::new();
    for _ in 0..10_000 {
        let mut outer = vec![0x2a];
        prost::encoding::encode_varint(deep.len() as u64, &mut outer);
        outer.extend(&deep);
        deep = outer;
    }
    assert_eq!(server.post(PROTOBUF, &deep).unwrap().status, 200);
    let json = format!("{}{}", r#"{"a":["#.repeat(10_000), "]}".repeat(10_000));
    assert_eq!(server.post(JSON, json.as_bytes()).unwrap().status, 400);
    check(&server);
}

#[test]
fn a_sender_that_resets_its_streams_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let mut stream = TcpStream::connect(server.grpc).unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").unwrap();
    let mut frames = Vec::new();
    for number in 0..100_000_u32 {
        let id = (2 * number + 1).to_be_bytes();
        // HEADERS with :method POST, :scheme http, :path /, and RST_STREAM with CANCEL.
        frames.extend(
            [&[0, 0, 3, 1, 4][..], &id, &[0x83, 0x86, 0x84], &[0, 0, 4, 3, 0], &id, &[0, 0, 0, 8]].concat(),
        );
    }
    let was_cut_off = stream.write_all(&frames).is_err() || {
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        // A GOAWAY with ENHANCE_YOUR_CALM.
        answer.windows(4).any(|four| four == [0, 0, 0, 0x0b])
    };
    assert!(was_cut_off);
    check(&server);
}

#[test]
fn a_request_that_two_readers_could_cut_differently_is_refused_and_its_connection_closed() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let second = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let chunked = "transfer-encoding: chunked\r\n\r\n";
    let good = "\r\n2\r\n{}\r\n0\r\n\r\n";
    let cases = [
        format!("content-length: {}\r\n{chunked}0\r\n\r\n", 5 + second.len()),
        "content-length: 2\r\ncontent-length: 40\r\n\r\n{}".to_owned(),
        "content-length: 2, 2\r\n\r\n{}".to_owned(),
        "content-length: +2\r\n\r\n{}".to_owned(),
        "content-length: 0x2\r\n\r\n{}".to_owned(),
        "content-length: 18446744073709551618\r\n\r\n{}".to_owned(),
        "content-length: 2\r\n x: y\r\n\r\n{}".to_owned(),
        "x: a\rcontent-length: 40\r\ncontent-length: 2\r\n\r\n{}".to_owned(),
        format!("transfer-encoding: xchunked\r\n{good}"),
        format!("transfer-encoding : chunked\r\n{good}"),
        format!("transfer-encoding: chunked, identity\r\n{good}"),
        format!("transfer-encoding: \u{b}chunked\r\n{good}"),
        format!("{chunked}10000000000000002\r\n{{}}\r\n0\r\n\r\n"),
        format!("{chunked}0x2\r\n{{}}\r\n0\r\n\r\n"),
        format!("{chunked}2;a\nb\r\n{{}}\r\n0\r\n\r\n"),
        format!("{chunked}2\n{{}}\n0\n\n"),
        format!("{chunked}2\r\n{{}}xx0\r\n\r\n"),
    ];
    let answers = |rest: &str| {
        let head = format!("POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: {JSON}\r\n{rest}{second}");
        let mut stream = TcpStream::connect(server.http).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut answers = Vec::new();
        // Until the server closes, at once or because the connection is idle.
        let _ = stream.read_to_end(&mut answers);
        text(&answers).split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].to_owned()).collect::<Vec<_>>()
    };
    for case in cases {
        assert_eq!(answers(&case), ["400"], "{case:?}");
    }
    // RFC 9112, 6.1: the chunks count, and the connection is closed behind them.
    assert_eq!(answers(&format!("content-length: 4\r\ntransfer-encoding: chunked\r\n{good}")), ["200"]);
    assert_eq!(answers("content-length: 2\r\n\r\n{}"), ["200", "200"]);
    check(&server);
}

#[test]
fn a_sender_that_closes_its_half_early_gets_its_answer_and_one_that_says_nothing_is_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let body = request(&[50]).encode_to_vec();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: {PROTOBUF}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(server.http).unwrap();
    stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(text(&answer).starts_with("HTTP/1.1 200"), "{}", text(&answer));
    // A body that ends too early is not a request, whatever follows.
    let mut stream = TcpStream::connect(server.http).unwrap();
    stream.write_all(&[head.as_bytes(), &body[..20]].concat()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!text(&answer).contains(" 200 "), "{}", text(&answer));
    let half_closed: Vec<TcpStream> = (0..200)
        .map(|_| {
            let stream = TcpStream::connect(server.grpc).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            stream
        })
        .collect();
    let start = Instant::now();
    while open_connections(&server) > 2 {
        assert!(start.elapsed() < PATIENCE, "{} connections are open", open_connections(&server));
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(half_closed);
    check(&server);
    assert_eq!(exported(directory.path()), ids([1, 2, 3, 50]));
}

/// Names the tests that run in a network namespace of their own, where other addresses than loopback lead to this machine.
#[cfg(target_os = "linux")]
const NAMESPACE: &str = "COLLECT_NAMESPACE";

/// Runs a test again in a network namespace with 203.0.113.1 to .3, 198.51.0.1 to 198.51.29.1, and loopback. Returns
/// whether this is that run.
#[cfg(target_os = "linux")]
fn is_in_namespace(test: &str) -> bool {
    if std::env::var_os(NAMESPACE).is_some() {
        return true;
    }
    let script = r#"
        ip link set lo up
        for last in 1 2 3; do ip address add 203.0.113.$last/32 dev lo; done
        for third in $(seq 0 29); do ip address add 198.51.$third.1/32 dev lo; done
        exec "$@" "#;
    let ways: [&[&str]; 2] =
        [&["unshare", "--map-root-user", "--net"], &["sudo", "-n", "-E", "unshare", "--net"]];
    let works = |way: &&&[&str]| {
        let tried = std::process::Command::new(way[0]).args(&way[1..]).arg("true").output();
        tried.is_ok_and(|output| output.status.success())
    };
    let way = ways.iter().find(works).expect("this test needs network namespaces");
    let mut command = std::process::Command::new(way[0]);
    command.args(&way[1..]).args(["sh", "-ec", script, "sh"]).arg(std::env::current_exe().unwrap());
    let output = command.args(["--exact", test, "--nocapture"]).env(NAMESPACE, "1").output().unwrap();
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    false
}

/// A server that takes 50 requests a minute of a network, at all addresses of the namespace.
#[cfg(target_os = "linux")]
fn with_quota(store: &std::path::Path) -> Server {
    let mut command = program(&["collect", "--http", "0.0.0.0:0", "--grpc", "0.0.0.0:0"]);
    command.args(["--requests-of-network", "50", "--metrics", "127.0.0.1:0", "--store"]).arg(store);
    Server::spawn(command.arg("--data-points").arg(definition()))
}

/// Sends a run to an address of this machine, which is then the sender's own, too.
#[cfg(target_os = "linux")]
fn send_from(server: &Server, ip: &str, run: u32) -> Answer {
    let address = std::net::SocketAddr::new(ip.parse().unwrap(), server.http.port());
    post(address, &[("content-type", PROTOBUF)], &request(&[run]).encode_to_vec()).unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn a_flood_of_fake_runs_from_one_network_takes_its_quota_and_others_are_served() {
    if !is_in_namespace(
        "hostile::a_flood_of_fake_runs_from_one_network_takes_its_quota_and_others_are_served",
    ) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let server = with_quota(directory.path());
    // Three addresses of one network.
    let answers: Vec<Answer> = (0..200)
        .map(|run| send_from(&server, ["203.0.113.1", "203.0.113.2", "203.0.113.3"][run as usize % 3], run))
        .collect();
    let admitted = answers.iter().filter(|answer| answer.status == 200).count();
    // A minute may end in between.
    assert!((50..=100).contains(&admitted), "{admitted}");
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        assert!(refused.status == 429 && refused.head.contains("retry-after: 60"), "{}", refused.head);
    }
    assert!(server.metrics().contains("requests_total{kind=\"over_quota\"}"));
    // Another network, and a proxy on this machine, which has no quota.
    assert_eq!(send_from(&server, "198.51.0.1", 900).status, 200);
    assert!((1_000..1_100).all(|run| send_from(&server, "127.0.0.1", run).status == 200));
    assert!(peak_memory(&server) < MAX_MEMORY);
}

#[cfg(target_os = "linux")]
#[test]
fn a_flood_from_many_networks_takes_the_quota_of_each_and_others_are_served() {
    if !is_in_namespace("hostile::a_flood_from_many_networks_takes_the_quota_of_each_and_others_are_served") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let server = with_quota(directory.path());
    let admitted = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for third in 0..30 {
            let (server, admitted) = (&server, &admitted);
            scope.spawn(move || {
                let ip = format!("198.51.{third}.1");
                for run in 0..100 {
                    let answer = send_from(server, &ip, 1_000 * (third + 1) + run);
                    admitted.fetch_add(usize::from(answer.status == 200), Relaxed);
                }
            });
        }
        // Within its own quota, whatever the others do.
        for run in 0..50 {
            assert_eq!(send_from(&server, "203.0.113.1", run).status, 200);
        }
    });
    let admitted = admitted.into_inner();
    assert!((30 * 50..=30 * 100).contains(&admitted), "{admitted}");
    assert!(server.metrics().contains("requests_total{kind=\"over_quota\"}"));
    assert!(peak_memory(&server) < MAX_MEMORY);
}

#[test]
fn a_full_disk_is_a_503_and_what_was_answered_stays() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    drop(Server::start(&store));
    // No file may grow beyond 1 MB, which is the same to the server as a full disk.
    let server = collect(&store);
    let mut limited = std::process::Command::new("bash");
    limited.args(["-c", "ulimit -f 1024; trap '' XFSZ; exec \"$@\"", "bash"]);
    limited.arg(server.get_program()).args(server.get_args());
    let server = Server::spawn(&mut limited);
    let mut answered = Vec::new();
    let mut refused = 0;
    for round in 0..200_u32 {
        let runs: Vec<u32> = (round * 1_000..round * 1_000 + 500).collect();
        match server.post(PROTOBUF, &request(&runs).encode_to_vec()) {
            Some(answer) if answer.status == 200 => answered.extend(runs),
            Some(answer) => {
                assert_eq!(answer.status, 503);
                assert!(answer.head.contains("retry-after"), "{}", answer.head);
                refused += 1;
            }
            None => panic!("no answer"),
        }
    }
    assert!(refused > 0 && !answered.is_empty(), "{refused}");
    assert_eq!(get(server.http, "/healthz").unwrap().status, 200);
    drop(server);
    assert_eq!(exported(&store), ids(answered.clone()));
    // There is room again.
    let server = Server::start(&store);
    assert!(server.send(&[1_000_000]));
    assert_eq!(exported(&store), ids(answered.into_iter().chain([1_000_000])));
}
