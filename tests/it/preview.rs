//! `<TOOL>_TELEMETRY=log` and `=trace` show a run to the user.

use std::process::Stdio;

use tool_telemetry_receiver::Receiver;

use crate::test_user::{DEAD_ENDPOINT, TIMEOUT, TestUser, eventually};

fn stderr(user: &TestUser, arguments: &[&str]) -> String {
    String::from_utf8(user.run_frob(arguments).stderr).expect("text")
}

#[test]
fn log_prints_the_run_and_does_nothing_else() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint).with("FROB_TELEMETRY", "log");
    let before = user.files();
    let printed = stderr(&user, &["build", "--spans", "1"]);
    let mut lines = printed.lines();
    assert_eq!(lines.next(), Some(&*format!("frob telemetry: this would be sent to {endpoint}:")));
    assert!(lines.all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{printed}");
    assert!(printed.contains("frob.command") && printed.contains("\"inner\""), "{printed}");
    assert!(!printed.contains("anna"), "{printed}");
    assert_eq!(user.files(), before);
    assert_eq!(receiver.connections(), 0);
}

#[test]
fn log_and_trace_work_when_opted_out_and_leave_no_file() {
    for (name, value, reason) in [
        ("DO_NOT_TRACK", "1", "the environment variable DO_NOT_TRACK"),
        ("FROB_TELEMETRY_OPTOUT", "1", "the environment variable FROB_TELEMETRY_OPTOUT"),
        // Not opted out, but the notice was not shown.
        ("ANYTHING", "1", "the notice has not been shown yet"),
    ] {
        let user = || TestUser::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", DEAD_ENDPOINT).with(name, value);
        let log = user().with("FROB_TELEMETRY", "log");
        let printed = stderr(&log, &["build"]);
        assert_eq!(printed, format!("frob telemetry: nothing would be sent: {reason}\n"));
        assert!(log.files().is_empty(), "{:?}", log.files());

        let trace = user().with("FROB_TELEMETRY", "trace");
        let printed = stderr(&trace, &["build", "--spans", "1"]);
        assert!(printed.starts_with("frob build  ") && printed.contains("\n  step  "), "{printed}");
        assert!(!printed.contains("goes to"), "{printed}");
        assert!(trace.files().is_empty(), "{:?}", trace.files());
    }
    let user = TestUser::sending_to(DEAD_ENDPOINT);
    user.run_frob(["telemetry", "off"]);
    let (before, user) = (user.files(), user.with("FROB_TELEMETRY", "trace"));
    assert!(stderr(&user, &["build"]).starts_with("frob build  "));
    assert_eq!(user.files(), before);
}

#[test]
fn trace_prints_the_trace_id_only_if_an_operator_gets_the_run() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint).with("FROB_TELEMETRY", "trace");
    let printed = stderr(&user, &["build"]);
    let last = printed.lines().last().expect("lines");
    let traces = receiver.wait_for(1, TIMEOUT).expect("it arrives");
    assert_eq!(last, format!("trace {} goes to {endpoint}", traces[0].trace_id()));

    // Off while it runs: the run goes nowhere, and no trace id is printed.
    std::fs::write(user.home().join("held"), "").expect("a file");
    let mut running = user.frob_command(["build", "--hold", "held"]);
    let running = running.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    eventually("it writes", || !user.pending_runs().is_empty());
    assert!(user.run_frob(["telemetry", "off"]).status.success());
    std::fs::remove_file(user.home().join("held")).expect("it is there");
    let printed = String::from_utf8(running.wait_with_output().expect("it ends").stderr).expect("text");
    assert!(printed.starts_with("frob build  ") && !printed.contains("goes to"), "{printed}");

    // A run that is previewed is not sent to the author.
    let author = TestUser::new().with("FROB_AUTHOR_ENDPOINT", &format!("{endpoint}/v1/traces"));
    author.run_frob(["telemetry", "on"]);
    let author = author.with("FROB_TELEMETRY", "trace");
    let printed = stderr(&author, &["build"]);
    assert!(printed.starts_with("frob build  ") && !printed.contains("goes to"), "{printed}");
    assert!(author.pending_runs().is_empty());
    assert_eq!(receiver.traces().len(), 1);
}
