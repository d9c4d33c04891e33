//! The texts that users read, pinned in `tests/it/snapshots`. `SNAPSHOTS=overwrite cargo test --test it snapshots` writes
//! the files again.

use std::path::Path;
use std::process::Output;

use tool_telemetry_receiver::{Answer, Receiver};

use crate::precedence::with_policy;
use crate::test_user::{DEAD_ENDPOINT, TIMEOUT, TestUser, eventually, example, is_root};

/// An address of loopback that no other test uses, so that it is the same in each run.
const ENDPOINT: &str = "http://127.91.7.5:4318";
const AUTHOR: &str = "https://telemetry.example.com/v1/traces";

/// Compares a text with its file, after the redactions.
#[track_caller]
fn assert_snapshot(name: &str, user: &TestUser, text: &str) {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots").join(name).with_extension("txt");
    let text = redact(&text.replace(&*user.home().to_string_lossy(), "[HOME]"));
    snapbox::Assert::new().action_env("SNAPSHOTS").eq(text, snapbox::Data::read_from(&file, None).raw());
}

/// Replaces times and ids, which differ in each run.
fn redact(text: &str) -> String {
    let mut redacted: Vec<String> = Vec::new();
    for line in text.replace("\r\n", "\n").split('\n') {
        let mut words: Vec<String> = Vec::new();
        for word in line.split(' ') {
            let (bare, end) = word.split_at(word.trim_end_matches([',', ';', ')']).len());
            let is_unit = ["ns", "µs", "ms", "s", "min", "h", "days"].contains(&bare);
            let is_number =
                |it: &String| it.starts_with(|it: char| it.is_ascii_digit()) && it.parse::<f64>().is_ok();
            let is_id = [16, 32].contains(&bare.len()) && bare.bytes().all(|it| it.is_ascii_hexdigit());
            if is_unit && words.last().is_some_and(is_number) {
                words.pop();
                words.push(format!("[TIME]{end}"));
            } else if is_id {
                words.push(format!("[ID]{end}"));
            } else if bare == "GMT" && words.len() >= 5 {
                // `Fri, 27 Nov 2026 23:53:02 GMT`
                words.truncate(words.len() - 5);
                words.push(format!("[DATE]{end}"));
            } else {
                words.push(word.to_owned());
            }
        }
        redacted.push(words.join(" "));
    }
    redacted.join("\n")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// Both streams of a telemetry command, and its exit code.
fn command(user: &TestUser, word: &str) -> String {
    let output = user.run_frob(["telemetry", word]);
    let stderr = String::from_utf8(output.stderr.clone()).expect("text");
    format!("{}{stderr}exit code: {}\n", stdout(&output), output.status.code().expect("an exit code"))
}

fn of_operator() -> TestUser {
    TestUser::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", DEAD_ENDPOINT)
}

/// A user of a tool that reports to its author.
fn of_author() -> TestUser {
    TestUser::new().with("FROB_AUTHOR_ENDPOINT", AUTHOR)
}

#[test]
fn times_and_ids_are_redacted() {
    let text =
        "build  1.25 ms\n  4bf92f3577b34da6a3ce929d0e0e4736, 3 s ago  Fri, 27 Nov 2026 23:53:02 GMT; 3 spans";
    assert_eq!(redact(text), "build  [TIME]\n  [ID], [TIME] ago  [DATE]; 3 spans");
}

#[test]
fn the_notice() {
    for (receiver, new_user) in [("author", of_author as fn() -> TestUser), ("operator", of_operator)] {
        for columns in [80, 40] {
            let user = new_user();
            let name = format!("notice-{receiver}-{columns}");
            assert_snapshot(&name, &user, &user.run_frob_at_terminal(columns, "build"));
            let user = user.with("FROB_VERSION", "2.0.0");
            let name = format!("notice-{receiver}-new-{columns}");
            assert_snapshot(&name, &user, &user.run_frob_at_terminal(columns, "build"));
        }
    }
    let user = of_operator().with("CI", "true");
    assert_snapshot("notice-ci", &user, &String::from_utf8(user.run_frob(["build"]).stderr).expect("text"));
}

#[test]
fn status_when_telemetry_is_on() {
    let user = TestUser::sending_to(DEAD_ENDPOINT).backing_off(DEAD_ENDPOINT);
    user.run_frob(["build"]);
    assert_snapshot("status-pending", &user, &user.status());
    user.flush();
    assert_snapshot("status-failure", &user, &user.status());
    user.run_frob(["telemetry", "purge"]);
    assert_snapshot("status-purged", &user, &user.status());

    let address = ENDPOINT.trim_start_matches("http://").parse().expect("an address");
    let receiver = Receiver::builder().http_address(address).start().expect("the address is free");
    let user = TestUser::sending_to(ENDPOINT);
    user.run_frob(["build"]);
    receiver.wait_for(1, TIMEOUT).expect("it arrives");
    eventually("its uploader ends", || user.uploaders().is_empty());
    receiver.answer_next([Answer::status(400), Answer::partial_success(2, "too many")]);
    for _ in 0..2 {
        user.run_frob(["build"]);
        user.flush();
    }
    assert_snapshot("status-delivered", &user, &user.status());
}

#[test]
fn status_when_telemetry_is_off() {
    for (name, variable, value) in [
        ("opt-out-variable", "FROB_TELEMETRY_OPTOUT", "1"),
        ("tool-variable", "FROB_TELEMETRY", "off"),
        ("misspelt-variable", "FROB_TELEMETRY", "fasle"),
        ("do-not-track", "DO_NOT_TRACK", "1"),
        ("otel-sdk-disabled", "OTEL_SDK_DISABLED", "true"),
        ("otel-traces-exporter", "OTEL_TRACES_EXPORTER", "none"),
    ] {
        let user = TestUser::sending_to(DEAD_ENDPOINT).with(variable, value);
        assert_snapshot(&format!("status-off-{name}"), &user, &user.status());
    }
    let turned_off = TestUser::sending_to(DEAD_ENDPOINT);
    turned_off.run_frob(["telemetry", "off"]);
    let unreadable = TestUser::sending_to(DEAD_ENDPOINT);
    std::fs::write(unreadable.home().join(".config/frob/telemetry.toml"), "x").expect("a file");
    let nowhere = TestUser::new();
    nowhere.run_frob(["telemetry", "on"]);
    for (name, user) in [
        ("choice", turned_off),
        ("choice-unreadable", unreadable),
        ("no-notice", of_operator()),
        ("no-endpoint", nowhere),
        ("no-home", of_operator().with("HOME", "/nonexistent")),
        ("opt-in", of_operator().with("FROB_OPT_IN", "1")),
        ("ci", of_author().with("CI", "1")),
    ] {
        assert_snapshot(&format!("status-off-{name}"), &user, &user.status());
    }
    if is_root("a policy file in /etc, in a mount namespace of its own") {
        for (name, policy) in
            [("policy", "telemetry = \"off\"\n"), ("policy-unreadable", "telemetry = off\n")]
        {
            let user = TestUser::sending_to(DEAD_ENDPOINT);
            assert_snapshot(
                &format!("status-off-{name}"),
                &user,
                &with_policy(policy, &user, "frob telemetry status"),
            );
        }
    }
}

#[test]
fn the_other_telemetry_commands() {
    let user = TestUser::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", DEAD_ENDPOINT).backing_off(DEAD_ENDPOINT);
    assert_snapshot("on", &user, &command(&user, "on"));
    assert_snapshot("flush-nothing", &user, &command(&user, "flush"));
    assert_snapshot("show-nothing", &user, &command(&user, "show"));
    user.run_frob(["build", "--spans", "1"]);
    assert_snapshot("show", &user, &command(&user, "show"));
    assert_snapshot("flush-failed", &user, &command(&user, "flush"));
    assert_snapshot("purge", &user, &command(&user, "purge"));
    user.run_frob(["build"]);
    assert_snapshot("off", &user, &command(&user, "off"));
    let user = user.with("DO_NOT_TRACK", "1");
    assert_snapshot("on-do-not-track", &user, &command(&user, "on"));
    assert_snapshot("flush-do-not-track", &user, &command(&user, "flush"));
}

/// The help that clap prints for the subcommand, in an example that has it.
#[test]
fn help() {
    let user = TestUser::new();
    let help = |arguments: &[&str]| {
        let output = user.command(example("minimal")).args(arguments).output().expect("the tool starts");
        stdout(&output)
    };
    assert_snapshot("help", &user, &help(&["telemetry", "--help"]));
    for word in ["on", "off", "status", "show", "flush", "purge"] {
        assert_snapshot(&format!("help-{word}"), &user, &help(&["telemetry", word, "--help"]));
    }
}

#[test]
fn an_explanation() {
    let user = TestUser::sending_to(DEAD_ENDPOINT).with("FROB_TELEMETRY", "explain");
    let output = user.run_frob(["buidl", "--spans", "1", "--mistakes"]);
    assert_snapshot("explain", &user, &String::from_utf8(output.stderr).expect("text"));
}
