//! `off` and `purge` delete all runs and nothing else, work on a full disk, and name the files that they cannot
//! delete.

use std::fs;
#[cfg(unix)]
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
#[cfg(unix)]
use std::process::Command;
use std::process::{Output, Stdio};
#[cfg(unix)]
use std::time::{Duration, Instant};

use tool_telemetry_receiver::Receiver;

use crate::test_user::{DEAD_ENDPOINT, TestUser, eventually};
#[cfg(target_os = "linux")]
use crate::test_user::{OTHER_UID, is_root};

const WORDS: [&str; 2] = ["off", "purge"];

fn state_directory(user: &TestUser) -> PathBuf {
    user.home().join(".local/state/frob")
}

/// The files below a directory that hold spans.
fn files_with_spans(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            found.extend(files_with_spans(&entry.path()));
        } else if kind.is_file() {
            let bytes = fs::read(entry.path()).expect("a file");
            found.extend(bytes.windows(13).any(|part| part == b"resourceSpans").then(|| entry.path()));
        }
    }
    found
}

/// A user with a sent run, a run whose outcome is not counted yet, and a pending run.
fn user() -> (Receiver, TestUser, PathBuf) {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint);
    user.run_frob(["build"]);
    assert!(user.flush());
    eventually("no uploader lingers", || user.uploaders().is_empty());
    let user = user.backing_off(&endpoint);
    user.run_frob(["build"]);
    user.run_frob(["build"]);
    let spool = user.spool(&endpoint);
    let run = user.pending_runs().remove(0);
    let outcome = run.with_extension("refused").file_name().expect("a name").to_owned();
    fs::rename(run, spool.join("outcomes").join(outcome)).expect("a rename");
    (receiver, user, spool)
}

fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn off_and_purge_delete_every_run() {
    for word in WORDS {
        let (_receiver, user, spool) = user();
        let run = fs::read(user.pending_runs().remove(0)).expect("a run");
        let telemetry = spool.parent().expect("a directory");
        let strange = [
            "runs/run1-00000000000000000000000000000001-r3-d5.jsonl",
            "runs/run1-0000000000000000000000000000000A.jsonl",
            "runs/run2-00000000000000000000000000000002.jsonl",
            "runs/run1-00000000000000000000000000000003.open",
            "runs/copy of a run",
            "runs/older/run1-00000000000000000000000000000004.jsonl",
            "sent/run1-00000000000000000000000000000005-d+1.jsonl",
            "outcomes/run1-00000000000000000000000000000006.lost_to_the_sea",
            "rewritten.00000000000000ff.tmp",
            "counters.damaged",
            "../maker/runs/run1-00000000000000000000000000000007.jsonl",
            "../an older destination/sent/run1-00000000000000000000000000000008.jsonl",
            "../run1-00000000000000000000000000000009.jsonl",
        ];
        for name in strange {
            fs::create_dir_all(spool.join(name).parent().expect("a directory")).expect("directories");
            fs::write(spool.join(name), &run).expect("a file");
        }
        #[cfg(unix)]
        let odd = std::os::unix::ffi::OsStringExt::from_vec(b"not \xff text".to_vec());
        #[cfg(not(unix))]
        let odd = "not a run".into();
        let odd: std::ffi::OsString = odd;
        fs::write(telemetry.join(odd), &run).expect("a file");
        assert!(files_with_spans(&state_directory(&user)).len() >= strange.len());
        let output = user.run_frob(["telemetry", word]);
        assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
        assert_eq!(files_with_spans(&state_directory(&user)), [""; 0].map(PathBuf::from), "{word}");
        assert_eq!((user.count("pending"), user.dropped("refused")), (0, 1), "{}", user.status());
    }
}

#[test]
fn open_runs_are_deleted_and_counted_once() {
    for (word, reason) in [("off", "opted_out"), ("purge", "purged")] {
        let user = TestUser::sending_to(DEAD_ENDPOINT).backing_off(DEAD_ENDPOINT);
        fs::write(user.home().join("held"), "").expect("a file");
        let mut running =
            user.frob_command(["build", "--hold", "held"]).stdout(Stdio::null()).spawn().expect("it starts");
        eventually("it writes", || !files_with_spans(&state_directory(&user)).is_empty());
        assert!(user.run_frob(["telemetry", word]).status.success());
        assert!(files_with_spans(&state_directory(&user)).is_empty(), "{word}");
        fs::remove_file(user.home().join("held")).expect("it is there");
        assert!(running.wait().expect("it ends").success());
        assert!(files_with_spans(&state_directory(&user)).is_empty(), "{word}");
        assert_eq!((user.dropped(reason), user.count("pending")), (1, 0), "{}", user.status());
    }
}

