//! `telemetry off` in the middle of everything; and `log` and `trace`, which show a run without sending it.

use std::process::Stdio;
use std::time::Duration;

use tool_telemetry_receiver::{Answer, Receiver};

use crate::person::{NOBODY, PATIENCE, Person, eventually};

#[test]
fn off_while_runs_are_written_and_an_uploader_sends_lets_nothing_more_through() {
    let receiver = Receiver::start().expect("a receiver");
    receiver.answer_next([Answer::Delay(Duration::from_secs(2))]);
    let person = Person::sending_to(&receiver.http_endpoint());
    std::fs::write(person.home().join("held"), "").expect("a file");
    let held: Vec<_> = (0..20)
        .map(|_| {
            let mut command = person.frob_command(["build", "--hold", "held"]);
            command.stdout(Stdio::null()).spawn().expect("it starts")
        })
        .collect();
    eventually("all 20 are being written", || person.waiting().len() == 20);
    person.frob(["build"]);
    receiver.wait_until(|seen| seen.requests().len() == 1, PATIENCE).expect("the uploader is in its request");

    let off = person.frob(["telemetry", "off"]);
    assert!(off.status.success());
    let told = String::from_utf8(off.stdout).expect("text");
    assert!(told.starts_with("Telemetry of frob is off. Deleted "), "{told}");
    std::fs::remove_file(person.home().join("held")).expect("it is there");
    for mut run in held {
        assert!(run.wait().expect("it ends").success());
    }
    eventually("its uploader has ended", || person.uploaders().is_empty());
    person.frob(["build"]);

    assert_eq!((receiver.requests().len(), receiver.traces().len()), (1, 1), "{}", receiver.tree());
    assert_eq!(person.waiting(), [""; 0].map(std::path::PathBuf::from));
    let left: Vec<_> = person
        .files()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|kind| kind == "jsonl"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(person.count("pending"), 0);
}

/// The system calls by which the tool, or what it started, used the network.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn network_calls(person: &Person, arguments: &[&str]) -> Vec<String> {
    use crate::system_calls::Tracer;

    let traced = Tracer::of(person.frob_command(arguments)).with_all_that_it_starts().run();
    assert!(traced.output.status.code().is_some(), "{traced:?}");
    traced.calls.iter().map(ToString::to_string).filter(|call| is_of_the_network(call)).collect()
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn is_of_the_network(call: &str) -> bool {
    call.starts_with("socket") || call.starts_with("connect") || call.starts_with("send")
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn off_opted_out_runs_and_looking_open_no_socket() {
    let on = || Person::sending_to(NOBODY).backing_off(NOBODY);
    let person = on();
    person.frob(["build"]);
    for command in ["status", "show", "purge", "off"] {
        assert_eq!(network_calls(&person, &["telemetry", command]), [""; 0], "{command}");
    }
    assert_eq!(network_calls(&person, &["build"]), [""; 0], "after off");
    for (name, value) in [("DO_NOT_TRACK", "1"), ("FROB_TELEMETRY", "log"), ("FROB_TELEMETRY", "off")] {
        let person = Person::sending_to(NOBODY).with(name, value);
        assert_eq!(network_calls(&person, &["build"]), [""; 0], "{name}={value}");
    }
    // A socket is seen where there is one.
    let person = on();
    person.frob(["build"]);
    assert_ne!(network_calls(&person, &["telemetry", "flush"]), [""; 0]);
}

fn stderr(person: &Person, arguments: &[&str]) -> String {
    String::from_utf8(person.frob(arguments).stderr).expect("text")
}

#[test]
fn log_shows_what_would_be_sent_and_does_nothing_else() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let person = Person::sending_to(&endpoint).with("FROB_TELEMETRY", "log");
    let before = person.files();
    let told = stderr(&person, &["build", "--spans", "1"]);
    let mut lines = told.lines();
    assert_eq!(lines.next(), Some(&*format!("frob telemetry: this would be sent to {endpoint}:")));
    assert!(lines.all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{told}");
    assert!(told.contains("frob.command") && told.contains("\"inner\""), "{told}");
    assert!(!told.contains("anna"), "{told}");
    assert_eq!(person.files(), before);
    assert_eq!(receiver.connections(), 0);
}

#[test]
fn log_and_trace_work_opted_out_and_leave_no_file() {
    for (name, value, reason) in [
        ("DO_NOT_TRACK", "1", "the environment variable DO_NOT_TRACK"),
        ("FROB_TELEMETRY_OPTOUT", "1", "the environment variable FROB_TELEMETRY_OPTOUT"),
        // Not opted out, but not told yet either.
        ("ANYTHING", "1", "the notice has not been shown yet"),
    ] {
        let person = || Person::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", NOBODY).with(name, value);
        let log = person().with("FROB_TELEMETRY", "log");
        let told = stderr(&log, &["build"]);
        assert_eq!(told, format!("frob telemetry: nothing would be sent: {reason}\n"));
        assert!(log.files().is_empty(), "{:?}", log.files());

        let trace = person().with("FROB_TELEMETRY", "trace");
        let told = stderr(&trace, &["build", "--spans", "1"]);
        assert!(told.starts_with("frob  ") && told.contains("\n  step  "), "{told}");
        assert!(!told.contains("goes to"), "{told}");
        assert!(trace.files().is_empty(), "{:?}", trace.files());
    }
    let person = Person::sending_to(NOBODY);
    person.frob(["telemetry", "off"]);
    let (before, person) = (person.files(), person.with("FROB_TELEMETRY", "trace"));
    assert!(stderr(&person, &["build"]).starts_with("frob  "));
    assert_eq!(person.files(), before);
}

#[test]
fn trace_names_the_trace_where_the_run_goes_to_an_operator_and_was_kept() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let person = Person::sending_to(&endpoint).with("FROB_TELEMETRY", "trace");
    let told = stderr(&person, &["build"]);
    let last = told.lines().last().expect("lines");
    let traces = receiver.wait_for(1, PATIENCE).expect("it arrives");
    assert_eq!(last, format!("trace {} goes to {endpoint}", traces[0].trace_id()));

    // Turned off while it ran: it goes nowhere, and nothing says that it does.
    std::fs::write(person.home().join("held"), "").expect("a file");
    let mut running = person.frob_command(["build", "--hold", "held"]);
    let running = running.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    eventually("it writes", || !person.waiting().is_empty());
    assert!(person.frob(["telemetry", "off"]).status.success());
    std::fs::remove_file(person.home().join("held")).expect("it is there");
    let told = String::from_utf8(running.wait_with_output().expect("it ends").stderr).expect("text");
    assert!(told.starts_with("frob  ") && !told.contains("goes to"), "{told}");

    // To the maker nothing goes while somebody looks.
    let maker = Person::new().with("FROB_MAKER", &format!("{endpoint}/v1/traces"));
    maker.frob(["telemetry", "on"]);
    let maker = maker.with("FROB_TELEMETRY", "trace");
    let told = stderr(&maker, &["build"]);
    assert!(told.starts_with("frob  ") && !told.contains("goes to"), "{told}");
    assert!(maker.waiting().is_empty());
    assert_eq!(receiver.traces().len(), 1);
}
