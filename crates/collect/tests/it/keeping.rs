//! Each trace once, whatever is repeated, restarted, merged, or closed.

use std::fs;

use tool_telemetry_collect::keeper::{Keeper, OPEN_WEEKS, Outcome};
use tool_telemetry_collect::store::{Change, ErrorKind, GroupState, SqliteStore, Store};
use tool_telemetry_collect::time::Hour;
use tool_telemetry_collect::trace::Trace;

use crate::fixture::*;

const TOMORROW: Hour = Hour(NOW.0 + 24);

#[test]
fn a_repeated_request_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut keeper = open(directory.path(), NOW);
    keeper.commit(vec![runs(0..100), runs(50..150)], NOW).unwrap();
    keeper.commit(vec![runs(0..150)], NOW).unwrap();
    keeper.flush().unwrap();
    assert_eq!(contents(keeper.store()), expected(runs(0..150)));
    assert_eq!(counter(keeper.store(), "traces.repeated"), 150);
}

#[test]
fn a_repeated_request_after_a_restart_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path(), NOW).commit(vec![runs(0..100)], NOW).unwrap();
    let mut keeper = open(directory.path(), NOW);
    keeper.commit(vec![runs(0..120)], NOW).unwrap();
    assert_eq!(contents(keeper.store()), expected(runs(0..120)));
    assert_eq!(keeper.index_size().0, 120);
}

/// The first word of a run: no duration, no attributes, no steps.
fn provisional(number: u32) -> Trace {
    let mut trace = run(number);
    trace.spans.truncate(1);
    trace.spans[0].duration = 0;
    trace
}

#[test]
fn the_last_word_replaces_the_first_also_after_a_restart_and_a_merge() {
    let directory = tempfile::tempdir().unwrap();
    let mut keeper = open(directory.path(), NOW);
    keeper.commit(vec![(1..40).map(provisional).collect()], NOW).unwrap();
    // In the same group, in another group of the same day, after a restart, and after the merge of the day.
    keeper.commit(vec![runs(1..10)], NOW).unwrap();
    keeper.commit(vec![(1..10).map(provisional).collect(), runs(10..20)], NOW).unwrap();
    drop(keeper);
    let mut keeper = open(directory.path(), NOW);
    keeper.commit(vec![runs(20..30)], NOW).unwrap();
    finish_work(&mut keeper, TOMORROW);
    keeper.commit(vec![runs(1..40)], TOMORROW).unwrap();
    assert_eq!(contents(keeper.store()), expected(runs(1..40)));
    drop(keeper);
    assert_eq!(contents(open(directory.path(), TOMORROW).store()), expected(runs(1..40)));
}

#[test]
fn a_full_group_becomes_one_row() {
    let directory = tempfile::tempdir().unwrap();
    let mut keeper = open(directory.path(), NOW);
    for number in 0..300 {
        keeper.commit(vec![runs(10 * number..10 * number + 10)], NOW).unwrap();
    }
    assert_eq!(contents(keeper.store()), expected(runs(0..3_000)));
    // 6,000 spans: a full group of one row, and the open one.
    let store = keeper.store();
    let mut rows: Vec<usize> =
        store.groups().unwrap().iter().map(|group| store.rows(group.id).unwrap().len()).collect();
    rows.sort_unstable();
    assert_eq!(rows, [1, 96]);
}

#[test]
fn a_merged_day_holds_the_same_traces_in_rows_of_one_week() {
    let directory = tempfile::tempdir().unwrap();
    let mut keeper = open(directory.path(), NOW);
    let last_week = Hour(NOW.0 - 7 * 24);
    let all = || (0..200).map(|number| run_at(number, if number % 2 == 0 { NOW } else { last_week }));
    for trace in all() {
        keeper.commit(vec![vec![trace]], NOW).unwrap();
    }
    finish_work(&mut keeper, TOMORROW);
    assert_eq!(contents(keeper.store()), expected(all()));
    let groups = keeper.store().groups().unwrap();
    assert_eq!(groups.len(), 2, "{groups:?}");
    for group in groups {
        let (tool, week) = group.part.unwrap();
        assert_eq!((tool.as_str(), group.day), ("frob", None));
        assert!([NOW.week(), last_week.week()].contains(&week));
    }
    // The index leads to the merged rows.
    keeper.commit(vec![all().collect()], TOMORROW).unwrap();
    assert_eq!(contents(keeper.store()), expected(all()));
}