#[cfg(unix)]
#[test]
fn links_are_not_followed_and_fifos_do_not_block() {
    for word in WORDS {
        let (_receiver, user, spool) = user();
        let outside = user.home().join("mine");
        fs::create_dir(&outside).expect("a directory");
        let mine = outside.join("run1-00000000000000000000000000000001.jsonl");
        fs::write(&mine, "precious").expect("a file");
        let runs = spool.join("runs");
        symlink(&mine, runs.join("run1-00000000000000000000000000000001.jsonl")).expect("a link");
        symlink(&outside, runs.join("older")).expect("a link");
        symlink(&outside, spool.with_file_name("another destination")).expect("a link");
        fs::hard_link(&mine, runs.join("run1-00000000000000000000000000000002.jsonl")).expect("a link");
        fs::hard_link(&mine, spool.join("outcomes/run1-00000000000000000000000000000003.refused"))
            .expect("a link");
        for fifo in [
            "runs/run1-00000000000000000000000000000004.jsonl",
            "sent/pipe",
            "outcomes/run1-00000000000000000000000000000005.refused",
        ] {
            assert!(Command::new("mkfifo").arg(spool.join(fifo)).status().expect("mkfifo").success());
        }
        let started = Instant::now();
        let output = user.run_frob(["telemetry", word]);
        assert!(started.elapsed() < Duration::from_secs(10), "{word}");
        assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
        assert_eq!(fs::read(&mine).expect("it is there"), b"precious", "{word}");
        assert!(files_with_spans(&state_directory(&user)).is_empty(), "{word}");

        // A directory that is a link is named.
        fs::remove_dir_all(&runs).expect("a directory");
        symlink(&outside, &runs).expect("a link");
        let output = user.run_frob(["telemetry", word]);
        assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
        assert!(printed(&output).contains(runs.to_str().expect("text")), "{}", printed(&output));
        assert_eq!(fs::read(&mine).expect("it is there"), b"precious", "{word}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn undeletable_files_are_named_and_the_command_fails() {
    if !is_root("runs that belong to another user") {
        return;
    }
    for word in WORDS {
        let user = TestUser::sending_to(DEAD_ENDPOINT).backing_off(DEAD_ENDPOINT);
        user.run_frob(["build"]);
        let run = user.pending_runs().remove(0);
        let runs = run.parent().expect("a directory").to_owned();
        user.chown_home(OTHER_UID);
        let user = user.unprivileged();
        fs::set_permissions(&runs, fs::Permissions::from_mode(0o500)).expect("the tests run as root");
        let output = user.run_frob(["telemetry", word]);
        assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
        assert!(printed(&output).contains(run.to_str().expect("text")), "{}", printed(&output));
        assert_eq!(user.status().contains("is off"), word == "off", "{}", user.status());
    }
}

/// A home directory on a file system of its own, which is unmounted at the end.
#[cfg(target_os = "linux")]
struct Disk(PathBuf);

#[cfg(target_os = "linux")]
impl Disk {
    fn small(home: &Path) -> Self {
        let mount = ["-t", "tmpfs", "-o", "size=256k", "tmpfs"];
        assert!(Command::new("mount").args(mount).arg(home).status().expect("mount").success());
        Self(home.to_owned())
    }

    fn fill(&self) {
        let _ = fs::write(self.0.join("full"), vec![0; 1 << 20]);
    }
}

#[cfg(target_os = "linux")]
impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn off_works_on_a_full_disk() {
    if !is_root("a small disk of its own") {
        return;
    }
    for is_pending in [true, false] {
        let user = TestUser::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", DEAD_ENDPOINT);
        let disk = Disk::small(user.home());
        assert!(user.run_frob(["telemetry", "on"]).status.success());
        let user = user.backing_off(DEAD_ENDPOINT);
        if is_pending {
            user.run_frob(["build"]);
            assert_eq!(user.pending_runs().len(), 1);
        }
        disk.fill();
        assert!(fs::write(user.home().join("more"), "more").is_err());
        let output = user.run_frob(["telemetry", "off"]);
        assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
        assert!(files_with_spans(&state_directory(&user)).is_empty());
        assert!(user.status().contains("is off"), "{}", user.status());
        user.run_frob(["build"]);
        assert!(user.pending_runs().is_empty());
    }
}
