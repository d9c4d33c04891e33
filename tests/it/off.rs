//! `telemetry off` in the middle of everything; and `log` and `trace`, which show a run without sending it.

use std::process::Stdio;
use std::time::Duration;

use tool_telemetry_receiver::{Answer, Receiver};

use crate::test_user::{DEAD_ENDPOINT, TIMEOUT, TestUser, eventually};

#[test]
fn off_stops_all_writers_and_the_uploader() {
    let receiver = Receiver::start().expect("a receiver");
    receiver.answer_next([Answer::Delay(Duration::from_secs(2))]);
    let user = TestUser::sending_to(&receiver.http_endpoint());
    std::fs::write(user.home().join("held"), "").expect("a file");
    let held: Vec<_> = (0..20)
        .map(|_| {
            let mut command = user.frob_command(["build", "--hold", "held"]);
            command.stdout(Stdio::null()).spawn().expect("it starts")
        })
        .collect();
    eventually("all 20 are being written", || user.pending_runs().len() == 20);
    user.run_frob(["build"]);
    receiver.wait_until(|seen| seen.requests().len() == 1, TIMEOUT).expect("the uploader is in its request");

    let off = user.run_frob(["telemetry", "off"]);
    assert!(off.status.success());
    let told = String::from_utf8(off.stdout).expect("text");
    assert!(told.starts_with("Telemetry of frob is off. Deleted "), "{told}");
    std::fs::remove_file(user.home().join("held")).expect("it is there");
    for mut run in held {
        assert!(run.wait().expect("it ends").success());
    }
    eventually("its uploader has ended", || user.uploaders().is_empty());
    user.run_frob(["build"]);

    assert_eq!((receiver.requests().len(), receiver.traces().len()), (1, 1), "{}", receiver.tree());
    assert_eq!(user.pending_runs(), [""; 0].map(std::path::PathBuf::from));
    let left: Vec<_> = user
        .files()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|kind| kind == "jsonl"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(user.count("pending"), 0);
}

/// The system calls by which the tool, or what it started, used the network.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn network_calls(user: &TestUser, arguments: &[&str]) -> Vec<String> {
    use crate::system_calls::Tracer;

    let traced = Tracer::of(user.frob_command(arguments)).with_all_that_it_starts().run();
    assert!(traced.output.status.code().is_some(), "{traced:?}");
    traced.calls.iter().map(ToString::to_string).filter(|call| is_of_the_network(call)).collect()
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn is_of_the_network(call: &str) -> bool {
    call.starts_with("socket") || call.starts_with("connect") || call.starts_with("send")
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn local_commands_and_opted_out_runs_open_no_socket() {
    let on = || TestUser::sending_to(DEAD_ENDPOINT).backing_off(DEAD_ENDPOINT);
    let user = on();
    user.run_frob(["build"]);
    for command in ["status", "show", "purge", "off"] {
        assert_eq!(network_calls(&user, &["telemetry", command]), [""; 0], "{command}");
    }
    assert_eq!(network_calls(&user, &["build"]), [""; 0], "after off");
    for (name, value) in [("DO_NOT_TRACK", "1"), ("FROB_TELEMETRY", "log"), ("FROB_TELEMETRY", "off")] {
        let user = TestUser::sending_to(DEAD_ENDPOINT).with(name, value);
        assert_eq!(network_calls(&user, &["build"]), [""; 0], "{name}={value}");
    }
    // A socket is seen where there is one.
    let user = on();
    user.run_frob(["build"]);
    assert_ne!(network_calls(&user, &["telemetry", "flush"]), [""; 0]);
}

fn stderr(user: &TestUser, arguments: &[&str]) -> String {
    String::from_utf8(user.run_frob(arguments).stderr).expect("text")
}

#[test]
fn log_prints_the_run_and_does_nothing_else() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint).with("FROB_TELEMETRY", "log");
    let before = user.files();
    let told = stderr(&user, &["build", "--spans", "1"]);
    let mut lines = told.lines();
    assert_eq!(lines.next(), Some(&*format!("frob telemetry: this would be sent to {endpoint}:")));
    assert!(lines.all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{told}");
    assert!(told.contains("frob.command") && told.contains("\"inner\""), "{told}");
    assert!(!told.contains("anna"), "{told}");
    assert_eq!(user.files(), before);
    assert_eq!(receiver.connections(), 0);
}

#[test]
fn log_and_trace_work_when_opted_out_and_leave_no_file() {
    for (name, value, reason) in [
        ("DO_NOT_TRACK", "1", "the environment variable DO_NOT_TRACK"),
        ("FROB_TELEMETRY_OPTOUT", "1", "the environment variable FROB_TELEMETRY_OPTOUT"),
        // Not opted out, but not told yet either.
        ("ANYTHING", "1", "the notice has not been shown yet"),
    ] {
        let user = || TestUser::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", DEAD_ENDPOINT).with(name, value);
        let log = user().with("FROB_TELEMETRY", "log");
        let told = stderr(&log, &["build"]);
        assert_eq!(told, format!("frob telemetry: nothing would be sent: {reason}\n"));
        assert!(log.files().is_empty(), "{:?}", log.files());

        let trace = user().with("FROB_TELEMETRY", "trace");
        let told = stderr(&trace, &["build", "--spans", "1"]);
        assert!(told.starts_with("frob  ") && told.contains("\n  step  "), "{told}");
        assert!(!told.contains("goes to"), "{told}");
        assert!(trace.files().is_empty(), "{:?}", trace.files());
    }
    let user = TestUser::sending_to(DEAD_ENDPOINT);
    user.run_frob(["telemetry", "off"]);
    let (before, user) = (user.files(), user.with("FROB_TELEMETRY", "trace"));
    assert!(stderr(&user, &["build"]).starts_with("frob  "));
    assert_eq!(user.files(), before);
}

#[test]
fn trace_prints_the_trace_id_only_if_an_operator_gets_the_run() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint).with("FROB_TELEMETRY", "trace");
    let told = stderr(&user, &["build"]);
    let last = told.lines().last().expect("lines");
    let traces = receiver.wait_for(1, TIMEOUT).expect("it arrives");
    assert_eq!(last, format!("trace {} goes to {endpoint}", traces[0].trace_id()));

    // Turned off while it ran: it goes nowhere, and nothing says that it does.
    std::fs::write(user.home().join("held"), "").expect("a file");
    let mut running = user.frob_command(["build", "--hold", "held"]);
    let running = running.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    eventually("it writes", || !user.pending_runs().is_empty());
    assert!(user.run_frob(["telemetry", "off"]).status.success());
    std::fs::remove_file(user.home().join("held")).expect("it is there");
    let told = String::from_utf8(running.wait_with_output().expect("it ends").stderr).expect("text");
    assert!(told.starts_with("frob  ") && !told.contains("goes to"), "{told}");

    // To the maker nothing goes while somebody looks.
    let maker = TestUser::new().with("FROB_AUTHOR_ENDPOINT", &format!("{endpoint}/v1/traces"));
    maker.run_frob(["telemetry", "on"]);
    let maker = maker.with("FROB_TELEMETRY", "trace");
    let told = stderr(&maker, &["build"]);
    assert!(told.starts_with("frob  ") && !told.contains("goes to"), "{told}");
    assert!(maker.pending_runs().is_empty());
    assert_eq!(receiver.traces().len(), 1);
}
