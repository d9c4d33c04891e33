//! Versions of the tool side by side, a tool that is replaced or deleted, clocks that jump, and people who change their
//! minds between a run and its sending.

use std::fs;
use std::time::{Duration, SystemTime};

use tool_telemetry_receiver::{Answer, Receiver, Value};

use crate::person::{PATIENCE, Person, copy_program, eventually, example, shim};

#[test]
fn an_older_and_a_newer_version_share_the_spool_and_each_run_tells_its_own() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let person = Person::sending_to(&endpoint).backing_off(&endpoint);
    for version in ["0.9.0", "1.0.0", "10.0.100-rc.1", "0.9.0"] {
        assert!(
            person
                .frob_command(["build"])
                .env("FROB_VERSION", version)
                .status()
                .is_ok_and(|ended| ended.success())
        );
    }
    let runs = person.spool(&endpoint).join("runs");
    let newer = runs.join(format!("run2-{:032x}.jsonl", 7));
    fs::write(&newer, "what this version cannot know").expect("a file");
    assert!(person.flush());
    let mut versions: Vec<_> = receiver
        .traces()
        .iter()
        .map(|trace| match trace.root().resource_attribute("service.version") {
            Some(Value::String(version)) => version.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    versions.sort();
    assert_eq!(versions, ["0.9.0", "0.9.0", "1.0.0", "10.0.100-rc.1"]);
    assert_eq!(fs::read_to_string(newer).expect("left alone"), "what this version cannot know");
    assert!(person.status().contains("1 runs of a newer version, left alone"), "{}", person.status());
}

#[test]
fn a_tool_that_was_deleted_or_replaced_while_it_ran_still_delivers_and_nothing_else_is_run() {
    for replace in [false, true] {
        let receiver = Receiver::start().expect("a receiver");
        let person = Person::sending_to(&receiver.http_endpoint());
        let program = person.home().join("frob");
        copy_program(&example("frob"), &program);
        let held = person.home().join("held");
        fs::write(&held, "").expect("a file");
        let mut command = person.command(&program);
        let mut running = command
            .args(["build", "--hold", "held"])
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("it starts");
        eventually("it writes", || !person.waiting().is_empty());
        fs::remove_file(&program).expect("it is there");
        if replace {
            fs::write(&program, "#!/bin/sh\ntouch \"$HOME/wrong\"\n").expect("a script");
            let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(&program, executable).expect("a mode");
        }
        fs::remove_file(held).expect("it is there");
        assert!(running.wait().expect("it ends").success());
        receiver.wait_for(1, PATIENCE).expect("its run arrives");
        assert!(!person.home().join("wrong").exists());
    }
}

#[test]
fn a_run_from_the_far_future_is_as_old_as_one_from_the_far_past() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let person = Person::sending_to(&endpoint).backing_off(&endpoint);
    let day = Duration::from_secs(24 * 60 * 60);
    let now = SystemTime::now();
    let times = [now - 29 * day, now + 29 * day, now - 27 * day, now + 27 * day, now];
    for time in times {
        let before = person.waiting();
        assert!(person.frob(["build"]).status.success());
        let new = person.waiting().into_iter().find(|path| !before.contains(path)).expect("a run");
        fs::File::options().write(true).open(new).and_then(|file| file.set_modified(time)).expect("its time");
    }
    assert!(person.flush());
    assert_eq!((person.count("delivered"), person.dropped("limit_age"), person.count("pending")), (3, 2, 0));
}

#[test]
fn a_clock_that_is_set_back_while_spans_are_open_changes_no_duration() {
    let receiver = Receiver::start().expect("a receiver");
    let person = Person::sending_to(&receiver.http_endpoint());
    let shim = shim(&person, "clock_goes_back.c");
    let began = SystemTime::now();
    let output = person.frob_command(["build", "--spans", "20"]).env("LD_PRELOAD", &shim).output();
    assert!(output.expect("it runs").status.success());
    person.flush();
    let spans = receiver.spans();
    assert_eq!(spans.len(), 41);
    let nanoseconds =
        |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    let (earliest, latest) = (nanoseconds(began), nanoseconds(SystemTime::now()));
    for span in &spans {
        let (start, end) = (span.start_unix_nano(), span.end_unix_nano());
        assert!(earliest <= start && start <= end && end <= latest, "{start} to {end}");
    }
}

#[test]
fn who_opts_out_while_an_uploader_works_stops_it_before_its_next_request() {
    for by_command in [true, false] {
        // The first request is answered when the person has opted out; a second version would make a second request.
        let slow = Answer::Delay(Duration::from_secs(2));
        let receiver = Receiver::builder().answers([slow]).start().expect("a receiver");
        let endpoint = receiver.http_endpoint();
        let person = Person::sending_to(&endpoint).backing_off(&endpoint);
        for version in ["1.0.0", "2.0.0"] {
            let ended = person.frob_command(["build"]).env("FROB_VERSION", version).status();
            assert!(ended.is_ok_and(|ended| ended.success()));
        }
        let mut flush = person.frob_command(["telemetry", "flush"]);
        let mut flush = flush.stdout(std::process::Stdio::null()).spawn().expect("it starts");
        receiver.wait_until(|receiver| receiver.requests().len() == 1, PATIENCE).expect("a request");
        if by_command {
            assert!(person.frob(["telemetry", "off"]).status.success());
            assert!(person.waiting().is_empty(), "deleted at once");
        } else {
            let choice = person.home().join(".config/frob/telemetry.toml");
            fs::write(choice, "telemetry = \"off\"\n").expect("a file");
        }
        flush.wait().expect("it ends");
        assert_eq!(receiver.requests().len(), 1, "by command: {by_command}");
        let kept = person.files().iter().filter(|path| path.to_string_lossy().contains("/sent/")).count();
        assert_eq!(kept, usize::from(!by_command));
    }
}

#[test]
fn a_choice_that_cannot_be_read_stops_the_sending_and_deletes_nothing() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let person = Person::sending_to(&endpoint).backing_off(&endpoint);
    assert!(person.frob(["build"]).status.success());
    let choice = person.home().join(".config/frob/telemetry.toml");
    let good = fs::read(&choice).expect("it is there");
    for bad in [&b"telemetry = \"on"[..], b"", b"\0", b"telemetry = \"on\"\nnewer = 1\n"] {
        fs::write(&choice, bad).expect("a file");
        assert!(!person.flush(), "{bad:?}");
        assert!(person.frob(["build"]).status.success());
        assert_eq!((person.waiting().len(), receiver.connections()), (1, 0), "{bad:?}");
    }
    fs::write(&choice, good).expect("a file");
    assert!(person.flush());
    assert_eq!(receiver.traces().len(), 1);
}

#[test]
fn a_variable_keeps_only_its_own_process_from_recording_and_sending() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let person = Person::sending_to(&endpoint).backing_off(&endpoint);
    assert!(person.frob(["build"]).status.success());
    for arguments in [&["build"][..], &["telemetry", "flush"]] {
        person.frob_command(arguments).env("DO_NOT_TRACK", "1").output().expect("it starts");
        assert_eq!((person.waiting().len(), receiver.connections()), (1, 0));
    }
    assert!(person.flush());
    assert_eq!(receiver.traces().len(), 1);
}
