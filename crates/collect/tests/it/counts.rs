//! Counts of installations: which are taken, and the cells that they are added to.

use std::path::{Path, PathBuf};

use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tool_telemetry_collect::approvals::ContentHash;
use tool_telemetry_collect::counts::CountCell;
use tool_telemetry_collect::keeper::OPEN_WEEKS;
use tool_telemetry_collect::shape::Period;
use tool_telemetry_collect::store::{SqliteStore, Store as _};
use tool_telemetry_collect::time::{Hour, Week};

use crate::fixture;
use crate::program::*;

const WEEK: u64 = 7 * 86_400 * 1_000_000_000;
/// Monday, 5 January 1970.
const MONDAY: u64 = 4 * 86_400 * 1_000_000_000;

fn this_monday() -> u64 {
    MONDAY + (now() - MONDAY) / WEEK * WEEK
}

fn count(number: u32, start: u64, attributes: &[(&str, &str)]) -> Span {
    Span {
        trace_id: trace_id(number).to_vec(),
        span_id: [&[7; 4], &number.to_be_bytes()[..]].concat(),
        name: "count".to_owned(),
        kind: 1,
        start_time_unix_nano: start,
        end_time_unix_nano: start,
        attributes: attributes.iter().map(|(key, value)| string(key, value)).collect(),
        ..Span::default()
    }
}

fn build(number: u32) -> Span {
    count(number, this_monday(), &[("dotnet.command", "build")])
}

fn hash_of(definition: &Path) -> String {
    ContentHash::of(&std::fs::read_to_string(definition).unwrap()).to_string()
}

