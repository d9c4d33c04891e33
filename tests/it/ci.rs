//! Build machines: a run is sent before its command ends, within a bound; and one command of a job pays for an
//! endpoint that does not answer. What they print is in `notice`.

use std::time::{Duration, Instant};

use tool_telemetry_receiver::{Answer, Receiver};

use crate::person::{NOBODY, PATIENCE, Person, eventually, example, is_root};

/// A person on a build machine, who has seen the line that is the notice there.
fn machine(endpoint: &str) -> Person {
    Person::sending_to(endpoint).with("CI", "true")
}

#[test]
fn a_run_has_arrived_when_its_command_ends() {
    let receiver = Receiver::start().expect("a receiver");
    // Longer than the default, for a test machine under load.
    let person = machine(&receiver.http_endpoint()).whose_tool_has("FROB_WAIT_IN_CI_MS", "20000");
    for number in 1..=3 {
        assert!(person.frob(["build"]).status.success());
        assert_eq!(receiver.traces().len(), number);
        assert!(person.uploaders().is_empty(), "what it started has ended before it");
    }
}

#[test]
fn a_command_waits_for_300_ms_at_most_and_the_next_ones_not_at_all() {
    let mut shortest = PATIENCE;
    for _ in 0..3 {
        let receiver = Receiver::builder().always(Answer::Hang).start().expect("a receiver");
        let person = machine(&receiver.http_endpoint());
        let asked = Instant::now();
        assert!(person.frob(["build"]).status.success());
        let took = asked.elapsed();
        assert!(took >= Duration::from_millis(300), "it waited: {took:?}");
        shortest = shortest.min(took);

        for _ in 0..5 {
            assert!(person.frob(["build"]).status.success());
            assert!(person.uploaders().len() <= 1, "no other uploader was started");
        }
        assert!(receiver.connections() <= 1, "{}", receiver.connections());
        assert_eq!(person.count("pending"), 6, "what can be tried again stays");
        assert!(person.status().contains("next try in"), "{}", person.status());
    }
    // Of three, one is not held up by what else runs on this machine.
    assert!(shortest < Duration::from_millis(900), "{shortest:?}");
}

#[test]
fn an_uploader_that_nobody_waits_for_any_more_does_not_wait_for_another() {
    let receiver = Receiver::builder().always(Answer::Hang).start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let person = machine(&endpoint);
    assert!(person.frob(["build"]).status.success());
    receiver.wait_until(|receiver| receiver.requests().len() == 1, PATIENCE).expect("one is at work");
    let asked = Instant::now();
    let mut second = person.uploader(example("frob"), &endpoint, "awaited");
    let second = second.arg("__upload-telemetry").status().expect("it starts");
    assert!(!second.success(), "something waits still");
    // The one at work may live for a minute.
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert_eq!(person.uploaders().len(), 1);
}

#[test]
fn an_endpoint_that_is_only_slow_is_not_held_against_it() {
    let receiver = Receiver::builder().always(Answer::Delay(Duration::from_millis(800))).start();
    let receiver = receiver.expect("a receiver");
    let person = machine(&receiver.http_endpoint());
    assert!(person.frob(["build"]).status.success());
    receiver.wait_for(1, PATIENCE).expect("it arrives after all");
    eventually("its uploader has ended", || person.uploaders().is_empty());
    assert!(!person.status().contains("next try in"), "{}", person.status());
    assert!(person.frob(["build"]).status.success());
    receiver.wait_for(2, PATIENCE).expect("and so does the next one");
}

#[test]
fn where_nobody_listens_the_wait_is_written_down() {
    let person = machine(NOBODY).whose_tool_has("FROB_WAIT_IN_CI_MS", "20000");
    assert!(person.frob(["build"]).status.success());
    assert!(person.status().contains("last failure: connection"), "{}", person.status());
    assert!(person.status().contains("next try in"), "{}", person.status());
}

#[test]
fn flush_is_a_step_of_a_pipeline() {
    let receiver = Receiver::builder().answers([Answer::status(503)]).start().expect("a receiver");
    let person = machine(&receiver.http_endpoint()).whose_tool_has("FROB_WAIT_IN_CI_MS", "20000");
    for _ in 0..3 {
        assert!(person.frob(["build"]).status.success());
    }
    let waiting = person.count("pending");
    assert!(waiting >= 1, "{}", person.status());
    let flushed = person.frob(["telemetry", "flush"]);
    assert_eq!((flushed.status.code(), &*flushed.stdout), (Some(0), &b"Nothing waits.\n"[..]));
    assert_eq!(receiver.traces().len(), 3);

    let dead = machine(NOBODY).backing_off(NOBODY);
    dead.frob(["build"]);
    let flushed = dead.frob(["telemetry", "flush"]);
    assert_eq!(flushed.status.code(), Some(3));
    let told = String::from_utf8(flushed.stdout).expect("text");
    assert_eq!(told, "Something waits still; `frob telemetry status` tells what.\n");
    assert_eq!(flushed.stderr, b"", "no counter where nobody watches");
}

#[test]
fn the_first_process_of_a_container_waits_no_longer_either_and_loses_nothing() {
    if !is_root("a process 1, in a process namespace of its own") {
        return;
    }
    let receiver = Receiver::builder().always(Answer::Hang).start().expect("a receiver");
    let person = Person::sending_to(&receiver.http_endpoint());
    let asked = Instant::now();
    let mut command = person.command("unshare");
    let output = command.args(["-p", "-f", "--kill-child"]).arg(example("frob")).arg("build").output();
    assert!(output.expect("unshare").status.success());
    let took = asked.elapsed();
    assert!(took >= Duration::from_millis(300) && took < PATIENCE / 3, "{took:?}");
    assert!(person.uploaders().is_empty(), "it was ended with the container");
    assert_eq!(person.count("pending"), 1);
    // A container that keeps its state pays once.
    assert!(person.status().contains("next try in"), "{}", person.status());
}

#[test]
fn on_that_was_said_for_one_maker_chooses_no_other_one_in_ci() {
    let person = Person::new().with("FROB_MAKER", "https://first.example.com");
    person.frob(["telemetry", "on"]);
    let other = |variable, value| {
        let mut build = person.frob_command(["build"]);
        build.env("CI", "true").env(variable, value).output().expect("the tool starts")
    };
    assert!(other("FROB_MAKER", "https://second.example.com").stderr.is_empty());
    assert_eq!(person.waiting(), Vec::<std::path::PathBuf>::new());
    other("FROB_WAIT_IN_CI_MS", "0");
    assert_eq!(person.waiting().len(), 1, "the first one was chosen");
}