#[test]
fn a_merge_that_is_interrupted_at_any_step_loses_and_doubles_nothing() {
    for steps in 0..12 {
        let directory = tempfile::tempdir().unwrap();
        let mut keeper = open(directory.path(), NOW);
        let last_week = Hour(NOW.0 - 7 * 24);
        keeper.commit(vec![(1..50).map(provisional).collect()], NOW).unwrap();
        keeper.commit(vec![(50..60).map(|number| run_at(number, last_week)).collect()], NOW).unwrap();
        for step in 0..steps {
            keeper.work(TOMORROW).unwrap();
            // Traces are written again while the merge is under way.
            keeper.commit(vec![vec![run(step + 1)]], TOMORROW).unwrap();
        }
        drop(keeper);
        let mut keeper = open(directory.path(), TOMORROW);
        let all = || {
            (1..50)
                .map(move |number| if number <= steps { run(number) } else { provisional(number) })
                .chain((50..60).map(|number| run_at(number, last_week)))
        };
        assert_eq!(contents(keeper.store()), expected(all()), "{steps}");
        finish_work(&mut keeper, TOMORROW);
        assert_eq!(contents(keeper.store()), expected(all()), "{steps}");
        let is_clean = |group: &_| matches!(group, GroupState::Live);
        assert!(keeper.store().groups().unwrap().iter().all(|group| is_clean(&group.state)), "{steps}");
    }
}

#[test]
fn a_reader_holds_up_no_work_and_deleted_rows_leave_the_log_behind_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut keeper = open(directory.path(), NOW);
    for number in 0..300 {
        keeper.commit(vec![runs(10 * number..10 * number + 10)], NOW).unwrap();
    }
    let log = || fs::metadata(directory.path().join("runs.sqlite-wal")).unwrap().len();
    let reader = SqliteStore::open_to_read(directory.path()).unwrap();
    let start = std::time::Instant::now();
    finish_work(&mut keeper, TOMORROW);
    // SQLite would wait five seconds for the reader, twice.
    assert!(start.elapsed() < std::time::Duration::from_secs(4), "{:?}", start.elapsed());
    assert!(log() > 0);
    assert_eq!(contents(&reader), expected(runs(0..3_000)));
    drop(reader);
    finish_work(&mut keeper, TOMORROW);
    assert_eq!(log(), 0);
    assert_eq!(contents(keeper.store()), expected(runs(0..3_000)));
}

#[test]
fn a_closed_week_takes_no_more_runs_and_never_opens_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut keeper = open(directory.path(), NOW);
    keeper.commit(vec![runs(0..10)], NOW).unwrap();
    let later = Hour(NOW.0 + (OPEN_WEEKS + 1) * 7 * 24);
    keeper.close_weeks(later).unwrap();
    finish_work(&mut keeper, later);
    assert_eq!(keeper.closed(), NOW.week());
    assert_eq!(keeper.index_size().0, 0);
    let outcome = keeper.commit(vec![runs(0..20)], later).unwrap();
    assert_eq!(outcome, [Outcome { late_spans: 40 }]);
    drop(keeper);
    // The clock jumped, and is right again.
    let mut keeper = open(directory.path(), NOW);
    keeper.close_weeks(NOW).unwrap();
    assert_eq!(keeper.commit(vec![runs(0..20)], NOW).unwrap(), outcome);
    assert_eq!(contents(keeper.store()), expected(runs(0..10)));
}

