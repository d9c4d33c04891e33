//! Several versions of a tool share a spool, and a tool may be replaced or deleted while it runs.

use std::fs;
use std::path::Path;

use tool_telemetry_receiver::{Receiver, Span, Value};

use crate::test_user::TestUser;
#[cfg(unix)]
use crate::test_user::{TIMEOUT, copy_program, eventually, example};

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

/// Writes the hash of another `telemetry.toml` into the file of a pending run, as a build with that file would have.
fn record_under(run: &Path, hash: &str) {
    let text = fs::read_to_string(run).expect("a run");
    let key = r#"{"key":"tool_telemetry.data_points","value":{"stringValue":""#;
    let mut parts = text.split(key);
    let mut changed = parts.next().expect("text").to_owned();
    for part in parts {
        changed.extend([key, hash, &part[32..]]);
    }
    assert_ne!(changed, text);
    fs::write(run, changed).expect("a run");
}

#[test]
fn each_request_has_the_runs_of_one_telemetry_toml() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint).backing_off(&endpoint);
    for _ in 0..6 {
        assert!(user.run_frob(["build"]).status.success());
    }
    let others = ["11".repeat(16), "22".repeat(16)];
    for (run, hash) in user.pending_runs().iter().zip(others.iter().cycle()).take(4) {
        record_under(run, hash);
    }
    assert!(user.flush());
    let traces = receiver.traces();
    assert_eq!((traces.len(), receiver.requests().len()), (6, 3));
    let hash = |span: &Span| match span.resource_attribute("tool_telemetry.data_points") {
        Some(Value::String(hash)) => hash.clone(),
        other => panic!("{other:?}"),
    };
    let mut hashes: Vec<_> = traces.iter().map(|trace| hash(trace.root())).collect();
    hashes.sort();
    assert_eq!([&hashes[..2], &hashes[2..4]], [[&*others[0]; 2], [&*others[1]; 2]]);
    for request in receiver.requests() {
        let mut hashes: Vec<_> = request.spans().iter().map(hash).collect();
        hashes.dedup();
        assert_eq!(hashes.len(), 1, "{hashes:?}");
    }
}

#[test]
fn a_run_without_a_hash_is_sent_without_one() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint).backing_off(&endpoint);
    assert!(user.run_frob(["build"]).status.success());
    let run = &user.pending_runs()[0];
    let text = fs::read_to_string(run).expect("a run");
    let attribute = r#",{"key":"tool_telemetry.data_points","value":{"stringValue":""#;
    let (before, rest) = text.split_once(attribute).expect("a hash");
    let old = text.replace(&[attribute, &rest[..32], r#""}}"#].concat(), "");
    assert!(old.len() < text.len() && old.starts_with(before));
    fs::write(run, old).expect("a run");
    assert!(user.flush());
    let traces = receiver.traces();
    assert_eq!(traces[0].root().resource_attribute("tool_telemetry.data_points"), None);
    assert_eq!(traces[0].root().resource_attributes().len(), 7);
    assert_eq!(user.count("dropped"), 0);
}

#[cfg(unix)]
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
