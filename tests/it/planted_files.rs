//! Files that another program planted in the tool's directories are not followed, read, waited for, or sent.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use tool_telemetry_receiver::Receiver;

use crate::test_user::{DEAD_ENDPOINT, OTHER_UID, TestUser, is_root};
use crate::unusable_home::{SOON, assert_unnoticed, listing, make_directory, state_directory};

#[test]
fn unsafe_state_directories_are_not_used() {
    type PlantFile = fn(&TestUser);
    let plants: [(&str, PlantFile); 7] = [
        ("the tool's directory is a link", |user| {
            make_directory(&user.home().join("target"), 0o700);
            make_directory(state_directory(user).parent().expect("a parent directory"), 0o700);
            symlink(user.home().join("target"), state_directory(user)).expect("a link");
        }),
        ("ours is a link", |user| {
            make_directory(&user.home().join("target"), 0o700);
            make_directory(&state_directory(user), 0o700);
            symlink(user.home().join("target"), state_directory(user).join("telemetry")).expect("a link");
        }),
        ("ours is a link to nowhere", |user| {
            make_directory(&state_directory(user), 0o700);
            symlink(user.home().join("target"), state_directory(user).join("telemetry")).expect("a link");
        }),
        ("the tool's directory is a file", |user| {
            make_directory(state_directory(user).parent().expect("a parent directory"), 0o700);
            fs::write(state_directory(user), "mine").expect("a file");
        }),
        ("ours is a file", |user| {
            make_directory(&state_directory(user), 0o700);
            fs::write(state_directory(user).join("telemetry"), "mine").expect("a file");
        }),
        ("the state directory is a file", |user| {
            make_directory(&user.home().join(".local"), 0o700);
            fs::write(user.home().join(".local/state"), "mine").expect("a file");
        }),
        ("ours is open to others", |user| make_directory(&state_directory(user).join("telemetry"), 0o755)),
    ];
    for (what, plant) in plants {
        let user = TestUser::sending_to(DEAD_ENDPOINT);
        plant(&user);
        let before = listing(user.home());
        assert_unnoticed(&mut user.frob_command([""; 0]));
        assert_eq!(listing(user.home()), before, "{what}");
        let flushed = user.run_frob(["telemetry", "flush"]);
        assert!(flushed.status.success() || !flushed.stderr.is_empty(), "{what}: says why");
        assert!(user.uploaders().is_empty());
        assert!(user.status().contains("warning") || what.contains("nowhere"), "{what}: {}", user.status());
    }
}

/// A name that a run file could have.
fn name(number: u8, ending: &str) -> String {
    format!("run1-{number:032x}.{ending}")
}

#[test]
fn planted_files_are_ignored() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint).backing_off(&endpoint);
    assert_unnoticed(&mut user.frob_command([""; 0]));
    let runs = user.spool(&endpoint).join("runs");
    let own = fs::read(&user.pending_runs()[0]).expect("a run");
    // A valid run outside of the spool, which only a link reaches.
    let secret = user.home().join("secret");
    let foreign = String::from_utf8_lossy(&own).replace("\"build\"", "\"test\"");
    fs::write(&secret, &foreign).expect("a file");
    plant_special_files(&runs, &secret);
    plant_files_with_other_names(&runs, &foreign);
    let huge = plant_huge_files(&runs);
    if is_root("devices and files of another user among the runs") {
        plant_files_of_another_user(&runs, &foreign);
    }
    let user = user.with_tool_setting("FROB_LIMIT_BYTES", "100000000000");

    let started = Instant::now();
    assert_unnoticed(&mut user.frob_command([""; 0]));
    user.flush();
    let status = user.status();
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());

    let traces = receiver.traces();
    assert_eq!(traces.len(), 2, "{}", receiver.tree());
    assert!(!receiver.tree().contains("frob.command=test"), "{}", receiver.tree());
    assert_eq!(fs::read_to_string(&secret).expect("untouched"), foreign);
    for left in ["notes.jsonl", "run1-7.jsonl"] {
        assert_eq!(fs::read_to_string(runs.join(left)).expect("left alone"), foreign);
    }
    for (number, ending) in [(1, "jsonl"), (2, "open"), (3, "jsonl"), (4, "open"), (5, "jsonl"), (6, "open")]
    {
        assert!(fs::symlink_metadata(runs.join(name(number, ending))).is_ok(), "{number} is left alone");
    }
    assert!(status.contains("2 runs of a newer version"), "{status}");
    assert_eq!(user.count("delivered"), 2);
    // Huge files with the names of runs are counted as damaged and deleted.
    assert!(huge.iter().all(|path| !path.exists()), "{status}");
}