#[test]
fn a_start_that_lies_ahead_is_moved_to_this_week_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let mut keeper = open(directory.path(), NOW);
    let ahead = || run_at(1, Hour(NOW.0 + 9_000));
    keeper.commit(vec![vec![ahead()]], NOW).unwrap();
    // Repeated in the next week it is still the same run.
    keeper.commit(vec![vec![ahead()]], Hour(NOW.0 + 7 * 24)).unwrap();
    keeper.flush().unwrap();
    assert_eq!(contents(keeper.store()), expected([run_at(1, NOW.week().first_hour())]));
    assert_eq!(counter(keeper.store(), "traces.clock_ahead"), 2);
}

#[test]
fn runs_go_when_their_tool_no_longer_keeps_them() {
    let directory = tempfile::tempdir().unwrap();
    let mut keeper = open(directory.path(), NOW);
    keeper.commit(vec![runs(0..10)], NOW).unwrap();
    finish_work(&mut keeper, TOMORROW);
    let later = Hour(NOW.0 + 100 * 24);
    keeper.commit(vec![vec![run_at(99, later)]], later).unwrap();
    keeper.expire(later);
    finish_work(&mut keeper, later);
    assert_eq!(contents(keeper.store()), expected([run_at(99, later)]));
    keeper.flush().unwrap();
    assert_eq!(counter(keeper.store(), "cells.wrong_at_expiry"), 0);
}

#[test]
fn cells_are_counted_again_before_they_go_and_a_wrong_one_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let mut keeper = open(directory.path(), NOW);
    keeper.commit(vec![runs(0..10)], NOW).unwrap();
    finish_work(&mut keeper, TOMORROW);
    let damage = "UPDATE cell SET n = n + 1 WHERE name IN ('runs', 'frob.command')";
    assert_eq!(rusqlite_open(directory.path()).execute(damage, []).unwrap(), 4);
    let later = Hour(NOW.0 + 100 * 24);
    keeper.expire(later);
    finish_work(&mut keeper, later);
    keeper.flush().unwrap();
    assert_eq!(counter(keeper.store(), "cells.wrong_at_expiry"), 4);
    assert_eq!(contents(keeper.store()), expected([]));
}

#[test]
fn a_damaged_row_is_put_aside_and_its_runs_may_come_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut keeper = open(directory.path(), NOW);
    keeper.commit(vec![runs(0..10)], NOW).unwrap();
    drop(keeper);
    let connection = rusqlite_open(directory.path());
    let damage = "UPDATE run_row SET ids = zeroblob(length(ids))";
    assert_eq!(connection.execute(damage, []).unwrap(), 1);
    drop(connection);
    let mut keeper = open(directory.path(), NOW);
    assert_eq!(keeper.damaged_rows(), 1);
    assert_eq!(keeper.store().size().unwrap().damaged_rows, 1);
    keeper.commit(vec![runs(0..10)], NOW).unwrap();
    assert_eq!(keeper.store().size().unwrap().traces, 10);
}

fn rusqlite_open(directory: &std::path::Path) -> rusqlite::Connection {
    rusqlite::Connection::open(directory.join("runs.sqlite")).unwrap()
}

#[test]
fn a_second_writer_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let _keeper = open(directory.path(), NOW);
    let error = SqliteStore::create_or_open(directory.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse, "{error}");
    assert!(SqliteStore::open_to_read(directory.path()).is_ok());
}

