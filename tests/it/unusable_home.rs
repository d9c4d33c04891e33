//! Without a usable home directory the tool works as usual, nothing is recorded, and nothing is written elsewhere.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::test_user::{DEAD_ENDPOINT, OTHER_UID, TestUser, copy_program, example, is_root};

/// Longer than any command takes that waits for nothing.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// The command does what it does without telemetry, says nothing more, and soon.
pub(crate) fn works(command: &mut Command) {
    let asked = Instant::now();
    let output = command.args(["build", "--end", "return=7"]).output().expect("it starts");
    let told = (output.status.code(), &*output.stdout, &*output.stderr);
    assert_eq!(told, (Some(7), &b"working\n"[..], &b""[..]), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
}

pub(crate) fn state(user: &TestUser) -> PathBuf {
    user.home().join(".local/state/frob")
}

pub(crate) fn make(path: &Path, mode: u32) {
    fs::create_dir_all(path).expect("a folder");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

/// What lies below a folder, with kinds, permissions, owners, sizes and the content of small files.
pub(crate) fn picture(folder: &Path) -> Vec<String> {
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
