//! What `verify` finds.

use std::fs;

use crate::fixture::*;

fn verify(publisher: &Publisher, name: &str) -> (bool, String) {
    let output = program().arg("verify").arg(publisher.path(name)).output().unwrap();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn what_publish_writes_is_right_and_the_report_says_what_it_cannot_check() {
    let publisher = Publisher::with_weeks(&["2026-W27"]);
    publisher.begin("ledger", "2026-08-17", "2026-06-29");
    for name in ["ledger", "ledger-site"] {
        let (is_right, said) = verify(&publisher, name);
        assert!(is_right, "{said}");
        assert!(said.contains("ε 2 at δ 0.000001, Σm 5, σ 5.3"), "{said}");
        assert!(said.contains("a publisher may keep a second ledger"), "{said}");
    }
}

/// A text in the last file, its replacement, and what is said.
const FORGERIES: [(&str, &str, &str); 9] = [
    ("\"epsilon\":2.0", "\"epsilon\":1.9", "its noise gives ε = 1.99"),
    ("\"counts_per_installation\":5", "\"counts_per_installation\":4", "its tables take 5 counts"),
    ("\"at_most\":3", "\"at_most\":8", "its tables take 10 counts"),
    ("\"sigma\":5", "\"sigma\":6", "its variance gives"),
    ("\"number\":1", "\"number\":2", "it is neither a first release nor"),
    ("\"start\":\"2026-07-13\"", "\"start\":\"2026-07-06\"", "was released twice"),
    ("\"released\":\"2026-08-17\"", "\"released\":\"2026-08-16\"", "before the period closed"),
    ("\"threshold\":", "\"threshold\":1", "the threshold of"),
    ("[\"build\"]", "[\"run\"]", "is there twice"),
];

#[test]
fn each_forgery_is_found() {
    let publisher = Publisher::with_weeks(&["2026-W27"]);
    publisher.begin("ledger", "2026-08-17", "2026-06-29");
    let last = publisher.path("ledger/000003-2026-07-13.json");
    let original = fs::read_to_string(&last).unwrap();
    for (from, to, words) in FORGERIES {
        let forged = original.replacen(from, to, 1);
        assert_ne!(forged, original, "{from}");
        // The last file is the one that no other names.
        fs::remove_file(&last).unwrap();
        let name = if from.contains("number") {
            "000003-2026-07-13-correction.json"
        } else {
            "000003-2026-07-13.json"
        };
        let name = if from.contains("start") { "000003-2026-07-06.json" } else { name };
        let path = publisher.path("ledger").join(name);
        fs::write(&path, &forged).unwrap();
        let (is_right, said) = verify(&publisher, "ledger");
        assert!(!is_right && said.contains(words), "{from}: {said}");
        fs::remove_file(&path).unwrap();
        fs::write(&last, &original).unwrap();
    }
    let first = publisher.path("ledger/000001-2026-06-29.json");
    fs::write(&first, fs::read_to_string(&first).unwrap().replacen("\"rejected\":0", "\"rejected\":10", 1))
        .unwrap();
    let (is_right, said) = verify(&publisher, "ledger");
    assert!(!is_right && said.contains("it does not follow the file before it"), "{said}");
    fs::remove_file(&first).unwrap();
    let (_, said) = verify(&publisher, "ledger");
    assert!(said.contains("the file before it is missing"), "{said}");
}

/// A file of the site, a text in it, its replacement, and what is said.
const MISSTATEMENTS: [(&str, &str, &str, &str); 6] = [
    ("data/frob.command.csv", ",build,", ",run,", "data/frob.command.csv does not say what the releases say"),
    ("data/frob.command.json", "\"threshold\":", "\"threshold\": ", "data/frob.command.json does not say"),
    ("data/periods.csv", "2026-06-29", "2026-06-30", "data/periods.csv does not say"),
    ("index.html", "id=\"frob.command\"", "id=\"frob.commands\"", "it does not show frob.command"),
    (
        "index.html",
        "<bdi>build</bdi><td class=\"n\">",
        "<bdi>build</bdi><td class=\"n\">1",
        "does not show what the releases give: build",
    ),
    ("index.html", "<td>", "<td>1", "does not show what the releases give"),
];

#[test]
fn data_and_shares_that_the_ledger_does_not_give_are_found() {
    let publisher = Publisher::with_weeks(&["2026-W27", "2026-W28", "2026-W29"]);
    let failed = r#"["error.type","frob.command"]"#;
    publisher.add("2026-W28", failed, &[(r#"["_OTHER","build"]"#, 250)]);
    publisher.begin("ledger", "2026-08-17", "2026-06-29");
    let site = publisher.path("ledger-site");
    let (is_right, said) = verify(&publisher, "ledger-site");
    assert!(is_right, "{said}");
    for (file, from, to, words) in MISSTATEMENTS {
        let original = fs::read_to_string(site.join(file)).unwrap();
        let changed = original.replacen(from, to, 1);
        assert_ne!(original, changed, "{file}: {from}");
        fs::write(site.join(file), changed).unwrap();
        let (is_right, said) = verify(&publisher, "ledger-site");
        assert!(!is_right && said.contains(words), "{file}: {said}");
        fs::write(site.join(file), original).unwrap();
    }
    // Another table's rows in the right format.
    let parquet = site.join("data/frob.command.parquet");
    let original = fs::read(&parquet).unwrap();
    fs::copy(site.join("data/periods.parquet"), &parquet).unwrap();
    assert!(verify(&publisher, "ledger-site").1.contains("data/frob.command.parquet does not say"));
    fs::remove_file(&parquet).unwrap();
    assert!(verify(&publisher, "ledger-site").1.contains("data/frob.command.parquet cannot be read"));
    fs::write(&parquet, original).unwrap();
    fs::write(site.join("data/more.csv"), "a\n").unwrap();
    assert!(verify(&publisher, "ledger-site").1.contains("data/more.csv is of no table of the ledger"));
}
