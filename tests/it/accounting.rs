//! recorded = delivered + pending + dropped, where the test counts what it started itself.

use tool_telemetry_receiver::{Answer, Receiver};

use crate::person::{NOBODY, Person};

/// The right side.
fn told(person: &Person) -> u64 {
    person.count("pending") + person.count("delivered") + person.count("dropped")
}

#[test]
fn the_accounts_add_up_after_every_outcome() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let person = Person::sending_to(&endpoint);
    let mut recorded = 0;
    let run = |recorded: &mut u64, end: &str| {
        person.frob(["build", "--end", end]);
        *recorded += 1;
    };

    run(&mut recorded, "return=0");
    run(&mut recorded, "abort");
    assert!(person.flush());
    assert_eq!((person.count("delivered"), told(&person)), (2, recorded));

    // Refused for ever.
    receiver.answer_next([Answer::status(400)]);
    run(&mut recorded, "return=0");
    assert!(person.flush());
    assert_eq!((person.dropped("refused"), told(&person)), (1, recorded));

    // Accepted in part: delivered, and the rejected spans have a counter of their own.
    receiver.answer_next([Answer::partial_success(2, "too many")]);
    run(&mut recorded, "return=0");
    assert!(person.flush());
    assert_eq!((person.count("delivered"), told(&person)), (3, recorded));
    assert!(person.status().contains("2 spans rejected by the receiver"), "{}", person.status());

    // A server that is busy: nothing is lost.
    receiver.answer_next([Answer::status(503).with_retry_after("1")]);
    run(&mut recorded, "return=0");
    person.flush();
    assert_eq!((person.count("pending"), told(&person)), (1, recorded));

    // Deleted by the person, sealed and not.
    run(&mut recorded, "signal=KILL");
    person.frob(["telemetry", "purge"]);
    assert_eq!((person.dropped("purged"), told(&person)), (2, recorded));

    // Off and on again.
    run(&mut recorded, "return=0");
    person.frob(["telemetry", "off"]);
    person.frob(["build"]);
    person.frob(["telemetry", "on"]);
    assert_eq!((person.dropped("opted_out"), told(&person)), (1, recorded));
}

#[test]
fn a_run_that_no_one_can_read_any_more_is_counted() {
    let receiver = Receiver::start().expect("a receiver");
    let person = Person::sending_to(&receiver.http_endpoint());
    receiver.answer_next([Answer::status(503).with_retry_after("1")]);
    for end in ["return=0", "signal=KILL"] {
        person.frob(["build", "--end", end]);
    }
    crate::person::eventually("the uploader was refused", || person.status().contains("http 503"));
    for path in person.waiting() {
        std::fs::write(path, "<html>\n").expect("it is there");
    }
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    assert!(person.flush());
    assert_eq!((person.dropped("damaged"), told(&person)), (2, 2));
    assert!(receiver.traces().is_empty());
}

#[test]
fn damaged_counters_are_told_and_never_taken_for_zeros() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let person = Person::sending_to(&endpoint);
    person.frob(["build"]);
    assert!(person.flush());
    let counters = person.spool(&endpoint).join("counters");
    let whole = std::fs::read(&counters).expect("there are counters");
    std::fs::write(&counters, &whole[..whole.len() / 2]).expect("they can be written");
    assert!(person.status().contains("was damaged: counting began again"), "{}", person.status());
    person.frob(["build"]);
    assert!(person.flush());
    assert!(person.status().contains("was damaged: counting began again"), "{}", person.status());
    assert_eq!(person.count("delivered"), 1);
    let kept = std::fs::read(person.spool(&endpoint).join("counters.damaged")).expect("they are kept");
    assert_eq!(kept, &whole[..whole.len() / 2]);
}

#[test]
fn a_file_of_the_state_that_is_cut_or_changed_does_no_harm() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let person = Person::sending_to(&endpoint);
    person.frob(["build", "--spans", "1"]);
    assert!(person.flush());
    let spool = person.spool(&endpoint);
    std::fs::write(spool.join("backoff"), "until=1000 failures=2 asked=no\n").expect("it can be written");
    let run =
        std::fs::read_dir(spool.join("sent")).expect("a folder").flatten().next().expect("a run").path();
    let waiting = spool.join("runs").join(run.file_name().expect("a name"));
    std::fs::copy(&run, &waiting).expect("it can be written");
    let choice = person.home().join(".config/frob/telemetry.toml");
    let files = [spool.join("counters"), spool.join("backoff"), choice, waiting];
    let files = files.map(|file| (std::fs::read(&file).expect("it is there"), file));
    for (whole, file) in files {
        let step = whole.len() / 4 + 1;
        for position in (0..whole.len()).step_by(step) {
            let mut changed = whole.clone();
            changed[position] ^= 0x55;
            for content in [&whole[..position], &changed[..]] {
                std::fs::write(&file, content).expect("it can be written");
                let output = person.frob(["build"]);
                assert_eq!(
                    (output.status.code(), &output.stdout[..]),
                    (Some(0), &b"working\n"[..]),
                    "{file:?}"
                );
                // A choice that no longer says which receiver was agreed to is one without its notice.
                let said = String::from_utf8_lossy(&output.stderr);
                let is_notice =
                    file.ends_with("telemetry.toml") && said.starts_with("frob reports how it is");
                assert!(said.is_empty() || is_notice, "{file:?} {position}: {output:?}");
                let status = person.frob(["telemetry", "status"]);
                assert!(status.status.success(), "{file:?} {position}");
                let _ = person.flush();
            }
        }
        std::fs::write(&file, &whole).expect("it can be written");
    }
    assert!(receiver.outside_contract().is_empty());
    assert_eq!(receiver.rejected(), 0);
}

#[test]
fn the_status_of_a_spool_that_never_was_is_empty() {
    let person = Person::sending_to(NOBODY);
    assert_eq!(told(&person), 0);
}

#[test]
fn off_said_between_two_requests_stops_the_second() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let person = Person::sending_to(&endpoint).backing_off(&endpoint);
    // Runs of two versions go in two requests.
    for version in ["1.0.0", "2.0.0"] {
        person.frob_command(["build"]).env("FROB_VERSION", version).output().expect("it starts");
    }
    // A variable keeps its own process from recording, and nothing else.
    person.frob_command(["build"]).env("DO_NOT_TRACK", "1").output().expect("it starts");
    assert_eq!(person.count("pending"), 2);
    std::fs::remove_file(person.spool(&endpoint).join("backoff")).expect("it is there");
    receiver.answer_next([Answer::Delay(std::time::Duration::from_millis(500))]);
    let mut uploader = person.uploader(crate::person::example("frob"), &endpoint, "awaited");
    let mut uploader = uploader.arg("__upload-telemetry").spawn().expect("it starts");
    crate::person::eventually("the first request is there", || receiver.peak_requests() == 1);
    person.frob(["telemetry", "off"]);
    assert!(person.waiting().is_empty());
    uploader.wait().expect("it ends");
    assert_eq!(receiver.requests().len(), 1);
    assert_eq!((person.dropped("opted_out"), told(&person)), (2, 2));
}
