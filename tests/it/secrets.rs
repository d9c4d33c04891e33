//! Secrets in spans, events, arguments, and variables reach neither the disk nor the network.

use std::process::{Command, Output};

use tool_telemetry_receiver::Receiver;

use crate::recording_server::RecordingServer;
use crate::test_user::{DEAD_ENDPOINT, TIMEOUT, TestUser, example, only_tree};

const SECRET: &[u8] = b"secret-";
/// Every way in which spans reach telemetry.
const WAYS: [&str; 2] = ["layer", "sdk"];
/// The trace of another program that started this process.
const FOREIGN_TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const FOREIGN_SPAN: &str = "00f067aa0ba902b7";

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.to_ascii_lowercase().windows(wanted.len()).any(|window| window == wanted)
}

fn raw(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("a byte");
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// A user with secrets in the environment.
fn user(endpoint: &str) -> TestUser {
    let endpoint = endpoint.replace("http://", "http://anna:secret-password@");
    let user = TestUser::new()
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("{endpoint}/secret-path?key=secret-query"))
        .with("OTEL_EXPORTER_OTLP_HEADERS", "x-secret-name=secret-header,authorization=Bearer%20secret-token")
        .with("OTEL_RESOURCE_ATTRIBUTES", "host.name=secret-host")
        .with("OTEL_SERVICE_NAME", "secret-service")
        .with("TRACEPARENT", &format!("00-{FOREIGN_TRACE}-{FOREIGN_SPAN}-01"))
        .with("TRACESTATE", "vendor=secret-state")
        .with("BAGGAGE", "user=secret-variable");
    assert!(planted(&user, "on").status.success());
    user
}

/// A user who turned on telemetry to the tool's author.
fn user_of_author(endpoint: &str) -> TestUser {
    let user = user(DEAD_ENDPOINT);
    std::fs::write(user.home().join("maker"), format!("{endpoint}/v1/traces")).expect("a file");
    assert!(planted(&user, "on").status.success());
    user
}

fn planted(user: &TestUser, way: &str) -> Output {
    let program = example("secrets");
    let mut command: Command = user.command(program);
    #[cfg(unix)]
    std::os::unix::process::CommandExt::arg0(&mut command, "secret-own-name");
    command.args([way, "secret-argument", "--secret-option"]).output().expect("it starts")
}

/// Checks the names and content of all files in the home directory, one of which must be a run.
fn assert_disk_is_clean(user: &TestUser, also: &[&str]) {
    let mut runs = 0;
    for file in user.files() {
        let name = file.to_string_lossy().into_owned();
        let bytes = if file.is_file() { std::fs::read(&file).expect("a file") } else { Vec::new() };
        runs += usize::from(contains(&bytes, b"\"resourcespans\""));
        for wanted in [&[SECRET][..], &also.iter().map(|text| text.as_bytes()).collect::<Vec<_>>()].concat() {
            assert!(!contains(name.as_bytes(), wanted), "{name}");
            assert!(!contains(&bytes, wanted), "{name}: {}", String::from_utf8_lossy(&bytes));
        }
    }
    assert!(runs > 0, "nothing was recorded");
}

fn assert_body_is_clean(body: &[u8]) {
    let text = String::from_utf8_lossy(body);
    assert!(contains(body, b"frob.number") && contains(body, b"step"), "{text}");
    for wanted in [SECRET, b"main.rs", b"exception", b"anna"] {
        assert!(!contains(body, wanted), "{text}");
    }
    // The foreign parent and the link that the program set.
    for id in [[0xfa; 8], [0xfb; 8]] {
        assert!(!body.windows(8).any(|window| window == id), "{text}");
    }
    assert!(!contains(body, b"fafafafa") && !contains(body, b"fbfbfbfb"), "{text}");
}

fn split(request: &[u8]) -> (String, &[u8]) {
    let end = request.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    (String::from_utf8_lossy(&request[..end]).to_ascii_lowercase(), &request[end..])
}

#[test]
fn the_author_receives_no_secret() {
    for way in WAYS {
        let author = RecordingServer::start();
        let user = user_of_author(&author.endpoint());
        assert_eq!(planted(&user, way).status.code(), Some(101), "{way}");
        let request = author.wait_for(1).remove(0);
        assert_body_is_clean(split(&request).1);
        assert!(!contains(&request, SECRET), "{way}: {}", String::from_utf8_lossy(&request));
        for id in [FOREIGN_TRACE, FOREIGN_SPAN] {
            assert!(!contains(&request, id.as_bytes()), "{way}");
            assert!(!request.windows(id.len() / 2).any(|window| window == raw(id)), "{way}");
        }
        crate::test_user::eventually("it is delivered", || user.pending_runs().is_empty());
        assert_disk_is_clean(&user, &[FOREIGN_TRACE, FOREIGN_SPAN]);
    }
}

