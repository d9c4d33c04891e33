//! Every example runs, and the receiver gets what the example promises.

use std::process::{Command, Output};

use tool_telemetry_receiver::Receiver;

use crate::recording_server::RecordingServer;
use crate::test_user::{TIMEOUT, TestUser, example, only_tree};

const RUN: &str = "\"greet hello\" process.executable.name=greet process.exit.code=0 greet.command=hello\n";

/// A user who turned the examples' telemetry on and sends to this receiver.
fn user(receiver: &Receiver) -> TestUser {
    turned_on(TestUser::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.http_endpoint()))
}

fn turned_on(user: TestUser) -> TestUser {
    let output = run(user.command(example("minimal")).args(["telemetry", "on"]));
    assert!(output.stdout.is_empty());
    user
}

fn run(command: &mut Command) -> Output {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Runs an example once. Returns the tree that the receiver got.
fn tree_of(name: &str, arguments: &[&str]) -> String {
    let receiver = Receiver::start().expect("a receiver");
    let user = user(&receiver);
    let output = run(user.command(example(name)).args(arguments));
    let names: Vec<&str> = arguments.iter().filter(|word| **word != "hello").copied().collect();
    let stdout = String::from_utf8(output.stdout).expect("text").replace('\n', " ");
    assert!(names.iter().all(|name| stdout.contains(name)), "{stdout}");
    let tree = only_tree(&receiver);
    assert_eq!(receiver.outside_contract(), [""; 0]);
    tree
}

#[test]
fn minimal() {
    assert_eq!(tree_of("minimal", &["hello", "Anna"]), RUN);
}

#[test]
fn with_clap() {
    assert_eq!(tree_of("with_clap", &["hello", "Anna", "Bert"]), format!("{RUN}  greeting greet.people=2\n"));
}

#[test]
fn with_tokio() {
    assert_eq!(tree_of("with_tokio", &["Anna", "Bert"]), format!("{RUN}  greeting greet.people=2\n"));
}

#[test]
fn existing_pipeline() {
    assert_eq!(tree_of("existing_pipeline", &["Anna", "Bert"]), format!("{RUN}  greeting greet.people=2\n"));
}

#[test]
fn own_collector() {
    let receiver = Receiver::start().expect("a receiver");
    let user = user(&receiver)
        .with("GREET_TELEMETRY", "otlp")
        .with("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20own");
    run(user.command(example("own_collector")).arg("Anna"));
    assert_eq!(only_tree(&receiver), format!("{RUN}  greeting greet.people=1\n    look_up\n"));
    let headers = format!("{:?}", receiver.requests());
    assert!(headers.contains("Bearer own"), "{headers}");
}

#[test]
fn other_exporter() {
    let zipkin = RecordingServer::start_at("127.94.11.1:9411", "202 Accepted");
    let user = TestUser::new();
    let notice = user.run_at_terminal(80, &format!("exec {}", example("other_exporter").display()));
    assert!(notice.contains("It goes to The greet authors (http://127.94.11.1:9411)"), "{notice}");
    run(&mut user.command(example("other_exporter")));
    let request = String::from_utf8(zipkin.wait_for(1).remove(0)).expect("text");
    assert!(request.starts_with("POST /api/v2/spans "), "{request}");
    assert!(
        request.contains("\"name\":\"greet hello\"") && request.contains("\"greet.command\":\"hello\""),
        "{request}"
    );
    crate::test_user::eventually("it is delivered", || user.pending_runs().is_empty());
}

#[test]
fn allowlist_only() {
    let user = TestUser::new();
    let output = run(user.command(example("allowlist_only")).args(["Anna", "Bert"]));
    let stdout = String::from_utf8(output.stdout).expect("text");
    assert!(stdout.contains("greeting") && stdout.contains("greet.people: I64(2)"), "{stdout}");
    assert!(!stdout.contains("Anna") && !stdout.contains("examples/"), "{stdout}");
    assert!(user.files().is_empty());
}

#[test]
fn calls_tools() {
    let receiver = Receiver::start().expect("a receiver");
    let user = user(&receiver);
    run(user.command(example("calls_tools")).arg("relay"));
    receiver.wait_until(|receiver| receiver.spans().len() == 4, TIMEOUT).expect("all spans");
    let relay = RUN.replace("hello", "relay");
    assert_eq!(only_tree(&receiver), format!("{relay}  greeting greet.people=1\n    {RUN}  {RUN}"));
}

/// Runs an example that fails. Returns its exit code, what it printed to stderr, and the tree that the receiver got.
fn failure_of(name: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let receiver = Receiver::start().expect("a receiver");
    let user = user(&receiver);
    let output = user.command(example(name)).args(arguments).output().expect("it starts");
    let stderr = String::from_utf8(output.stderr).expect("text");
    (output.status.code(), stderr, only_tree(&receiver))
}

/// The run of a command that ended with this exit code.
fn failed_run(exit_code: &str) -> String {
    let ending = format!("process.exit.code={exit_code} error.type=_OTHER");
    RUN.replace("process.executable", "[error] process.executable").replace("process.exit.code=0", &ending)
}

#[test]
fn a_main_that_returns_a_result_ends_as_without_telemetry() {
    for name in ["main_with_anyhow", "main_with_eyre"] {
        assert_eq!(tree_of(name, &["Anna"]), RUN);
        let (code, stderr, tree) = failure_of(name, &[]);
        assert_eq!((code, tree), (Some(1), failed_run("1")), "{name}");
        assert_eq!(stderr.matches("Error: nobody to greet").count(), 1, "{name}: {stderr}");
    }
    let (code, stderr, tree) = failure_of("main_with_eyre", &["Anna", "Bert"]);
    assert_eq!((code, &*stderr, tree), (Some(3), "", failed_run("3")));
}

#[test]
fn own_result() {
    assert_eq!(tree_of("own_result", &["Anna"]), RUN);
    let (code, _, tree) = failure_of("own_result", &[]);
    assert_eq!((code, tree), (Some(4), failed_run("4")));
}

#[test]
fn library_run() {
    assert_eq!(tree_of("library_run", &["Anna"]), RUN);
    let (code, _, tree) = failure_of("library_run", &[]);
    assert_eq!((code, tree), (Some(2), failed_run("2")));
}

#[test]
fn exits_early() {
    assert_eq!(tree_of("exits_early", &["Anna"]), format!("{RUN}  greeting greet.people=1\n"));
    let (code, _, tree) = failure_of("exits_early", &[]);
    let run = if cfg!(all(target_os = "linux", target_env = "gnu")) {
        failed_run("5")
    } else {
        RUN.replace("process.executable", "[error] process.executable")
            .replace("process.exit.code=0", "error.type=cut_off")
    };
    assert_eq!((code, tree), (Some(5), format!("{run}  greeting greet.people=0\n")));
}

#[test]
fn every_example_is_short() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for entry in std::fs::read_dir(directory).expect("the directory").flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "rs") {
            let lines = std::fs::read_to_string(entry.path()).expect("text").lines().count();
            assert!(lines < 60, "{}: {lines} lines", entry.path().display());
        }
    }
}
