//! Environments in which an uploader is hard to start, or is killed together with the command.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use tool_telemetry_receiver::{Answer, Receiver};

use crate::test_user::{
    DEAD_ENDPOINT, TIMEOUT, TestUser, compile_shim, copy_program, eventually, example, is_root,
};

/// The uploader's name in `ps`.
fn name(uploader: u32) -> String {
    std::fs::read_to_string(format!("/proc/{uploader}/comm")).unwrap_or_default()
}

#[test]
fn the_uploader_uses_the_tools_proxifier() {
    let receiver = Receiver::start().expect("a receiver");
    let port = receiver.http_endpoint().rsplit_once(':').expect("a port").1.to_owned();
    // A direct connection is refused.
    let user = TestUser::sending_to(DEAD_ENDPOINT);
    let shim = compile_shim(&user, "redirect_connect.c");
    let shim = shim.strip_prefix(user.home()).expect("in the home");
    let user = user
        .with("PROXYCHAINS_SOCKS5_PORT", &port)
        // Relative to the tool's working directory.
        .with("LD_PRELOAD", &format!("./{}", shim.display()));
    assert!(user.run_frob(["build"]).status.success());
    receiver.wait_for(1, TIMEOUT).expect("it arrives through the shim");
}

#[test]
fn the_uploader_has_the_tools_name_and_works_in_the_root_directory() {
    let receiver = Receiver::builder().always(Answer::Hang).start().expect("a receiver");
    // A relative library path must not become one of the root directory.
    let user = TestUser::sending_to(&receiver.http_endpoint()).with("LD_LIBRARY_PATH", "lib");
    assert!(user.run_frob(["build"]).status.success());
    receiver.wait_until(|receiver| receiver.requests().len() == 1, TIMEOUT).expect("a request");
    let uploaders = user.uploaders();
    assert_eq!(uploaders.iter().map(|uploader| name(*uploader)).collect::<Vec<_>>(), ["frob\n"]);
    let directory = std::fs::read_link(format!("/proc/{}/cwd", uploaders[0])).expect("a link");
    assert_eq!(directory.to_str(), Some("/"));
}

#[test]
fn flush_works_where_sigchld_is_ignored() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint).backing_off(&endpoint);
    assert!(user.run_frob(["build"]).status.success());
    let script = format!("trap '' CHLD; exec {} telemetry flush", example("frob").display());
    let flushed = user.command("sh").args(["-c", &script]).output().expect("a shell");
    assert_eq!((flushed.status.code(), user.count("delivered")), (Some(0), 1), "{}", user.status());
}

/// Runs a shell script as PID 1 of a container. `$FROB` is the tool.
fn in_container(user: &TestUser, script: &str) -> Output {
    let mut command = user.command("unshare");
    command
        .args(["-p", "-f", "--kill-child", "--mount-proc", "sh", "-c", script])
        .env("FROB", example("frob"));
    let output = command.output().expect("unshare");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn a_tool_started_through_a_loader_is_found() {
    let loaders = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"];
    let Some(loader) = loaders.into_iter().find(|loader| Path::new(loader).exists()) else { return };
    for arguments in [&[][..], &["--library-path", "lib"], &["--argv0", "frob"]] {
        let receiver = Receiver::start().expect("a receiver");
        let user = TestUser::sending_to(&receiver.http_endpoint());
        copy_program(&example("frob"), &user.home().join("frob"));
        let ended = user.command(loader).args(arguments).args(["./frob", "build"]).status();
        assert!(ended.is_ok_and(|ended| ended.success()));
        receiver.wait_for(1, TIMEOUT).unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
    }
}

#[test]
fn without_proc_only_an_absolute_path_starts_an_uploader() {
    if !is_root("a machine without /proc, in a mount namespace") {
        return;
    }
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    let directory = example("frob").parent().expect("a directory").display().to_string();
    let without_proc = |script: &str| {
        let script = format!("umount -l /proc; cd {directory}; {script}");
        user.command("unshare").args(["-m", "sh", "-c", &script]).output().expect("unshare")
    };
    assert!(without_proc("./frob build").status.success());
    assert!(user.status().contains("does not find itself without /proc"), "{}", user.status());
    let flushed = without_proc("./frob telemetry flush");
    let printed = String::from_utf8(flushed.stderr).expect("text");
    assert!(!flushed.status.success() && printed.contains("/proc is not mounted"), "{printed}");
    std::fs::remove_file(user.spool(&receiver.http_endpoint()).join("backoff")).expect("one start failed");
    assert!(without_proc("exec $PWD/frob build").status.success());
    receiver.wait_for(2, TIMEOUT).expect("both arrive");
}

#[test]
fn a_process_limit_keeps_the_run_and_is_reported() {
    if !is_root("a user who is not root") {
        return;
    }
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint).unprivileged();
    user.run_frob(["telemetry", "on"]);
    let program = user.home().join("frob");
    let mut command = user.command("prlimit");
    let ended = command.args(["--nproc=0"]).arg(program).arg("build").output().expect("prlimit");
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
    assert!(user.status().contains("no process is left"), "{}", user.status());
    assert!(user.status().contains("next try in"), "{}", user.status());
    assert!(user.flush());
    assert!(!user.status().contains("the uploader"), "{}", user.status());
}

