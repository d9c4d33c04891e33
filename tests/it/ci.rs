//! In CI and in containers a command waits for its delivery, for a bounded time, and only one command of a job
//! waits for an endpoint that does not answer.

use std::time::{Duration, Instant};

use tool_telemetry_receiver::{Answer, Receiver};

#[cfg(target_os = "linux")]
use crate::test_user::is_root;
use crate::test_user::{DEAD_ENDPOINT, TIMEOUT, TestUser, eventually, example};

/// A user in a CI job that has printed the notice.
fn machine(endpoint: &str) -> TestUser {
    TestUser::sending_to(endpoint).with("CI", "true")
}

#[test]
fn a_run_is_delivered_before_its_command_ends() {
    let receiver = Receiver::start().expect("a receiver");
    // Longer than the default, for a loaded machine.
    let user = machine(&receiver.http_endpoint()).with_tool_setting("FROB_CI_WAIT_MS", "20000");
    for number in 1..=3 {
        assert!(user.run_frob(["build"]).status.success());
        assert_eq!(receiver.traces().len(), number);
        assert!(user.uploaders().is_empty(), "its uploader ended first");
    }
}

#[test]
fn one_command_waits_300_ms_and_later_ones_do_not() {
    let mut shortest = TIMEOUT;
    for _ in 0..3 {
        let receiver = Receiver::builder().always(Answer::Hang).start().expect("a receiver");
        let user = machine(&receiver.http_endpoint());
        let started = Instant::now();
        assert!(user.run_frob(["build"]).status.success());
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(300), "it waited: {took:?}");
        shortest = shortest.min(took);

        for _ in 0..5 {
            assert!(user.run_frob(["build"]).status.success());
            assert!(user.uploaders().len() <= 1, "no other uploader was started");
        }
        assert!(receiver.connections() <= 1, "{}", receiver.connections());
        assert_eq!(user.count("pending"), 6, "runs that can be retried stay");
        assert!(user.status().contains("next try in"), "{}", user.status());
    }
    // On a loaded machine at least one of three is fast.
    assert!(shortest < Duration::from_millis(900), "{shortest:?}");
}

#[test]
fn an_abandoned_uploader_does_not_wait_for_another() {
    let receiver = Receiver::builder().always(Answer::Hang).start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = machine(&endpoint);
    assert!(user.run_frob(["build"]).status.success());
    receiver.wait_until(|receiver| receiver.requests().len() == 1, TIMEOUT).expect("an uploader works");
    let started = Instant::now();
    let mut second = user.uploader_command(example("frob"), &endpoint, "awaited");
    let second = second.arg("__upload-telemetry").status().expect("it starts");
    assert!(!second.success(), "a run is still pending");
    // The working uploader may live for a minute.
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(user.uploaders().len(), 1);
}

#[test]
fn a_slow_delivery_clears_the_backoff() {
    let receiver = Receiver::builder().always(Answer::Delay(Duration::from_millis(800))).start();
    let receiver = receiver.expect("a receiver");
    let user = machine(&receiver.http_endpoint());
    assert!(user.run_frob(["build"]).status.success());
    receiver.wait_for(1, TIMEOUT).expect("it arrives after all");
    eventually("its uploader has ended", || user.uploaders().is_empty());
    assert!(!user.status().contains("next try in"), "{}", user.status());
    assert!(user.run_frob(["build"]).status.success());
    receiver.wait_for(2, TIMEOUT).expect("and so does the next one");
}

#[test]
fn a_refused_connection_writes_a_backoff() {
    let user = machine(DEAD_ENDPOINT).with_tool_setting("FROB_CI_WAIT_MS", "20000");
    assert!(user.run_frob(["build"]).status.success());
    assert!(user.status().contains("last failure: connection"), "{}", user.status());
    assert!(user.status().contains("next try in"), "{}", user.status());
}

#[test]
fn flush_works_as_a_pipeline_step() {
    let receiver = Receiver::builder().answers([Answer::status(503)]).start().expect("a receiver");
    let user = machine(&receiver.http_endpoint()).with_tool_setting("FROB_CI_WAIT_MS", "20000");
    for _ in 0..3 {
        assert!(user.run_frob(["build"]).status.success());
    }
    let waiting = user.count("pending");
    assert!(waiting >= 1, "{}", user.status());
    let flushed = user.run_frob(["telemetry", "flush"]);
    assert_eq!((flushed.status.code(), &*flushed.stdout), (Some(0), &b"No runs are pending.\n"[..]));
    assert_eq!(receiver.traces().len(), 3);

    let dead = machine(DEAD_ENDPOINT).backing_off(DEAD_ENDPOINT);
    dead.run_frob(["build"]);
    let flushed = dead.run_frob(["telemetry", "flush"]);
    assert_eq!(flushed.status.code(), Some(3));
    let stdout = String::from_utf8(flushed.stdout).expect("text");
    assert_eq!(stdout, "Some runs are still pending; `frob telemetry status` explains why.\n");
    assert_eq!(flushed.stderr, b"", "no progress bar without a terminal");
}

#[cfg(target_os = "linux")]
#[test]
fn pid_1_of_a_container_waits_no_longer_and_loses_nothing() {
    if !is_root("a process 1, in a process namespace of its own") {
        return;
    }
    let receiver = Receiver::builder().always(Answer::Hang).start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    let started = Instant::now();
    let mut command = user.command("unshare");
    let output = command.args(["-p", "-f", "--kill-child"]).arg(example("frob")).arg("build").output();
    assert!(output.expect("unshare").status.success());
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(300) && took < TIMEOUT / 3, "{took:?}");
    assert!(user.uploaders().is_empty(), "it was ended with the container");
    assert_eq!(user.count("pending"), 1);
    // A container that keeps its state waits only once.
    assert!(user.status().contains("next try in"), "{}", user.status());
}

#[test]
fn on_for_one_author_does_not_cover_another() {
    let user = TestUser::new().with("FROB_AUTHOR_ENDPOINT", "https://first.example.com");
    user.run_frob(["telemetry", "on"]);
    let other = |variable, value| {
        let mut build = user.frob_command(["build"]);
        build.env("CI", "true").env(variable, value).output().expect("the tool starts")
    };
    assert!(other("FROB_AUTHOR_ENDPOINT", "https://second.example.com").stderr.is_empty());
    assert_eq!(user.pending_runs(), Vec::<std::path::PathBuf>::new());
    other("FROB_CI_WAIT_MS", "0");
    assert_eq!(user.pending_runs().len(), 1, "the first one was chosen");
}

#[cfg(target_os = "linux")]
#[test]
fn pid_1_of_a_container_waits_for_delivery() {
    if !is_root("a process 1, in a process namespace of its own") {
        return;
    }
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    let output =
        user.command("unshare").args(["-p", "-f", "--kill-child"]).arg(example("frob")).arg("build").output();
    assert!(output.expect("unshare").status.success());
    // The kernel ended its processes with it.
    assert_eq!(receiver.traces().len(), 1);
    assert!(user.uploaders().is_empty());
}
