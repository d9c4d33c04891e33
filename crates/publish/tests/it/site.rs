//! The site: the page, the files beside it, and how they are put in place.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tool_telemetry_definition::DataPoints;
use tool_telemetry_publish::site;

use crate::synthetic::{Ledger, WARNING, WEEKS};

const EXAMPLE: &str = include_str!("../../../../examples/dotnet/telemetry.toml");
const MANY: &str = include_str!("many.toml");

fn definition(text: &str) -> &'static DataPoints {
    DataPoints::parse(text).expect("a valid definition")
}

/// All files of a directory, by their relative paths.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry")) {
        let name = entry.file_name().into_string().expect("a name");
        if entry.path().is_dir() {
            found.extend(
                files(&entry.path()).into_iter().map(|(path, bytes)| (format!("{name}/{path}"), bytes)),
            );
        } else {
            found.insert(name, fs::read(entry.path()).expect("a file"));
        }
    }
    found
}

/// A site and its page.
fn written(ledger: &Ledger, definition: &DataPoints) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().expect("a directory");
    ledger.site(definition, |site| site::write(site, directory.path())).expect("a site");
    let page = fs::read_to_string(directory.path().join("index.html")).expect("a page");
    (directory, page)
}

#[test]
fn the_published_example_is_what_the_command_writes() {
    let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/dotnet/published");
    let (directory, page) = written(&Ledger::new(definition(EXAMPLE), WEEKS), definition(EXAMPLE));
    assert!(page.contains(WARNING));
    let (here, there) = (files(directory.path()), files(&published));
    let hint = "run `cargo run -p tool-telemetry-publish --example published`, and read the difference";
    assert!(here.keys().eq(there.keys()), "{hint}: {:?} and {:?}", here.keys(), there.keys());
    for (path, bytes) in &here {
        assert!(there[path] == *bytes, "examples/dotnet/published/{path} differs; {hint}");
    }
}

#[test]
fn what_only_operators_receive_is_not_listed() {
    let (_directory, page) = written(&Ledger::new(definition(EXAMPLE), 1), definition(EXAMPLE));
    for span in definition(EXAMPLE).spans {
        let is_for_operators = span.audience == tool_telemetry_definition::Audience::Operator;
        assert_eq!(page.contains(span.sentence), !is_for_operators, "{}", span.name);
    }
    let (_directory, page) = written(&Ledger::new(definition(MANY), 1), definition(MANY));
    let for_operators = |point: &&tool_telemetry_definition::DataPoint| {
        point.audience == tool_telemetry_definition::Audience::Operator
    };
    let hidden = definition(MANY).data_points.iter().find(for_operators).expect("one for operators");
    assert!(!page.contains(&format!("<code>{}</code>", hidden.key)), "{}", hidden.key);
}

#[test]
fn a_hidden_number_is_said_and_not_zero() {
    let mut ledger = Ledger::new(definition(EXAMPLE), 1);
    for cell in &mut ledger.releases[0].tables[0].cells {
        cell.installations = (cell.values[0] == "build").then_some(1_000);
    }
    let (directory, page) = written(&ledger, definition(EXAMPLE));
    assert!(page.contains("<bdi>test</bdi><td class=\"n hid\">fewer than 60<td"), "{page}");
    assert!(!page.contains("<td class=\"n\">0<"));
    let csv = fs::read_to_string(directory.path().join("data/dotnet.command.csv")).expect("a file");
    assert!(
        csv.contains("2026-10-19,7,1,build,1000,60\n") && csv.contains("2026-10-19,7,1,test,,60\n"),
        "{csv}"
    );
    let json = fs::read(directory.path().join("data/dotnet.command.json")).expect("a file");
    let rows: Vec<Value> = serde_json::from_slice(&json).expect("an array");
    assert_eq!(rows.iter().filter(|row| row["installations"].is_null()).count(), 7);
}

#[test]
fn a_share_is_of_the_installations_that_used_the_command() {
    let mut ledger = Ledger::new(definition(EXAMPLE), 1);
    let tables = &mut ledger.releases[0].tables;
    let mut set = |table: usize, values: &[&str], number| {
        let cell = tables[table].cells.iter_mut().find(|cell| cell.values == values).expect("a cell");
        cell.installations = number;
    };
    set(0, &["build"], Some(2_000));
    set(1, &["build", "_OTHER"], Some(500));
    set(1, &["build", "cut_off"], None);
    set(0, &["pack"], None);
    let (_directory, page) = written(&ledger, definition(EXAMPLE));
    assert!(page.contains("<bdi>build</bdi><td class=\"n\">25%<td"), "{page}");
    assert!(page.contains("500 of 2,000") && page.contains("fewer than 60 of 2,000"));
    // 60 of 2,000.
    assert!(page.contains("<bdi>build</bdi><td class=\"n hid\">less than 3.0%<td"));
    // A share of a number that is not shown would tell it.
    assert!(page.contains("<bdi>pack</bdi><td class=\"n hid\">not counted<td"));
}

