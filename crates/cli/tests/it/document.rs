use std::fs;
use std::path::Path;

use crate::program::{GOOD, Person};

/// The arguments with which the example's documents are made.
const EXAMPLE: [&str; 4] = ["--tool", "dotnet", "--opt-out-var", "DOTNET_CLI_TELEMETRY_OPTOUT"];

/// The file of a tool that has a command about its telemetry.
fn with_command(typed: &str) -> String {
    GOOD.replacen("format = 1", &format!("format = 1\ntelemetry_command = \"{typed}\""), 1)
}

fn document(file: &str, arguments: &[&str]) -> String {
    let person = Person::new();
    person.file("telemetry.toml", file);
    let said = person.says(["document", "telemetry.toml"].iter().chain(arguments));
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{arguments:?}");
    said.out
}

#[test]
fn the_examples_documents_are_in_step_with_its_data_points() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/dotnet");
    let definition = fs::read_to_string(folder.join("telemetry.toml")).expect("the example's data points");
    for (what, name) in [("privacy", "PRIVACY.md"), ("licence", "DATA.md")] {
        let made = document(&definition, &[&[what][..], &EXAMPLE].concat());
        let committed = fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(
            made == committed,
            "examples/dotnet/{name} is not what its telemetry.toml says; make it anew:\n    cargo run -p \
             tool-telemetry-cli -- document examples/dotnet/telemetry.toml {what} {} > examples/dotnet/{name}",
            EXAMPLE.join(" ")
        );
    }
}

#[test]
fn the_table_has_each_span_and_data_point_with_its_sentence_and_reason() {
    let table = document(GOOD, &["table"]);
    for words in [
        "| each `build step` | Each step of a build | two times | To see which steps are slow. | 1.0.0 |",
        "| each `phase` | Each phase of a step ¹ |",
        "| `frob.command` | The command being used | `build`, `test`, or `other` | To know which commands matter. | 1.0.0 |",
        "| `process.exit.code` | The exit code of the command | the number that the command ends with |",
        "| `frob.number` | The number of the step ¹ | a whole number from -1 to 9998 | To tell the steps apart. | 1.1.0, until 3.0.0 |",
        "| `frob.cached` | Whether a step was cached | yes or no |",
        "| one of `net`, `netcoreapp`, then a version, then perhaps one of `-windows`; or `other` |",
        "¹ Only to a destination that you or the administrator of the machine chose.",
    ] {
        assert!(table.contains(words), "{words}\n{table}");
    }
}

#[test]
fn a_table_without_data_for_operators_has_no_footnote() {
    assert!(!document(&GOOD.replace("\"operator\"", "\"maker\""), &["table"]).contains('¹'));
}

#[test]
fn no_text_of_the_file_makes_markup() {
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
fn the_privacy_page_says_all_that_a_person_may_ask() {
    let page = document(
        &with_command("frob telemetry"),
        &["privacy", "--tool", "frob", "--opt-out-var", "FROB_OPTOUT", "--opt-out-var", "NO_FROB"],
    );
    for words in [
        "records nothing. From the next run on it records",
        "| `frob.command` |",
        "## What is never collected",
        "the IP address that it comes from, as with every connection, and which runs share a",
        "`FROB_OPTOUT=1`",
        "`NO_FROB=1`",
        "`FROB_TELEMETRY=off`",
        "`DO_NOT_TRACK=1`",
        "90 days, then it is deleted",
        "prints the trace id of each run",
        "## Reporting a data point that should not be there",
        "Example Tools, privacy@example.com",
        "published under CC0-1.0",
        "Where there is none, nothing is recorded.",
    ] {
        assert!(page.contains(words), "{words}\n{page}");
    }
}

#[test]
fn opting_in_and_an_endpoint_change_what_is_said() {
    let page = document(
        &with_command("frob --telemetry"),
        &["privacy", "--tool", "frob", "--opt-in", "--endpoint", "https://telemetry.example.com/v1/traces"],
    );
    assert!(page.contains("Nothing is recorded before you say `frob --telemetry on`"), "{page}");
    assert!(page.contains("<https://telemetry.example.com/v1/traces>"), "{page}");
    let licence =
        document(GOOD, &["licence", "--tool", "frob", "--endpoint", "https://telemetry.example.com"]);
    assert!(licence.starts_with("## Data\n"), "{licence}");
    assert!(licence.contains("sends it to Example Tools"), "{licence}");
}

#[test]
fn documents_name_the_command_that_the_file_names_and_else_none_of_the_tools() {
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
                let is_there = typed.is_some_and(|typed| code.starts_with(&format!("{typed} ")));
                let is_ours = ["tool-telemetry off frob", "tool-telemetry status frob"].contains(code);
                let others = ["build step", "cargo install tool-telemetry-cli"].contains(code);
                assert!(is_there || others || (typed.is_none() && is_ours), "{typed:?}: {code}\n{text}");
            }
            assert_eq!(text.contains("FROB_TELEMETRY=off"), arguments[0] == "privacy" || typed.is_none());
        }
    }
}

#[test]
fn nobody_answers_for_data_without_a_publisher() {
    let person = Person::new();
    let start = GOOD.find("[publisher]").expect("a publisher");
    let end = GOOD.find("[[span]]").expect("a span");
    person.file("telemetry.toml", &[&GOOD[..start], &GOOD[end..]].concat());
    let said = person.says(["document", "telemetry.toml", "privacy", "--tool", "frob"]);
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    assert!(said.err.contains("Add a [publisher] with name, contact"), "{}", said.err);
    assert_eq!(person.says(["document", "telemetry.toml", "table"]).code, 0);
}
