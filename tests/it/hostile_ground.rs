//! Where nothing is as it should be: no home, no space, no rights, and files that somebody planted. The tool does not
//! notice; nothing is followed, read, waited for or sent that we did not write; nothing is written elsewhere.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tool_telemetry_receiver::Receiver;

use crate::test_user::{DEAD_ENDPOINT, OTHER_UID, TestUser, copy_program, example, is_root, only_tree};

/// Longer than any command takes that waits for nothing.
const SOON: Duration = Duration::from_secs(10);

/// The command does what it does without telemetry, says nothing more, and soon.
fn works(command: &mut Command) {
    let asked = Instant::now();
    let output = command.args(["build", "--end", "return=7"]).output().expect("it starts");
    let told = (output.status.code(), &*output.stdout, &*output.stderr);
    assert_eq!(told, (Some(7), &b"working\n"[..], &b""[..]), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
}

fn state(user: &TestUser) -> PathBuf {
    user.home().join(".local/state/frob")
}

fn make(path: &Path, mode: u32) {
    fs::create_dir_all(path).expect("a folder");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

/// What lies below a folder, with kinds, permissions, owners, sizes and the content of small files.
fn picture(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let metadata = entry.metadata().expect("metadata");
            let content = match metadata.is_file() && metadata.len() < 10_000 {
                true => fs::read(entry.path()).unwrap_or_default(),
                false => Vec::new(),
            };
            if metadata.is_dir() {
                folders.push(entry.path());
            }
            let (mode, owner, size) = (metadata.mode(), metadata.uid(), metadata.len());
            lines.push(format!("{:?} {mode:o} {owner} {size} {content:?}", entry.path()));
        }
    }
    lines.sort();
    lines
}

#[test]
fn nothing_is_written_without_a_home() {
    let homes: [&dyn Fn(&mut Command); 6] = [
        &|command| {
            command.env_remove("HOME");
        },
        &|command| {
            command.env("HOME", "");
        },
        &|command| {
            command.env("HOME", ".");
        },
        &|command| {
            command.env("HOME", "/nonexistent/anna");
        },
        &|command| {
            command.env("HOME", "/etc/passwd");
        },
        &|command| {
            command.env("HOME", "/dev/null");
        },
    ];
    for home in homes {
        let user = TestUser::sending_to(DEAD_ENDPOINT);
        let before = (picture(user.home()), user.files().len());
        let mut command = user.frob_command([""; 0]);
        home(&mut command);
        // Neither in the working directory nor for temporary files.
        command.env("TMPDIR", user.home());
        works(&mut command);
        assert_eq!((picture(user.home()), user.files().len()), before);
        let mut status = user.frob_command(["telemetry", "status"]);
        home(&mut status);
        let status = String::from_utf8(status.output().expect("it starts").stdout).expect("text");
        assert!(status.contains("telemetry of frob is off"), "{status}");
    }
}

#[test]
fn an_unwritable_home_is_left_alone() {
    let user = TestUser::sending_to(DEAD_ENDPOINT).unprivileged();
    works(&mut user.frob_command([""; 0]));
    assert_eq!(user.pending_runs().len(), 1);
    // A state folder that was never made, and one that was and is closed now.
    for (path, mode) in
        [(state(&user).join("telemetry"), 0o500), (state(&user), 0o500), (user.home().to_owned(), 0o555)]
    {
        let before = user.pending_runs();
        let mut folders = vec![path.clone()];
        while let Some(folder) = folders.pop() {
            folders.extend(
                fs::read_dir(&folder)
                    .into_iter()
                    .flatten()
                    .flatten()
                    .map(|entry| entry.path())
                    .filter(|path| path.is_dir()),
            );
            fs::set_permissions(folder, fs::Permissions::from_mode(mode)).expect("a mode");
        }
        works(&mut user.frob_command([""; 0]));
        assert_eq!(user.pending_runs(), before, "{}", path.display());
    }
    let fresh = TestUser::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", DEAD_ENDPOINT).unprivileged();
    make(&fresh.home().join(".config"), 0o755);
    fresh.run_frob(["telemetry", "on"]);
    make(fresh.home(), 0o555);
    works(&mut fresh.frob_command([""; 0]));
    assert!(fresh.pending_runs().is_empty());
}

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

#[test]
fn another_users_files_are_neither_used_nor_written() {
    if !is_root("a home and a state folder of another user") {
        return;
    }
    // sudo with the caller's HOME.
    let user = TestUser::sending_to(DEAD_ENDPOINT);
    works(&mut user.frob_command([""; 0]));
    crate::test_user::eventually("its uploader has ended", || user.uploaders().is_empty());
    user.chown_home(OTHER_UID);
    let before = picture(user.home());
    works(&mut user.frob_command([""; 0]));
    assert_eq!(picture(user.home()), before);
    assert!(user.status().contains("telemetry of frob is off"), "{}", user.status());
    for command in ["on", "off", "purge"] {
        assert!(!user.run_frob(["telemetry", command]).status.success(), "{command}");
        assert_eq!(picture(user.home()), before, "{command}");
    }
    // One's own home, and a state folder of another user in it.
    for folder in [".local/state", ".local/state/frob", ".local/state/frob/telemetry"] {
        let user = TestUser::sending_to(DEAD_ENDPOINT);
        make(&user.home().join(folder), 0o700);
        std::os::unix::fs::chown(user.home().join(folder), Some(OTHER_UID), None).expect("we are root");
        let before = picture(user.home());
        works(&mut user.frob_command([""; 0]));
        assert_eq!(picture(user.home()), before, "{folder}");
    }
    // One's own home, and the variable names a folder of another user.
    let theirs = TestUser::new();
    theirs.chown_home(OTHER_UID);
    let state_home = theirs.home().to_str().expect("text").to_owned();
    let user = TestUser::sending_to(DEAD_ENDPOINT).with("XDG_STATE_HOME", &state_home);
    works(&mut user.frob_command([""; 0]));
    assert!(theirs.files().is_empty());
    // `sudo -E`: the home is one's own, and the choice would be written among another user's settings.
    make(&theirs.home().join("frob"), 0o755);
    theirs.chown_home(OTHER_UID);
    let user = TestUser::new()
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", DEAD_ENDPOINT)
        .with("XDG_CONFIG_HOME", &state_home);
    works(&mut user.frob_command([""; 0]));
    for command in ["on", "off"] {
        let refused = user.run_frob(["telemetry", command]);
        assert!(!refused.status.success(), "{command}");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains("is not a directory of this user"), "{said}");
    }
    assert_eq!(theirs.files(), [theirs.home().join("frob")]);
    // A choice that somebody else wrote is none.
    let user = TestUser::sending_to(DEAD_ENDPOINT);
    let choice = user.home().join(".config/frob/telemetry.toml");
    std::os::unix::fs::chown(choice, Some(OTHER_UID), None).expect("we are root");
    works(&mut user.frob_command([""; 0]));
    assert!(user.pending_runs().is_empty());
}

