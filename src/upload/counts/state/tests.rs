use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::model::cell::CellValue;
use crate::model::data_points::Count;

static DATA_POINTS: DataPoints = DataPoints {
    period: Some(Period::Week),
    counts: &[
        Count { of: &["weave.command"], at_most: 2, releases: &[], values: &[] },
        Count { of: &["weave.command", "error.type"], at_most: 1, releases: &[], values: &[] },
    ],
    ..DataPoints::EMPTY
};
const AT_MOST_TOGETHER: usize = 3;

/// Monday, 7 December 2026, 00:00 UTC.
const MONDAY: u64 = 1_796_601_600;
const WEEK: u64 = 7 * DAY;

fn cell(command: u8, has_failed: bool) -> Cell {
    let text = |text: String| CellValue::Text(text);
    let mut cell: BTreeMap<_, _> = [("weave.command".to_owned(), text(format!("c{command}")))].into();
    if has_failed {
        cell.insert("error.type".to_owned(), text("_OTHER".to_owned()));
    }
    Cell(cell)
}

/// Draws of a fixed delay, with ids that are never the same.
fn draws() -> impl FnMut() -> RandomPart {
    let mut number = 0_u64;
    move || {
        number += 1;
        let mut trace_id = [1; 16];
        trace_id[..8].copy_from_slice(&number.to_be_bytes());
        RandomPart::new(trace_id, number.to_be_bytes(), number)
    }
}

fn count(state: &mut CountState, cells: Vec<Cell>, started: u64, clocks: Clocks) -> bool {
    state.count(&DATA_POINTS, cells, started, clocks, &mut draws())
}

fn clocks(now: u64, receiver: Option<u64>) -> Clocks {
    Clocks { now, receiver }
}

fn counted(state: &CountState, start: u64) -> Vec<Cell> {
    state.open.get(&start).map(|cells| cells.keys().cloned().collect()).unwrap_or_default()
}

#[test]
fn a_new_state_counts_from_the_period_after_the_latest_known_time() {
    let mut state = CountState::new(Period::Week, MONDAY + 3 * WEEK + DAY);
    for week in 0..4 {
        let now = MONDAY + week * WEEK;
        assert!(!count(&mut state, vec![cell(1, false)], now, clocks(now, None)), "{week}");
    }
    let now = MONDAY + 4 * WEEK;
    assert!(count(&mut state, vec![cell(1, false)], now, clocks(now, None)));
}

#[test]
fn a_run_is_counted_only_in_a_period_that_has_begun_by_both_clocks_and_is_open() {
    let new = || CountState::new(Period::Week, MONDAY);
    let week = |week: u64| MONDAY + week * WEEK;
    for (started, now, receiver, is_counted) in [
        (week(2), week(2), None, true),
        (week(2), week(2), Some(week(2)), true),
        (week(2) + DAY, week(2) + DAY, Some(week(2)), true),
        // From a clock that ran ahead.
        (week(3), week(2), None, false),
        (week(3), week(3), Some(week(2)), false),
        (week(3), week(2), Some(week(9)), false),
        // Pending for 28 days after the end of its week, and longer.
        (week(2), week(7) - 1, None, true),
        (week(2), week(7), None, false),
        // A clock that is not set.
        (DAY, DAY, None, false),
        (week(2), DAY, None, false),
    ] {
        let is_new = count(&mut new(), vec![cell(1, false)], started, clocks(now, receiver));
        assert_eq!(is_new, is_counted, "{started} {now} {receiver:?}");
    }
}

#[test]
fn a_closed_period_is_never_counted_again() {
    let mut state = CountState::new(Period::Week, MONDAY);
    let now = MONDAY + WEEK;
    assert!(count(&mut state, vec![cell(1, false)], now, clocks(now, None)));
    assert!(state.forget_closed(MONDAY + 40 * WEEK));
    assert_eq!((state.lost, counted(&state, now).len()), (1, 0));
    assert!(!count(&mut state, vec![cell(1, false)], now, clocks(now, None)), "the clock is set back");
}

#[test]
fn a_count_waits_for_1_to_49_hours() {
    for random in [0, 1, 47 * HOUR, 48 * HOUR - 1, 48 * HOUR, u64::MAX] {
        let delay = RandomPart::new([1; 16], [1; 8], random).delay;
        assert!((HOUR..49 * HOUR).contains(&delay), "{delay}");
    }
    let (mut state, now) = (CountState::new(Period::Week, MONDAY), MONDAY + WEEK);
    assert!(count(&mut state, vec![cell(1, false)], now, clocks(now, None)));
    assert!(state.due(now + HOUR - 1).is_empty());
    assert_eq!(state.due(now + 49 * HOUR).len(), 1);
    // A clock that is set back a month does not delay it for a month.
    assert_eq!(state.due(now - 30 * DAY).len(), 1);
}

