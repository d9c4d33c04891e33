//! Messages suggest only commands that the tool has. In a tool without the command, `just telemetry off` would
//! run the user's own recipe.

use std::process::Output;

use crate::test_user::{DEAD_ENDPOINT, TestUser};

/// How the tool's telemetry command is typed, and the arguments with which the tests' tool runs it. An author
/// may offer the same under a name that messages do not know.
const TOOLS: [(&str, &[&str]); 4] = [
    ("frob telemetry", &["telemetry"]),
    ("cargo frob telemetry", &["frob", "telemetry"]),
    ("frob --telemetry", &["--telemetry"]),
    ("none", &["ask"]),
];

const WORDS: [&str; 6] = ["on", "off", "status", "show", "flush", "purge"];

fn printed(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

/// Every message of the tool about telemetry.
fn texts(typed: &str, arguments: &[&str]) -> Vec<String> {
    let tool = || TestUser::new().with("FROB_TELEMETRY_COMMAND", typed);
    let operator = || tool().with("OTEL_EXPORTER_OTLP_ENDPOINT", DEAD_ENDPOINT);
    let ask = |user: &TestUser, word| printed(&user.run_frob(arguments.iter().chain(&[word])));
    let mut texts = Vec::new();

    let newcomer = operator();
    texts.push(ask(&newcomer, "status"));
    texts.push(newcomer.run_frob_at_terminal(80, "build"));
    texts.push(newcomer.with("FROB_VERSION", "2.0.0").run_frob_at_terminal(80, "build"));
    texts.push(printed(&operator().with("CI", "true").run_frob(["build"])));
    // The author's notice, on a narrow terminal.
    let of_author = tool().with("FROB_AUTHOR_ENDPOINT", "https://telemetry.example.com/v1/traces");
    texts.push(of_author.run_frob_at_terminal(30, "build"));

    let turned_on = operator();
    texts.push(ask(&turned_on, "on"));
    turned_on.run_frob(["build"]);
    texts.extend(WORDS.map(|word| ask(&turned_on, word)));
    // Runs are pending for one destination while the tool sends to another.
    let other_destination = operator();
    ask(&other_destination, "on");
    other_destination.run_frob(["build"]);
    ask(&other_destination, "purge");
    let other = "http://127.0.0.1:19";
    let build = |endpoint| {
        other_destination.frob_command(["build"]).env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint).output()
    };
    let on = arguments.iter().chain(&["on"]);
    other_destination
        .frob_command(on)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", other)
        .output()
        .expect("the tool starts");
    build(other).expect("the tool starts");
    let flushed = ask(&other_destination, "flush");
    assert!(flushed.starts_with("No runs are pending for this destination"), "{flushed}");
    texts.push(flushed);
    let corrupt = operator();
    std::fs::create_dir_all(corrupt.home().join(".config/frob")).expect("a directory");
    std::fs::write(corrupt.home().join(".config/frob/telemetry.toml"), "x").expect("a file");
    // Telemetry is off, for every reason that a user can cause.
    let off = [
        corrupt,
        turned_on.with("CI", "true"),
        operator().with("FROB_OPT_IN", "1"),
        operator().with("DO_NOT_TRACK", "1"),
        tool(),
        tool().with("OTEL_EXPORTER_OTLP_ENDPOINT", "nonsense"),
        tool().with("FROB_AUTHOR_ENDPOINT", "https://telemetry.example.com/v1/traces").with("CI", "1"),
        tool().with("HOME", "/nonexistent"),
    ];
    for user in off {
        texts.extend(["status", "flush", "off", "flush", "on"].map(|word| ask(&user, word)));
    }
    texts
}

/// The commands between backticks. Lines of a file are left out.
fn suggested(text: &str) -> impl Iterator<Item = String> {
    let flat = text.replace("\r\n", " ");
    let codes: Vec<_> = flat.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    codes.into_iter().filter(|code| !code.contains(" = "))
}

#[test]
fn every_suggested_command_exists() {
    for (typed, arguments) in TOOLS.into_iter().filter(|(typed, _)| *typed != "none") {
        let texts = texts(typed, arguments);
        let mut suggestions: Vec<_> = texts.iter().flat_map(|text| suggested(text)).collect();
        suggestions.sort_unstable();
        suggestions.dedup();
        assert!(suggestions.len() >= 4, "{suggestions:?}");
        for command in suggestions {
            let word =
                command.strip_prefix(typed).unwrap_or_else(|| panic!("{typed} is not {command}")).trim();
            assert!(WORDS.contains(&word), "{command}");
            let user = TestUser::sending_to(DEAD_ENDPOINT).with("FROB_TELEMETRY_COMMAND", typed);
            user.run_frob(arguments.iter().chain(&[word]));
            assert!(user.pending_runs().is_empty(), "{command} is not recorded");
        }
    }
}

#[test]
fn a_tool_without_the_command_suggests_variables_and_files() {
    let texts = texts("none", &["ask"]);
    for text in &texts {
        assert_eq!(suggested(text).next(), None, "{text}");
        for word in WORDS {
            assert!(!text.contains(&format!("telemetry {word}")), "{text}");
        }
        assert!(!text.contains("tool-telemetry "), "the reader may not have that program: {text}");
    }
    let all = texts.concat();
    for way in [
        "FROB_TELEMETRY_OPTOUT=1",
        "FROB_TELEMETRY=log",
        "unset DO_NOT_TRACK",
        "write `telemetry = \"on\"` into",
    ] {
        assert!(all.contains(way), "{way}\n{all}");
    }
}

#[test]
fn the_suggested_choice_file_turns_telemetry_on() {
    let user = TestUser::new()
        .with("FROB_TELEMETRY_COMMAND", "none")
        .with("FROB_OPT_IN", "1")
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", DEAD_ENDPOINT);
    let message = printed(&user.run_frob(["ask", "flush"]));
    let file = user.home().join(".config/frob/telemetry.toml");
    assert!(
        message.contains(&format!("write `telemetry = \"on\"` into {} to turn it on", file.display())),
        "{message}"
    );
    std::fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
    std::fs::write(file, "telemetry = \"on\"\n").expect("a file");
    assert!(user.run_frob_at_terminal(80, "build").contains("To turn it off: set FROB_TELEMETRY_OPTOUT=1."));
    user.run_frob(["build"]);
    assert_eq!(user.pending_runs().len(), 1, "the notice was shown, and the next run is recorded");
}
