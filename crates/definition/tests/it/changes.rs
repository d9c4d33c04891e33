use tool_telemetry_definition::{DataPoints, compare};

use crate::GOOD;

/// The differences after these changes of the good file.
fn differences(changes: &[(&str, &str)]) -> Vec<String> {
    let text = changes.iter().fold(GOOD.to_owned(), |text, (from, to)| {
        assert_eq!(text.matches(from).count(), 1, "{from:?} occurs once");
        text.replace(from, to)
    });
    let (old, new) = (DataPoints::parse(GOOD).unwrap(), DataPoints::parse(&text).unwrap());
    compare(old, new).iter().map(ToString::to_string).collect()
}

#[track_caller]
fn assert_change(from: &str, to: &str, expected: &str) {
    assert_eq!(differences(&[(from, to)]), [expected]);
}

const UNANNOUNCED: &str = " (raise `since`, or no notice announces it)";

#[test]
fn equal_definitions_have_no_differences() {
    assert_eq!(differences(&[]), [""; 0]);
    assert_eq!(differences(&[("retention_days = 365", "retention_days = 0x16d # the same")]), [""; 0]);
}

#[test]
fn more_data_is_wider() {
    let wider = |entry: &str, detail: &str| format!("wider: {entry}, {detail}{UNANNOUNCED}");
    for (from, to, entry, detail) in [
        ("\"mstest\"", "\"mstest\", \"nunit\"", "data point `dotnet.runner`", "`values` gains nunit"),
        ("\"test\"", "\"test\", \"pack\"", "data point `dotnet.command`", "`values` gains pack"),
        (
            "\"netcoreapp\"",
            "\"netcoreapp\", \"uap\"",
            "data point `dotnet.framework`",
            "`prefixes` gains uap",
        ),
        (
            "[\"-windows\"]",
            "[\"-windows\", \"-ios\"]",
            "data point `dotnet.framework`",
            "`suffixes` gains -ios",
        ),
        (
            "[\"run\", \"target\"]",
            "[\"run\", \"target\", \"phase\"]",
            "data point `dotnet.runner`",
            "`on` gains phase",
        ),
        ("\"debug\"", "\"trace\"", "span `target` of dotnet::build", "level debug becomes trace"),
        ("\"2.0\"", "\"never\"", "span `target` of dotnet::build", "until 2.0.0 becomes never"),
        (
            "operator\"\nsince = \"1.0.0-rc",
            "maker\"\nsince = \"1.0.0-rc",
            "span `phase` of dotnet",
            "audience operator becomes maker",
        ),
        ("\"1.0.0-rc.1\"", "\"1.0.0-beta\"", "span `phase` of dotnet", "since 1.0.0-rc.1 becomes 1.0.0-beta"),
    ] {
        assert_change(from, to, &wider(entry, detail));
    }
    assert_change("= 365", "= 366", "wider: the publisher, retention_days 365 becomes 366");
}

#[test]
fn a_moved_range_is_wider_and_narrower() {
    let differences = differences(&[("min = 0\nmax = 9999", "min = -1\nmax = 9998")]);
    let entry = "data point `dotnet.projects`";
    assert_eq!(
        differences,
        [
            format!("wider: {entry}, min 0 becomes -1{UNANNOUNCED}"),
            format!("narrower: {entry}, max 9999 becomes 9998")
        ]
    );
}

#[test]
fn less_data_is_narrower() {
    assert_change(", \"mstest\"", "", "narrower: data point `dotnet.runner`, `values` loses mstest");
    assert_change("max = 9999", "max = 99", "narrower: data point `dotnet.projects`, max 9999 becomes 99");
    assert_change("min = 0", "min = 1", "narrower: data point `dotnet.projects`, min 0 becomes 1");
    assert_change(
        "\"run\", \"target\"",
        "\"run\"",
        "narrower: data point `dotnet.runner`, `on` loses target",
    );
    assert_change(
        "level = \"debug\"\n",
        "",
        "narrower: span `target` of dotnet::build, level debug becomes info",
    );
    assert_change(
        "\"2.0\"",
        "\"1.5\"",
        "narrower: span `target` of dotnet::build, until 2.0.0 becomes 1.5.0",
    );
    assert_change("= 365", "= 30", "narrower: the publisher, retention_days 365 becomes 30");
}

#[test]
fn another_kind_is_wider() {
    let detail = "kind bool becomes version";
    assert_change(
        "\"bool\"",
        "\"version\"",
        &format!("wider: data point `dotnet.runtimes`, {detail}{UNANNOUNCED}"),
    );
}

#[test]
fn a_renamed_key_is_gone_and_new() {
    let expected = ["gone: data point `dotnet.runtimes`", "new: data point `dotnet.rids`"].map(str::to_owned);
    let unannounced = [expected[0].clone(), expected[1].clone() + UNANNOUNCED];
    assert_eq!(differences(&[("\"dotnet.runtimes\"", "\"dotnet.rids\"")]), unannounced);
}

#[test]
fn a_later_since_is_announced() {
    let runtimes = "kind = \"bool\"\naudience = \"maker\"\nsince = \"1.0.0\"";
    let later = runtimes.replace("1.0.0", "1.1");
    let differences = differences(&[("\"dotnet.runtimes\"", "\"dotnet.rids\""), (runtimes, &later)]);
    assert_eq!(differences, ["gone: data point `dotnet.runtimes`", "new: data point `dotnet.rids`"]);
}

#[test]
fn a_changed_description_is_reworded() {
    assert_change(
        "\"Each phase of a build\"",
        "\"Phases\"",
        "reworded: span `phase` of dotnet, sentence \"Each phase of a build\" becomes \"Phases\"",
    );
    assert_change(
        "\"CC-BY-4.0\"",
        "\"CC0-1.0\"",
        "reworded: the publisher, licence \"CC-BY-4.0\" becomes \"CC0-1.0\"",
    );
}

#[test]
fn the_case_of_a_member_does_not_matter() {
    assert_eq!(differences(&[("\"mstest\"", "\"MSTest\"")]), [""; 0]);
}
