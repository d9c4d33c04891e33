//! The numbers of a report as CSV. The first column of every file says that it is not for publication. The mark stays with the
//! rows when the file is loaded somewhere else.

use super::content::{Published, Report};
use super::file::ReportFile;
use super::tables::{Runs, Use};
use crate::failure::Failure;
use crate::plan::cell_text;

/// The first column.
const MARK_COLUMN: &str = "not_for_publication";
/// What stands in it.
const MARK_VALUE: &str = "exact numbers";

pub(super) fn files(report: &Report<'_>) -> Result<Vec<ReportFile>, Failure> {
    let runs = Runs::new(report.cells);
    Ok(vec![
        file("cells.csv", &["week_start", "table", "values", "number"], cells(report))?,
        file(
            "runs.csv",
            &["week_start", "command", "runs", "failed", "seconds_50", "seconds_95"],
            uses(report, &runs),
        )?,
        file(
            "installations.csv",
            &["period_start", "period_days", "keys", "values", "exact", "published"],
            installations(report),
        )?,
    ])
}

fn file(
    name: &str,
    columns: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) -> Result<ReportFile, Failure> {
    let failed = |error: String| Failure::failed(format!("{name} cannot be made: {error}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header = [MARK_COLUMN].iter().chain(columns);
    writer.write_record(header).map_err(|error| failed(error.to_string()))?;
    for row in rows {
        let row = std::iter::once(MARK_VALUE.to_owned()).chain(row);
        writer.write_record(row).map_err(|error| failed(error.to_string()))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(error.to_string()))?;
    Ok(ReportFile::new(format!("data/{name}"), bytes))
}

fn cells<'a>(report: &'a Report<'_>) -> impl Iterator<Item = Vec<String>> + 'a {
    report.cells.iter().map(|(cell, number)| {
        vec![cell.week.monday().to_string(), cell.table.clone(), cell.values.clone(), number.to_string()]
    })
}

/// All runs of each week, then those of each command.
fn uses<'a>(report: &'a Report<'_>, runs: &'a Runs<'a>) -> impl Iterator<Item = Vec<String>> + 'a {
    let key = report.command_key();
    runs.weeks().into_iter().flat_map(move |week| {
        let commands = key.map(|key| runs.commands(key, week)).unwrap_or_default();
        let all = std::iter::once((String::new(), runs.all(week))).chain(commands);
        all.map(|(command, of_command)| row(week.monday().to_string(), command, &of_command))
            .collect::<Vec<_>>()
    })
}

fn row(week: String, command: String, of_command: &Use) -> Vec<String> {
    let quantile = |share| {
        of_command.durations.quantile(share).map_or_else(String::new, |seconds| format!("{seconds:.6}"))
    };
    vec![
        week,
        command,
        of_command.runs.to_string(),
        of_command.failed.to_string(),
        quantile(0.5),
        quantile(0.95),
    ]
}

fn installations<'a>(report: &'a Report<'_>) -> impl Iterator<Item = Vec<String>> + 'a {
    report.installations.iter().map(|cell| {
        let published = match cell.published {
            Published::Nothing => String::new(),
            Published::Below(threshold) => format!("<{threshold}"),
            Published::Number(number) => number.to_string(),
        };
        vec![
            cell.start.to_string(),
            cell.days.to_string(),
            cell.keys.join(" and "),
            cell_text(&cell.values),
            cell.exact.to_string(),
            published,
        ]
    })
}
