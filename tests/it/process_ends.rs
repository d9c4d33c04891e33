//! A run is reported however its process ends, and the tool ends as it does without telemetry.

use tool_telemetry_receiver::Receiver;

use crate::test_user::{TestUser, only_tree};

/// How the tool ends, its exit code or signal, and the attributes of the root span.
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

#[test]
fn every_exit_is_reported_with_its_closed_spans() {
    use std::os::unix::process::ExitStatusExt as _;

    for (end, ended, says) in ENDS {
        let receiver = Receiver::start().expect("a receiver");
        let user = TestUser::sending_to(&receiver.http_endpoint());
        let output = user.run_frob(["build", "--spans", "1", "--end", end]);
        let found = output.status.code().ok_or_else(|| output.status.signal().unwrap_or_default());
        assert_eq!(found, ended, "{end}");
        assert_eq!(output.stdout, b"working\n", "{end}");
        user.flush();
        // Without telemetry the tool ends in the same way, with the same output.
        let without = TestUser::new().run_frob(["build", "--spans", "1", "--end", end]);
        assert_eq!((without.status, without.stdout), (output.status, output.stdout), "{end}");
        assert_eq!(without_thread_ids(&without.stderr), without_thread_ids(&output.stderr), "{end}");
        let error = if says.contains("error.type") { "[error] " } else { "" };
        let expected = format!(
            "frob {error}process.executable.name=frob {says} frob.command=build\n  \
             step frob.number=0 frob.color=auto\n    inner frob.number=0\n"
        );
        assert_eq!(only_tree(&receiver), expected, "{end}");
    }
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
    assert!(only_tree(&receiver).contains("process.exit.code=2 error.type=_OTHER"));
}

#[test]
fn usage_errors_are_reported_with_their_exit_code() {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    assert_eq!(user.run_frob(["usage-error"]).status.code(), Some(2));
    user.flush();
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
    assert!(only_tree(&receiver).contains("process.exit.code=7 error.type=_OTHER"));
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
