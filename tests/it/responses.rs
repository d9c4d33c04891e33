//! What the uploader makes of each response over HTTP, HTTP/JSON, and gRPC: the table of the OTLP
//! specification, proxies, and captive portals.

use std::io::{BufRead as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, SystemTime};

use tool_telemetry_receiver::{Answer, Receiver};

use crate::test_user::{DEAD_ENDPOINT, TIMEOUT, TestUser, eventually};

/// The expected outcome of a run whose only request got a certain response.
enum Expected {
    /// Never sent again. This many spans were rejected.
    Delivered(u64),
    /// Pending, with this failure. `flush` retries at once.
    Kept(&'static str),
    /// Pending, with this failure, for about the seconds that the server requested. `flush` honours them too.
    KeptFor(&'static str, u64),
    /// Dropped, counted, and never sent again.
    Refused(&'static str),
}

use Expected::*;

const HTTP: &str = "http/protobuf";
const JSON: &str = "http/json";
const GRPC: &str = "grpc";

fn endpoint(receiver: &Receiver, protocol: &str) -> String {
    if protocol == GRPC { receiver.grpc_endpoint() } else { receiver.http_endpoint() }
}

/// A user with one pending run and a backoff, so that no uploader starts by itself.
fn user_with_pending_run(endpoint: &str, protocol: &str) -> TestUser {
    user_with_timeout(endpoint, protocol, "10000")
}

fn user_with_timeout(endpoint: &str, protocol: &str, timeout: &str) -> TestUser {
    let user = TestUser::new()
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .with("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        .with("OTEL_EXPORTER_OTLP_TIMEOUT", timeout)
        .backing_off(endpoint);
    user.run_frob(["telemetry", "on"]);
    assert!(user.run_frob(["build"]).status.success());
    assert_eq!(user.pending_runs().len(), 1);
    user
}

fn check(protocol: &str, answer: Answer, then: Expected) {
    let context = format!("{protocol}: {answer:?}");
    // Only a response that never ends may time out, on a loaded machine too.
    let timeout = if matches!(answer, Answer::Hang | Answer::Drip) { "400" } else { "10000" };
    let receiver = Receiver::builder().answers([answer]).start().expect("a receiver");
    let endpoint = endpoint(&receiver, protocol);
    let user = user_with_timeout(&endpoint, protocol, timeout);
    let is_done = user.flush();
    assert_eq!(receiver.requests().len(), 1, "{context}");
    let status = user.status();
    let context = format!("{context}\n{status}");
    let runs = (user.count("pending"), user.count("delivered"), user.dropped("refused"));
    let (expected, failure) = match then {
        Delivered(_) => ((true, (0, 1, 0)), None),
        Refused(kind) => ((is_done, (0, 0, 1)), Some(kind)),
        Kept(kind) | KeptFor(kind, _) => ((false, (1, 0, 0)), Some(kind)),
    };
    assert_eq!((is_done, runs), expected, "{context}");
    assert_eq!(last_failure(&status), failure, "{context}");
    match then {
        Delivered(rejected) => {
            assert_eq!(rejected_spans(&status), rejected, "{context}");
            sends_nothing_more(&user, &receiver, &context);
        }
        Refused(_) => sends_nothing_more(&user, &receiver, &context),
        Kept(_) => backs_off_and_sends_later(user, &receiver, &endpoint, &context),
        KeptFor(_, seconds) => waits_as_requested(&user, &receiver, seconds, &context),
    }
}

/// The kind of the last failure, without its time.
fn last_failure(status: &str) -> Option<&str> {
    status.lines().find_map(|line| line.trim().strip_prefix("last failure: ")?.split(',').next())
}

fn rejected_spans(status: &str) -> u64 {
    let lines = status.lines();
    lines
        .filter_map(|line| line.trim().strip_suffix(" spans rejected by the receiver"))
        .find_map(|count| count.parse().ok())
        .unwrap_or(0)
}

fn sends_nothing_more(user: &TestUser, receiver: &Receiver, context: &str) {
    assert!(user.flush(), "{context}");
    assert_eq!(user.count("pending"), 0, "{context}");
    assert_eq!(receiver.requests().len(), 1, "sent again: {context}");
}

fn backs_off_and_sends_later(user: TestUser, receiver: &Receiver, endpoint: &str, context: &str) {
    // The second failure in a row backs off for 2 to 4 seconds, rounded up.
    assert!((1..=5).contains(&backoff_seconds(&user)), "{context}: {}", backoff_seconds(&user));
    // Longer, so that it does not end on a loaded machine.
    user.write_backoff(endpoint, 3_000, "failures=2 asked=no");
    runs_start_nothing(&user, receiver, context);
    let user = user.with("OTEL_EXPORTER_OTLP_TIMEOUT", "10000");
    assert!(user.flush(), "{context}\n{}", user.status());
    assert_eq!(user.count("pending"), 0, "{context}");
}

fn waits_as_requested(user: &TestUser, receiver: &Receiver, seconds: u64, context: &str) {
    let remaining = backoff_seconds(user);
    assert!((seconds.saturating_sub(5)..=seconds + 1).contains(&remaining), "{context}: {remaining}");
    runs_start_nothing(user, receiver, context);
    assert!(!user.flush(), "{context}");
    assert_eq!(receiver.requests().len(), 1, "{context}");
}

fn backoff_seconds(user: &TestUser) -> u64 {
    let status = user.status();
    let line = status
        .lines()
        .find_map(|line| line.trim().strip_prefix("next try in ")?.strip_suffix(" s")?.parse().ok());
    line.unwrap_or(0)
}

/// The backoff is on disk, so every process honours it.
fn runs_start_nothing(user: &TestUser, receiver: &Receiver, context: &str) {
    let before = user.count("pending");
    for _ in 0..2 {
        assert!(user.run_frob(["build"]).status.success(), "{context}");
        assert!(user.uploaders().is_empty(), "{context}");
    }
    assert_eq!((receiver.requests().len(), user.count("pending")), (1, before + 2), "{context}");
}

fn body(status: u16, content_type: &str, bytes: &[u8]) -> Answer {
    Answer::Body { status, content_type: content_type.to_owned(), bytes: bytes.to_vec() }
}

#[test]
fn http_statuses_are_handled_as_otlp_requires() {
    for (status, kind) in [(429, "http 429"), (502, "http 502"), (503, "http 503"), (504, "http 504")] {
        check(HTTP, Answer::status(status), Kept(kind));
        check(HTTP, Answer::status(status).with_retry_after("120"), KeptFor(kind, 120));
    }
    check(JSON, Answer::status(503), Kept("http 503"));
    let date = http_date_in(Duration::from_secs(90));
    check(HTTP, Answer::status(503).with_retry_after(date.clone()), KeptFor("http 503", 90));
    check(JSON, Answer::status(429).with_retry_after(date), KeptFor("http 429", 90));
    check(HTTP, Answer::status(503).with_retry_after("soon"), Kept("http 503"));
    // At most a day.
    check(HTTP, Answer::status(503).with_retry_after("99999999999"), KeptFor("http 503", 86_400));
    for (status, kind) in [
        (400, "http 400"),
        (401, "http 401"),
        (403, "http 403"),
        (404, "http 404"),
        (405, "http 405"),
        (408, "http 408"),
        (413, "too large"),
        (415, "http 415"),
        (422, "http 422"),
        (500, "http 500"),
        (501, "http 501"),
    ] {
        check(HTTP, Answer::status(status).with_retry_after("120"), Refused(kind));
    }
    check(JSON, Answer::status(400), Refused("http 400"));
}

#[test]
fn flush_reports_refused_runs_as_not_pending() {
    let receiver = Receiver::builder().answers([Answer::status(401)]).start().expect("a receiver");
    let user = user_with_pending_run(&receiver.http_endpoint(), HTTP);
    let flush = user.run_frob(["telemetry", "flush"]);
    assert_eq!((user.count("pending"), user.dropped("refused")), (0, 1));
    assert_eq!(flush.status.code(), Some(3));
    let context = String::from_utf8(flush.stdout).expect("text");
    assert_eq!(
        context,
        "No runs are pending, but not all were delivered; `frob telemetry status` explains why.\n"
    );
}

#[test]
fn grpc_statuses_are_handled_as_otlp_requires() {
    let soon = Duration::from_secs(120);
    for (code, kind) in
        [(1, "grpc 1"), (4, "grpc 4"), (10, "grpc 10"), (11, "grpc 11"), (14, "grpc 14"), (15, "grpc 15")]
    {
        check(GRPC, Answer::grpc(code), Kept(kind));
        check(GRPC, Answer::grpc(code).with_retry_info(soon), KeptFor(kind, 120));
    }
    check(GRPC, Answer::grpc(8), Refused("grpc 8"));
    check(GRPC, Answer::grpc(8).with_retry_info(soon), KeptFor("grpc 8", 120));
    for (code, kind) in [
        (2, "grpc 2"),
        (3, "grpc 3"),
        (5, "grpc 5"),
        (6, "grpc 6"),
        (7, "grpc 7"),
        (9, "grpc 9"),
        (12, "grpc 12"),
        (13, "grpc 13"),
        (16, "grpc 16"),
    ] {
        check(GRPC, Answer::grpc(code).with_retry_info(soon), Refused(kind));
    }
    // A proxy's own responses.
    check(GRPC, Answer::status(503), Kept("http 503"));
    check(GRPC, Answer::status(404), Refused("http 404"));
}

#[test]
fn a_partial_success_is_never_retried() {
    for protocol in [HTTP, JSON, GRPC] {
        check(protocol, Answer::partial_success(2, "two are too long"), Delivered(2));
        check(protocol, Answer::partial_success(0, ""), Delivered(0));
        check(protocol, Answer::partial_success(0, "deprecated"), Delivered(0));
        check(protocol, Answer::Delay(Duration::from_millis(50)), Delivered(0));
    }
    check(HTTP, body(200, "application/x-protobuf", b""), Delivered(0));
    check(HTTP, body(200, "application/x-protobuf", &[0x0a, 0]), Delivered(0));
    check(HTTP, body(200, "application/json", b"{\"partialSuccess\":null}"), Delivered(0));
    // Some receivers send JSON with the content type of protobuf.
    check(JSON, body(200, "application/x-protobuf", b"{\"partialSuccess\":{}}"), Delivered(0));
}

#[test]
fn non_otlp_responses_keep_the_run() {
    check(HTTP, Answer::captive_portal(), Kept("not otlp"));
    check(JSON, Answer::captive_portal(), Kept("not otlp"));
    check(GRPC, Answer::captive_portal(), Kept("not otlp"));
    check(HTTP, body(200, "text/plain", b""), Kept("not otlp"));
    check(HTTP, body(204, "text/html", b""), Kept("not otlp"));
    check(HTTP, body(200, "application/json", b"<html>"), Kept("not otlp"));
    check(HTTP, body(200, "application/x-protobuf", &vec![b'x'; 5 << 20]), Kept("too large"));
}

#[test]
fn proxy_and_portal_statuses_keep_the_run() {
    // A collector sends neither.
    for (status, kind) in [(407, "proxy 407"), (511, "proxy 511")] {
        for protocol in [HTTP, JSON] {
            check(protocol, body(status, "text/html", b"log in"), Kept(kind));
        }
        check(GRPC, Answer::status(status), Kept(kind));
    }
}

#[test]
fn rejected_spans_are_capped_at_the_spans_sent() {
    // The run has five spans.
    for protocol in [HTTP, JSON, GRPC] {
        check(protocol, Answer::partial_success(100, "of 5"), Delivered(5));
        check(protocol, Answer::partial_success(u32::MAX, ""), Delivered(5));
    }
    let most = br#"{"partialSuccess":{"rejectedSpans":"9223372036854775807"}}"#;
    check(JSON, body(200, "application/json", most), Delivered(5));
    check(JSON, body(200, "application/json", br#"{"partialSuccess":{"rejectedSpans":-3}}"#), Delivered(0));
}

#[test]
fn redirects_are_not_followed() {
    let other = Receiver::start().expect("a receiver");
    let address = format!("{}/v1/traces", other.http_endpoint());
    check(HTTP, Answer::Redirect(address.clone()), Kept("http 307"));
    check(JSON, Answer::Redirect(address), Kept("http 307"));
    assert_eq!(other.connections(), 0);
}

#[test]
fn broken_and_stalled_connections_keep_the_run() {
    for protocol in [HTTP, JSON, GRPC] {
        check(protocol, Answer::Reset, Kept("connection"));
        check(protocol, Answer::Hang, Kept("timeout"));
        check(protocol, Answer::Drip, Kept("timeout"));
    }
}

#[test]
fn a_truncated_response_resends_the_same_ids() {
    for protocol in [HTTP, JSON, GRPC] {
        let receiver = Receiver::builder().answers([Answer::Truncated]).start().expect("a receiver");
        let user = user_with_pending_run(&endpoint(&receiver, protocol), protocol);
        assert!(!user.flush(), "{protocol}");
        assert!(user.flush(), "{protocol}");
        assert_eq!((receiver.requests().len(), receiver.doubles()), (2, 5), "{protocol}");
        assert_eq!((user.count("delivered"), receiver.traces().len()), (1, 1), "{protocol}");
    }
}

#[test]
fn connection_and_tls_failures_keep_the_run() {
    for protocol in [HTTP, JSON, GRPC] {
        let user = user_with_pending_run(DEAD_ENDPOINT, protocol);
        assert!(!user.flush());
        assert!(user.status().contains("last failure: connection"), "{}", user.status());
        let receiver = Receiver::start().expect("a receiver");
        let user =
            user_with_pending_run(&endpoint(&receiver, protocol).replace("http://", "https://"), protocol);
        assert!(!user.flush());
        assert!(user.status().contains("last failure: tls"), "{protocol}: {}", user.status());
        assert_eq!((user.count("pending"), receiver.requests().len()), (1, 0));
    }
}

#[test]
fn the_proxy_variable_is_honoured() {
    let proxy = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", proxy.local_addr().expect("its address"));
    let request_line = std::thread::spawn(move || {
        let (stream, _) = proxy.accept().expect("the uploader");
        let mut stream = std::io::BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).expect("a request");
        let answer = "HTTP/1.1 503 Unavailable\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n";
        let _ = stream.get_mut().write_all(answer.as_bytes());
        line
    });
    let user = user_with_pending_run("http://collector.invalid:4318", HTTP).with("http_proxy", &address);
    assert!(!user.flush());
    assert!(user.status().contains("last failure: proxy 503"), "{}", user.status());
    assert_eq!(
        request_line.join().expect("a line"),
        "POST http://collector.invalid:4318/v1/traces HTTP/1.1\r\n"
    );
    assert_eq!(user.count("pending"), 1);
}

#[test]
fn the_backoff_grows_with_each_failure() {
    let receiver = Receiver::builder().always(Answer::status(503)).start().expect("a receiver");
    let user = user_with_pending_run(&receiver.http_endpoint(), HTTP);
    let mut ceilings = Vec::new();
    for failures in 2..8_u64 {
        assert!(!user.flush());
        let text =
            std::fs::read_to_string(user.spool(&receiver.http_endpoint()).join("backoff")).expect("a file");
        assert!(text.contains(&format!(" failures={failures} asked=no\n")), "{text}");
        let ceiling = 2_u64 << (failures - 1);
        assert!(
            (ceiling / 2 - 1..=ceiling + 1).contains(&backoff_seconds(&user)),
            "{failures}: {}",
            backoff_seconds(&user)
        );
        ceilings.push(ceiling);
    }
    receiver.answer_next([Answer::Ok]);
    assert!(user.flush());
    assert!(!user.spool(&receiver.http_endpoint()).join("backoff").exists(), "the first success removes it");
}

#[test]
fn an_implausible_backoff_is_ignored() {
    for (seconds, rest, is_over) in [
        (3_000, "failures=9 asked=no", false),
        (80_000, "failures=9 asked=yes", false),
        // Further ahead than we ever write, so the clock was set back.
        (4_000, "failures=9 asked=no", true),
        (100_000, "failures=9 asked=yes", true),
        (i64::MAX, "failures=9 asked=yes", true),
        // Long ago, so the clock was set forward.
        (-1_000_000_000, "failures=9 asked=no", true),
        // Not in our format.
        (3_000, "failures=9 asked=maybe", true),
        (3_000, "", true),
    ] {
        let receiver = Receiver::start().expect("a receiver");
        let user = user_with_pending_run(&receiver.http_endpoint(), HTTP);
        user.write_backoff(&receiver.http_endpoint(), seconds, rest);
        assert!(user.run_frob(["build"]).status.success());
        if is_over {
            receiver.wait_for(2, TIMEOUT).unwrap_or_else(|error| panic!("{seconds} {rest}: {error}"));
        } else {
            assert!(user.uploaders().is_empty(), "{seconds} {rest}");
            assert_eq!((receiver.connections(), user.count("pending")), (0, 2), "{seconds} {rest}");
        }
    }
}

#[test]
fn the_uploader_writes_the_backoff_and_exits() {
    let receiver =
        Receiver::builder().always(Answer::status(503).with_retry_after("30")).start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    assert!(user.run_frob(["build"]).status.success());
    receiver.wait_until(|receiver| receiver.requests().len() == 1, TIMEOUT).expect("a request");
    eventually("the uploader ends", || user.uploaders().is_empty());
    assert!(
        (20..=31).contains(&backoff_seconds(&user)),
        "long before the backoff ends: {}",
        backoff_seconds(&user)
    );
}

#[test]
fn flush_waits_for_a_working_uploader() {
    let receiver =
        Receiver::builder().answers([Answer::Delay(Duration::from_millis(700))]).start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    assert!(user.run_frob(["build"]).status.success());
    receiver.wait_until(|receiver| receiver.requests().len() == 1, TIMEOUT).expect("a request under way");
    assert_eq!(user.count("delivered"), 0);
    assert!(user.flush());
    assert_eq!((user.count("delivered"), user.count("pending")), (1, 0));
    assert_eq!((receiver.requests().len(), receiver.peak_requests()), (1, 1));
}

#[test]
fn the_exit_code_of_flush_gives_the_reason() {
    let user = TestUser::sending_to(DEAD_ENDPOINT);
    assert_eq!(user.run_frob(["telemetry", "flush"]).status.code(), Some(0), "nothing waits");
    user.run_frob(["build"]);
    assert_eq!(user.run_frob(["telemetry", "flush"]).status.code(), Some(3), "a run is pending");
    let user = user.with("DO_NOT_TRACK", "1");
    assert_eq!(user.run_frob(["telemetry", "flush"]).status.code(), Some(1), "telemetry is off");
    assert_eq!(user.pending_runs().len(), 1);
}

fn http_date_in(time: Duration) -> String {
    httpdate::fmt_http_date(SystemTime::now() + time)
}
