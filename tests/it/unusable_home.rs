//! Without a usable home directory the tool works as usual, nothing is recorded, and nothing is written
//! elsewhere.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::test_user::{DEAD_ENDPOINT, OTHER_UID, TestUser, copy_program, example, is_root};

/// Longer than a command takes if nothing blocks it.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// Runs the tool, which must behave as without telemetry and must not block.
pub(crate) fn assert_unnoticed(command: &mut Command) {
    let started = Instant::now();
    let output = command.args(["build", "--end", "return=7"]).output().expect("it starts");
    let result = (output.status.code(), &*output.stdout, &*output.stderr);
    assert_eq!(result, (Some(7), &b"working\n"[..], &b""[..]), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

pub(crate) fn state_directory(user: &TestUser) -> PathBuf {
    user.home().join(".local/state/frob")
}

pub(crate) fn make_directory(path: &Path, mode: u32) {
    fs::create_dir_all(path).expect("a directory");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("this user owns it");
}

/// Everything below a directory: modes, owners, sizes, and the content of small files.
pub(crate) fn listing(directory: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let metadata = entry.metadata().expect("metadata");
            let content = match metadata.is_file() && metadata.len() < 10_000 {
                true => fs::read(entry.path()).unwrap_or_default(),
                false => Vec::new(),
            };
            if metadata.is_dir() {
                directories.push(entry.path());
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
        let before = (listing(user.home()), user.files().len());
        let mut command = user.frob_command([""; 0]);
        home(&mut command);
        // Nothing may be written to the temporary directory either.
        command.env("TMPDIR", user.home());
        assert_unnoticed(&mut command);
        assert_eq!((listing(user.home()), user.files().len()), before);
        let mut status = user.frob_command(["telemetry", "status"]);
        home(&mut status);
        let status = String::from_utf8(status.output().expect("it starts").stdout).expect("text");
        assert!(status.contains("telemetry of frob is off"), "{status}");
    }
}

#[test]
fn an_unwritable_home_is_left_alone() {
    let user = TestUser::sending_to(DEAD_ENDPOINT).unprivileged();
    assert_unnoticed(&mut user.frob_command([""; 0]));
    assert_eq!(user.pending_runs().len(), 1);
    // State directories that lost their write permission, and one that never existed.
    for (path, mode) in [
        (state_directory(&user).join("telemetry"), 0o500),
        (state_directory(&user), 0o500),
        (user.home().to_owned(), 0o555),
    ] {
        let before = user.pending_runs();
        let mut directories = vec![path.clone()];
        while let Some(directory) = directories.pop() {
            directories.extend(
                fs::read_dir(&directory)
                    .into_iter()
                    .flatten()
                    .flatten()
                    .map(|entry| entry.path())
                    .filter(|path| path.is_dir()),
            );
            fs::set_permissions(directory, fs::Permissions::from_mode(mode)).expect("a mode");
        }
        assert_unnoticed(&mut user.frob_command([""; 0]));
        assert_eq!(user.pending_runs(), before, "{}", path.display());
    }
    let fresh = TestUser::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", DEAD_ENDPOINT).unprivileged();
    make_directory(&fresh.home().join(".config"), 0o755);
    fresh.run_frob(["telemetry", "on"]);
    make_directory(fresh.home(), 0o555);
    assert_unnoticed(&mut fresh.frob_command([""; 0]));
    assert!(fresh.pending_runs().is_empty());
}

#[test]
fn another_users_files_are_neither_used_nor_written() {
    if !is_root("a home directory and a state directory of another user") {
        return;
    }
    // `sudo` with the caller's HOME.
    let user = TestUser::sending_to(DEAD_ENDPOINT);
    assert_unnoticed(&mut user.frob_command([""; 0]));
    crate::test_user::eventually("its uploader has ended", || user.uploaders().is_empty());
    user.chown_home(OTHER_UID);
    let before = listing(user.home());
    assert_unnoticed(&mut user.frob_command([""; 0]));
    assert_eq!(listing(user.home()), before);
    assert!(user.status().contains("telemetry of frob is off"), "{}", user.status());
    for command in ["on", "off", "purge"] {
        assert!(!user.run_frob(["telemetry", command]).status.success(), "{command}");
        assert_eq!(listing(user.home()), before, "{command}");
    }
    // The user's own home directory, with a state directory of another user.
    for directory in [".local/state", ".local/state/frob", ".local/state/frob/telemetry"] {
        let user = TestUser::sending_to(DEAD_ENDPOINT);
        make_directory(&user.home().join(directory), 0o700);
        std::os::unix::fs::chown(user.home().join(directory), Some(OTHER_UID), None)
            .expect("the tests run as root");
        let before = listing(user.home());
        assert_unnoticed(&mut user.frob_command([""; 0]));
        assert_eq!(listing(user.home()), before, "{directory}");
    }
    // A variable that names another user's directory.
    let theirs = TestUser::new();
    theirs.chown_home(OTHER_UID);
    let state_home = theirs.home().to_str().expect("text").to_owned();
    let user = TestUser::sending_to(DEAD_ENDPOINT).with("XDG_STATE_HOME", &state_home);
    assert_unnoticed(&mut user.frob_command([""; 0]));
    assert!(theirs.files().is_empty());
    // `sudo -E`: the choice would be written to another user's settings.
    make_directory(&theirs.home().join("frob"), 0o755);
    theirs.chown_home(OTHER_UID);
    let user = TestUser::new()
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", DEAD_ENDPOINT)
        .with("XDG_CONFIG_HOME", &state_home);
    assert_unnoticed(&mut user.frob_command([""; 0]));
    for command in ["on", "off"] {
        let refused = user.run_frob(["telemetry", command]);
        assert!(!refused.status.success(), "{command}");
        let message = String::from_utf8_lossy(&refused.stderr);
        assert!(message.contains("is not a directory of this user"), "{message}");
    }
    assert_eq!(theirs.files(), [theirs.home().join("frob")]);
    // A choice file of another user does not count.
    let user = TestUser::sending_to(DEAD_ENDPOINT);
    let choice = user.home().join(".config/frob/telemetry.toml");
    std::os::unix::fs::chown(choice, Some(OTHER_UID), None).expect("the tests run as root");
    assert_unnoticed(&mut user.frob_command([""; 0]));
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
    let before = listing(user.home());
    assert_unnoticed(&mut user.command(&program));
    assert_eq!(listing(user.home()), before);
    // Without the set-user-id bit the same program records.
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode");
    let user = user.unprivileged();
    assert_unnoticed(&mut user.command(&program));
    assert_eq!(user.pending_runs().len(), 1);
}
