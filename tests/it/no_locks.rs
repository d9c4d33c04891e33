//! File systems without locks, and an uploader that is frozen while it holds one.

#![expect(unsafe_code, reason = "only the kernel can block a system call of a process and its children")]

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use tool_telemetry_receiver::{Answer, Receiver};

use crate::test_user::{TIMEOUT, TestUser, eventually};

/// Blocks `flock` for a program and its children, and OFD locks unless `with_ofd` is set.
fn without_locks(command: &mut Command, with_ofd: bool) -> &mut Command {
    const ALLOW: u32 = 0x7fff_0000;
    const NOT_THERE: u32 = 0x0005_0000 | libc::ENOSYS as u32;
    let statement = |code, k| libc::sock_filter { code, jt: 0, jf: 0, k };
    let equals = |k, jt, jf| libc::sock_filter { code: 0x15, jt, jf, k };
    let ofd = if with_ofd { u32::MAX } else { libc::F_OFD_SETLK as u32 };
    let filter = [
        statement(0x20, 0),
        equals(libc::SYS_flock as u32, 3, 0),
        equals(libc::SYS_fcntl as u32, 0, 3),
        // The second argument.
        statement(0x20, 24),
        equals(ofd, 0, 1),
        statement(0x06, NOT_THERE),
        statement(0x06, ALLOW),
    ];
    let install = move || {
        let mut filter = filter;
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        // SAFETY: both calls concern this process alone, and the pointer is to a live value.
        let installed = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
        };
        if installed { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: two system calls, no allocation and no lock, as is allowed between fork and exec.
    unsafe { command.pre_exec(install) }
}

#[test]
fn each_run_is_sent_once_without_flock() {
    for with_ofd in [true, false] {
        let receiver = Receiver::start().expect("a receiver");
        let user = TestUser::sending_to(&receiver.http_endpoint());
        let runs: Vec<_> = (0..20)
            .map(|_| {
                let mut command = user.frob_command(["build", "--spans", "0"]);
                without_locks(command.stdout(Stdio::null()), with_ofd).spawn().expect("it starts")
            })
            .collect();
        for mut run in runs {
            assert!(run.wait().expect("it ends").success());
        }
        receiver.wait_for(20, TIMEOUT).expect("all arrive");
        eventually("all uploaders have ended", || user.uploaders().is_empty());
        assert_eq!((receiver.doubles(), user.count("delivered")), (0, 20), "{}", user.status());
    }
}

#[test]
fn writers_enforce_the_limits_while_the_uploader_is_frozen() {
    let receiver =
        Receiver::builder().always(Answer::Delay(Duration::from_secs(60))).start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint)
        .with_tool_setting("FROB_LIMIT_RUNS", "2")
        .with_tool_setting("FROB_UPLOADER_LIFE_MS", "1000");
    user.run_frob(["build"]);
    eventually("an uploader sends", || !receiver.requests().is_empty());
    let frozen = user.uploaders();
    let signal = |signal: &str| {
        let sent = Command::new("kill").arg(signal).args(frozen.iter().map(u32::to_string)).status();
        assert!(sent.is_ok_and(|sent| sent.success()));
    };
    signal("-STOP");
    eventually("the limits hold", || {
        user.run_frob(["build", "--spans", "100"]);
        user.dropped("limit_runs") > 2
    });
    assert!(user.count("pending") <= 3, "{}", user.status());
    let outcomes = std::fs::read_dir(user.spool(&endpoint).join("outcomes")).expect("a directory");
    assert!(outcomes.flatten().all(|entry| entry.metadata().is_ok_and(|file| file.len() == 0)));
    signal("-CONT");
    eventually("it ends at once", || user.uploaders().iter().all(|process| !frozen.contains(process)));
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn runs_are_delivered_where_flock_fails() {
    use crate::system_calls::{Action, Errno, Tracer};

    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    for error in [Errno::ENOLCK, Errno::ENOSYS, Errno::EOPNOTSUPP] {
        let before = receiver.traces().len();
        let mut refused = 0;
        let traced = Tracer::of(user.frob_command(["build", "--end", "return=7"]))
            .following_children()
            .intercept(|call| {
                let is_lock = call.name == "flock";
                refused += u32::from(is_lock);
                if is_lock { Action::Fail(error) } else { Action::Continue }
            })
            .run();
        assert!(refused >= 2, "the tool's and the uploader's: {refused}");
        assert_eq!((traced.output.status.code(), &*traced.output.stdout), (Some(7), &b"working\n"[..]));
        receiver.wait_for(before + 1, TIMEOUT).expect("it is delivered");
    }
}