#[test]
fn a_correction_replaces_a_release_and_a_withdrawal_leaves_its_place() {
    let definition = definition(EXAMPLE);
    let mut ledger = Ledger::new(definition, WEEKS);
    let mut first = ledger.releases.iter().find(|release| release.number == 2).expect("a correction").clone();
    let start = first.start.clone();
    (first.number, first.correction) = (1, None);
    first.tables[0].cells[0].installations = Some(123_455);
    ledger.releases.push(first);
    let (directory, page) = written(&ledger, definition);
    assert!(page.contains("A load test on the publisher&#39;s own machines was counted."));
    assert!(page.contains("The version of that week counted each command twice."));
    assert!(page.contains("<em>corrected</em>") && page.contains("<em>withdrawn</em>"));
    assert!(!page.contains("123,455"), "what was corrected is not shown");
    let csv = |name: &str| fs::read_to_string(directory.path().join("data").join(name)).expect("a file");
    assert!(csv("dotnet.command.csv").contains(&format!("{start},7,2,new,")));
    assert!(!csv("dotnet.command.csv").contains("123455"));
    let withdrawn = &ledger.withdrawals[0].start;
    assert!(!csv("dotnet.command.csv").contains(withdrawn));
    assert!(csv("periods.csv").contains(&format!("{withdrawn},7,,,,,,,,,,2026-05-11,The version")));
}

#[test]
fn five_years_of_many_commands_are_under_300_kilobytes() {
    let (directory, page) = written(&Ledger::new(definition(MANY), 261), definition(MANY));
    let style = fs::metadata(directory.path().join("style.css")).expect("a file").len();
    assert!(page.len() as u64 + style < 300_000, "{} and {style} bytes", page.len());
}

#[test]
fn a_tool_of_no_run_and_a_tool_of_one_week_have_a_page() {
    let (_directory, page) = written(&Ledger::new(definition(MANY), 0), definition(MANY));
    assert!(page.contains("Nothing is shown yet.") && page.contains("frob telemetry off"));
    let (_directory, page) = written(&Ledger::new(definition(MANY), 1), definition(MANY));
    assert!(!page.contains("<figure>"), "one week is no time series");
    assert!(page.contains("a-command-with-a-name-that-is-as-long-as-a-name-is-allowed-60"));
}

#[test]
fn a_text_of_the_publisher_cannot_become_markup() {
    let (_directory, page) = written(&Ledger::new(definition(MANY), 2), definition(MANY));
    assert_eq!(page.matches("<script").count(), 1, "only the description for search engines");
    assert_eq!(page.matches("</script").count(), 1);
    assert!(!page.contains("<b>The"));
    let start = page.find("ld+json\">").expect("a description") + 9;
    let end = start + page[start..].find("</script>").expect("an end");
    let description: Value = serde_json::from_str(&page[start..end]).expect("JSON");
    assert_eq!(description["creator"]["name"], definition(MANY).publisher.expect("one").name);
    assert_eq!(description["url"], "https://example.com/frob/usage");
}

#[test]
fn what_a_spreadsheet_could_run_is_not_written() {
    let mut ledger = Ledger::new(definition(EXAMPLE), 2);
    ledger.releases[0].correction = Some("=HYPERLINK(\"https://example.com\")".to_owned());
    let (directory, _page) = written(&ledger, definition(EXAMPLE));
    let csv = fs::read_to_string(directory.path().join("data/periods.csv")).expect("a file");
    assert!(csv.contains("\"'=HYPERLINK(\"\"https://example.com\"\")\""), "{csv}");
    for text in ["=1+1", "@SUM(A1)", "a,b", "a\nb", "", "<b>"] {
        ledger.releases[0].tables[0].cells[0].values = vec![text.into()];
        let out = directory.path().join("other");
        let refused = ledger.site(definition(EXAMPLE), |site| site::write(site, &out));
        assert!(refused.expect_err(text).to_string().contains("has the cell"));
        assert!(!out.exists());
    }
}

#[test]
fn a_directory_of_something_else_is_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("thesis.txt"), "years of work").expect("a file");
    let ledger = Ledger::new(definition(EXAMPLE), 1);
    let refused = ledger.site(definition(EXAMPLE), |site| site::write(site, directory.path()));
    assert!(refused.expect_err("a refusal").to_string().contains("holds no site of dotnet"));
    // Nor is the site of another tool replaced.
    let (other, _page) = written(&Ledger::new(definition(MANY), 1), definition(MANY));
    assert!(ledger.site(definition(EXAMPLE), |site| site::write(site, other.path())).is_err());
    assert_eq!(files(directory.path()).len(), 1);
}

#[test]
fn a_site_is_replaced_without_a_rest_of_the_old_one() {
    let definition = definition(EXAMPLE);
    let old = Ledger::new(definition, 3);
    let mut new = Ledger::new(definition, 3);
    for release in &mut new.releases {
        release.tables.remove(5);
    }
    let (directory, _page) = written(&old, definition);
    assert!(files(directory.path()).contains_key("data/dotnet.project.runtimes.csv"));
    new.site(definition, |site| site::write(site, directory.path())).expect("a site");
    let (fresh, _page) = written(&new, definition);
    assert_eq!(files(directory.path()), files(fresh.path()));
}

#[test]
fn periods_that_overlap_or_belong_to_another_tool_are_refused() {
    let definition = definition(EXAMPLE);
    let out = tempfile::tempdir().expect("a directory");
    let refusal = |change: fn(&mut Ledger)| {
        let mut ledger = Ledger::new(definition, 3);
        change(&mut ledger);
        let written = ledger.site(definition, |site| site::write(site, out.path()));
        written.expect_err("a refusal").to_string()
    };
    assert!(refusal(|ledger| ledger.releases[0].days = 28).contains("overlap"));
    assert!(refusal(|ledger| ledger.releases[1].tool = "frob".to_owned()).contains("not of \"dotnet\""));
    assert!(refusal(|ledger| ledger.releases[1].start = "2026-02-30".to_owned()).contains("no date"));
}
