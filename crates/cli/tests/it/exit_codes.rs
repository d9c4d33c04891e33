use crate::exit_codes::contract::MEANINGS;
use crate::fixture::{GOOD, TestUser};

/// The program's own module.
#[path = "../../src/exit_code.rs"]
mod contract;

#[test]
fn the_readme_and_the_help_list_the_exit_codes() {
    let readme = include_str!("../../README.md");
    let help = TestUser::new().run(["--help"]).stdout;
    for (code, meaning) in MEANINGS {
        assert!(readme.contains(&format!("| {code} | {meaning} |")), "{code} {meaning}");
        assert!(help.contains(&format!("  {code}  {}", &meaning[..20])), "{code} {meaning}\n{help}");
    }
    assert_eq!(readme.lines().filter(|line| is_exit_code_row(line)).count(), MEANINGS.len());
}

fn is_exit_code_row(line: &str) -> bool {
    line.strip_prefix("| ").is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

#[test]
fn commands_end_with_the_documented_exit_codes() {
    let user = TestUser::new();
    user.write("telemetry.toml", GOOD);
    user.write("broken.toml", "format = 7");
    let wider = GOOD.replacen(
        "\"never\"]\naudience = \"maker\"\nsince = \"1.0.0\"",
        "\"never\", \"auto\"]\naudience = \"maker\"\nsince = \"2.0.0\"",
        1,
    );
    user.write("wider.toml", &wider);
    let unannounced = GOOD.replacen("\"never\"]", "\"never\", \"auto\"]", 1);
    user.write("unannounced.toml", &unannounced);
    for (arguments, code) in [
        (&["check", "telemetry.toml"][..], contract::SUCCESS),
        (&["check", "broken.toml"], contract::FAILURE),
        (&["check", "unannounced.toml", "--against", "telemetry.toml"], contract::FAILURE),
        (&["check", "missing.toml"], contract::USAGE),
        (&["check", "wider.toml", "--against", "telemetry.toml"], contract::COLLECTS_MORE),
        (&["status", "nosuch"], contract::UNKNOWN_TOOL),
    ] {
        let output = user.run(arguments);
        assert_eq!(output.code, i32::from(code), "{arguments:?}: {output:?}");
    }
}

#[test]
fn a_usage_error_exits_with_2() {
    let user = TestUser::new();
    user.write("telemetry.toml", GOOD);
    for arguments in [
        &[][..],
        &["look"],
        &["check"],
        &["document", "telemetry.toml", "poem"],
        &["document", "telemetry.toml", "privacy"],
        &["document", "telemetry.toml", "privacy", "--tool", "../frob"],
        &["document", "telemetry.toml", "privacy", "--tool", "frob", "--opt-out-var", "A B"],
        &["document", "telemetry.toml", "privacy", "--tool", "frob", "--endpoint", "<script>"],
    ] {
        let output = user.run(arguments);
        assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}
