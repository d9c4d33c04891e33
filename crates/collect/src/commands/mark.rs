//! `mark`: a cell that a person wants to leave out, or others to look at.

use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::Failure;
use crate::marks::Mark;
use crate::store::{Change, SqliteStore, Store as _};
use crate::time::Hour;

/// Mark a cell in a span of time
///
/// Prints the mark, which `recount --without` takes. The store must not be in use.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 it is marked; 2 there is no such cell, or the store cannot be used.")]
pub struct MarkArguments {
    /// The directory of the store
    #[arg(long, value_name = "DIRECTORY")]
    store: PathBuf,
    /// The tool
    #[arg(long, value_name = "NAME")]
    tool: String,
    /// The table of runs, such as `frob.command`, or the keys of a table of installations, such as `["frob.command"]`
    #[arg(long, value_name = "TABLE")]
    table: String,
    /// The values, as they stand in the cell, such as `["1.0.0","build"]`
    #[arg(long, value_name = "VALUES")]
    values: String,
    /// The first hour in UTC, such as 2026-11-23 or 2026-11-23T05:00
    #[arg(long, value_name = "TIME", value_parser = Hour::parse)]
    from: Hour,
    /// The hour in UTC at which it is over
    #[arg(long, value_name = "TIME", value_parser = Hour::parse)]
    to: Hour,
}

pub(super) fn run(arguments: &MarkArguments) -> Result<ExitCode, Failure> {
    let MarkArguments { tool, table, values, from, to, .. } = arguments;
    if from >= to {
        return Err(Failure::usage("`--from` is not before `--to`"));
    }
    let mut store = SqliteStore::open(&arguments.store)?;
    let mut mark = Mark::new(tool, table, values, *from, *to);
    let cells = store.cells()?;
    let runs = cells.iter().filter(|(cell, _)| mark.is_of_cell(cell) && mark.touches(cell.week, cell.week));
    let counted = store.count_cells()?;
    let counts = counted
        .iter()
        .filter(|(cell, _)| mark.is_of_count(cell) && mark.touches(cell.first_week(), cell.last_week));
    mark.number = runs.map(|(_, number)| number).chain(counts.map(|(_, number)| number)).sum();
    if mark.number == 0 {
        return Err(Failure::usage(
            "there is no such cell in this time; `recount` and `hold` print what cells look like",
        ));
    }
    writeln!(stdout(), "{}", mark.id)?;
    store.apply(&Change { marks: vec![mark], ..Change::default() })?;
    Ok(ExitCode::SUCCESS)
}