#[test]
fn an_operator_receives_only_its_own_settings() {
    for (way, protocol) in WAYS.into_iter().flat_map(|way| [(way, "http/protobuf"), (way, "http/json")]) {
        let collector = RecordingServer::start();
        let user = user(&collector.endpoint()).with("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
        assert_eq!(planted(&user, way).status.code(), Some(101), "{way}");
        let request = collector.wait_for(1).remove(0);
        let (head, body) = split(&request);
        assert_body_is_clean(body);
        let in_head: Vec<&str> = head.lines().filter(|line| line.contains("secret-")).collect();
        let all_set =
            ["post /secret-path/v1/traces?key=secret-query http/1.1", "x-secret-name: secret-header"];
        assert!(all_set.iter().all(|line| in_head.contains(line)), "{head}");
        assert!(
            in_head.iter().all(|line| all_set.contains(line) || line.starts_with("authorization: ")),
            "{head}"
        );
    }
}

#[test]
fn pending_runs_hold_no_secret() {
    for way in WAYS {
        let user = user(DEAD_ENDPOINT);
        planted(&user, way);
        assert_disk_is_clean(&user, &["anna", "main.rs", "exception", "fafafafa", "fbfbfbfb"]);
    }
}

#[test]
fn only_our_own_child_nests_under_a_run_of_the_author() {
    let author = Receiver::start().expect("a receiver");
    let user = user_of_author(&author.http_endpoint());
    assert!(planted(&user, "relay").status.success());
    author
        .wait_until(|author| author.traces().iter().any(|trace| trace.tree().contains("number=7")), TIMEOUT)
        .expect("a child");
    author
        .wait_until(
            |author| author.traces().iter().any(|trace| trace.tree().contains("command=run")),
            TIMEOUT,
        )
        .expect("a parent");
    let tree = only_tree(&author);
    let mut lines = tree.lines();
    assert!(
        lines
            .next()
            .is_some_and(|line| line.starts_with("\"planted run\" ") && line.ends_with(".command=run")),
        "{tree}"
    );
    assert!(
        lines
            .next()
            .is_some_and(|line| line.starts_with("  \"planted other\" ") && line.contains(".command=other")),
        "{tree}"
    );
    assert!(lines.all(|line| line.starts_with("    step")), "{tree}");
    assert!(author.spans().iter().all(|span| span.trace_id() != FOREIGN_TRACE), "{tree}");
}

/// What the SDK alone exports. Without these the other tests would prove nothing.
const EXPORTED_BY_THE_SDK: [&str; 28] = [
    "secret-color",
    "secret-debug",
    "secret-display",
    "secret-error",
    "secret-event",
    "secret-event-value",
    "secret-field-of-event",
    "secret-file.rs",
    "secret-flag",
    "secret-host",
    "secret-later",
    "secret-link",
    "secret-message-of-event",
    "secret-name",
    "secret-otel-name",
    "secret-path",
    "secret-schema",
    "secret-scope-value",
    "secret-scope-version",
    "secret-sdk-color",
    "secret-sdk-value",
    "secret-service",
    "secret-status",
    "secret-target",
    "secret-target-field",
    "secret-text",
    "secret-thread",
    "secret-tracer",
];

#[test]
fn the_allowlist_exporter_passes_no_secret() {
    let user = user(DEAD_ENDPOINT);
    let bare = planted(&user, "bare").stdout;
    let is_exported = |wanted: &&str| contains(&bare, wanted.as_bytes());
    let missing: Vec<_> = EXPORTED_BY_THE_SDK.into_iter().filter(|wanted| !is_exported(wanted)).collect();
    assert!(missing.is_empty(), "{missing:?} in {}", String::from_utf8_lossy(&bare));
    for way in ["wrapped", "wrapped-for-operator"] {
        let output = planted(&user, way).stdout;
        let text = String::from_utf8_lossy(&output);
        assert!(text.contains("frob.number"), "{text}");
        for wanted in [SECRET, b"main.rs", b"exception", b"anna"] {
            assert!(!contains(&output, wanted), "{text}");
        }
        assert_eq!(contains(&output, b"fafafafa"), way == "wrapped-for-operator", "{text}");
    }
}
