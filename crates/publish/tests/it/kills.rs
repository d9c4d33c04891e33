//! A ledger is whole wherever the program is killed: nothing that was visible changes, and every period is there once.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use crate::fixture::*;

/// The calls that change files. Between two of them nothing durable happens.
const CALLS: [&str; 6] = ["openat", "write", "fsync", "rename", "unlink", "mkdir"];

/// Runs a command that a tracer kills at one call. Returns whether it was killed.
fn killed_at(command: &Command, call: &str, number: u32) -> bool {
    let mut tracer = Command::new("strace");
    tracer.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    tracer.args(["-e", &format!("inject={call}:signal=KILL:when={number}")]);
    let status = tracer.arg(command.get_program()).args(command.get_args()).output().unwrap().status;
    status.signal() == Some(9) || status.code() == Some(137)
}

/// The files of a ledger that others can see, and what waits to be named.
fn visible(publisher: &Publisher) -> Vec<(String, Vec<u8>)> {
    let all =
        ["ledger", "ledger-site"].map(|name| publisher.path(name)).into_iter().filter(|path| path.is_dir());
    let files = all.flat_map(|path| files(&path));
    files
        .map(|(name, bytes)| (name.trim_start_matches("ledger/").to_owned(), bytes))
        .filter(|(name, _)| name.starts_with("0000") && name.ends_with(".json"))
        .collect()
}

#[test]
fn a_kill_at_any_write_never_draws_again_and_loses_no_period() {
    let tracer = Command::new("strace").arg("-V").output();
    assert!(tracer.is_ok(), "install strace: this test kills the program at each of its system calls");
    let publisher = Publisher::with_weeks(&["2026-W27", "2026-W28"]);
    let reset = || {
        for name in ["ledger", "ledger-site"] {
            let _ = std::fs::remove_dir_all(publisher.path(name));
        }
    };
    let mut kills = 0;
    for call in CALLS {
        for number in 1.. {
            reset();
            let command = publisher.command("ledger", "2026-08-10", &["--first", "2026-06-29"]);
            if !killed_at(&command, call, number) {
                break;
            }
            kills += 1;
            let seen = visible(&publisher);
            // What is written and not yet named counts as drawn.
            let ledger = publisher.path("ledger");
            let is_drawn = ledger.is_dir() && files(&ledger).iter().any(|(_, bytes)| bytes.ends_with(b"\n"));
            let first: &[&str] = if is_drawn { &[] } else { &["--first", "2026-06-29"] };
            succeeded(&publisher.publish("ledger", "2026-08-10", first));
            let after = visible(&publisher);
            for file in seen {
                assert!(after.contains(&file), "{call} {number}: {} changed", file.0);
            }
            let starts: Vec<String> =
                releases(&publisher.path("ledger")).into_iter().map(|release| release.start).collect();
            assert_eq!(starts, ["2026-06-29", "2026-07-06"], "{call} {number}");
            assert!(
                program().arg("verify").arg(publisher.path("ledger-site")).output().unwrap().status.success()
            );
        }
    }
    assert!(kills > 100, "killed {kills} times");
}
