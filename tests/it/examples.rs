//! Every example runs, and the receiver gets what its text promises.

use std::process::{Command, Output};

use tool_telemetry_receiver::Receiver;

use crate::person::{PATIENCE, Person, example, only_tree};
use crate::wire::Wire;

const RUN: &str = "greet process.executable.name=greet process.exit.code=0 greet.command=hello\n";

/// A person who turned the examples' telemetry on and sends to their own receiver.
fn person(receiver: &Receiver) -> Person {
    turned_on(Person::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.http_endpoint()))
}

fn turned_on(person: Person) -> Person {
    let output = run(person.command(example("minimal")).args(["telemetry", "on"]));
    assert!(output.stdout.is_empty());
    person
}

fn run(command: &mut Command) -> Output {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Runs an example once; gives what the receiver got.
fn tree_of(name: &str, arguments: &[&str]) -> String {
    let receiver = Receiver::start().expect("a receiver");
    let person = person(&receiver);
    let output = run(person.command(example(name)).args(arguments));
    let names: Vec<&str> = arguments.iter().filter(|word| **word != "hello").copied().collect();
    let said = String::from_utf8(output.stdout).expect("text").replace('\n', " ");
    assert!(names.iter().all(|name| said.contains(name)), "{said}");
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
    let person = person(&receiver)
        .with("GREET_TELEMETRY", "otlp")
        .with("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20own");
    run(person.command(example("own_collector")).arg("Anna"));
    assert_eq!(only_tree(&receiver), format!("{RUN}  greeting greet.people=1\n    look_up\n"));
    let headers = format!("{:?}", receiver.requests());
    assert!(headers.contains("Bearer own"), "{headers}");
}

#[test]
fn other_exporter() {
    let zipkin = Wire::at("127.94.11.1:9411", "202 Accepted");
    let person = Person::new();
    let notice = person.at_a_terminal(80, &format!("exec {}", example("other_exporter").display()));
    assert!(notice.contains("It goes to The greet authors (http://127.94.11.1:9411)"), "{notice}");
    run(&mut person.command(example("other_exporter")));
    let request = String::from_utf8(zipkin.wait_for(1).remove(0)).expect("text");
    assert!(request.starts_with("POST /api/v2/spans "), "{request}");
    assert!(
        request.contains("\"name\":\"greet\"") && request.contains("\"greet.command\":\"hello\""),
        "{request}"
    );
    crate::person::eventually("it is delivered", || person.waiting().is_empty());
}

#[test]
fn allowlist_only() {
    let person = Person::new();
    let output = run(person.command(example("allowlist_only")).args(["Anna", "Bert"]));
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(said.contains("greeting") && said.contains("greet.people: I64(2)"), "{said}");
    assert!(!said.contains("Anna") && !said.contains("examples/"), "{said}");
    assert!(person.files().is_empty());
}

#[test]
fn calls_tools() {
    let receiver = Receiver::start().expect("a receiver");
    let person = person(&receiver);
    run(person.command(example("calls_tools")).arg("relay"));
    receiver.wait_until(|receiver| receiver.spans().len() == 4, PATIENCE).expect("all spans");
    let relay = RUN.replace("hello", "relay");
    assert_eq!(only_tree(&receiver), format!("{relay}  greeting greet.people=1\n    {RUN}  {RUN}"));
}

#[test]
fn every_example_is_short() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for entry in std::fs::read_dir(folder).expect("the folder").flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "rs") {
            let lines = std::fs::read_to_string(entry.path()).expect("text").lines().count();
            assert!(lines < 60, "{}: {lines} lines", entry.path().display());
        }
    }
}