#[test]
fn a_store_that_lost_its_database_is_not_taken_for_a_new_one() {
    for damage in ["gone", "empty", "garbage", "other"] {
        let directory = tempfile::tempdir().unwrap();
        open(directory.path(), NOW).commit(vec![runs(0..10)], NOW).unwrap();
        let file = directory.path().join("runs.sqlite");
        match damage {
            "gone" => fs::remove_file(&file).unwrap(),
            "empty" => fs::write(&file, "").unwrap(),
            "garbage" => fs::write(&file, [0x5a; 8_192]).unwrap(),
            _ => rusqlite_open(directory.path()).execute_batch("PRAGMA application_id = 7").unwrap(),
        }
        let error = SqliteStore::create_or_open(directory.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{damage}: {error}");
        assert!(error.to_string().contains("runs.sqlite cannot be used"), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn a_database_that_is_deleted_while_it_is_in_use_takes_no_more_runs() {
    let directory = tempfile::tempdir().unwrap();
    let mut keeper = open(directory.path(), NOW);
    keeper.commit(vec![runs(0..10)], NOW).unwrap();
    let file = directory.path().join("runs.sqlite");
    fs::rename(&file, directory.path().join("moved")).unwrap();
    let refused =
        |keeper: &mut Keeper<SqliteStore>| keeper.commit(vec![runs(10..20)], NOW).unwrap_err().kind();
    assert_eq!(refused(&mut keeper), ErrorKind::Missing);
    fs::copy(directory.path().join("moved"), &file).unwrap();
    assert_eq!(refused(&mut keeper), ErrorKind::Missing);
    fs::rename(directory.path().join("moved"), &file).unwrap();
    keeper.commit(vec![runs(10..20)], NOW).unwrap();
    assert_eq!(contents(keeper.store()), expected(runs(0..20)));
}

#[test]
fn a_store_of_a_newer_version_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path(), NOW));
    rusqlite_open(directory.path()).execute("INSERT INTO migration VALUES ('2099-01-01-x')", []).unwrap();
    let error = SqliteStore::create_or_open(directory.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Newer, "{error}");
}

#[test]
fn there_is_no_store_where_none_was_made() {
    let directory = tempfile::tempdir().unwrap();
    for result in [SqliteStore::open(directory.path()), SqliteStore::open_to_read(directory.path())] {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Missing);
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn counters_wait_for_a_change_and_are_not_lost() {
    let directory = tempfile::tempdir().unwrap();
    let mut keeper: Keeper<SqliteStore> = open(directory.path(), NOW);
    keeper.count("spans.rejected", 3);
    keeper.commit(vec![runs(0..1)], NOW).unwrap();
    keeper.count("spans.rejected", 2);
    keeper.flush().unwrap();
    assert_eq!(counter(keeper.store(), "spans.rejected"), 5);
    assert!(Change::default().is_empty());
}

#[test]
fn a_trace_does_not_grow_without_end() {
    let directory = tempfile::tempdir().unwrap();
    let mut keeper = open(directory.path(), NOW);
    let with_spans = |first: u32| {
        let mut trace = run(1);
        trace.absorb(
            (first..first + 6_000)
                .map(|number| {
                    let mut span = trace.spans[1].clone();
                    span.id = [&[9; 4], &number.to_be_bytes()[..]].concat().try_into().unwrap();
                    span
                })
                .collect(),
        );
        trace
    };
    for first in [0, 6_000, 12_000, 18_000] {
        keeper.commit(vec![vec![with_spans(first)]], NOW).unwrap();
    }
    keeper.flush().unwrap();
    assert_eq!(contents(keeper.store())[&run(1).id].spans.len(), 12_002);
    assert_eq!(counter(keeper.store(), "spans.beyond_trace"), 2 * 6_002);
}

#[test]
fn the_runs_of_a_tool_go_in_time_also_when_its_file_is_no_longer_loaded() {
    use tool_telemetry_collect::store::StoredDefinition;
    let directory = tempfile::tempdir().unwrap();
    let mut keeper = open(directory.path(), NOW);
    let text = include_str!("../../../../examples/dotnet/telemetry.toml").to_owned();
    let definition = StoredDefinition { hash: [7; 16], tool: "frob".to_owned(), text };
    keeper.keep_definitions(vec![definition]).unwrap();
    keeper.commit(vec![runs(0..10)], NOW).unwrap();
    drop(keeper);
    // Without `configure`, which the fixture does with 90 days; the file says 365.
    let store = SqliteStore::create_or_open(directory.path()).unwrap();
    let mut keeper = Keeper::open(store, TOMORROW).unwrap();
    finish_work(&mut keeper, TOMORROW);
    for (days, is_there) in [(100, true), (400, false)] {
        let later = Hour(NOW.0 + days * 24);
        keeper.expire(later);
        finish_work(&mut keeper, later);
        assert_eq!(keeper.store().size().unwrap().traces == 10, is_there, "{days}");
    }
}
