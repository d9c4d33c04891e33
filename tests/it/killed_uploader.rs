//! A killed uploader releases its lock and loses nothing. `tests/soak` kills it at each system call.

use std::process::{Child, Stdio};
use std::time::Instant;

use tool_telemetry_receiver::{Answer, Receiver};

use crate::test_user::{TestUser, eventually, example};

fn start(user: &TestUser, endpoint: &str) -> Child {
    let mut uploader = user.uploader_command(example("frob"), endpoint, "flush");
    uploader.arg("__upload-telemetry").stdout(Stdio::null()).spawn().expect("it starts")
}

/// A user with one pending run, which the server deferred.
fn user_with_pending_run(receiver: &Receiver) -> TestUser {
    receiver.answer_next([Answer::status(503)]);
    let user = TestUser::sending_to(&receiver.http_endpoint());
    user.run_frob(["build", "--spans", "1"]);
    eventually("the first uploader was refused", || user.status().contains("next try in"));
    std::fs::remove_file(user.spool(&receiver.http_endpoint()).join("backoff")).expect("it is there");
    user
}

#[test]
fn a_killed_uploader_loses_nothing_and_the_next_works_at_once() {
    // A server that never answers, and one that has accepted the request and answers slowly.
    for (answer, doubles) in [(Answer::Hang, 0), (Answer::Drip, 3)] {
        let receiver = Receiver::start().expect("a receiver");
        let endpoint = receiver.http_endpoint();
        let user = user_with_pending_run(&receiver);
        receiver.answer_next([answer.clone()]);
        let mut uploader = start(&user, &endpoint);
        eventually("it has sent", || receiver.requests().len() == 2);
        // The next command finds the lock held and starts no uploader.
        assert!(user.run_frob(["build", "--spans", "0"]).status.success());
        uploader.kill().expect("it runs");
        uploader.wait().expect("it ends");
        let started = Instant::now();
        assert!(user.flush(), "{answer:?}: {}", user.status());
        assert!(started.elapsed().as_secs() < 5, "{answer:?}");
        assert_eq!(receiver.traces().len(), 2, "{answer:?}");
        assert_eq!(receiver.doubles(), doubles, "{answer:?}");
        assert_eq!((user.count("delivered"), user.count("pending")), (2, 0), "{answer:?}");
    }
}

#[test]
fn only_one_of_ten_uploaders_works() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = user_with_pending_run(&receiver);
    receiver.answer_next([Answer::Delay(std::time::Duration::from_millis(200))]);
    let mut uploaders: Vec<Child> = (0..10).map(|_| start(&user, &endpoint)).collect();
    for uploader in &mut uploaders {
        assert!(uploader.wait().expect("it ends").success());
    }
    assert_eq!((receiver.requests().len(), receiver.peak_requests()), (2, 1));
    assert_eq!(user.count("delivered"), 1);
}
