//! The spool's own files: names that are not ours, and what a person deletes.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tool_telemetry::receiver::Receiver;

use crate::person::Person;

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
