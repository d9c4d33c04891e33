//! Cells of runs as rows over weeks.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;
use tool_telemetry_collect::cell::Cell;
use tool_telemetry_collect::time::Week;
use tool_telemetry_definition::ERROR_TYPE;

use super::durations::Histogram;
use crate::sources::text;

/// The cells of the runs of one tool.
#[derive(Debug)]
pub(super) struct Runs<'a> {
    /// By table and week.
    cells: BTreeMap<&'a str, BTreeMap<Week, Vec<Row>>>,
}

/// The values of a cell, and its number.
type Row = (Vec<Json>, u64);

/// How often something ran in one week, how often it failed, and how long it took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) runs: u64,
    pub(super) failed: u64,
    pub(super) durations: Histogram,
}

/// A table over weeks, with one row for each of its values.
#[derive(Debug)]
pub(super) struct Grid<'a> {
    pub(super) table: &'a str,
    /// The values, with a number for each week.
    pub(super) rows: Vec<(String, Vec<u64>)>,
}

impl<'a> Runs<'a> {
    pub(super) fn new(cells: &'a [(Cell, i64)]) -> Self {
        let mut runs = Self { cells: BTreeMap::new() };
        for (cell, number) in cells {
            // A damaged cell has no values, and is in no row.
            let values: Vec<Json> = serde_json::from_str(&cell.values).unwrap_or_default();
            let number = u64::try_from(*number).unwrap_or_default();
            let of_table = runs.cells.entry(&cell.table).or_default();
            of_table.entry(cell.week).or_default().push((values, number));
        }
        runs
    }

    /// The weeks, newest first.
    pub(super) fn weeks(&self) -> Vec<Week> {
        let weeks: BTreeSet<Week> = self.cells.values().flat_map(BTreeMap::keys).copied().collect();
        weeks.into_iter().rev().collect()
    }

    fn rows(&self, table: &str, week: Week) -> &[Row] {
        self.cells.get(table).and_then(|weeks| weeks.get(&week)).map_or(&[], Vec::as_slice)
    }

    /// All runs of a week.
    pub(super) fn all(&self, week: Week) -> Use {
        Use {
            runs: self.rows("runs", week).iter().map(|(_, number)| number).sum(),
            failed: self.rows(ERROR_TYPE, week).iter().map(|(_, number)| number).sum(),
            durations: self.histogram("duration", week, 1, |_| true),
        }
    }

    /// The runs of a week by command, the most frequent first.
    pub(super) fn commands(&self, key: &str, week: Week) -> Vec<(String, Use)> {
        let mut commands: BTreeMap<String, Use> = BTreeMap::new();
        for (values, number) in self.rows(&format!("{key} and {ERROR_TYPE}"), week) {
            let [command, error] = values.as_slice() else { continue };
            let of_command = commands.entry(text(command)).or_default();
            of_command.runs += number;
            of_command.failed += if error.is_null() { 0 } else { *number };
        }
        for (command, of_command) in &mut commands {
            of_command.durations = self
                .histogram(&format!("{key} and duration"), week, 1, |values| text(&values[0]) == *command);
        }
        let mut commands: Vec<(String, Use)> = commands.into_iter().collect();
        commands.sort_by_key(|(_, of_command)| std::cmp::Reverse(of_command.runs));
        commands
    }

    /// The steps of a week, with how long each took.
    pub(super) fn steps(&self, week: Week) -> Vec<(&'a str, Histogram)> {
        let steps =
            self.cells.keys().copied().filter_map(|table| Some((table, table.strip_prefix("duration of ")?)));
        let with_durations = steps.map(|(table, step)| (step, self.histogram(table, week, 0, |_| true)));
        with_durations.filter(|(_, histogram)| histogram.number() > 0).collect()
    }

