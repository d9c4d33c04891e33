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
