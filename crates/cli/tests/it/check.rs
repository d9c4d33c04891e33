use crate::program::{GOOD, Person, Said};

fn check_against(old: &str, new: &str) -> Said {
    let person = Person::new();
    person.file("old.toml", old);
    person.file("telemetry.toml", new);
    person.says(["check", "telemetry.toml", "--against", "old.toml"])
}

#[test]
fn a_good_file_is_summed_up_and_exits_with_0() {
    let person = Person::new();
    person.file("telemetry.toml", GOOD);
    let said = person.says(["check", "telemetry.toml"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert_eq!(
        said.out,
        "telemetry.toml: 7 data points and 2 spans, 3 of them for operators only; no fault\n"
    );
}

#[test]
fn each_fault_is_told_with_its_place_and_exits_with_1() {
    let person = Person::new();
    person.file("telemetry.toml", &GOOD.replace("= 90", "= 0").replace("\"bool\"", "\"text\""));
    let said = person.says(["check", "telemetry.toml"]);
    assert_eq!(said.code, 1);
    assert!(
        said.out.starts_with("telemetry.toml:7:18: `retention_days` is 0; use 1 to 3650 days\n"),
        "{}",
        said.out
    );
    assert!(said.out.contains("\ntelemetry.toml:77:8: `kind` is \"text\", which is no kind"), "{}", said.out);
    assert!(said.out.ends_with("\n2 faults\n"), "{}", said.out);
}

#[test]
fn a_file_that_cannot_be_read_exits_with_2_and_says_what_to_do() {
    let person = Person::new();
    person.file("telemetry.toml", GOOD);
    for arguments in
        [&["check", "missing.toml"][..], &["check", "telemetry.toml", "--against", "missing.toml"]]
    {
        let said = person.says(arguments);
        assert_eq!((said.code, said.out.as_str()), (2, ""));
        assert!(said.err.contains("missing.toml cannot be read"), "{}", said.err);
        assert!(said.err.contains("Name the telemetry.toml"), "{}", said.err);
    }
}

#[test]
fn nothing_changed_exits_with_0() {
    let said = check_against(GOOD, GOOD);
    assert_eq!(said.code, 0);
    assert!(said.out.ends_with("\nNothing changed.\n"), "{}", said.out);
}

#[test]
fn less_or_other_words_exit_with_0() {
    let new = GOOD.replace("\"always\", ", "").replace("To drop old ones.", "To drop the old.");
    let said = check_against(GOOD, &new);
    assert_eq!(said.code, 0);
    assert!(said.out.contains("narrower: data point `frob.color`, `values` loses always\n"), "{}", said.out);
    assert!(said.out.contains("reworded: data point `frob.compiler`"), "{}", said.out);
    assert!(said.out.ends_with("\nNothing more is collected than before.\n"), "{}", said.out);
}

#[test]
fn more_that_people_are_told_of_exits_with_3() {
    let new = GOOD.replace(
        "values = [\"always\", \"never\"]\naudience = \"maker\"\nsince = \"1.0.0\"",
        "values = [\"always\", \"never\", \"auto\"]\naudience = \"maker\"\nsince = \"2.0.0\"",
    );
    let said = check_against(GOOD, &new);
    assert_eq!(said.code, 3, "{}", said.out);
    assert!(said.out.contains("wider: data point `frob.color`, `values` gains auto\n"), "{}", said.out);
}

#[test]
fn more_that_nobody_is_told_of_exits_with_1() {
    let said = check_against(GOOD, &GOOD.replace("\"always\", ", "\"always\", \"auto\", "));
    assert_eq!(said.code, 1);
    assert!(said.out.contains("gains auto (raise `since`: nobody is told of it)\n"), "{}", said.out);
    assert!(said.out.ends_with("raise the `since` of each such entry.\n"), "{}", said.out);
}

#[test]
fn an_earlier_version_with_faults_is_named() {
    let said = check_against("format = 7", GOOD);
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    assert!(said.err.contains("old.toml:1:"), "{}", said.err);
    assert!(said.err.ends_with("old.toml cannot be used before that is put right.\n"), "{}", said.err);
}

#[test]
fn each_fault_of_a_policy_is_told_with_its_line_and_exits_with_1() {
    let person = Person::new();
    person.file(
        "policy.toml",
        "telemtry = \"off\"\n\n[tool.frob]\ntelemetry = off\nprotocol = \"https\"\n[tool.Frob]\n",
    );
    let said = person.says(["check", "policy.toml"]);
    assert_eq!((said.code, said.err.as_str()), (1, ""));
    let places: Vec<_> = said.out.lines().filter_map(|line| line.split(": ").next()).collect();
    assert_eq!(&places[..4], ["policy.toml:1", "policy.toml:4", "policy.toml:5", "policy.toml:6"]);
    assert!(said.out.contains("`telemtry` is no key of a policy; the keys are telemetry, "), "{}", said.out);
    assert!(
        said.out.ends_with("\n4 faults; telemetry is off for the tools that it concerns\n"),
        "{}",
        said.out
    );
}

#[test]
fn a_good_policy_is_summed_up_and_exits_with_0() {
    let person = Person::new();
    person.file("policy.toml", "telemetry = \"off\"\n[tool.frob]\n");
    person.file("draft.toml", "[tool.frob]\ndata_points = []\n");
    let said = person.says(["check", "policy.toml"]);
    assert_eq!(said.out, "policy.toml: a policy for every tool, and for 1 tool by name; no fault\n");
    let said = person.says(["check", "--policy", "draft.toml"]);
    assert_eq!(
        (said.code, said.out.as_str()),
        (0, "draft.toml: a policy for no tool in general, and for 1 tool by name; no fault\n")
    );
}

#[test]
fn a_policy_that_is_missing_exits_with_2_and_one_that_no_tool_would_use_with_1() {
    use std::os::unix::fs::PermissionsExt;

    let person = Person::new();
    assert_eq!(person.says(["check", "policy.toml"]).code, 2);
    person.file("policy.toml", "telemetry = \"off\"\n");
    std::fs::set_permissions(person.home().join("policy.toml"), PermissionsExt::from_mode(0o666))
        .expect("ours");
    let said = person.says(["check", "policy.toml"]);
    assert_eq!(said.code, 1);
    assert!(said.out.starts_with("policy.toml: anybody may write it"), "{}", said.out);
}
