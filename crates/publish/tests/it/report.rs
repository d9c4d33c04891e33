//! Exact numbers for the tool's author: marked in every file, private, and never in a site.

use std::fs;
use std::process::Output;

use crate::fixture::*;

/// A tool with three weeks of installations, and runs in one of them.
fn publisher() -> Publisher {
    let publisher = Publisher::with_weeks(&["2026-W27", "2026-W28", "2026-W29"]);
    publisher.add("2026-W27", r#"["frob.command"]"#, &[(r#"["run"]"#, 7)]);
    let bucket = tool_telemetry_collect::cells::bucket(1_500_000_000);
    publisher.add_runs(
        "2026-W29",
        &[
            ("runs", r#"["1.0.0"]"#, 1_234),
            ("error.type", r#"["1.0.0","_OTHER"]"#, 321),
            ("frob.command and error.type", r#"["build",null]"#, 913),
            ("frob.command and error.type", r#"["build","_OTHER"]"#, 321),
            ("duration", &format!(r#"["1.0.0",{bucket}]"#), 1_234),
            ("frob.command and duration", &format!(r#"["build",{bucket}]"#), 1_234),
        ],
    );
    publisher.begin("ledger", "2026-08-03", "2026-06-29");
    publisher
}

fn report(publisher: &Publisher, out: &str, more: &[&str]) -> Output {
    let mut command = program();
    command.arg("report").arg("--store").arg(publisher.path("store")).arg("--out").arg(publisher.path(out));
    command.args(["--today", "2026-08-10"]).args(more).output().unwrap()
}

#[test]
fn exact_numbers_stand_beside_the_published_ones() {
    let publisher = publisher();
    let ledger = publisher.path("ledger").display().to_string();
    succeeded(&report(&publisher, "private", &["--internal", "--ledger", &ledger]));
    let out = publisher.path("private");
    let runs = fs::read_to_string(out.join("data/runs.csv")).unwrap();
    let row = runs.lines().find(|line| line.contains(",build,")).unwrap();
    assert!(row.starts_with("exact numbers,2026-07-13,build,1234,321,1."), "{row}");
    let median: f64 = row.split(',').nth(5).unwrap().parse().unwrap();
    assert!((median / 1.5).max(1.5 / median) < 1.0906, "{median}");
    let installations = fs::read_to_string(out.join("data/installations.csv")).unwrap();
    let published = releases(&publisher.path("ledger")).remove(0).tables[0].cells[0].installations.unwrap();
    let build = format!("exact numbers,2026-06-29,7,frob.command,\"[\"\"build\"\"]\",1000,{published}\n");
    assert!(installations.contains(&build), "{installations}");
    assert!(installations.contains("\"[\"\"run\"\"]\",7,<"), "{installations}");
    // A period that is not released yet.
    assert!(
        installations.contains("2026-07-13,7,frob.command,\"[\"\"build\"\"]\",1000,\n"),
        "{installations}"
    );
    let page = fs::read_to_string(out.join("index.html")).unwrap();
    assert!(page.contains("<td class=\"n\">1234<td class=\"n\">321<td class=\"n\">26.0%"), "{page}");
}

#[test]
fn every_file_says_that_it_is_not_for_publication_and_is_private() {
    let publisher = publisher();
    succeeded(&report(&publisher, "private", &["--internal"]));
    let out = publisher.path("private");
    let all = files(&out);
    assert_eq!(all.len(), 7);
    for (name, bytes) in &all {
        let lines = text(bytes);
        if name.ends_with(".csv") {
            let mut lines = lines.lines();
            assert!(lines.next().unwrap().starts_with("not_for_publication,"), "{name}");
            assert!(lines.all(|line| line.starts_with("exact numbers,")), "{name}");
        } else {
            assert!(lines.to_ascii_lowercase().contains("not for publication"), "{name}");
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: std::path::PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o077;
            assert_eq!(mode(out.join(name)), 0, "{name}");
            assert_eq!(mode(out.clone()), 0);
        }
    }
}

#[test]
fn a_report_is_asked_for_by_name_and_is_never_written_into_a_site_or_over_something_else() {
    let publisher = publisher();
    let unasked = report(&publisher, "private", &[]);
    assert!(unasked.status.code() == Some(2) && !publisher.path("private").exists());
    for inside in ["ledger-site", "ledger-site/data", "ledger-site/new/report"] {
        let said = refused(&report(&publisher, inside, &["--internal"]));
        assert!(said.contains("lies in the site"), "{said}");
    }
    let before = files(&publisher.path("ledger"));
    let said = refused(&report(&publisher, "ledger", &["--internal"]));
    assert!(said.contains("is not empty and holds no report"), "{said}");
    assert_eq!(files(&publisher.path("ledger")), before);
    succeeded(&report(&publisher, "private", &["--internal"]));
    succeeded(&report(&publisher, "private", &["--internal"]));
    // Nor does a site replace a report, or pass as one that was verified.
    let site = publisher.path("private").display().to_string();
    let said = refused(&publisher.publish("ledger", "2026-08-10", &["--out", &site]));
    assert!(said.contains("cannot be used multiple times") || said.contains("holds no site"), "{said}");
    let verified = program().arg("verify").arg(&site).output().unwrap();
    assert!(refused(&verified).contains("there is no ledger"));
}

#[test]
fn a_report_changes_no_ledger_and_draws_nothing() {
    let publisher = publisher();
    let ledger = publisher.path("ledger").display().to_string();
    let before = files(&publisher.path("ledger"));
    succeeded(&report(&publisher, "private", &["--internal", "--ledger", &ledger]));
    assert_eq!(files(&publisher.path("ledger")), before);
    let names: Vec<String> = files(&publisher.path("private")).into_iter().map(|(name, _)| name).collect();
    assert!(names.iter().all(|name| !name.contains("0001") && !name.contains("ledger")), "{names:?}");
}