#[test]
fn a_state_is_read_as_it_was_written_and_a_damaged_one_is_none() {
    let (mut state, now) = (CountState::new(Period::Week, MONDAY), MONDAY + WEEK);
    assert!(count(&mut state, vec![cell(1, false), cell(1, true)], now, clocks(now, None)));
    let first = state.waiting().remove(0);
    assert!(state.answer(&first, true) && !state.answer(&first, true));
    let text = state.render();
    assert_eq!(CountState::parse(&text), Some(state));
    for length in 0..text.len() {
        assert_eq!(CountState::parse(&text[..length]), None, "cut at {length}");
    }
    for position in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[position] ^= 1;
        assert_eq!(std::str::from_utf8(&bytes).ok().and_then(CountState::parse), None, "byte {position}");
    }
}

/// A run, and what happened before it.
#[derive(Debug, Clone)]
struct Step {
    hours: u64,
    /// How far the local clock is off, in days.
    off_by: i64,
    loses_state: bool,
    command: u8,
    has_failed: bool,
    /// How many days ago the run began.
    started_before: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let off_by = prop_oneof![4 => Just(0_i64), 1 => -60..60_i64, 1 => Just(400_i64)];
    let step = (0..120_u64, off_by, proptest::bool::weighted(0.1), 0..4_u8, any::<bool>(), 0..40_u64)
        .prop_map(|(hours, off_by, loses_state, command, has_failed, started_before)| Step {
            hours,
            off_by,
            loses_state,
            command,
            has_failed,
            started_before: started_before.saturating_sub(30),
        });
    proptest::collection::vec(step, 1..120)
}

/// Lives through the steps. Panics if a cell was counted twice in a period, or more than `at_most` were.
fn live(steps: &[Step], tells_time: bool) {
    let (mut time, mut latest, mut state, mut draw) = (MONDAY, 0, None::<CountState>, draws());
    let mut all: BTreeSet<(u64, Cell)> = BTreeSet::new();
    for step in steps {
        time += step.hours * HOUR;
        let clocks = clocks(time.saturating_add_signed(step.off_by * 24 * 3600), tells_time.then_some(time));
        if step.loses_state {
            state = None;
        }
        // With the receiver's time nothing else needs to be remembered.
        let known = if tells_time { 0 } else { latest };
        latest = latest.max(clocks.earliest());
        let state = state.get_or_insert_with(|| CountState::new(Period::Week, clocks.true_time().max(known)));
        state.forget_closed(clocks.now);
        let before: BTreeSet<_> = state
            .open
            .iter()
            .flat_map(|(start, cells)| cells.keys().map(|cell| (*start, cell.clone())))
            .collect();
        let mut cells = vec![cell(step.command, false)];
        cells.extend(step.has_failed.then(|| cell(step.command, true)));
        let started = clocks.now.saturating_sub(step.started_before * DAY);
        state.count(&DATA_POINTS, cells, started, clocks, &mut draw);
        for (start, cells) in &state.open {
            for cell in cells.keys().filter(|cell| !before.contains(&(*start, (*cell).clone()))) {
                assert!(all.insert((*start, cell.clone())), "{cell:?} twice in {start}: {step:?}");
            }
        }
    }
    for start in all.iter().map(|(start, _)| *start).collect::<BTreeSet<_>>() {
        let of_period: Vec<&Cell> = all.iter().filter(|(of, _)| *of == start).map(|(_, cell)| cell).collect();
        assert!(of_period.len() <= AT_MOST_TOGETHER, "{of_period:?}");
        for table in DATA_POINTS.counts {
            let of_table =
                of_period.iter().filter(|cell| table.has_keys(cell.0.keys().map(String::as_str))).count();
            assert!(of_table <= usize::from(table.at_most), "{of_period:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn with_the_receivers_time_no_loss_and_no_clock_counts_a_period_twice(steps in steps()) {
        live(&steps, true);
    }

    #[test]
    fn with_the_latest_time_known_no_loss_and_no_clock_counts_a_period_twice(steps in steps()) {
        live(&steps, false);
    }
}