/// Links, FIFOs, and directories with the names of runs.
fn plant_special_files(runs: &Path, secret: &Path) {
    for (number, ending) in [(1, "jsonl"), (2, "open")] {
        symlink(secret, runs.join(name(number, ending))).expect("a link");
    }
    symlink("/dev/zero", runs.join(name(3, "jsonl"))).expect("a link");
    symlink("/nonexistent", runs.join(name(4, "open"))).expect("a link");
    for (number, ending) in [(5, "jsonl"), (6, "open")] {
        let made = Command::new("mkfifo").arg(runs.join(name(number, ending))).status();
        assert!(made.is_ok_and(|made| made.success()));
    }
    for (number, ending) in [(7, "jsonl"), (8, "open")] {
        make_directory(&runs.join(name(number, ending)).join("inner"), 0o700);
    }
}

/// Sparse files of 10 GiB with the names of runs.
fn plant_huge_files(runs: &Path) -> [PathBuf; 2] {
    [(9, "jsonl"), (10, "open")].map(|(number, ending)| {
        let path = runs.join(name(number, ending));
        fs::File::create(&path).and_then(|file| file.set_len(10 << 30)).expect("a sparse file");
        path
    })
}

/// A file that is not a run, runs with names that we never write, and runs of newer formats.
fn plant_files_with_other_names(runs: &Path, foreign: &str) {
    fs::write(runs.join(name(11, "jsonl")), "not a run\n").expect("a file");
    fs::write(runs.join("notes.jsonl"), foreign).expect("a file");
    fs::write(runs.join("run1-7.jsonl"), foreign).expect("a file");
    fs::write(runs.join(format!("run2-{:032x}.jsonl", 12)), "of a newer version\n").expect("a file");
    fs::write(runs.join(format!("run99-{:032x}.open", 13)), "of a newer version\n").expect("a file");
}

/// Devices, and a run that another user owns.
fn plant_files_of_another_user(runs: &Path, foreign: &str) {
    for (number, kind) in [(14, ["c", "1", "5"]), (15, ["b", "7", "0"])] {
        let made = Command::new("mknod").arg(runs.join(name(number, "jsonl"))).args(kind).status();
        assert!(made.is_ok_and(|made| made.success()));
    }
    let path = runs.join(name(16, "jsonl"));
    fs::write(&path, foreign).expect("a file");
    std::os::unix::fs::chown(&path, Some(OTHER_UID), None).expect("the tests run as root");
}

#[test]
fn replaced_state_files_are_harmless() {
    type PlantFile = fn(&Path, &Path);
    let plants: [(&str, PlantFile); 4] = [
        ("link", |path, secret| symlink(secret, path).expect("a link")),
        ("fifo", |path, _| {
            assert!(Command::new("mkfifo").arg(path).status().is_ok_and(|made| made.success()));
        }),
        ("directory", |path, _| make_directory(path, 0o700)),
        ("huge", |path, _| fs::File::create(path).and_then(|file| file.set_len(10 << 30)).expect("a file")),
    ];
    for (kind, plant) in plants {
        for file in ["uploader.lock", "backoff", "counters", "choice"] {
            let receiver = Receiver::start().expect("a receiver");
            let endpoint = receiver.http_endpoint();
            let user = TestUser::sending_to(&endpoint).backing_off(&endpoint);
            assert_unnoticed(&mut user.frob_command([""; 0]));
            let path = match file {
                "choice" => user.home().join(".config/frob/telemetry.toml"),
                file => user.spool(&endpoint).join(file),
            };
            // The content that would count if the link were followed: the same choice, and a backoff.
            let secret = user.home().join("secret");
            let content = fs::read_to_string(&path).unwrap_or_default().replace("asked=no", "asked=yes");
            fs::write(&secret, &content).expect("a file");
            let _ = fs::remove_file(&path);
            plant(&path, &secret);
            let started = Instant::now();
            assert_unnoticed(&mut user.frob_command([""; 0]));
            user.flush();
            user.status();
            assert!(started.elapsed() < SOON, "{kind} {file}: {:?}", started.elapsed());
            assert_eq!(fs::read_to_string(&secret).expect("untouched"), content);
            // Telemetry is off without a readable choice, nothing is sent without a lock, and an invalid
            // backoff does not count.
            match file {
                "choice" | "uploader.lock" if (file, kind) != ("uploader.lock", "huge") => {
                    assert!(receiver.requests().is_empty(), "{kind} {file}");
                }
                "backoff" => assert_eq!(receiver.traces().len(), 2, "{kind} {file}"),
                _ => {}
            }
        }
    }
}
