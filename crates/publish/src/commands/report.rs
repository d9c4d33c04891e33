//! `report`: exact numbers for the tool's author.

use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use jiff::ToSpan as _;
use jiff::civil::Date;

use super::day::today;
use super::source::SourceArguments;
use crate::calendar::Interval;
use crate::failure::Failure;
use crate::ledger;
use crate::plan::Plan;
use crate::publication::{cell_key, exact, table_text};
use crate::release::{Release, Table};
use crate::report::{Installations, MARK, Published, Report, write};
use crate::sources::Source;

/// Periods whose exact numbers of installations are shown, with the one that is still going on.
const PERIODS: i64 = 9;

/// Write exact numbers for the tool's author, marked as not for publication
///
/// How often each command ran and failed, how long it took, every data point by week, and the exact numbers of
/// installations beside the published ones. No ledger is changed, and nothing is drawn.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 it is written; 1 the source or the ledger refuses; 2 the command line is wrong, or a file \
                  cannot be used."
)]
pub struct ReportArguments {
    #[command(flatten)]
    source: SourceArguments,
    /// The directory of the report; made if it is not there
    #[arg(long, value_name = "DIRECTORY")]
    out: PathBuf,
    /// Say that you know: these numbers must not be published
    #[arg(long, required = true)]
    internal: bool,
    /// The directory of the ledger, or of the site, whose published numbers stand beside the exact ones; only read
    #[arg(long, value_name = "DIRECTORY")]
    ledger: Option<PathBuf>,
    /// Act as on an earlier day
    #[arg(long, value_name = "DAY", hide = true)]
    today: Option<Date>,
}

pub(super) fn run(arguments: &ReportArguments) -> Result<ExitCode, Failure> {
    let today = today(arguments.today)?;
    let (mut source, versions) = arguments.source.open()?;
    let files = arguments.ledger.as_deref().map(read_ledger).transpose()?.unwrap_or_default();
    let releases: Vec<&Release> = ledger::releases(&files).collect();
    let cells = source.run_cells(&versions.tool)?;
    let installations = match Plan::new(&versions.all) {
        Ok(plan) => installations(source.as_mut(), &versions.tool, &plan, &releases, today)?,
        // Its runs are reported all the same.
        Err(_) => Vec::new(),
    };
    let report = Report {
        tool: &versions.tool,
        definition: versions.newest(),
        cells: &cells,
        installations: &installations,
        made: today,
    };
    write(&report, &arguments.out)?;
    writeln!(stdout().lock(), "{}: exact numbers; see {MARK} there", arguments.out.display())
        .map_err(|error| Failure::usage(format!("the output cannot be written: {error}")))?;
    Ok(ExitCode::SUCCESS)
}

fn read_ledger(directory: &Path) -> Result<Vec<ledger::LedgerFile>, Failure> {
    let inside = directory.join("ledger");
    ledger::read(if inside.is_dir() { &inside } else { directory })
}

/// The cells of the newest periods in which anything was counted or published.
fn installations(
    source: &mut dyn Source,
    tool: &str,
    plan: &Plan,
    releases: &[&Release],
    today: Date,
) -> Result<Vec<Installations>, Failure> {
    let days = PERIODS * if plan.period == tool_telemetry_definition::Period::Week { 7 } else { 28 };
    let mut next = Interval::at_or_after(today.saturating_sub(days.days()), plan.period);
    let mut installations = Vec::new();
    while let Some(interval) = next.filter(|interval| interval.start() <= today) {
        let exact = exact(plan, &source.counts(tool, interval)?);
        let start = interval.start().to_string();
        let of_period = releases.iter().filter(|release| release.start == start);
        let release = of_period.max_by_key(|release| release.number).copied();
        for table in &plan.tables {
            let name = table_text(table.of.iter().copied());
            for values in &table.cells {
                let key = cell_key(&table.of, values);
                let cell = Installations {
                    start: interval.start(),
                    days: interval.days(),
                    keys: table.of.iter().map(|key| (*key).to_owned()).collect(),
                    values: values.clone(),
                    exact: exact.get(&(name.clone(), key.clone())).copied().unwrap_or_default(),
                    published: published(release, &name, &key),
                };
                if cell.exact != 0 || matches!(cell.published, Published::Number(_)) {
                    installations.push(cell);
                }
            }
        }
        next = Interval::new(interval.end(), plan.period);
    }
    Ok(installations)
}

fn published(release: Option<&Release>, name: &str, key: &str) -> Published {
    let is_table = |table: &&Table| table_text(table.of.iter().map(String::as_str)) == name;
    let Some(table) = release.and_then(|release| release.tables.iter().find(is_table)) else {
        return Published::Nothing;
    };
    let keys: Vec<&str> = table.of.iter().map(String::as_str).collect();
    let cell = table.cells.iter().find(|cell| cell_key(&keys, &cell.values) == key);
    match cell.map(|cell| cell.installations) {
        Some(Some(number)) => Published::Number(number),
        Some(None) => Published::Below(table.threshold),
        None => Published::Nothing,
    }
}
