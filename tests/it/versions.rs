//! Several versions of a tool share a spool, and a tool may be replaced or deleted while it runs.

use std::fs;

use tool_telemetry_receiver::{Receiver, Value};

use crate::test_user::{TIMEOUT, TestUser, copy_program, eventually, example};

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
