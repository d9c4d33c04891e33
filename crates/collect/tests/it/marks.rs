//! Floods: a cell that jumps is held, and what a person leaves out no longer counts.

use std::path::Path;

use tool_telemetry_collect::keeper::Keeper;
use tool_telemetry_collect::marks::MarkState;
use tool_telemetry_collect::shape::{Period, Role, Value};
use tool_telemetry_collect::store::{SqliteStore, Store as _, StoredDefinition};
use tool_telemetry_collect::time::Hour;
use tool_telemetry_collect::trace::Trace;

use crate::fixture::*;
use crate::program::{run as command, text};

const LAST_WEEK: Hour = Hour(NOW.0 - 7 * 24);

fn count_at(number: u32, value: &str, now: Hour) -> Trace {
    let mut trace = run(number);
    trace.spans.truncate(1);
    (trace.spans[0].hour, trace.spans[0].duration) = (now.week().first_hour(), 0);
    trace.spans[0].shape = shape(Role::Count(Period::Week), "count", &[("frob.command", Value::Text(value))]);
    trace
}

/// A store that knows the telemetry.toml of its tool, as `recount` needs it.
fn open_with_definition(directory: &Path) -> Keeper<SqliteStore> {
    let mut keeper = open(directory, NOW);
    let text = include_str!("../../src/commands/demo.toml").replace("demo", "frob");
    let definition = StoredDefinition { hash: [7; 16], tool: "frob".to_owned(), text };
    keeper.keep_definitions(vec![definition]).unwrap();
    keeper
}

/// Last week 20 installations each built and tested, this week 25 built and 2,000 tested.
fn flooded(directory: &Path) {
    let mut keeper = open_with_definition(directory);
    let counts = |first: u32, length: u32, value, now| -> Vec<Trace> {
        (first..first + length).map(|number| count_at(number, value, now)).collect()
    };
    keeper.commit(vec![counts(0, 20, "build", LAST_WEEK), counts(100, 20, "test", LAST_WEEK)], NOW).unwrap();
    assert_eq!(keeper.mark_jumps().unwrap(), 0);
    keeper.commit(vec![counts(200, 25, "build", NOW), counts(1_000, 2_000, "test", NOW)], NOW).unwrap();
    keeper.commit(vec![runs(5_000..5_010)], NOW).unwrap();
    assert_eq!(keeper.mark_jumps().unwrap(), 1);
    assert_eq!(keeper.mark_jumps().unwrap(), 0, "the same jump is marked once");
}

fn numbers(directory: &Path) -> Vec<(String, i64)> {
    let store = SqliteStore::open_to_read(directory).unwrap();
    store.count_cells().unwrap().into_iter().map(|(cell, number)| (cell.values, number)).collect()
}

#[test]
fn a_flood_is_held_left_out_stays_out_and_can_be_taken_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().to_str().unwrap();
    flooded(directory.path());
    let hold = command(&["hold", "--store", store]);
    assert_eq!(hold.status.code(), Some(1));
    let said = text(&hold.stdout);
    let mark = said.split(' ').next().unwrap();
    assert!(said.contains(r#"held: frob ["frob.command"] ["test"]"#), "{said}");
    assert!(said.contains(": 2000, before at most 20\n1 cells are marked, 1 are held\n"), "{said}");

    let all = numbers(directory.path());
    let recount = command(&["recount", "--store", store, "--without", mark]);
    assert!(text(&recount.stdout).contains("2000, counted again 0"), "{}", text(&recount.stdout));
    assert_eq!(numbers(directory.path()), all, "without --write nothing changes");
    assert!(command(&["recount", "--store", store, "--without", mark, "--write"]).status.success());
    let without: Vec<(String, i64)> = all.iter().filter(|(_, number)| *number != 2_000).cloned().collect();
    assert_eq!(numbers(directory.path()), without);
    assert!(command(&["recount", "--store", store]).status.success());

    // It stays out: the flood goes on, and is repeated.
    let mut keeper = open(directory.path(), NOW);
    keeper.commit(vec![(2_990..3_100).map(|number| count_at(number, "test", NOW)).collect()], NOW).unwrap();
    assert_eq!(keeper.store().marks().unwrap()[0].state, MarkState::LeftOut);
    assert_eq!(keeper.mark_jumps().unwrap(), 0);
    drop(keeper);
    assert_eq!(numbers(directory.path()), without);
    assert!(command(&["recount", "--store", store]).status.success());
    assert_eq!(command(&["hold", "--store", store]).status.code(), Some(0));

    // Taken back.
    assert!(command(&["hold", "--store", store, "--release", mark]).status.success());
    assert!(command(&["recount", "--store", store, "--write"]).status.success());
    assert!(numbers(directory.path()).contains(&(r#"["test"]"#.to_owned(), 2_100)));
    assert_eq!(command(&["hold", "--store", store, "--release", "none"]).status.code(), Some(2));
}

#[test]
fn a_person_may_mark_a_cell_of_runs_in_a_span_of_time() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().to_str().unwrap();
    let mut keeper = open_with_definition(directory.path());
    let later = Hour(NOW.0 + 5);
    keeper.commit(vec![runs(0..30)], NOW).unwrap();
    keeper.commit(vec![(30..60).map(|number| run_at(number, later)).collect()], later).unwrap();
    drop(keeper);
    let cell = ["--tool", "frob", "--table", "frob.command", "--values", r#"["1.2.0","build"]"#];
    let mark = |from: Hour, to: Hour| {
        let (from, to) = (from.text(), to.text());
        let arguments = [&["mark", "--store", store, "--from", &from, "--to", &to], &cell[..]].concat();
        command(&arguments)
    };
    let output = mark(NOW, Hour(NOW.0 + 1));
    let id = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(command(&["recount", "--store", store, "--without", id.trim(), "--write"]).status.success());
    let kept = SqliteStore::open_to_read(directory.path()).unwrap();
    let built = kept.cells().unwrap().into_iter().find(|(cell, _)| {
        (cell.table.as_str(), cell.values.as_str()) == ("frob.command", r#"["1.2.0","build"]"#)
    });
    assert_eq!(built.unwrap().1, 10, "those of the other hour are left");
    assert_eq!(mark(Hour(NOW.0 + 5_000), Hour(NOW.0 + 5_001)).status.code(), Some(2));
    assert_eq!(mark(NOW, NOW).status.code(), Some(2));
}
