//! What was answered is there once, wherever the server is killed. A kill shows nothing of fsync: `power_cut` does.

use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use crate::program::*;

/// Sends runs from several senders until the server is killed, then sends what was not answered again.
#[test]
fn a_server_killed_at_any_time_loses_and_doubles_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let next = AtomicU32::new(0);
    let unanswered = Mutex::new(Vec::new());
    let rounds = std::env::var("COLLECT_KILLS").map_or(12, |rounds| rounds.parse().unwrap());
    for round in 0..rounds {
        let mut server = Server::start(directory.path());
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !is_over.load(SeqCst) {
                        let again: Vec<u32> = std::mem::take(&mut *unanswered.lock().unwrap());
                        let first = next.fetch_add(10, SeqCst);
                        let runs: Vec<u32> = again.into_iter().chain(first..first + 10).collect();
                        if !server.send(&runs) {
                            unanswered.lock().unwrap().extend(runs);
                            std::thread::sleep(Duration::from_millis(5));
                        }
                    }
                });
            }
            // A different moment in each round, without a clock that decides anything.
            while next.load(SeqCst) < (round + 1) * 200 + round % 7 {
                std::thread::sleep(Duration::from_millis(1));
            }
            let process = rustix::process::Pid::from_raw(server.id() as i32).unwrap();
            rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
            is_over.store(true, SeqCst);
        });
        server.kill();
    }
    let server = Server::start(directory.path());
    let rest = unanswered.into_inner().unwrap();
    assert!(rest.is_empty() || server.send(&rest));
    // Everything again: a sender that got no answer cannot know.
    let all: Vec<u32> = (0..next.load(SeqCst)).collect();
    assert!(all.chunks(4_000).all(|runs| server.send(runs)));
    assert_eq!(server.end().0, Some(0));
    assert_eq!(exported(directory.path()), ids(all));
}

/// Each call that writes, syncs, or answers is the last of a server: strace kills it there.
#[test]
fn a_server_killed_at_each_system_call_loses_and_doubles_nothing() {
    assert!(Command::new("strace").arg("-V").output().is_ok(), "this test needs strace");
    let directory = tempfile::tempdir().unwrap();
    let mut answered = Vec::new();
    let mut number = 0;
    for call in ["pwrite64", "fsync", "fdatasync", "ftruncate", "sendto", "writev", "unlink", "futex"] {
        let mut nth = 1;
        // From a server that does not start to one that is not killed. A few of the many in between will do.
        while nth < 200 {
            let mut traced = Command::new("strace");
            let inject = format!("inject={call}:signal=SIGKILL:when={nth}");
            traced.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject]);
            let server = collect(directory.path());
            traced.arg(server.get_program()).args(server.get_args());
            nth += 1 + nth / 4;
            let Some(mut server) = Server::try_spawn(&mut traced) else { continue };
            let before = answered.len();
            for _ in 0..4 {
                number += 1;
                if server.send(&[number]) {
                    answered.push(number);
                }
            }
            server.kill_traced();
            if answered.len() == before + 4 {
                break;
            }
        }
    }
    let there = |store| exported(store);
    let kept = there(directory.path());
    let mut once = kept.clone();
    once.dedup();
    assert_eq!(kept, once, "a run is there twice");
    assert!(ids(answered.clone()).iter().all(|id| kept.contains(id)), "a run that was answered is gone");
    assert!(answered.len() > 30 && (answered.len() as u32) < number, "{} of {number}", answered.len());
    let server = Server::start(directory.path());
    assert!(server.send(&(1..=number).collect::<Vec<_>>()));
    drop(server);
    assert_eq!(there(directory.path()), ids(1..=number));
}