    fn histogram(
        &self,
        table: &str,
        week: Week,
        at: usize,
        is_wanted: impl Fn(&[Json]) -> bool,
    ) -> Histogram {
        let mut histogram = Histogram::default();
        for (values, number) in self.rows(table, week) {
            let bucket = values.get(at).and_then(Json::as_u64).and_then(|bucket| u16::try_from(bucket).ok());
            if let Some(bucket) = bucket
                && is_wanted(values)
            {
                histogram.add(bucket, *number);
            }
        }
        histogram
    }

    /// Every table of values over these weeks. A data point's own table has the version in front, over which it is summed.
    pub(super) fn grids(&self, weeks: &[Week]) -> Vec<Grid<'a>> {
        let is_duration = |table: &str| table.starts_with("duration") || table.ends_with(" and duration");
        let grids = self.cells.keys().copied().filter(|table| !is_duration(table)).map(|table| {
            let skipped = usize::from(table != "runs" && !table.contains(" and "));
            let mut rows: BTreeMap<String, Vec<u64>> = BTreeMap::new();
            for (place, week) in weeks.iter().enumerate() {
                for (values, number) in self.rows(table, *week) {
                    let shown: Vec<String> = values.iter().skip(skipped).map(value).collect();
                    rows.entry(shown.join(" · ")).or_insert_with(|| vec![0; weeks.len()])[place] += number;
                }
            }
            Grid { table, rows: rows.into_iter().collect() }
        });
        grids.filter(|grid| !grid.rows.is_empty()).collect()
    }
}

/// A value for a person: a run that did not fail has no type of error, and one may have no version.
fn value(value: &Json) -> String {
    match value {
        Json::Null => "none".to_owned(),
        Json::String(text) if text.is_empty() => "none".to_owned(),
        value => text(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEEK: Week = Week(2_966);

    fn cells() -> Vec<(Cell, i64)> {
        let cell = |table: &str, values: &str, number| {
            let (table, values) = (table.to_owned(), values.to_owned());
            (Cell { tool: "frob".to_owned(), week: WEEK, table, values }, number)
        };
        vec![
            cell("runs", r#"["1.0"]"#, 7),
            cell("runs", r#"["1.1"]"#, 3),
            cell("error.type", r#"["1.0","_OTHER"]"#, 2),
            cell("duration", r#"["1.0",121]"#, 10),
            cell("frob.command", r#"["1.0","build"]"#, 5),
            cell("frob.command", r#"["1.1","build"]"#, 3),
            cell("frob.command and error.type", r#"["build",null]"#, 6),
            cell("frob.command and error.type", r#"["build","_OTHER"]"#, 2),
            cell("frob.command and duration", r#"["build",121]"#, 8),
            cell("duration of compile", "[100]", 4),
        ]
    }

    #[test]
    fn versions_are_summed_and_failures_are_those_with_a_type_of_error() {
        let cells = cells();
        let runs = Runs::new(&cells);
        assert_eq!(runs.weeks(), [WEEK]);
        let all = runs.all(WEEK);
        assert_eq!((all.runs, all.failed, all.durations.number()), (10, 2, 10));
        let commands = runs.commands("frob.command", WEEK);
        let [(command, of_command)] = &commands[..] else { panic!("{commands:?}") };
        assert_eq!((command.as_str(), of_command.runs, of_command.failed), ("build", 8, 2));
        assert_eq!(of_command.durations.number(), 8);
        assert_eq!(runs.steps(WEEK)[0].0, "compile");
        let grids = runs.grids(&[WEEK]);
        let tables: Vec<_> = grids.iter().map(|grid| (grid.table, grid.rows.clone())).collect();
        let row = |name: &str, number| (name.to_owned(), vec![number]);
        assert_eq!(
            tables,
            [
                ("error.type", vec![row("_OTHER", 2)]),
                ("frob.command", vec![row("build", 8)]),
                ("frob.command and error.type", vec![row("build · _OTHER", 2), row("build · none", 6)]),
                ("runs", vec![row("1.0", 7), row("1.1", 3)]),
            ]
        );
    }
}
