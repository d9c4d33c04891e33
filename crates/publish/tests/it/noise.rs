//! The noise that is published, end to end.

use std::collections::HashSet;

use tool_telemetry_publish::release::Release;

use crate::fixture::*;

/// Every cell of this table has as many installations, so a published number is that and its noise.
const SIZES: &str = "[publish]\nperiod = 'week'\n[[count]]\nof = ['frob.size']\nat_most = 25\n";
const INSTALLATIONS: i64 = 1_000;

/// Differences of published numbers and exact ones.
fn noises(ledgers: usize) -> (Vec<f64>, f64) {
    let publisher = Publisher::new(&definition(SIZES));
    let cells: Vec<(String, i64)> = (0..10_000).map(|size| (format!("[{size}]"), INSTALLATIONS)).collect();
    let cells: Vec<(&str, i64)> = cells.iter().map(|(values, number)| (values.as_str(), *number)).collect();
    publisher.add("2026-W27", r#"["frob.size"]"#, &cells);
    let mut noises = Vec::new();
    let mut rho = 0.0;
    for number in 0..ledgers {
        let ledger = format!("ledger{number}");
        publisher.begin(&ledger, "2026-08-03", "2026-06-29");
        let release = &releases(&publisher.path(&ledger))[0];
        rho = release.privacy.rho;
        let numbers = release.tables[0].cells.iter().map(|cell| cell.installations.unwrap());
        noises.extend(numbers.map(|number| number as f64 - INSTALLATIONS as f64));
    }
    (noises, rho)
}

#[test]
fn the_distance_of_two_neighbours_is_what_the_release_states() {
    let (noises, rho) = noises(3);
    let number = noises.len() as f64;
    let mean = noises.iter().sum::<f64>() / number;
    // Rounding to 5 adds the variance of -2, -1, 0, 1, 2.
    let variance = noises.iter().map(|noise| (noise - mean).powi(2)).sum::<f64>() / number - 2.0;
    let (found, stated) = (5.0 / variance.sqrt(), (2.0 * rho).sqrt());
    assert!((found / stated - 1.0).abs() < 0.02, "{found} {stated}");
    assert!(mean.abs() < 0.4, "{mean}");
}

#[test]
fn no_two_ledgers_have_the_same_noise_unless_a_test_asks_for_it() {
    let publisher = Publisher::with_weeks(&["2026-W27"]);
    publisher.add("2026-W27", r#"["frob.command"]"#, &[(r#"["run"]"#, 1_000), (r#"["other"]"#, 1_000)]);
    let tables = |ledger: &str, more: &[&str]| {
        let mut arguments = vec!["--first", "2026-06-29"];
        arguments.extend(more);
        succeeded(&publisher.publish(ledger, "2026-08-03", &arguments));
        releases(&publisher.path(ledger)).remove(0)
    };
    let known = ["--noise-is-known", "seed"];
    let (a, b) = (tables("a", &known), tables("b", &known));
    assert_eq!(a.tables, b.tables);
    assert!(a.noise_is_known);
    // Three numbers of eight ledgers have two different values or fewer once in ten million times.
    let numbers = |release: Release| -> Vec<Option<u64>> {
        release.tables[0].cells.iter().map(|cell| cell.installations).collect()
    };
    let drawn: HashSet<_> = (0..8).map(|number| numbers(tables(&format!("drawn{number}"), &[]))).collect();
    assert!(drawn.len() > 2, "{drawn:?}");
}