/// Sends spans that were recorded under a telemetry.toml, and returns the answer's text.
fn send(server: &Server, hash: Option<&str>, spans: Vec<Span>) -> String {
    let answer = server.post(PROTOBUF, &request_under(hash, spans).encode_to_vec()).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

/// The cells of a store as `first week, weeks, hash, keys, values, number`.
fn cells(store: &Path) -> Vec<String> {
    let store = SqliteStore::open_to_read(store).unwrap();
    let told = |(cell, number): &(CountCell, i64)| {
        let hash = ContentHash(cell.hash).to_string();
        format!("{} {} {} {} {number}", cell.period, &hash[..4], cell.keys, cell.values)
    };
    store.count_cells().unwrap().iter().map(told).collect()
}

/// A telemetry.toml of the same tool that asks for other tables, in periods of four weeks.
fn other_definition(directory: &Path) -> PathBuf {
    let text = std::fs::read_to_string(definition()).unwrap();
    let (before, _) = text.split_once("[publish]").unwrap();
    let counts = "[publish]\nperiod = \"four weeks\"\n\n[[count]]\nof = [\"process.exit.code\"]\nvalues = [\"0\", \"1\"]\nat_most = 2\n";
    let path = directory.join("other.toml");
    std::fs::write(&path, format!("{before}{counts}")).unwrap();
    path
}

#[test]
fn each_count_is_one_addition_to_the_cell_that_its_telemetry_toml_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let other = other_definition(directory.path());
    let server = Server::spawn(collect(&store).arg("--data-points").arg(&other));
    let (hash, other_hash) = (hash_of(&definition()), hash_of(&other));
    let four_weeks = Period::FourWeeks.start(now() / 1_000_000_000) * 1_000_000_000;
    let failed = [("error.type", "_OTHER"), ("dotnet.command", "build")];
    // Each twice, as after an answer that was lost.
    for _ in 0..2 {
        let spans = vec![
            build(1),
            build(2),
            count(3, this_monday(), &failed),
            count(4, this_monday() - WEEK, &[("service.version", "1.1.0")]),
            count(5, this_monday(), &[("service.version", "other")]),
        ];
        assert_eq!(send(&server, Some(&hash), spans), "");
        let mut one = count(6, four_weeks, &[]);
        one.attributes = vec![attribute("process.exit.code", any_int(1))];
        let text = count(7, four_weeks, &[("process.exit.code", "1")]);
        assert_eq!(send(&server, Some(&other_hash), vec![one, text]), "");
    }
    drop(server);
    let (hash, other_hash) = (&hash[..4], &other_hash[..4]);
    let mut expected = vec![
        format!(r#"week {hash} ["dotnet.command"] ["build"] 2"#),
        format!(r#"week {hash} ["dotnet.command","error.type"] ["build","_OTHER"] 1"#),
        format!(r#"week {hash} ["service.version"] ["1.1.0"] 1"#),
        format!(r#"week {hash} ["service.version"] ["other"] 1"#),
        format!(r#"four weeks {other_hash} ["process.exit.code"] ["1"] 2"#),
    ];
    let mut cells = cells(&store);
    cells.sort_unstable();
    expected.sort_unstable();
    assert_eq!(cells, expected);
    // They are in the runs that `export` prints, too, and a recount finds the same.
    assert_eq!(exported(&store), ids(1..=7));
    let definitions = SqliteStore::open_to_read(&store).unwrap().definitions().unwrap();
    assert_eq!(definitions.len(), 2, "a publisher needs both files");
}

fn any_int(number: i64) -> opentelemetry_proto::tonic::common::v1::any_value::Value {
    opentelemetry_proto::tonic::common::v1::any_value::Value::IntValue(number)
}

#[test]
fn a_count_of_anything_else_is_rejected_and_counted_by_reason() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let other = other_definition(directory.path());
    let server = Server::spawn(collect(&store).arg("--data-points").arg(&other));
    let (hash, other_hash) = (hash_of(&definition()), hash_of(&other));
    let monday = this_monday();
    let mut with_end = build(1);
    with_end.end_time_unix_nano += 1;
    let four_weeks = Period::FourWeeks.start(now() / 1_000_000_000) * 1_000_000_000;
    let mut run = run_span(2);
    run.trace_id = trace_id(3).to_vec();
    let cases: [(&str, Option<&str>, Vec<Span>); 12] = [
        ("counts.no_data_points", None, vec![build(1)]),
        // Of the other file, which does not ask for it.
        ("counts.unapproved", Some(&other_hash), vec![count(1, four_weeks, &[("dotnet.command", "build")])]),
        ("counts.unapproved", Some(&hash), vec![count(1, monday, &[("dotnet.command", "anna")])]),
        ("counts.unapproved", Some(&hash), vec![count(1, monday, &[("service.version", "6.6.6")])]),
        (
            "counts.unapproved",
            Some(&hash),
            vec![count(1, monday, &[("user.name", "anna"), ("dotnet.command", "build")])],
        ),
        (
            "counts.unapproved",
            Some(&hash),
            vec![count(1, monday, &[("error.type", "anna"), ("dotnet.command", "build")])],
        ),
        ("counts.unapproved", Some(&hash), vec![count(1, monday, &[])]),
        ("counts.wrong_start", Some(&hash), vec![count(1, monday + 1, &[("dotnet.command", "build")])]),
        ("counts.wrong_start", Some(&hash), vec![with_end]),
        // A Monday, but not the first of a period of this file.
        (
            "counts.wrong_start",
            Some(&other_hash),
            vec![count(1, four_weeks + WEEK, &[("process.exit.code", "0")])],
        ),
        ("counts.ahead", Some(&hash), vec![count(1, monday + 2 * WEEK, &[("dotnet.command", "build")])]),
        ("counts.not_alone", Some(&hash), vec![run, count(3, monday, &[("dotnet.command", "build")])]),
    ];
    let mut expected: std::collections::BTreeMap<&str, i64> = std::collections::BTreeMap::new();
    for (reason, hash, spans) in cases {
        assert!(send(&server, hash, spans).contains("count"), "{reason}");
        *expected.entry(reason).or_default() += 1;
    }
    assert!(!server.metrics().contains("anna"));
    drop(server);
    assert_eq!(cells(&store), [""; 0]);
    let store = SqliteStore::open_to_read(&store).unwrap();
    let rejections = store.rejections().unwrap();
    let told: std::collections::BTreeMap<&str, i64> =
        rejections.iter().map(|(rejection, number)| (rejection.reason.as_str(), *number)).collect();
    assert_eq!(told, expected);
    let week = Hour::now().week();
    assert!(
        rejections.iter().all(|(there, _)| there.tool == "dotnet" && there.week == week),
        "{rejections:?}"
    );
}

#[test]
fn a_period_takes_counts_until_four_weeks_after_its_end() {
    use tool_telemetry_collect::shape::{Role, Value};
    let directory = tempfile::tempdir().unwrap();
    let mut keeper = fixture::open(directory.path(), fixture::NOW);
    let period = Week(Period::FourWeeks.start(u64::from(fixture::NOW.0) * 3_600) as u32 / 86_400 / 7 + 1);
    let shape = || {
        let attributes = [("frob.command", Value::Text("build"))];
        fixture::shape(Role::Count(Period::FourWeeks), "count", &attributes)
    };
    let count = |number: u32| {
        let mut trace = fixture::run(number);
        trace.spans.truncate(1);
        (trace.spans[0].hour, trace.spans[0].duration) = (period.first_hour(), 0);
        trace.spans[0].shape = shape();
        trace
    };
    assert_eq!(count(1).week(), Week(period.0 + 3));
    for week in [0, 3, 3 + OPEN_WEEKS] {
        let now = Week(period.0 + week).first_hour();
        keeper.close_weeks(now).unwrap();
        fixture::finish_work(&mut keeper, now);
        // The first is repeated.
        let outcomes = keeper.commit(vec![vec![count(0), count(week + 1)]], now).unwrap();
        assert_eq!(outcomes[0].late_spans, 0, "{week}");
    }
    let late = Week(period.0 + 4 + OPEN_WEEKS).first_hour();
    keeper.close_weeks(late).unwrap();
    let outcomes = keeper.commit(vec![vec![count(99)]], late).unwrap();
    assert_eq!(outcomes[0].late_spans, 1);
    keeper.flush().unwrap();
    let cells = keeper.store().count_cells().unwrap();
    assert_eq!(cells.len(), 1);
    assert_eq!((cells[0].0.first_week(), cells[0].1), (period, 4));
    assert_eq!(keeper.store().closed_through().unwrap(), cells[0].0.last_week);
    let rejections = keeper.store().rejections().unwrap();
    assert_eq!(
        (rejections[0].0.reason.as_str(), rejections[0].0.week, rejections[0].1),
        ("spans.late", late.week(), 1)
    );
    // They go as the runs do.
    let expired = Hour(cells[0].0.last_week.first_hour().0 + 7 * 24 + 91 * 24);
    keeper.expire(expired);
    fixture::finish_work(&mut keeper, expired);
    assert_eq!(fixture::counter(keeper.store(), "cells.wrong_at_expiry"), 0);
    assert_eq!(keeper.store().count_cells().unwrap(), []);
}
