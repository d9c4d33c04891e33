//! `recount`: the cells, counted again from the runs.

use std::collections::BTreeMap;
use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::Failure;
use super::failure::FAILED;
use crate::cells::Cell;
use crate::judge::Catalog;
use crate::reading::count;
use crate::store::{Change, SqliteStore, Store as _};

/// Differences that are printed.
const SHOWN: usize = 20;

/// Count the cells of a store again from its runs
///
/// Prints each cell that differs from what was counted while runs came in: there should be none.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 all cells are right; 1 some differ; 2 there is no store, or it cannot be used."
)]
pub struct RecountArguments {
    /// The directory of the store
    #[arg(long, value_name = "DIRECTORY")]
    store: PathBuf,
    /// Replace the cells that differ; the store must not be in use
    #[arg(long)]
    write: bool,
}

pub(super) fn run(arguments: &RecountArguments) -> Result<ExitCode, Failure> {
    let mut store = if arguments.write {
        SqliteStore::open(&arguments.store)?
    } else {
        SqliteStore::open_to_read(&arguments.store)?
    };
    let command_keys = Catalog::of_store(&store)?.command_keys();
    let (counted, unread) = count(&store, &command_keys)?;
    let kept: BTreeMap<Cell, i64> = store.cells()?.into_iter().collect();
    let counted: BTreeMap<Cell, i64> = counted.into_iter().collect();
    let mut out = stdout().lock();
    let mut differences = 0;
    for cell in counted.keys().chain(kept.keys().filter(|cell| !counted.contains_key(*cell))) {
        let number = |cells: &BTreeMap<Cell, i64>| cells.get(cell).copied().unwrap_or_default();
        let (before, now) = (number(&kept), number(&counted));
        if before != now {
            differences += 1;
            if differences <= SHOWN {
                let Cell { tool, week, table, values } = cell;
                writeln!(out, "{tool} {week} {table} {values}: {before}, counted again {now}")?;
            }
        }
    }
    if unread.damaged_rows > 0 {
        writeln!(out, "{} rows cannot be read and do not count", unread.damaged_rows)?;
    }
    writeln!(out, "{} cells, {differences} differ", counted.len())?;
    if arguments.write && differences > 0 {
        let cells = counted.into_iter().collect();
        store.apply(&Change { clears_cells: true, cells, ..Change::default() })?;
        writeln!(out, "the cells are replaced")?;
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::from(if differences == 0 { 0 } else { FAILED }))
}
