//! A disk that is full, read-only, or corrupted does not disturb the tool, and no uploader runs in a loop.
//! `tests/soak` fails each system call in turn.

use std::time::{Duration, Instant};

use tool_telemetry_receiver::{Answer, Receiver};

#[cfg(target_os = "linux")]
use crate::test_user::is_root;
#[cfg(unix)]
use crate::test_user::{DEAD_ENDPOINT, example};
use crate::test_user::{TestUser, eventually};

#[cfg(unix)]
#[test]
fn a_file_size_limit_does_not_kill_the_tool() {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    let frob = example("frob");
    // A write beyond the limit raises SIGXFSZ, which kills the process.
    for limit in ["ulimit -f 0", "ulimit -f 1", "ulimit -n 4"] {
        let script = format!("{limit}; exec {} build", frob.display());
        let output = user.command("bash").args(["-c", &script]).output().expect("bash runs");
        assert_eq!(output.status.code(), Some(0), "{limit}: {output:?}");
        assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"working\n"[..], &b""[..]), "{limit}");
    }
}

#[test]
fn an_unwritable_backoff_starts_few_uploaders() {
    let receiver = Receiver::builder().always(Answer::status(503)).start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint);
    let spool = user.spool(&endpoint);
    std::fs::create_dir_all(spool.join("backoff").join("in the way")).expect("a directory");
    make_private(&user);
    let started = Instant::now();
    // Windows takes far longer to start a process.
    for _ in 0..if cfg!(windows) { 100 } else { 1_000 } {
        user.run_frob(["build", "--spans", "0"]);
    }
    eventually("an uploader tried", || !receiver.requests().is_empty());
    // The shortest wait after a failure is a second.
    let most = 2 + started.elapsed().as_secs() as usize;
    assert!(receiver.requests().len() <= most, "{} requests", receiver.requests().len());
    // The uploader keeps the lock until it can write the backoff.
    std::fs::remove_dir_all(spool.join("backoff")).expect("it is there");
    eventually("the backoff is written", || {
        // Starts the next uploader if the last one has ended.
        user.run_frob(["build", "--spans", "0"]);
        spool.join("backoff").is_file()
    });
}

#[test]
fn unwritable_outcomes_are_not_resent_in_a_loop() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint);
    user.run_frob(["build"]);
    assert!(user.flush());
    let outcomes = user.spool(&endpoint).join("outcomes");
    std::fs::remove_dir(&outcomes).expect("it is empty");
    // A missing directory is created again.
    user.run_frob(["build"]);
    assert!(user.flush());
    assert_eq!((user.count("delivered"), receiver.requests().len()), (2, 2));
    // It is also created again if it disappears during a request, and nothing is sent twice.
    receiver.answer_next([Answer::Delay(Duration::from_millis(400))]);
    user.run_frob(["build"]);
    eventually("it is under way", || receiver.requests().len() == 3);
    std::fs::remove_dir(&outcomes).expect("it is empty");
    assert!(user.flush());
    assert_eq!((user.count("delivered"), receiver.requests().len()), (3, 3));
    // A file in its place stops the sending, because no outcome could be stored. An uploader that is already in a request
    // finds out afterwards.
    std::fs::remove_dir(&outcomes).expect("it is empty");
    std::fs::write(&outcomes, "").expect("it can be written");
    for _ in 0..20 {
        user.run_frob(["build"]);
    }
    assert!(!user.flush());
    std::fs::remove_file(&outcomes).expect("it is there");
    std::fs::create_dir(&outcomes).expect("a directory");
    assert!(receiver.requests().len() <= 4, "{} requests", receiver.requests().len());
    assert!(user.flush());
    assert_eq!((user.count("delivered"), receiver.traces().len()), (23, 23));
}

#[test]
fn deleting_the_spool_of_a_running_tool_is_harmless() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint);
    let running = user
        .frob_command(["build", "--spans", "1", "--end", "wait-for-input"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    eventually("it is on disk", || !user.pending_runs().is_empty());
    std::fs::remove_dir_all(user.home().join(".local")).expect("it is there");
    let output = running.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"working\n"[..], &b""[..]));
    // The next run is recorded as usual.
    user.run_frob(["build"]);
    assert!(user.flush());
    assert_eq!(user.count("delivered"), 1);
}

#[test]
fn an_uploader_with_a_deleted_lock_leaves_the_new_spool_alone() {
    let receiver =
        Receiver::builder().always(Answer::Delay(Duration::from_millis(300))).start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint);
    user.run_frob(["build"]);
    eventually("an uploader is sending", || receiver.peak_requests() == 1);
    std::fs::remove_dir_all(user.home().join(".local")).expect("it is there");
    for _ in 0..3 {
        user.run_frob(["build"]);
    }
    eventually("all arrived", || receiver.traces().len() == 4);
    assert!(user.flush());
    assert_eq!((user.count("delivered"), user.count("pending"), receiver.doubles()), (3, 0, 0));
}

/// A directory that a test created is open to others on Unix, and would not be used.
#[cfg_attr(not(unix), expect(unused_variables))]
fn make_private(user: &TestUser) {
    #[cfg(unix)]
    for directory in [".local/state/frob", ".local/state/frob/telemetry"] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(user.home().join(directory), mode).expect("it is there");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_invisible_to_the_tool_and_losses_are_counted() {
    if !is_root("a full tmpfs") {
        return;
    }
    let user = TestUser::sending_to(DEAD_ENDPOINT);
    let frob = example("frob");
    // One page is free: the first lines of a run fit, and the rest does not. Then no page is free.
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
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{:?}: {printed}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(printed.matches("working\n").count(), 3, "{printed}");
    assert!(printed.contains("pending    2") && printed.contains("dropped    2 (disk)"), "{printed}");
}
