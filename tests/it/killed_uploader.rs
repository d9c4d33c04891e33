//! A claim dies with its owner. Every single step of an uploader's is tried by `tests/soak`.

use std::process::{Child, Stdio};
use std::time::Instant;

use tool_telemetry_receiver::{Answer, Receiver};

use crate::person::{Person, eventually, example};

fn start(person: &Person, endpoint: &str) -> Child {
    let mut uploader = person.uploader(example("frob"), endpoint, "flush");
    uploader.arg("__upload-telemetry").stdout(Stdio::null()).spawn().expect("it starts")
}

/// A run that waits, since the server asked for it.
fn waiting_run(receiver: &Receiver) -> Person {
    receiver.answer_next([Answer::status(503)]);
    let person = Person::sending_to(&receiver.http_endpoint());
    person.frob(["build", "--spans", "1"]);
    eventually("the first uploader was refused", || person.status().contains("next try in"));
    std::fs::remove_file(person.spool(&receiver.http_endpoint()).join("backoff")).expect("it is there");
    person
}

#[test]
fn killed_while_the_server_thinks_nothing_is_lost_and_the_next_works_at_once() {
    // The server never answers; it has accepted and cuts the answer; it has accepted and is slow.
    for (answer, doubles) in [(Answer::Hang, 0), (Answer::Drip, 3)] {
        let receiver = Receiver::start().expect("a receiver");
        let endpoint = receiver.http_endpoint();
        let person = waiting_run(&receiver);
        receiver.answer_next([answer.clone()]);
        let mut uploader = start(&person, &endpoint);
        eventually("it has sent", || receiver.requests().len() == 2);
        // Another one finds the lock held and starts nothing.
        assert!(person.frob(["build", "--spans", "0"]).status.success());
        uploader.kill().expect("it runs");
        uploader.wait().expect("it ends");
        let asked = Instant::now();
        assert!(person.flush(), "{answer:?}: {}", person.status());
        assert!(asked.elapsed().as_secs() < 5, "{answer:?}");
        assert_eq!(receiver.traces().len(), 2, "{answer:?}");
        assert_eq!(receiver.doubles(), doubles, "{answer:?}");
        assert_eq!((person.count("delivered"), person.count("pending")), (2, 0), "{answer:?}");
    }
}

#[test]
fn of_two_uploaders_one_works_and_the_other_leaves_it_alone() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let person = waiting_run(&receiver);
    receiver.answer_next([Answer::Delay(std::time::Duration::from_millis(200))]);
    let mut uploaders: Vec<Child> = (0..10).map(|_| start(&person, &endpoint)).collect();
    for uploader in &mut uploaders {
        assert!(uploader.wait().expect("it ends").success());
    }
    assert_eq!((receiver.requests().len(), receiver.peak_requests()), (2, 1));
    assert_eq!(person.count("delivered"), 1);
}
