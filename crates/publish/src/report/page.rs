//! The page of a report. Its template escapes every text.

use askama::Template;
use tool_telemetry_collect::time::Week;
use tool_telemetry_definition::DataPoints;

use super::content::{Installations, Published, Report};
use super::tables::{Grid, Runs, Use};
use crate::failure::Failure;
use crate::sources::text;

/// Weeks on the page. Older ones are in the files.
const MAX_WEEKS: usize = 13;
/// Rows of a table on the page: one of an integer may have 10,000.
const MAX_ROWS: usize = 100;

#[derive(Debug, Template)]
#[template(path = "report/index.html")]
struct Page<'a> {
    tool: &'a str,
    made: String,
    weeks: Vec<String>,
    by_week: Vec<UseRow>,
    command: Option<UseTable>,
    steps: Vec<StepRow>,
    grids: Vec<GridTable>,
    periods: Vec<PeriodTable>,
}

/// Runs with their failures and durations.
#[derive(Debug)]
struct UseRow {
    name: String,
    runs: u64,
    failed: u64,
    share: String,
    median: String,
    slow: String,
}

#[derive(Debug)]
struct UseTable {
    title: String,
    week: String,
    rows: Vec<UseRow>,
}

#[derive(Debug)]
struct StepRow {
    name: String,
    number: u64,
    median: String,
    slow: String,
}

#[derive(Debug)]
struct GridTable {
    title: String,
    key: String,
    rows: Vec<(String, Vec<u64>)>,
    more: usize,
}

/// The installations of one table in one period.
#[derive(Debug)]
struct PeriodTable {
    title: String,
    rows: Vec<(String, i64, String)>,
    more: usize,
}

pub(super) fn render(report: &Report<'_>) -> Result<String, Failure> {
    let runs = Runs::new(report.cells);
    let all = runs.weeks();
    let weeks = &all[..all.len().min(MAX_WEEKS)];
    let newest = weeks.first().copied();
    let command = report.command_key().zip(newest).map(|(key, week)| UseTable {
        title: sentence(report.definition, key),
        week: week.to_string(),
        rows: runs.commands(key, week).into_iter().map(|(name, of_it)| use_row(name, &of_it)).collect(),
    });
    let steps = newest.map(|week| runs.steps(week)).unwrap_or_default();
    let page = Page {
        tool: report.tool,
        made: report.made.to_string(),
        weeks: weeks.iter().map(Week::to_string).collect(),
        by_week: weeks.iter().map(|week| use_row(week.to_string(), &runs.all(*week))).collect(),
        command,
        steps: steps
            .into_iter()
            .map(|(name, durations)| StepRow {
                name: name.to_owned(),
                number: durations.number(),
                median: duration(durations.quantile(0.5)),
                slow: duration(durations.quantile(0.95)),
            })
            .collect(),
        grids: runs.grids(weeks).into_iter().map(|grid| grid_table(report.definition, grid)).collect(),
        periods: periods(report.installations),
    };
    page.render().map_err(|error| Failure::failed(format!("the page cannot be made: {error}")))
}

fn use_row(name: String, of_it: &Use) -> UseRow {
    let share = of_it.failed as f64 / of_it.runs.max(1) as f64 * 100.0;
    UseRow {
        name,
        runs: of_it.runs,
        failed: of_it.failed,
        share: format!("{share:.1}%"),
        median: duration(of_it.durations.quantile(0.5)),
        slow: duration(of_it.durations.quantile(0.95)),
    }
}

fn grid_table(definition: &DataPoints, grid: Grid<'_>) -> GridTable {
    let mut rows = grid.rows;
    rows.sort_by_key(|(_, numbers)| std::cmp::Reverse(numbers.iter().sum::<u64>()));
    let more = rows.len().saturating_sub(MAX_ROWS);
    rows.truncate(MAX_ROWS);
    let title = match grid.table {
        "runs" => "Runs by version".to_owned(),
        table => sentence(definition, table),
    };
    GridTable { title, key: grid.table.to_owned(), rows, more }
}

fn periods(installations: &[Installations]) -> Vec<PeriodTable> {
    let tables = installations.chunk_by(|one, other| (one.start, &one.keys) == (other.start, &other.keys));
    let tables = tables.rev().map(|cells| {
        let rows = cells.iter().take(MAX_ROWS).map(|cell| {
            let values: Vec<String> = cell.values.iter().map(text).collect();
            (values.join(" · "), cell.exact, published(cell.published))
        });
        let first = &cells[0];
        PeriodTable {
            title: format!("{}, {} days: {}", first.start, first.days, first.keys.join(" and ")),
            rows: rows.collect(),
            more: cells.len().saturating_sub(MAX_ROWS),
        }
    });
    tables.collect()
}

fn published(published: Published) -> String {
    match published {
        Published::Nothing => "nothing yet".to_owned(),
        Published::Below(threshold) => format!("fewer than {threshold}"),
        Published::Number(number) => number.to_string(),
    }
}

fn sentence(definition: &DataPoints, table: &str) -> String {
    definition.keyed(table).map_or_else(|| table.to_owned(), |data_point| data_point.sentence.to_owned())
}

/// A duration in seconds for a person, with the two digits that a histogram gives.
fn duration(seconds: Option<f64>) -> String {
    match seconds {
        None => "–".to_owned(),
        Some(seconds) if seconds < 0.000_999 => format!("{:.0} µs", seconds * 1e6),
        Some(seconds) if seconds < 0.0995 => format!("{:.1} ms", seconds * 1e3),
        Some(seconds) if seconds < 0.9995 => format!("{:.0} ms", seconds * 1e3),
        Some(seconds) if seconds < 99.5 => format!("{seconds:.1} s"),
        Some(seconds) => format!("{seconds:.0} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_the_unit_in_which_it_is_read() {
        let cases = [
            (0.0, "0 µs"),
            (0.000_25, "250 µs"),
            (0.001_25, "1.2 ms"),
            (0.25, "250 ms"),
            (1.25, "1.2 s"),
            (250.0, "250 s"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(duration(Some(seconds)), expected);
        }
        assert_eq!(duration(None), "–");
    }
}
