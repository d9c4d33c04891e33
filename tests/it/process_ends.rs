//! A run is reported however its process ends, and the tool ends as it does without telemetry.

use tool_telemetry_receiver::Receiver;

use crate::test_user::{TestUser, only_tree};

/// Whether the platform tells a library the exit code while the process exits.
const HAS_EXIT_HOOK: bool = cfg!(all(target_os = "linux", target_env = "gnu"));

/// How the tool ends, its exit code or signal, and the attributes of the root span.
#[cfg(unix)]
const ENDS: [(&str, Result<i32, i32>, &str); 17] = [
    ("return=0", Ok(0), "process.exit.code=0"),
    ("return=7", Ok(7), "process.exit.code=7 error.type=_OTHER"),
    ("exit=0", Ok(0), "process.exit.code=0"),
    ("exit=3", Ok(3), "process.exit.code=3 error.type=_OTHER"),
    ("exit=258", Ok(2), "process.exit.code=2 error.type=_OTHER"),
    ("exit=-1", Ok(255), "process.exit.code=255 error.type=_OTHER"),
    ("exit=256", Ok(0), "process.exit.code=0"),
    ("panic", Ok(101), "process.exit.code=101 error.type=_OTHER"),
    ("caught-panic", Ok(4), "process.exit.code=4 error.type=_OTHER"),
    ("panic-aborts", Err(6), "error.type=cut_off"),
    ("abort", Err(6), "error.type=cut_off"),
    ("signal=KILL", Err(9), "error.type=cut_off"),
    ("signal=INT", Err(2), "error.type=cut_off"),
    ("signal=TERM", Err(15), "error.type=cut_off"),
    ("signal=SEGV", Err(11), "error.type=cut_off"),
    ("signal=HUP", Err(1), "error.type=cut_off"),
    ("signal=QUIT", Err(3), "error.type=cut_off"),
];

/// Windows has 32 bits for an exit code, and reports an exception as one.
#[cfg(windows)]
const ENDS: [(&str, Result<i32, i32>, &str); 11] = [
    ("return=0", Ok(0), "process.exit.code=0"),
    ("return=7", Ok(7), "process.exit.code=7 error.type=_OTHER"),
    ("exit=0", Ok(0), "process.exit.code=0"),
    ("exit=3", Ok(3), "process.exit.code=3 error.type=_OTHER"),
    ("exit=258", Ok(258), "process.exit.code=2 error.type=_OTHER"),
    ("exit=-1", Ok(-1), "process.exit.code=255 error.type=_OTHER"),
    ("exit=256", Ok(256), "process.exit.code=0"),
    ("panic", Ok(101), "process.exit.code=101 error.type=_OTHER"),
    ("caught-panic", Ok(4), "process.exit.code=4 error.type=_OTHER"),
    ("panic-aborts", Ok(ABORTED), "error.type=cut_off"),
    ("abort", Ok(ABORTED), "error.type=cut_off"),
];

/// `STATUS_STACK_BUFFER_OVERRUN`, as which Windows reports `abort`.
#[cfg(windows)]
const ABORTED: i32 = 0xc000_0409_u32 as i32;

#[test]
fn every_exit_is_reported_with_its_closed_spans() {
    for (end, ended, says) in ENDS {
        let says = if HAS_EXIT_HOOK || !end.starts_with("exit=") { says } else { "error.type=cut_off" };
        let receiver = Receiver::start().expect("a receiver");
        let user = TestUser::sending_to(&receiver.http_endpoint());
        let output = user.run_frob(["build", "--spans", "1", "--end", end]);
        let found = output.status.code().ok_or_else(|| signal(output.status));
        assert_eq!(found, ended, "{end}");
        assert_eq!(output.stdout, b"working\n", "{end}");
        user.flush();
        // Without telemetry the tool ends in the same way, with the same output.
        let without = TestUser::new().run_frob(["build", "--spans", "1", "--end", end]);
        assert_eq!((without.status, without.stdout), (output.status, output.stdout), "{end}");
        assert_eq!(without_thread_ids(&without.stderr), without_thread_ids(&output.stderr), "{end}");
        let error = if says.contains("error.type") { "[error] " } else { "" };
        let expected = format!(
            "\"frob build\" {error}process.executable.name=frob {says} frob.command=build\n  \
             step frob.number=0 frob.color=auto\n    inner frob.number=0\n"
        );
        assert_eq!(only_tree(&receiver), expected, "{end}");
    }
}

#[cfg(unix)]
fn signal(ended: std::process::ExitStatus) -> i32 {
    std::os::unix::process::ExitStatusExt::signal(&ended).expect("it has no exit code")
}

#[cfg(not(unix))]
fn signal(ended: std::process::ExitStatus) -> i32 {
    panic!("it has an exit code: {ended}")
}

/// Removes the thread id from a panic message.
fn without_thread_ids(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.split(' ').filter(|word| !word.starts_with('(')).collect::<Vec<_>>().join(" ")
}

#[test]
fn clap_errors_are_reported_with_their_exit_code() {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    let output = user.run_frob(["unknown-option"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--no-such-option"));
    user.flush();
    if !HAS_EXIT_HOOK {
        assert_eq!(receiver.traces().len(), 0, "nothing tells that the process failed");
        return;
    }
    assert!(only_tree(&receiver).contains("process.exit.code=2 error.type=_OTHER"));
}

#[test]
fn usage_errors_are_reported_with_their_exit_code() {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    assert_eq!(user.run_frob(["usage-error"]).status.code(), Some(2));
    user.flush();
    if !HAS_EXIT_HOOK {
        assert_eq!(receiver.traces().len(), 0, "nothing tells that the process failed");
        return;
    }
    assert_eq!(
        only_tree(&receiver),
        "frob [error] process.executable.name=frob process.exit.code=2 error.type=_OTHER\n"
    );
}

#[test]
fn telemetry_commands_are_never_recorded() {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    for command in ["status", "show", "purge", "flush", "on", "off"] {
        assert!(user.run_frob(["telemetry", command]).status.success(), "{command}");
        assert!(user.pending_runs().is_empty(), "{command}");
    }
    assert!(receiver.requests().is_empty());
}

#[test]
fn telemetry_is_an_ordinary_word_without_the_command() {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    let mut recipe = user.frob_command(["telemetry", "--end", "exit=7"]);
    let ended = recipe.env("FROB_TELEMETRY_COMMAND", "none").status().expect("the tool starts");
    assert_eq!(ended.code(), Some(7));
    user.flush();
    let code = if HAS_EXIT_HOOK { "process.exit.code=7 error.type=_OTHER" } else { "error.type=cut_off" };
    assert!(only_tree(&receiver).contains(code));
}

#[test]
fn a_running_tool_is_not_recovered_as_dead() {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    let mut running = user
        .frob_command(["build", "--spans", "1", "--end", "wait"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    crate::test_user::eventually("its spans are on disk", || {
        user.pending_runs().iter().any(|path| std::fs::read(path).is_ok_and(|bytes| bytes.len() > 2_000))
    });
    assert!(user.flush(), "nothing can be delivered yet");
    assert!(receiver.requests().is_empty());
    running.kill().expect("it runs");
    running.wait().expect("it ends");
    assert!(user.flush());
    assert!(only_tree(&receiver).contains("error.type=cut_off"));
}