#[test]
fn runs_arrive_from_short_lived_containers() {
    if !is_root("containers") {
        return;
    }
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint).with_tool_setting("FROB_CI_WAIT_MS", "20000");
    for _ in 0..10 {
        in_container(&user, "$FROB build; exit 0");
    }
    assert!(receiver.traces().len() >= 8, "{} of 10\n{}", receiver.traces().len(), user.status());
    // Each run has a fresh home directory.
    for _ in 0..3 {
        std::fs::remove_dir_all(user.home().join(".local")).expect("it is there");
        let before = receiver.traces().len();
        in_container(&user, "$FROB build; exit 0");
        assert_eq!(receiver.traces().len(), before + 1, "{}", user.status());
    }
}

#[test]
fn a_container_alone_does_not_wait() {
    if !is_root("containers") {
        return;
    }
    let receiver = Receiver::builder().always(Answer::Hang).start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint).with_tool_setting("FROB_CI_WAIT_MS", "60000");
    std::fs::create_dir_all(user.spool(&endpoint).join("runs")).expect("a directory");
    user.write_backoff(&endpoint, -1, "failures=0 asked=no");
    let started = Instant::now();
    in_container(&user, "$FROB build; exit 0");
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
}

#[test]
fn uploaders_that_never_report_are_noticed() {
    if !is_root("containers") {
        return;
    }
    let receiver = Receiver::builder().always(Answer::Hang).start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint);
    // Without the backoff of the last command, each command starts an uploader.
    let run = || {
        let _ = std::fs::remove_file(user.spool(&endpoint).join("backoff"));
        let started = Instant::now();
        in_container(&user, "$FROB build; exit 0");
        started.elapsed()
    };
    for _ in 0..3 {
        run();
    }
    let status = user.status();
    assert!(status.contains("the uploader was started ") && status.contains(" times and "), "{status}");
    assert!(run() >= Duration::from_millis(300), "the next one waits");
    receiver.answer_next([Answer::Ok]);
    assert!(user.flush());
    assert!(!user.status().contains("the uploader was started"), "{}", user.status());
}

#[test]
fn a_sandbox_without_network_starts_no_uploader() {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint()).with("CODEX_SANDBOX_NETWORK_DISABLED", "1");
    let starts = user.home().join(".frob-uploaders");
    std::fs::write(&starts, "").expect("a file");
    assert!(user.run_frob(["build"]).status.success());
    assert!(user.frob_command(["build"]).env("CI", "1").status().is_ok_and(|ended| ended.success()));
    assert_eq!(std::fs::read_to_string(starts).expect("a file"), "");
    let status = user.status();
    assert!(status.contains("CODEX_SANDBOX_NETWORK_DISABLED reports that there is no network"), "{status}");
    assert_eq!(user.count("pending"), 2);
    // The user requests it, so an uploader starts.
    assert!(user.flush());
}

