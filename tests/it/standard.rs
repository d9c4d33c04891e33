//! Ready-made data points: the library records them by itself.

use tool_telemetry_receiver::Receiver;

use crate::test_user::{TIMEOUT, TestUser, only_tree};

/// The attributes of a run of this user.
fn attributes(user: impl FnOnce(TestUser) -> TestUser) -> String {
    let receiver = Receiver::start().expect("a receiver");
    let usual = TestUser::new()
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.http_endpoint())
        .with_tool_setting("FROB_STANDARD", "1");
    assert!(usual.run_frob(["telemetry", "on"]).status.success());
    let user = user(usual);
    user_runs(&user);
    receiver.wait_for(1, TIMEOUT).expect("it arrives");
    only_tree(&receiver)
}

fn user_runs(user: &TestUser) {
    assert!(user.run_frob(["build", "--spans", "0"]).status.success());
}

#[test]
fn each_is_recorded_from_a_closed_list() {
    let run = attributes(|user| user.with("AI_AGENT", "claude-code_2-1-232_agent"));
    for expected in
        ["process.exit.code=0", "run.in_ci=false", "run.on_terminal=false", "run.agent=claude-code"]
    {
        assert!(run.contains(expected), "{expected}: {run}");
    }
    for key in ["os.type=", "host.arch=", "run.in_container="] {
        assert!(run.contains(key) && !run.contains(&format!("{key}other")), "{key}: {run}");
    }
}

#[test]
fn the_text_of_a_variable_is_never_recorded() {
    let run = attributes(|user| user.with("AI_AGENT", "annas-secret-agent").with("CI", "annas-ci"));
    assert!(run.contains("run.agent=other") && run.contains("run.in_ci=true"), "{run}");
    assert!(!run.contains("anna"), "{run}");
}

#[test]
fn a_tool_that_names_none_records_none() {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint()).with("AI_AGENT", "claude-code");
    user_runs(&user);
    receiver.wait_for(1, TIMEOUT).expect("it arrives");
    let run = only_tree(&receiver);
    assert!(!run.contains("run.agent") && !run.contains("os.type"), "{run}");
}
