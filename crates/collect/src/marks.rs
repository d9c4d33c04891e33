//! Marks: a cell and a span of time that a person should look at, or has looked at. Never a network: none is known.
//!
//! A cell of installations that jumps is marked before its period closes. A person then releases it, or leaves its counts
//! out. A person may also mark a cell of runs.

use std::collections::HashMap;

use crate::cell::Cell;
use crate::counts::CountCell;
use crate::time::{Hour, Week};
use crate::trace::Trace;

/// A cell below this is not worth a look.
const SMALL: i64 = 100;
/// A cell that grows more than this many times over has jumped.
const JUMP: i64 = 10;
/// How many earlier periods a cell is compared with. Without any, nothing has jumped.
const PERIODS_BEFORE: u32 = 4;

/// A cell and a span of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Eight hexadecimal digits, the same for the same cell and time.
    pub id: String,
    /// `service.name`.
    pub tool: String,
    /// A table of runs, or the keys of a table of installations as a JSON array.
    pub table: String,
    /// The values, as a JSON array.
    pub values: String,
    /// The first hour.
    pub first: Hour,
    /// The first hour after the span of time.
    pub end: Hour,
    /// What a person decided.
    pub state: MarkState,
    /// The number of the cell when it was marked.
    pub number: i64,
    /// The largest number of the periods before.
    pub before: i64,
}

/// What a person decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkState {
    /// Nothing yet. A period with such a mark is not to be published.
    Held = 0,
    /// The cell counts.
    Released = 1,
    /// The cell is left out.
    LeftOut = 2,
}

impl Mark {
    /// A mark that nobody has decided on.
    pub fn new(tool: &str, table: &str, values: &str, first: Hour, end: Hour) -> Self {
        let text = format!("{tool}\0{table}\0{values}\0{}\0{}", first.0, end.0);
        Self {
            id: format!("{:08x}", crc32fast::hash(text.as_bytes())),
            tool: tool.to_owned(),
            table: table.to_owned(),
            values: values.to_owned(),
            first,
            end,
            state: MarkState::Held,
            number: 0,
            before: 0,
        }
    }

    /// Whether the span of time has hours of these weeks.
    pub(crate) fn touches(&self, first: Week, last: Week) -> bool {
        self.first.week() <= last && first <= Hour(self.end.0.saturating_sub(1)).week()
    }

    /// Whether a trace began within the span of time.
    pub(crate) fn covers(&self, trace: &Trace) -> bool {
        let start = trace.spans.iter().map(|span| span.hour).min();
        start.is_some_and(|start| (self.first..self.end).contains(&start))
    }

    pub(crate) fn is_of_cell(&self, cell: &Cell) -> bool {
        (&self.tool, &self.table, &self.values) == (&cell.tool, &cell.table, &cell.values)
    }

    pub(crate) fn is_of_count(&self, cell: &CountCell) -> bool {
        (&self.tool, &self.table, &self.values) == (&cell.tool, &cell.keys, &cell.values)
    }
}

/// One cell of installations in one period, whichever version of the telemetry.toml asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct InstallationCell<'a> {
    tool: &'a str,
    weeks: u32,
    keys: &'a str,
    values: &'a str,
}

/// The cells of installations that jump, in the periods that are still open: more than ten times as many as in any of the
/// four periods before, and at least 100.
///
/// A tool's first period says nothing of what is usual.
pub fn jumps(cells: &[(CountCell, i64)], closed: Week) -> Vec<Mark> {
    let mut numbers: HashMap<(InstallationCell<'_>, Week), i64> = HashMap::new();
    let mut first_periods: HashMap<(&str, &str), Week> = HashMap::new();
    for (cell, number) in cells {
        let weeks = crate::trace::weeks(cell.period);
        let place = InstallationCell { tool: &cell.tool, weeks, keys: &cell.keys, values: &cell.values };
        *numbers.entry((place, cell.last_week)).or_default() += number;
        let first = first_periods.entry((&cell.tool, &cell.keys)).or_insert(cell.last_week);
        *first = (*first).min(cell.last_week);
    }
    let before = |place: InstallationCell<'_>, week: Week| {
        let earlier = (1..=PERIODS_BEFORE).filter_map(|period| week.0.checked_sub(period * place.weeks));
        earlier.filter_map(|week| numbers.get(&(place, Week(week)))).copied().max().unwrap_or(0)
    };
    let mut marks: Vec<Mark> = numbers
        .iter()
        .filter(|((place, week), _)| *week > closed && first_periods[&(place.tool, place.keys)] < *week)
        .map(|((place, week), number)| (*place, *week, *number, before(*place, *week)))
        .filter(|(_, _, number, before)| *number >= SMALL && *number > JUMP * before)
        .map(|(place, week, number, before)| {
            let first = Week(week.0 + 1 - place.weeks).first_hour();
            let end = Week(week.0 + 1).first_hour();
            Mark { number, before, ..Mark::new(place.tool, place.keys, place.values, first, end) }
        })
        .collect();
    marks.sort_by(|one, other| one.id.cmp(&other.id));
    marks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Period;

    fn cell(week: u32, hash: u8, value: &str, number: i64) -> (CountCell, i64) {
        let cell = CountCell {
            tool: "frob".to_owned(),
            last_week: Week(week),
            period: Period::Week,
            hash: [hash; 16],
            keys: r#"["frob.command"]"#.to_owned(),
            values: format!("[\"{value}\"]"),
        };
        (cell, number)
    }

    #[test]
    fn a_cell_that_grows_more_than_ten_times_over_is_marked() {
        let cells = [
            cell(100, 1, "build", 40),
            cell(101, 1, "build", 30),
            // Both versions together are more than ten times 40.
            cell(102, 1, "build", 201),
            cell(102, 2, "build", 200),
            cell(100, 1, "test", 40),
            cell(102, 1, "test", 400),
            cell(102, 1, "new", 99),
            cell(102, 1, "unheard of", 100),
        ];
        let marks = jumps(&cells, Week(99));
        let mut told: Vec<_> =
            marks.iter().map(|mark| (mark.values.as_str(), mark.number, mark.before)).collect();
        told.sort_unstable();
        assert_eq!(told, [(r#"["build"]"#, 401, 40), (r#"["unheard of"]"#, 100, 0)]);
        assert!(
            marks
                .iter()
                .all(|mark| mark.first == Week(102).first_hour() && mark.end == Week(103).first_hour())
        );
        assert_eq!(jumps(&cells, Week(102)), [], "what is closed is too late to look at");
        assert_eq!(jumps(&cells[..1], Week(99)), []);
    }

    #[test]
    fn the_first_period_of_a_table_is_not_marked() {
        assert_eq!(jumps(&[cell(100, 1, "build", 1_000_000)], Week(0)), []);
    }
}
