//! `telemetry status` as text and as JSON, and errors that say what to do.

use std::time::Duration;

use serde_json::{Value, json};
use tool_telemetry_receiver::{Answer, Receiver};

use crate::test_user::{DEAD_ENDPOINT, TIMEOUT, TestUser, eventually};

fn status(user: &TestUser) -> Value {
    let output = user.run_frob(["telemetry", "status", "--json"]);
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
    assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count(), 1, "one line");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn json_always_has_every_key() {
    let user = TestUser::sending_to(DEAD_ENDPOINT).backing_off(DEAD_ENDPOINT);
    user.run_frob(["build"]);
    let mut printed = status(&user);
    let destination = &mut printed["destinations"][0];
    assert!(destination["next_try_in"].take().is_u64());
    let choice_file = user.home().join(".config/frob/telemetry.toml");
    let none = json!({ "refused": 0, "limit_bytes": 0, "limit_runs": 0, "limit_age": 0, "disk": 0, "damaged": 0,
                       "opted_out": 0, "purged": 0, "discarded": 0, "limit_open": 0 });
    assert_eq!(
        printed,
        json!({
            "format": 1,
            "tool": "frob",
            "telemetry": "on",
            "reason": "person",
            "reason_text": "your choice",
            "variable": null,
            "policy_file": "/etc/tool-telemetry/policy.toml",
            "published_at": null,
            "choice_file": choice_file.to_str(),
            "destination": { "origin": DEAD_ENDPOINT, "chosen_by": "operator" },
            "warnings": [],
            "destinations": [{
                "name": "operator+the-tests+http-127.0.0.1-9",
                "pending": 1,
                "being_written": 0,
                "delivered": 0,
                "dropped": none,
                "rejected_spans": 0,
                "dropped_spans": 0,
                "left_out": 0,
                "newer_runs": 0,
                "last_delivery": null,
                "last_failure": null,
                "next_try_in": null,
                "unreported_starts": 0,
                "start_trouble": null,
                "counting_since": null, "counts": null,
            }],
        })
    );
    // A user without a spool gets the same keys.
    let keys = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&status(&TestUser::new())), keys(&printed));
}

#[test]
fn it_reports_the_decision_and_the_runs() {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    user.run_frob(["build"]);
    receiver.wait_for(1, TIMEOUT).expect("it arrives");
    eventually("the time of the delivery is stored", || {
        status(&user)["destinations"][0]["last_delivery"].is_u64()
    });
    assert_eq!(status(&user)["destinations"][0]["delivered"], 1);
    let text = user.status();
    assert!(text.starts_with("telemetry of frob is on: your choice (/"), "{text}");
    assert!(text.contains("  last delivery: ") && text.contains(" ago\n"), "{text}");

    // The counts are also shown when a variable opts out.
    let user = user.with("DO_NOT_TRACK", "1");
    let printed = status(&user);
    assert_eq!((&printed["telemetry"], &printed["variable"]), (&json!("off"), &json!("DO_NOT_TRACK")));
    assert_eq!(printed["destinations"][0]["delivered"], 1);

    let damaged = user.with("DO_NOT_TRACK", "");
    eventually("its uploader has ended", || damaged.uploaders().is_empty());
    damaged.run_frob(["telemetry", "off"]);
    let printed = status(&damaged);
    assert_eq!((&printed["telemetry"], &printed["reason"]), (&json!("off"), &json!("person")));
    assert!(damaged.status().contains("runs would go to "), "{}", damaged.status());
}

#[test]
fn show_prints_otlp_json_lines() {
    let user = TestUser::sending_to(DEAD_ENDPOINT).backing_off(DEAD_ENDPOINT);
    user.run_frob(["build"]);
    let shown = user.run_frob(["telemetry", "show", "--json"]).stdout;
    let lines: Vec<Value> = shown
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 5);
    assert!(lines.iter().all(|line| line["resourceSpans"].is_array()));
}