#[test]
fn setuid_programs_record_nothing() {
    if !is_root("a set-user-id program (AT_SECURE)") {
        return;
    }
    let user = TestUser::sending_to(DEAD_ENDPOINT);
    let program = user.home().join("frob-suid");
    copy_program(&example("frob"), &program);
    user.chown_home(OTHER_UID);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).expect("a mode");
    let before = picture(user.home());
    works(&mut user.command(&program));
    assert_eq!(picture(user.home()), before);
    // The same program without the bit, as the owner of the home, records.
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode");
    let user = user.unprivileged();
    works(&mut user.command(&program));
    assert_eq!(user.pending_runs().len(), 1);
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

#[test]
fn a_full_disk_is_invisible_to_the_tool_and_losses_are_counted() {
    if !is_root("a full tmpfs") {
        return;
    }
    let user = TestUser::sending_to(DEAD_ENDPOINT);
    let frob = example("frob");
    // One page is left: the first lines of a run fit, the rest does not. Then none is left.
    let script = format!(
        "mount -t tmpfs -o size=256k,mode=700 none \"$HOME\" && cd \"$HOME\" && {0} telemetry on >/dev/null && {0} build >/dev/null || exit 90
        until [ -e .local/state/frob/telemetry/*/counters ]; do :; done
        dd if=/dev/zero of=fill bs=4k count=100 2>/dev/null
        dd if=/dev/null of=fill bs=4k seek=1 count=0 conv=notrunc 2>/dev/null
        truncate -s -4096 fill
        {0} build --spans 100 --end return=7; test $? = 7 || exit 91
        dd if=/dev/zero of=fill2 bs=4k count=100 2>/dev/null
        {0} build --end return=7; test $? = 7 || exit 92
        rm fill fill2
        {0} build --end return=7; test $? = 7 || exit 93
        {0} telemetry status",
        frob.display()
    );
    let output = user.command("unshare").args(["-m", "sh", "-c", &script]).output().expect("unshare");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{:?}: {told}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(told.matches("working\n").count(), 3, "{told}");
    assert!(told.contains("pending    2") && told.contains("dropped    2 (disk)"), "{told}");
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn runs_are_delivered_where_flock_fails() {
    use crate::system_calls::{Errno, Tracer, Verdict};

    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    for error in [Errno::ENOLCK, Errno::ENOSYS, Errno::EOPNOTSUPP] {
        let before = receiver.traces().len();
        let mut refused = 0;
        let traced = Tracer::of(user.frob_command(["build", "--end", "return=7"]))
            .with_all_that_it_starts()
            .judged(|call| {
                let is_lock = call.name == "flock";
                refused += u32::from(is_lock);
                if is_lock { Verdict::Refuse(error) } else { Verdict::Make }
            })
            .run();
        assert!(refused >= 2, "the tool's and the uploader's: {refused}");
        assert_eq!((traced.output.status.code(), &*traced.output.stdout), (Some(7), &b"working\n"[..]));
        receiver.wait_for(before + 1, crate::test_user::TIMEOUT).expect("it is delivered");
    }
}

#[test]
fn the_state_may_vanish_while_the_tool_runs() {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    let held = user.home().join("held");
    fs::write(&held, "").expect("a file");
    let mut running = user.frob_command(["build", "--hold", "held", "--end", "return=7"]);
    let mut running = running.stdout(std::process::Stdio::null()).spawn().expect("it starts");
    crate::test_user::eventually("it writes", || !user.pending_runs().is_empty());
    fs::remove_dir_all(user.home().join(".local")).expect("folders");
    fs::remove_file(held).expect("it is there");
    assert_eq!(running.wait().expect("it ends").code(), Some(7));
    // The next run begins anew.
    works(&mut user.frob_command([""; 0]));
    assert!(user.flush());
    assert!(only_tree(&receiver).contains("process.exit.code=7"));
}

#[test]
fn pid_1_of_a_container_waits_for_delivery() {
    if !is_root("a process 1, in a process namespace of its own") {
        return;
    }
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    let output =
        user.command("unshare").args(["-p", "-f", "--kill-child"]).arg(example("frob")).arg("build").output();
    assert!(output.expect("unshare").status.success());
    // All that it started was ended with it.
    assert_eq!(receiver.traces().len(), 1);
    assert!(user.uploaders().is_empty());
}
