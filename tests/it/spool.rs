//! The spool's own files: names that are not ours, and what a person deletes.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tool_telemetry_receiver::Receiver;

use crate::person::{Person, eventually};
use crate::wire::Wire;

/// What `flush` may take that sends a run or two; an uploader in circles takes a minute.
const SOON: Duration = Duration::from_secs(15);

/// A person with one run that waits.
fn person_with_a_run(receiver: &Receiver) -> (Person, PathBuf) {
    let endpoint = receiver.http_endpoint();
    let person = Person::sending_to(&endpoint).backing_off(&endpoint);
    person.frob(["build"]);
    let run = person.waiting().remove(0);
    (person, run)
}

#[test]
fn names_that_we_would_write_otherwise_are_left_alone() {
    let receiver = Receiver::start().expect("a receiver");
    let (person, run) = person_with_a_run(&receiver);
    for strange in ["-d+5", "-r3-d5", "-d05", "-d5-d5", "-d"] {
        let name = run.file_stem().expect("a name").to_str().expect("text").to_owned() + strange;
        fs::copy(&run, run.with_file_name(name + ".jsonl")).expect("a copy");
    }
    let started = Instant::now();
    assert!(person.flush());
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    assert_eq!((person.waiting().len(), receiver.requests().len()), (5, 1));
    assert_eq!((person.count("pending"), person.count("delivered")), (0, 1));
}

#[test]
fn a_run_that_does_not_leave_is_sent_once_by_one_uploader() {
    let receiver = Receiver::start().expect("a receiver");
    let (person, run) = person_with_a_run(&receiver);
    // The system renames no file to another name that it has already, and says that it did.
    let outcome = run.with_extension("delivered");
    let outcome =
        person.spool(&receiver.http_endpoint()).join("outcomes").join(outcome.file_name().expect("a name"));
    fs::hard_link(&run, outcome).expect("a link");
    assert!(!person.flush());
    assert_eq!((person.waiting().len(), receiver.requests().len()), (1, 1));
}

#[test]
fn what_somebody_wrote_behind_a_version_reaches_no_wire() {
    let wire = Wire::start();
    let person = Person::sending_to(&wire.endpoint()).backing_off(&wire.endpoint());
    person.frob(["build"]);
    let run = person.waiting().remove(0);
    let text = fs::read_to_string(&run).expect("a run").replace(":\"1.0.0\"", ":\"1.0.0-john.doe\"");
    assert!(text.contains("john.doe"), "{text}");
    fs::write(&run, text).expect("it is ours");
    person.frob(["telemetry", "flush"]);
    let request = wire.wait_for(1).remove(0);
    let has = |wanted: &[u8]| request.windows(wanted.len()).any(|part| part == wanted);
    assert!(has(b"service.version") && has(b"1.0.0") && !has(b"john"));
}

#[test]
fn a_run_of_a_newer_version_waits_for_one_that_knows_what_it_holds() {
    let receiver = Receiver::start().expect("a receiver");
    let (person, run) = person_with_a_run(&receiver);
    let text = fs::read_to_string(&run).expect("a run");
    let text = text.replace(":\"1.0.0\"", ":\"1.1.0\"").replace("\"build\"", "\"deploy\"");
    fs::write(&run, text).expect("it is ours");
    assert!(!person.flush());
    assert_eq!((person.count("pending"), receiver.requests().len()), (1, 0), "{}", person.status());
    // Where it is not newer, no version knows it, and what is left out is counted where people see it.
    let person = person.whose_tool_has("FROB_VERSION", "1.1.0");
    assert!(person.flush());
    assert_eq!((person.count("pending"), receiver.requests().len()), (0, 1), "{}", person.status());
    assert!(person.status().contains("values left out"), "{}", person.status());
}

#[test]
fn status_show_and_flush_say_the_same_of_a_run_that_goes_on_and_of_one_that_was_killed() {
    let receiver = Receiver::start().expect("a receiver");
    let person = Person::sending_to(&receiver.http_endpoint()).backing_off(&receiver.http_endpoint());
    let told = |arguments: &[&str]| String::from_utf8(person.frob(arguments).stdout).expect("text");
    let mut running = person.frob_command(["build", "--end", "wait"]);
    let mut running = running.stdout(std::process::Stdio::null()).spawn().expect("it starts");
    eventually("it writes", || told(&["telemetry", "show"]).contains("(running)"));
    assert!(told(&["telemetry", "show"]).contains("being written"));
    assert!(person.status().contains("pending    1 (1 being written)"), "{}", person.status());
    assert_eq!(told(&["telemetry", "flush"]), "Nothing waits but 1 being written.\n");
    running.kill().expect("it runs");
    running.wait().expect("it ended");
    let shown = told(&["telemetry", "show"]);
    assert!(shown.contains("pending") && shown.contains("cut_off") && !shown.contains("running"), "{shown}");
    assert!(person.status().contains("pending    1\n"), "{}", person.status());
    assert_eq!(told(&["telemetry", "flush"]), "Nothing waits.\n");
    assert_eq!(receiver.traces().len(), 1);
}
