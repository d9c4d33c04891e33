//! Files that another program planted in the tool's directories are not followed, read, waited for, or sent.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use tool_telemetry_receiver::Receiver;

use crate::test_user::{DEAD_ENDPOINT, OTHER_UID, TestUser, is_root};
use crate::unusable_home::{SOON, make, picture, state, works};

#[test]
fn unsafe_state_directories_are_not_used() {
    type Plant = fn(&TestUser);
    let plants: [(&str, Plant); 7] = [
        ("the tool's folder is a link", |user| {
            make(&user.home().join("target"), 0o700);
            make(state(user).parent().expect("above"), 0o700);
            symlink(user.home().join("target"), state(user)).expect("a link");
        }),
        ("ours is a link", |user| {
            make(&user.home().join("target"), 0o700);
            make(&state(user), 0o700);
            symlink(user.home().join("target"), state(user).join("telemetry")).expect("a link");
        }),
        ("ours is a link to nowhere", |user| {
            make(&state(user), 0o700);
            symlink(user.home().join("target"), state(user).join("telemetry")).expect("a link");
        }),
        ("the tool's folder is a file", |user| {
            make(state(user).parent().expect("above"), 0o700);
            fs::write(state(user), "mine").expect("a file");
        }),
        ("ours is a file", |user| {
            make(&state(user), 0o700);
            fs::write(state(user).join("telemetry"), "mine").expect("a file");
        }),
        ("the state folder is a file", |user| {
            make(&user.home().join(".local"), 0o700);
            fs::write(user.home().join(".local/state"), "mine").expect("a file");
        }),
        ("ours is open to others", |user| make(&state(user).join("telemetry"), 0o755)),
    ];
    for (what, plant) in plants {
        let user = TestUser::sending_to(DEAD_ENDPOINT);
        plant(&user);
        let before = picture(user.home());
        works(&mut user.frob_command([""; 0]));
        assert_eq!(picture(user.home()), before, "{what}");
        let flushed = user.run_frob(["telemetry", "flush"]);
        assert!(flushed.status.success() || !flushed.stderr.is_empty(), "{what}: says why");
        assert!(user.uploaders().is_empty());
        assert!(user.status().contains("warning") || what.contains("nowhere"), "{what}: {}", user.status());
    }
}

/// Names as our own files have.
fn name(number: u8, ending: &str) -> String {
    format!("run1-{number:032x}.{ending}")
}

#[test]
fn planted_files_are_ignored() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint).backing_off(&endpoint);
    works(&mut user.frob_command([""; 0]));
    let runs = user.spool(&endpoint).join("runs");
    let own = fs::read(&user.pending_runs()[0]).expect("a run");
    // A run elsewhere, of the right format: it is reached by a link only.
    let secret = user.home().join("secret");
    let foreign = String::from_utf8_lossy(&own).replace("\"build\"", "\"test\"");
    fs::write(&secret, &foreign).expect("a file");
    for (number, ending) in [(1, "jsonl"), (2, "open")] {
        symlink(&secret, runs.join(name(number, ending))).expect("a link");
    }
    symlink("/dev/zero", runs.join(name(3, "jsonl"))).expect("a link");
    symlink("/nonexistent", runs.join(name(4, "open"))).expect("a link");
    for (number, ending) in [(5, "jsonl"), (6, "open")] {
        let made = Command::new("mkfifo").arg(runs.join(name(number, ending))).status();
        assert!(made.is_ok_and(|made| made.success()));
    }
    for (number, ending) in [(7, "jsonl"), (8, "open")] {
        make(&runs.join(name(number, ending)).join("inner"), 0o700);
    }
    let mut huge = Vec::new();
    for (number, ending) in [(9, "jsonl"), (10, "open")] {
        let path = runs.join(name(number, ending));
        fs::File::create(&path).and_then(|file| file.set_len(10 << 30)).expect("a sparse file");
        huge.push(path);
    }
    fs::write(runs.join(name(11, "jsonl")), "not a run\n").expect("a file");
    fs::write(runs.join("notes.jsonl"), &foreign).expect("a file");
    fs::write(runs.join("run1-7.jsonl"), &foreign).expect("a file");
    fs::write(runs.join(format!("run2-{:032x}.jsonl", 12)), "of a newer version\n").expect("a file");
    fs::write(runs.join(format!("run99-{:032x}.open", 13)), "of a newer version\n").expect("a file");
    if is_root("devices and files of another user among the runs") {
        for (number, kind) in [(14, ["c", "1", "5"]), (15, ["b", "7", "0"])] {
            let made = Command::new("mknod").arg(runs.join(name(number, "jsonl"))).args(kind).status();
            assert!(made.is_ok_and(|made| made.success()));
        }
        let path = runs.join(name(16, "jsonl"));
        fs::write(&path, &foreign).expect("a file");
        std::os::unix::fs::chown(&path, Some(OTHER_UID), None).expect("we are root");
    }
    let limits = TestUser::with_tool_setting(user, "FROB_LIMIT_BYTES", "100000000000");
    let user = limits;

    let asked = Instant::now();
    works(&mut user.frob_command([""; 0]));
    user.flush();
    let status = user.status();
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());

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
    // Not ours, though they have our names: counted, so that the sum stays right, and gone.
    assert!(huge.iter().all(|path| !path.exists()), "{status}");
}

#[test]
fn replaced_state_files_are_harmless() {
    type Plant = fn(&Path, &Path);
    let plants: [(&str, Plant); 4] = [
        ("link", |path, secret| symlink(secret, path).expect("a link")),
        ("fifo", |path, _| {
            assert!(Command::new("mkfifo").arg(path).status().is_ok_and(|made| made.success()));
        }),
        ("folder", |path, _| make(path, 0o700)),
        ("huge", |path, _| fs::File::create(path).and_then(|file| file.set_len(10 << 30)).expect("a file")),
    ];
    for (kind, plant) in plants {
        for file in ["uploader.lock", "backoff", "counters", "choice"] {
            let receiver = Receiver::start().expect("a receiver");
            let endpoint = receiver.http_endpoint();
            let user = TestUser::sending_to(&endpoint).backing_off(&endpoint);
            works(&mut user.frob_command([""; 0]));
            let path = match file {
                "choice" => user.home().join(".config/frob/telemetry.toml"),
                file => user.spool(&endpoint).join(file),
            };
            // What would be believed if it were followed: the same choice, and a wait of our own making.
            let secret = user.home().join("secret");
            let content = fs::read_to_string(&path).unwrap_or_default().replace("asked=no", "asked=yes");
            fs::write(&secret, &content).expect("a file");
            let _ = fs::remove_file(&path);
            plant(&path, &secret);
            let asked = Instant::now();
            works(&mut user.frob_command([""; 0]));
            user.flush();
            user.status();
            assert!(asked.elapsed() < SOON, "{kind} {file}: {:?}", asked.elapsed());
            assert_eq!(fs::read_to_string(&secret).expect("untouched"), content);
            // Without a choice that can be read telemetry is off, without a lock nobody sends; a backoff that is none is over.
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
