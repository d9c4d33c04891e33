//! Versions of the tool side by side, a tool that is replaced or deleted, clocks that jump, and people who change their
//! minds between a run and its sending.

use std::fs;
use std::time::{Duration, SystemTime};

use tool_telemetry_receiver::{Answer, Receiver, Value};

use crate::test_user::{TIMEOUT, TestUser, compile_shim, copy_program, eventually, example};

#[test]
fn versions_share_a_spool_and_each_run_reports_its_own() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint).backing_off(&endpoint);
    for version in ["0.9.0", "1.0.0", "10.0.100-rc.1", "0.9.0"] {
        assert!(
            user.frob_command(["build"])
                .env("FROB_VERSION", version)
                .status()
                .is_ok_and(|ended| ended.success())
        );
    }
    let runs = user.spool(&endpoint).join("runs");
    let newer = runs.join(format!("run2-{:032x}.jsonl", 7));
    fs::write(&newer, "what this version cannot know").expect("a file");
    assert!(user.flush());
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
    assert!(user.status().contains("1 runs of a newer version, left alone"), "{}", user.status());
}

#[test]
fn a_deleted_or_replaced_tool_still_delivers() {
    for replace in [false, true] {
        let receiver = Receiver::start().expect("a receiver");
        let user = TestUser::sending_to(&receiver.http_endpoint());
        let program = user.home().join("frob");
        copy_program(&example("frob"), &program);
        let held = user.home().join("held");
        fs::write(&held, "").expect("a file");
        let mut command = user.command(&program);
        let mut running = command
            .args(["build", "--hold", "held"])
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("it starts");
        eventually("it writes", || !user.pending_runs().is_empty());
        fs::remove_file(&program).expect("it is there");
        if replace {
            fs::write(&program, "#!/bin/sh\ntouch \"$HOME/wrong\"\n").expect("a script");
            let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(&program, executable).expect("a mode");
        }
        fs::remove_file(held).expect("it is there");
        assert!(running.wait().expect("it ends").success());
        receiver.wait_for(1, TIMEOUT).expect("its run arrives");
        assert!(!user.home().join("wrong").exists());
    }
}

#[test]
fn runs_too_far_in_the_past_or_future_expire() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint).backing_off(&endpoint);
    let day = Duration::from_secs(24 * 60 * 60);
    let now = SystemTime::now();
    let times = [now - 29 * day, now + 29 * day, now - 27 * day, now + 27 * day, now];
    for time in times {
        let before = user.pending_runs();
        assert!(user.run_frob(["build"]).status.success());
        let new = user.pending_runs().into_iter().find(|path| !before.contains(path)).expect("a run");
        fs::File::options().write(true).open(new).and_then(|file| file.set_modified(time)).expect("its time");
    }
    assert!(user.flush());
    assert_eq!((user.count("delivered"), user.dropped("limit_age"), user.count("pending")), (3, 2, 0));
}

#[test]
fn a_clock_set_back_changes_no_duration() {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    let shim = compile_shim(&user, "clock_goes_back.c");
    let began = SystemTime::now();
    let output = user.frob_command(["build", "--spans", "20"]).env("LD_PRELOAD", &shim).output();
    assert!(output.expect("it runs").status.success());
    user.flush();
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
fn opting_out_stops_the_uploader_before_its_next_request() {
    for by_command in [true, false] {
        // The first request is answered when the user has opted out; a second version would make a second request.
        let slow = Answer::Delay(Duration::from_secs(2));
        let receiver = Receiver::builder().answers([slow]).start().expect("a receiver");
        let endpoint = receiver.http_endpoint();
        let user = TestUser::sending_to(&endpoint).backing_off(&endpoint);
        for version in ["1.0.0", "2.0.0"] {
            let ended = user.frob_command(["build"]).env("FROB_VERSION", version).status();
            assert!(ended.is_ok_and(|ended| ended.success()));
        }
        let mut flush = user.frob_command(["telemetry", "flush"]);
        let mut flush = flush.stdout(std::process::Stdio::null()).spawn().expect("it starts");
        receiver.wait_until(|receiver| receiver.requests().len() == 1, TIMEOUT).expect("a request");
        if by_command {
            assert!(user.run_frob(["telemetry", "off"]).status.success());
            assert!(user.pending_runs().is_empty(), "deleted at once");
        } else {
            let choice = user.home().join(".config/frob/telemetry.toml");
            fs::write(choice, "telemetry = \"off\"\n").expect("a file");
        }
        flush.wait().expect("it ends");
        assert_eq!(receiver.requests().len(), 1, "by command: {by_command}");
        let kept = user.files().iter().filter(|path| path.to_string_lossy().contains("/sent/")).count();
        assert_eq!(kept, usize::from(!by_command));
    }
}

#[test]
fn an_unreadable_choice_stops_sending_and_deletes_nothing() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint).backing_off(&endpoint);
    assert!(user.run_frob(["build"]).status.success());
    let choice = user.home().join(".config/frob/telemetry.toml");
    let good = fs::read(&choice).expect("it is there");
    for bad in [&b"telemetry = \"on"[..], b"", b"\0", b"telemetry = \"on\"\nnewer = 1\n"] {
        fs::write(&choice, bad).expect("a file");
        assert!(!user.flush(), "{bad:?}");
        assert!(user.run_frob(["build"]).status.success());
        assert_eq!((user.pending_runs().len(), receiver.connections()), (1, 0), "{bad:?}");
    }
    fs::write(&choice, good).expect("a file");
    assert!(user.flush());
    assert_eq!(receiver.traces().len(), 1);
}

#[test]
fn an_opt_out_variable_affects_only_its_own_process() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint).backing_off(&endpoint);
    assert!(user.run_frob(["build"]).status.success());
    for arguments in [&["build"][..], &["telemetry", "flush"]] {
        user.frob_command(arguments).env("DO_NOT_TRACK", "1").output().expect("it starts");
        assert_eq!((user.pending_runs().len(), receiver.connections()), (1, 0));
    }
    assert!(user.flush());
    assert_eq!(receiver.traces().len(), 1);
}
