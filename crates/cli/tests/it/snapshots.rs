//! `SNAPSHOTS=overwrite cargo test -p tool-telemetry-cli` regenerates the files in `tests/cmd`.

use std::path::Path;

use snapbox::{Assert, Data, Redactions};

use crate::fixture::{GOOD, TestUser};
use crate::run_files::user_with_runs;

const SUBCOMMANDS: [&str; 14] = [
    "list",
    "status",
    "on",
    "off",
    "show",
    "flush",
    "purge",
    "view",
    "exec",
    "span",
    "check",
    "document",
    "collector-config",
    "registry",
];

/// Runs the program and compares its whole output with `tests/cmd/NAME`.
fn check(user: &TestUser, name: &str, arguments: &[&str]) {
    let output = user.run(arguments);
    let text = format!(
        "$ tool-telemetry {}\n{}{}exit code {}\n",
        arguments.join(" "),
        output.stdout,
        output.stderr,
        output.code
    );
    let mut redactions = Redactions::new();
    redactions.insert("[HOME]", user.home().to_path_buf()).expect("a placeholder");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd").join(name);
    Assert::new()
        .action_env(snapbox::assert::DEFAULT_ACTION_ENV)
        .redact_with(redactions)
        .eq(ago(&text), Data::read_from(&file, None));
}

/// Replaces the age of a time, which `status` prints as `5 min ago`.
fn ago(text: &str) -> String {
    let line = |line: &str| match line.strip_suffix(" ago").and_then(|rest| rest.rsplit_once(", ")) {
        Some((before, _)) => format!("{before}, [AGE] ago\n"),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn help() {
    let user = TestUser::new();
    check(&user, "help/tool-telemetry.txt", &["--help"]);
    for subcommand in SUBCOMMANDS {
        check(&user, &format!("help/{subcommand}.txt"), &[subcommand, "--help"]);
    }
}

#[test]
fn status_and_show() {
    let user = user_with_runs();
    check(&user, "status/notice-not-shown.txt", &["status", "frob"]);
    check(&user, "status/json.txt", &["status", "frob", "--json"]);
    check(&user, "show/approved.txt", &["show", "frob"]);
    std::fs::remove_file(user.home().join("telemetry.toml")).expect("the file exists");
    check(&user, "show/unchecked.txt", &["show", "frob"]);
    check(&user, "status/on.txt", &["on", "frob"]);
    check(&user, "status/purge.txt", &["purge", "frob"]);
    check(&user, "status/off.txt", &["off", "frob"]);
    check(&user, "status/turned-off.txt", &["status", "frob"]);
    check(&user, "status/flush.txt", &["flush", "frob"]);
    check(&user, "status/unknown-tool.txt", &["status", "nosuch"]);
    check(&user, "show/unknown-tool.txt", &["show", "nosuch"]);
}

#[test]
fn check_of_a_telemetry_toml() {
    let user = TestUser::new();
    user.write("old.toml", GOOD);
    user.write("telemetry.toml", &GOOD.replace("\"always\", ", "\"always\", \"auto\", "));
    user.write("broken.toml", &GOOD.replace("= 90", "= 0").replace("\"bool\"", "\"text\""));
    check(&user, "check/valid.txt", &["check", "telemetry.toml"]);
    check(&user, "check/broken.txt", &["check", "broken.toml"]);
    check(&user, "check/against.txt", &["check", "telemetry.toml", "--against", "old.toml"]);
}

#[test]
fn documents_and_configurations() {
    let user = TestUser::new();
    user.write("telemetry.toml", GOOD);
    let with_command = GOOD.replacen("format = 1", "format = 1\ntelemetry_command = \"frob telemetry\"", 1);
    user.write("with-command.toml", &with_command);
    let endpoint = "https://telemetry.example.com/v1/traces";
    for (name, arguments) in [
        ("table.txt", &["document", "telemetry.toml", "table"][..]),
        ("privacy.txt", &["document", "telemetry.toml", "privacy", "--tool", "frob"]),
        (
            "privacy-opt-in.txt",
            &[
                "document",
                "with-command.toml",
                "privacy",
                "--tool",
                "frob",
                "--opt-in",
                "--opt-out-var",
                "FROB_TELEMETRY_OPTOUT",
                "--endpoint",
                endpoint,
            ],
        ),
        ("licence.txt", &["document", "telemetry.toml", "licence", "--tool", "frob"]),
        (
            "licence-endpoint.txt",
            &["document", "with-command.toml", "licence", "--tool", "frob", "--endpoint", endpoint],
        ),
        ("collector-config.txt", &["collector-config", "telemetry.toml", "--tool", "frob"]),
        ("registry.txt", &["registry", "telemetry.toml", "--tool", "frob"]),
        ("registry-directory.txt", &["registry", "telemetry.toml", "--tool", "frob", "--output", "registry"]),
    ] {
        check(&user, &format!("document/{name}"), arguments);
    }
}
