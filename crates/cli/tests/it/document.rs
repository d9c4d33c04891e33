use std::fs;
use std::path::Path;

use crate::fixture::{GOOD, TestUser};

/// The arguments that generate the example's documents.
const EXAMPLE: [&str; 4] = ["--tool", "dotnet", "--opt-out-var", "DOTNET_CLI_TELEMETRY_OPTOUT"];

/// The telemetry.toml of a tool that has a telemetry command.
fn with_command(typed: &str) -> String {
    GOOD.replacen("format = 1", &format!("format = 1\ntelemetry_command = \"{typed}\""), 1)
}

fn document(file: &str, arguments: &[&str]) -> String {
    let user = TestUser::new();
    user.write("telemetry.toml", file);
    let output = user.run(["document", "telemetry.toml"].iter().chain(arguments));
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{arguments:?}");
    output.stdout
}

#[test]
fn the_examples_documents_are_up_to_date() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/dotnet");
    let definition =
        fs::read_to_string(directory.join("telemetry.toml")).expect("the example's telemetry.toml");
    for (what, name) in [("privacy", "PRIVACY.md"), ("licence", "DATA.md")] {
        let generated = document(&definition, &[&[what][..], &EXAMPLE].concat());
        let committed = fs::read_to_string(directory.join(name)).unwrap_or_default();
        assert!(
            generated == committed,
            "examples/dotnet/{name} is out of date. Regenerate it:\n    cargo run -p \
             tool-telemetry-cli -- document examples/dotnet/telemetry.toml {what} {} > examples/dotnet/{name}",
            EXAMPLE.join(" ")
        );
    }
}

#[test]
fn the_table_lists_each_span_and_data_point() {
    let table = document(GOOD, &["table"]);
    for words in [
        "| each `build step` | Each step of a build | two times | To see which steps are slow. | 1.0.0 |",
        "| each `phase` | Each phase of a step ¹ |",
        "| `frob.command` | The command being used | `build`, `test`, or `other` | To know which commands matter. | 1.0.0 |",
        "| `process.exit.code` | The exit code of the command | the exit code |",
        "| `frob.number` | The number of the step ¹ | an integer from -1 to 9998 | To tell the steps apart. | 1.1.0, until 3.0.0 |",
        "| `frob.cached` | Whether a step was cached | yes or no |",
        "| one of `net`, `netcoreapp` followed by a version, and optionally by one of `-windows`; or `other` |",
        "¹ Sent only to a destination that you or the machine's administrator chose.",
    ] {
        assert!(table.contains(words), "{words}\n{table}");
    }
}

#[test]
fn the_footnote_needs_an_entry_for_operators() {
    assert!(!document(&GOOD.replace("\"operator\"", "\"maker\""), &["table"]).contains('¹'));
}

#[test]
fn the_documents_link_what_is_published() {
    let published = GOOD.replace("licence =", "published_at = \"https://example.com/usage\"\nlicence =");
    for arguments in [
        &["privacy", "--tool", "frob"][..],
        &["licence", "--tool", "frob", "--endpoint", "https://a.example"],
    ] {
        assert!(document(&published, arguments).contains("<https://example.com/usage>"), "{arguments:?}");
        assert!(!document(GOOD, arguments).contains("/usage"));
    }
}

#[test]
fn markup_in_the_file_is_escaped() {
    let hostile = GOOD
        .replace("Whether output is coloured", "a | b <img src=x> [c](d) *e* &amp;")
        .replace("To choose a default.", "f\\ng | h")
        .replace("\"Example Tools\"", "\"<b>Example</b>\"");
    let table = document(&hostile, &["table"]);
    assert!(table.contains("a \\| b &lt;img src=x> \\[c\\](d) \\*e\\* &amp;amp;"), "{table}");
    assert!(table.contains("| f g \\| h |"), "{table}");
    assert!(document(&hostile, &["privacy", "--tool", "frob"]).contains("&lt;b>Example&lt;/b>"));
}

#[test]
fn the_privacy_page_answers_each_question() {
    let page = document(
        &with_command("frob telemetry"),
        &["privacy", "--tool", "frob", "--opt-out-var", "FROB_OPTOUT", "--opt-out-var", "NO_FROB"],
    );
    for words in [
        "prints a notice and records nothing. It records from the next run on.",
        "| `frob.command` |",
        "## What is never collected",
        "the IP address that the data comes from, as with every connection, and which runs arrive",
        "`FROB_OPTOUT=1`",
        "`NO_FROB=1`",
        "`FROB_TELEMETRY=off`",
        "`DO_NOT_TRACK=1`",
        "deletes the data after 90 days",
        "prints the trace ID of each run",
        "## How to report a data point",
        "Example Tools, privacy@example.com",
        "published\nunder CC0-1.0",
        "Without such an endpoint, nothing is recorded.",
    ] {
        assert!(page.contains(words), "{words}\n{page}");
    }
}

#[test]
fn documents_describe_opt_in_and_the_endpoint() {
    let page = document(
        &with_command("frob --telemetry"),
        &["privacy", "--tool", "frob", "--opt-in", "--endpoint", "https://telemetry.example.com/v1/traces"],
    );
    assert!(page.contains("Nothing is recorded until you run `frob --telemetry on`"), "{page}");
    assert!(page.contains("<https://telemetry.example.com/v1/traces>"), "{page}");
    let licence =
        document(GOOD, &["licence", "--tool", "frob", "--endpoint", "https://telemetry.example.com"]);
    assert!(licence.starts_with("## Data\n"), "{licence}");
    assert!(licence.contains("sends the data to Example Tools"), "{licence}");
}

#[test]
fn documents_name_the_tools_telemetry_command_only_if_it_has_one() {
    for (file, typed) in [
        (GOOD.to_owned(), None),
        (with_command("frob telemetry"), Some("frob telemetry")),
        (with_command("frob --telemetry"), Some("frob --telemetry")),
        (with_command("cargo frob telemetry"), Some("cargo frob telemetry")),
    ] {
        for arguments in [&["privacy"][..], &["privacy", "--opt-in"], &["licence"]] {
            let text = document(&file, &[arguments, &["--tool", "frob"]].concat());
            let named: Vec<_> =
                text.split('`').skip(1).step_by(2).filter(|code| code.contains(' ')).collect();
            for code in &named {
                let is_tools_own = typed.is_some_and(|typed| code.starts_with(&format!("{typed} ")));
                let is_ours = ["tool-telemetry off frob", "tool-telemetry status frob"].contains(code);
                let others = ["build step", "cargo install tool-telemetry-cli"].contains(code);
                assert!(is_tools_own || others || (typed.is_none() && is_ours), "{typed:?}: {code}\n{text}");
            }
            assert_eq!(text.contains("FROB_TELEMETRY=off"), arguments[0] == "privacy" || typed.is_none());
        }
    }
}

#[test]
fn a_privacy_page_needs_a_publisher() {
    let user = TestUser::new();
    let start = GOOD.find("[publisher]").expect("a publisher");
    let end = GOOD.find("[[span]]").expect("a span");
    user.write("telemetry.toml", &[&GOOD[..start], &GOOD[end..]].concat());
    let output = user.run(["document", "telemetry.toml", "privacy", "--tool", "frob"]);
    assert_eq!((output.code, output.stdout.as_str()), (1, ""));
    assert!(output.stderr.contains("Add a [publisher] with name, contact"), "{}", output.stderr);
    assert_eq!(user.run(["document", "telemetry.toml", "table"]).code, 0);
}