#[test]
fn every_error_says_what_to_do() {
    let do_not_track = TestUser::sending_to(DEAD_ENDPOINT).with("DO_NOT_TRACK", "1");
    let nowhere = TestUser::new();
    nowhere.run_frob(["telemetry", "on"]);
    let turned_off = TestUser::sending_to(DEAD_ENDPOINT);
    turned_off.run_frob(["telemetry", "off"]);
    let corrupt = TestUser::sending_to(DEAD_ENDPOINT);
    std::fs::write(corrupt.home().join(".config/frob/telemetry.toml"), "x").expect("a file");
    let in_the_way = TestUser::new();
    std::fs::write(in_the_way.home().join(".config"), "x").expect("a file");
    let homeless = TestUser::new().with("HOME", "/nonexistent");
    for (user, command, what, to_do) in [
        (&do_not_track, "flush", "the environment variable DO_NOT_TRACK", "unset DO_NOT_TRACK"),
        (&nowhere, "flush", "no destination is set", "set OTEL_EXPORTER_OTLP_ENDPOINT"),
        (&turned_off, "flush", "your choice", "`frob telemetry on`"),
        (&corrupt, "flush", "the file with your choice cannot be read", "writes it again"),
        (&in_the_way, "on", "cannot write", "check who owns it"),
        (&in_the_way, "off", "cannot write", "check who owns it"),
        (&homeless, "on", "there is no home directory", "set HOME"),
        (&homeless, "purge", "there is no home directory", "set HOME"),
    ] {
        let output = user.run_frob(["telemetry", command]);
        assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]), "{what}");
        let printed = String::from_utf8(output.stderr).expect("text");
        assert!(
            printed.starts_with("frob: ") && printed.contains(what) && printed.contains(to_do),
            "{printed}"
        );
        assert_eq!(printed.lines().count(), 1, "{printed}");
    }
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_is_no_error() {
    let user = TestUser::sending_to(DEAD_ENDPOINT).backing_off(DEAD_ENDPOINT);
    user.run_frob(["build", "--spans", "3000"]);
    let script =
        format!("{} telemetry show --json | head -c 10", crate::test_user::example("frob").display());
    let output = user.command("sh").args(["-c", &script]).output().expect("a shell");
    assert_eq!((output.stdout.len(), &*output.stderr), (10, &b""[..]));
}

#[cfg(target_os = "linux")]
#[test]
fn a_slow_flush_draws_and_erases_a_progress_bar() {
    let receiver = Receiver::start().expect("a receiver");
    receiver.answer_next([Answer::Delay(Duration::from_secs(2))]);
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint).backing_off(&endpoint);
    user.run_frob(["build"]);
    let shown = user.run_frob_at_terminal(80, "telemetry flush");
    let nothing_yet = format!("\r{:52}", "Sending [                    ] 0/1");
    assert!(shown.starts_with(&nothing_yet), "{shown:?}");
    assert!(shown.ends_with(&format!("\r{:52}\rNo runs are pending.\r\n", "")), "{shown:?}");
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    // A fast flush draws no bar.
    let nothing = TestUser::sending_to(DEAD_ENDPOINT).run_frob_at_terminal(80, "telemetry flush");
    assert_eq!(nothing, "No runs are pending.\r\n");
}

#[test]
fn on_reports_when_telemetry_stays_off() {
    let on = |user: &TestUser| String::from_utf8(user.run_frob(["telemetry", "on"]).stdout).expect("text");
    let user = TestUser::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", DEAD_ENDPOINT);
    assert_eq!(on(&user), "Telemetry of frob is on. To see what is sent: `frob telemetry show`.\n");
    let off = "Your choice is saved, but telemetry of frob is still off: ";
    let no_track = user.with("DO_NOT_TRACK", "1");
    let why = "the environment variable DO_NOT_TRACK; unset DO_NOT_TRACK to turn it on.\n";
    assert_eq!(on(&no_track), format!("{off}{why}"));
    let why = "no destination is set; set OTEL_EXPORTER_OTLP_ENDPOINT.\n";
    assert_eq!(on(&TestUser::new()), format!("{off}{why}"));
}
