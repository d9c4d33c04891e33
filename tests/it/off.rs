//! Opting out while runs are written and sent.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use tool_telemetry_receiver::{Answer, Receiver};

use crate::test_user::{DEAD_ENDPOINT, TIMEOUT, TestUser, eventually};

#[test]
fn off_stops_all_writers_and_the_uploader() {
    let receiver = Receiver::start().expect("a receiver");
    receiver.answer_next([Answer::Delay(Duration::from_secs(2))]);
    let user = TestUser::sending_to(&receiver.http_endpoint());
    std::fs::write(user.home().join("held"), "").expect("a file");
    let held: Vec<_> = (0..20)
        .map(|_| {
            let mut command = user.frob_command(["build", "--hold", "held"]);
            command.stdout(Stdio::null()).spawn().expect("it starts")
        })
        .collect();
    eventually("all 20 are being written", || user.pending_runs().len() == 20);
    user.run_frob(["build"]);
    receiver.wait_until(|seen| seen.requests().len() == 1, TIMEOUT).expect("the uploader is in its request");

    let off = user.run_frob(["telemetry", "off"]);
    assert!(off.status.success());
    let printed = String::from_utf8(off.stdout).expect("text");
    assert!(printed.starts_with("Telemetry of frob is off. Deleted "), "{printed}");
    std::fs::remove_file(user.home().join("held")).expect("it is there");
    for mut run in held {
        assert!(run.wait().expect("it ends").success());
    }
    eventually("its uploader has ended", || user.uploaders().is_empty());
    user.run_frob(["build"]);

    assert_eq!((receiver.requests().len(), receiver.traces().len()), (1, 1), "{}", receiver.tree());
    assert_eq!(user.pending_runs(), [""; 0].map(std::path::PathBuf::from));
    let left: Vec<_> = user
        .files()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|kind| kind == "jsonl"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(user.count("pending"), 0);
}

/// The system calls with which the tool, or a process that it started, used the network.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn network_calls(user: &TestUser, arguments: &[&str]) -> Vec<String> {
    use crate::system_calls::Tracer;

    let traced = Tracer::of(user.frob_command(arguments)).following_children().run();
    assert!(traced.output.status.code().is_some(), "{traced:?}");
    traced.calls.iter().map(ToString::to_string).filter(|call| is_of_the_network(call)).collect()
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn is_of_the_network(call: &str) -> bool {
    call.starts_with("socket") || call.starts_with("connect") || call.starts_with("send")
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn local_commands_and_opted_out_runs_open_no_socket() {
    let on = || TestUser::sending_to(DEAD_ENDPOINT).backing_off(DEAD_ENDPOINT);
    let user = on();
    user.run_frob(["build"]);
    for command in ["status", "show", "purge", "off"] {
        assert_eq!(network_calls(&user, &["telemetry", command]), [""; 0], "{command}");
    }
    assert_eq!(network_calls(&user, &["build"]), [""; 0], "after off");
    for (name, value) in [("DO_NOT_TRACK", "1"), ("FROB_TELEMETRY", "log"), ("FROB_TELEMETRY", "off")] {
        let user = TestUser::sending_to(DEAD_ENDPOINT).with(name, value);
        assert_eq!(network_calls(&user, &["build"]), [""; 0], "{name}={value}");
    }
    // The test can see a socket.
    let user = on();
    user.run_frob(["build"]);
    assert_ne!(network_calls(&user, &["telemetry", "flush"]), [""; 0]);
}

#[test]
fn opting_out_stops_the_uploader_before_its_next_request() {
    for by_command in [true, false] {
        // The first response comes after the opt-out. A second version needs a second request.
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
