use crate::fixture::{GOOD, ProgramOutput, TestUser};

fn check_against(old: &str, new: &str) -> ProgramOutput {
    let user = TestUser::new();
    user.write("old.toml", old);
    user.write("telemetry.toml", new);
    user.run(["check", "telemetry.toml", "--against", "old.toml"])
}

#[test]
fn a_valid_file_is_summarised_and_exits_with_0() {
    let user = TestUser::new();
    user.write("telemetry.toml", GOOD);
    let output = user.run(["check", "telemetry.toml"]);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    assert_eq!(
        output.stdout,
        "telemetry.toml: 7 data points and 2 spans, 3 of them for operators only; no errors\n"
    );
}

#[test]
fn each_error_is_printed_with_its_position_and_exits_with_1() {
    let user = TestUser::new();
    user.write("telemetry.toml", &GOOD.replace("= 90", "= 0").replace("\"bool\"", "\"text\""));
    let output = user.run(["check", "telemetry.toml"]);
    assert_eq!(output.code, 1);
    assert!(
        output.stdout.starts_with("telemetry.toml:7:18: `retention_days` is 0; use 1 to 3650 days\n"),
        "{}",
        output.stdout
    );
    assert!(
        output.stdout.contains("\ntelemetry.toml:77:8: `kind` is \"text\"; use one of bool"),
        "{}",
        output.stdout
    );
    assert!(output.stdout.ends_with("\n2 errors\n"), "{}", output.stdout);
}

#[test]
fn an_unreadable_file_exits_with_2_and_a_remedy() {
    let user = TestUser::new();
    user.write("telemetry.toml", GOOD);
    for arguments in
        [&["check", "missing.toml"][..], &["check", "telemetry.toml", "--against", "missing.toml"]]
    {
        let output = user.run(arguments);
        assert_eq!((output.code, output.stdout.as_str()), (2, ""));
        assert!(output.stderr.contains("missing.toml cannot be read"), "{}", output.stderr);
        assert!(output.stderr.contains("Name the telemetry.toml"), "{}", output.stderr);
    }
}

#[test]
fn equal_files_exit_with_0() {
    let output = check_against(GOOD, GOOD);
    assert_eq!(output.code, 0);
    assert!(output.stdout.ends_with("\nNothing changed.\n"), "{}", output.stdout);
}

#[test]
fn narrower_and_reworded_entries_exit_with_0() {
    let new = GOOD.replace("\"always\", ", "").replace("To drop old ones.", "To drop the old.");
    let output = check_against(GOOD, &new);
    assert_eq!(output.code, 0);
    assert!(
        output.stdout.contains("narrower: data point `frob.color`, `values` loses always\n"),
        "{}",
        output.stdout
    );
    assert!(output.stdout.contains("reworded: data point `frob.compiler`"), "{}", output.stdout);
    assert!(output.stdout.ends_with("\nNothing more is collected than before.\n"), "{}", output.stdout);
}

#[test]
fn wider_entries_that_users_are_notified_of_exit_with_3() {
    let new = GOOD.replace(
        "values = [\"always\", \"never\"]\naudience = \"maker\"\nsince = \"1.0.0\"",
        "values = [\"always\", \"never\", \"auto\"]\naudience = \"maker\"\nsince = \"2.0.0\"",
    );
    let output = check_against(GOOD, &new);
    assert_eq!(output.code, 3, "{}", output.stdout);
    assert!(
        output.stdout.contains("wider: data point `frob.color`, `values` gains auto\n"),
        "{}",
        output.stdout
    );
}

#[test]
fn wider_entries_that_users_are_not_notified_of_exit_with_1() {
    let output = check_against(GOOD, &GOOD.replace("\"always\", ", "\"always\", \"auto\", "));
    assert_eq!(output.code, 1);
    assert!(
        output.stdout.contains("gains auto (raise `since`, or no notice announces it)\n"),
        "{}",
        output.stdout
    );
    assert!(output.stdout.ends_with("Raise `since` of each such entry.\n"), "{}", output.stdout);
}

#[test]
fn errors_in_the_earlier_version_exit_with_1() {
    let output = check_against("format = 7", GOOD);
    assert_eq!((output.code, output.stdout.as_str()), (1, ""));
    assert!(output.stderr.contains("old.toml:1:"), "{}", output.stderr);
    assert!(output.stderr.ends_with("Fix old.toml first.\n"), "{}", output.stderr);
}

#[test]
fn each_error_in_a_policy_is_printed_with_its_line_and_exits_with_1() {
    let user = TestUser::new();
    user.write(
        "policy.toml",
        "telemtry = \"off\"\n\n[tool.frob]\ntelemetry = off\nprotocol = \"https\"\n[tool.Frob]\n",
    );
    let output = user.run(["check", "policy.toml"]);
    assert_eq!((output.code, output.stderr.as_str()), (1, ""));
    let places: Vec<_> = output.stdout.lines().filter_map(|line| line.split(": ").next()).collect();
    assert_eq!(&places[..4], ["policy.toml:1", "policy.toml:4", "policy.toml:5", "policy.toml:6"]);
    assert!(
        output.stdout.contains("`telemtry` is not a key of a policy; the keys are telemetry, "),
        "{}",
        output.stdout
    );
    assert!(
        output.stdout.ends_with("\n4 errors; telemetry is off for the tools that the errors concern\n"),
        "{}",
        output.stdout
    );
}

#[test]
fn a_valid_policy_is_summarised_and_exits_with_0() {
    let user = TestUser::new();
    user.write("policy.toml", "telemetry = \"off\"\n[tool.frob]\n");
    user.write("draft.toml", "[tool.frob]\ndata_points = []\n");
    let output = user.run(["check", "policy.toml"]);
    assert_eq!(output.stdout, "policy.toml: a policy for every tool, and for 1 tool by name; no errors\n");
    let output = user.run(["check", "--policy", "draft.toml"]);
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (0, "draft.toml: a policy for no tool in general, and for 1 tool by name; no errors\n")
    );
}

#[test]
fn a_missing_policy_exits_with_2_and_an_unsafe_one_with_1() {
    use std::os::unix::fs::PermissionsExt;

    let user = TestUser::new();
    assert_eq!(user.run(["check", "policy.toml"]).code, 2);
    user.write("policy.toml", "telemetry = \"off\"\n");
    std::fs::set_permissions(user.home().join("policy.toml"), PermissionsExt::from_mode(0o666))
        .expect("new permissions");
    let output = user.run(["check", "policy.toml"]);
    assert_eq!(output.code, 1);
    assert!(output.stdout.starts_with("policy.toml: everyone can write it"), "{}", output.stdout);
}
