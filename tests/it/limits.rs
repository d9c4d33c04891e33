//! The limits on a run and on the spool. `tests/soak` tries five thousand runs.

use std::time::{Duration, SystemTime};

use tool_telemetry_receiver::Receiver;

use crate::test_user::{DEAD_ENDPOINT, TestUser};

#[test]
fn a_run_file_stops_at_1_mib_and_the_rest_is_counted() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint).backing_off(&endpoint);
    assert_eq!(user.run_frob(["build", "--spans", "1500"]).status.code(), Some(0));
    let largest = user.pending_runs().iter().filter_map(|path| path.metadata().ok()).map(|it| it.len()).max();
    assert!((1_000_000..=1 << 20).contains(&largest.expect("a run waits")), "{largest:?}");
    assert!(user.flush());
    let spans = receiver.spans().len() as u64 - 1;
    let status = user.status();
    let dropped = status.lines().find(|line| line.contains("spans dropped")).expect("some were dropped");
    let dropped: u64 = dropped.split_whitespace().next().expect("a number").parse().expect("a number");
    assert_eq!(spans + dropped, 3_000, "{status}");
}

#[test]
fn the_authors_limits_apply() {
    for (name, value, reason, left) in [
        ("FROB_LIMIT_RUNS", "2", "limit_runs", 2),
        ("FROB_LIMIT_BYTES", "6000", "limit_bytes", 1),
        ("FROB_LIMIT_AGE", "100", "limit_age", 0),
    ] {
        let user =
            TestUser::sending_to(DEAD_ENDPOINT).with_tool_setting(name, value).backing_off(DEAD_ENDPOINT);
        for _ in 0..5 {
            user.run_frob(["build", "--spans", "2"]);
        }
        if reason == "limit_age" {
            for path in user.pending_runs() {
                // A time in the future expires like one in the past.
                let time = SystemTime::now() + Duration::from_secs(1_000);
                std::fs::File::options()
                    .append(true)
                    .open(path)
                    .and_then(|file| file.set_modified(time))
                    .expect("it");
            }
        }
        // The uploader enforces the limits; its endpoint is dead.
        std::fs::remove_file(user.spool(DEAD_ENDPOINT).join("backoff")).expect("it is there");
        user.flush();
        let (pending, dropped) = (user.count("pending"), user.dropped(reason));
        assert!(pending <= left && pending + dropped == 5, "{name}: {}", user.status());
    }
}

#[test]
fn large_runs_enforce_the_limits_during_a_backoff() {
    let user = TestUser::sending_to(DEAD_ENDPOINT)
        .with_tool_setting("FROB_LIMIT_RUNS", "2")
        .backing_off(DEAD_ENDPOINT);
    for _ in 0..4 {
        user.run_frob(["build", "--spans", "100"]);
    }
    assert_eq!(user.count("pending"), 2);
    assert_eq!(user.dropped("limit_runs"), 2);
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn foreign_files_in_the_spool_cost_a_command_little() {
    use crate::system_calls::Tracer;

    let user = TestUser::sending_to(DEAD_ENDPOINT).backing_off(DEAD_ENDPOINT);
    user.run_frob(["build"]);
    let runs = user.spool(DEAD_ENDPOINT).join("runs");
    for number in 0..100_000 {
        std::fs::write(runs.join(format!("notes-{number}")), "").expect("it can be written");
    }
    let entries = |spans: &str| -> usize {
        let traced = Tracer::of(user.frob_command(["build", "--spans", spans])).run();
        assert_eq!(traced.output.stdout, b"working\n");
        traced.calls.iter().map(|call| call.entries).sum()
    };
    // One command in 64 enforces the limits, once, and reads a bounded number of entries.
    let most = (0..10).map(|_| entries("0")).max().expect("some runs");
    assert!(most <= 11_000, "{most} entries were read");
    // A large run enforces them at its end, and one in 64 at its beginning too.
    let read = entries("100");
    assert!((10_192..=22_000).contains(&read), "{read} entries were read");
}