#[test]
fn the_tools_file_system_can_be_unmounted_while_the_uploader_works() {
    if !is_root("a file system of its own, in a mount namespace") {
        return;
    }
    let receiver = Receiver::builder().always(Answer::Hang).start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    let script = "mkdir medium; mount -t tmpfs none medium; cp $FROB medium/frob; medium/frob build; read go || true; \
        cp $FROB medium/frob && umount medium";
    let mut shell = user
        .command("unshare")
        .args(["-m", "sh", "-ec", script])
        .env("FROB", example("frob"))
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("unshare");
    receiver.wait_until(|receiver| receiver.requests().len() == 1, TIMEOUT).expect("an uploader");
    drop(shell.stdin.take());
    assert!(shell.wait().is_ok_and(|ended| ended.success()), "the file system is busy");
    assert_eq!(user.uploaders().len(), 1, "it is still working");
}

/// Runs the tool from a FUSE file system, as an AppImage does, and takes the file system away when the tool ends.
fn run_from_fuse(user: &TestUser, end: &str) {
    let script = format!(
        "mkdir content mount && cp $FROB content/frob
        mksquashfs content image -quiet -no-progress -noI -noD -noF -noX >&2 && rm -r content
        squashfuse -f image mount & server=$!
        until [ -e mount/frob ]; do kill -0 $server; sleep 0.01; done
        mount/frob build; {end}; wait $server || true; ! mount/frob --version"
    );
    let mut shell = user.command("unshare");
    let output =
        shell.args(["-m", "sh", "-ec", &script]).env("FROB", example("frob")).output().expect("unshare");
    assert!(output.status.success(), "{end}: {output:?}");
}

#[test]
fn the_uploader_outlives_the_tools_fuse_mount() {
    if !is_root("a FUSE file system, in a mount namespace of its own") || !has_squashfs_tools() {
        return;
    }
    let delay = Answer::Delay(Duration::from_secs(1));
    let receiver = Receiver::builder().answers([delay]).start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    run_from_fuse(&user, "umount -l mount");
    receiver.wait_for(1, TIMEOUT).expect("it arrives without the mount");
    eventually("it is counted", || user.count("delivered") == 1);
}

/// The uploader may die before it has copied itself to memory.
#[test]
fn a_fuse_server_that_dies_with_the_tool_loses_no_run() {
    if !is_root("a FUSE file system, in a mount namespace of its own") || !has_squashfs_tools() {
        return;
    }
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    run_from_fuse(&user, "kill -9 $server");
    assert!(user.flush(), "{}", user.status());
    assert_eq!((receiver.traces().len(), receiver.doubles()), (1, 0));
}

/// Installs them where that is possible, as the gate does.
fn has_squashfs_tools() -> bool {
    let need = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/need");
    let has = |package: &str, program: &str| {
        let mut command = Command::new(&need);
        command
            .args([package, "sh", "-c", &format!("command -v {program}")])
            .status()
            .is_ok_and(|it| it.success())
    };
    Path::new("/dev/fuse").exists() && has("squashfuse", "squashfuse") && has("squashfs-tools", "mksquashfs")
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn a_tracer_does_not_wait_for_the_linger() {
    use crate::system_calls::Tracer;

    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    let mut shortest = TIMEOUT;
    // On a loaded machine at least one of ten is fast. A linger is half a second.
    for run in 1..=10 {
        let tracer = Tracer::of(user.frob_command(["build"])).following_children();
        std::thread::scope(|scope| {
            let traced = scope.spawn(|| {
                assert!(tracer.run().output.status.success());
                Instant::now()
            });
            receiver.wait_for(run, TIMEOUT).expect("it arrives");
            let arrived = Instant::now();
            let ended = traced.join().expect("the tracer ends");
            shortest = shortest.min(ended.saturating_duration_since(arrived));
        });
        if shortest < Duration::from_millis(400) {
            break;
        }
    }
    assert!(shortest < Duration::from_millis(400), "{shortest:?}");
    eventually("none is left", || user.uploaders().is_empty());
}
