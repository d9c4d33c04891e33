//! How much may wait, and how large a run may be. Five thousand runs at once are `tests/soak`'s.

use std::time::{Duration, SystemTime};

use tool_telemetry_receiver::Receiver;

use crate::person::{NOBODY, Person};

#[test]
fn a_run_file_stops_at_a_mebibyte_and_the_rest_is_counted() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let person = Person::sending_to(&endpoint).backing_off(&endpoint);
    assert_eq!(person.frob(["build", "--spans", "1500"]).status.code(), Some(0));
    let largest = person.waiting().iter().filter_map(|path| path.metadata().ok()).map(|it| it.len()).max();
    assert!((1_000_000..=1 << 20).contains(&largest.expect("a run waits")), "{largest:?}");
    assert!(person.flush());
    let spans = receiver.spans().len() as u64 - 1;
    let status = person.status();
    let dropped = status.lines().find(|line| line.contains("spans dropped")).expect("some were dropped");
    let dropped: u64 = dropped.split_whitespace().next().expect("a number").parse().expect("a number");
    assert_eq!(spans + dropped, 3_000, "{status}");
}

#[test]
fn the_limits_are_those_that_the_author_set() {
    for (name, value, reason, left) in [
        ("FROB_LIMIT_RUNS", "2", "limit_runs", 2),
        ("FROB_LIMIT_BYTES", "6000", "limit_bytes", 1),
        ("FROB_LIMIT_AGE", "100", "limit_age", 0),
    ] {
        let person = Person::sending_to(NOBODY).whose_tool_has(name, value).backing_off(NOBODY);
        for _ in 0..5 {
            person.frob(["build", "--spans", "2"]);
        }
        if reason == "limit_age" {
            for path in person.waiting() {
                // As far ahead is as old as as far back.
                let time = SystemTime::now() + Duration::from_secs(1_000);
                std::fs::File::options()
                    .append(true)
                    .open(path)
                    .and_then(|file| file.set_modified(time))
                    .expect("it");
            }
        }
        // Whoever holds the lock enforces them; it does not get through.
        std::fs::remove_file(person.spool(NOBODY).join("backoff")).expect("it is there");
        person.flush();
        let (pending, dropped) = (person.count("pending"), person.dropped(reason));
        assert!(pending <= left && pending + dropped == 5, "{name}: {}", person.status());
    }
}

#[test]
fn a_writer_of_more_than_64_kib_looks_at_the_limits_while_backing_off() {
    let person = Person::sending_to(NOBODY).whose_tool_has("FROB_LIMIT_RUNS", "2").backing_off(NOBODY);
    for _ in 0..4 {
        person.frob(["build", "--spans", "100"]);
    }
    assert_eq!(person.count("pending"), 2);
    assert_eq!(person.dropped("limit_runs"), 2);
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn a_folder_full_of_strange_files_costs_a_command_nothing() {
    use crate::system_calls::Tracer;

    let person = Person::sending_to(NOBODY).backing_off(NOBODY);
    person.frob(["build"]);
    let runs = person.spool(NOBODY).join("runs");
    for number in 0..100_000 {
        std::fs::write(runs.join(format!("notes-{number}")), "").expect("it can be written");
    }
    let entries = |spans: &str| -> usize {
        let traced = Tracer::of(person.frob_command(["build", "--spans", spans])).run();
        assert_eq!(traced.output.stdout, b"working\n");
        traced.calls.iter().map(|call| call.entries).sum()
    };
    // One in 64 looks at the limits, once, and at a number of files that is bounded.
    let most = (0..10).map(|_| entries("0")).max().expect("some runs");
    assert!(most <= 11_000, "{most} entries were read");
    // A large run looks at its end, and one in 64 of them at their beginning too.
    let read = entries("100");
    assert!((10_192..=22_000).contains(&read), "{read} entries were read");
}
