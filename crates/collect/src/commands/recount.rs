//! `recount`: the cells, counted again from the runs.

use std::collections::BTreeMap;
use std::io::{self, Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::Failure;
use super::failure::FAILED;
use super::hold::find;
use crate::cell::Cell;
use crate::cells::Changes;
use crate::counts::CountCell;
use crate::judge::Catalog;
use crate::marks::MarkState;
use crate::store::{Change, SqliteStore, Store as _};
use crate::store_reader::count;

/// Differences that are printed.
const SHOWN: usize = 20;

/// Count the cells of a store again from its runs
///
/// Prints each cell that differs from what was counted while runs came in: there should be none. What was left out once
/// stays out, until `hold --release` and another recount.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 all cells are right; 1 some differ; 2 there is no store, or it cannot be used."
)]
pub struct RecountArguments {
    /// The directory of the store
    #[arg(long, value_name = "DIRECTORY")]
    store: PathBuf,
    /// Leave out what `hold` or `mark` named: a cell and a span of time
    #[arg(long, value_name = "MARK")]
    without: Vec<String>,
    /// Replace the cells that differ, and keep what is left out; the store must not be in use
    #[arg(long)]
    write: bool,
}

pub(super) fn run(arguments: &RecountArguments) -> Result<ExitCode, Failure> {
    let mut store = if arguments.write {
        SqliteStore::open(&arguments.store)?
    } else {
        SqliteStore::open_to_read(&arguments.store)?
    };
    let marks = store.marks()?;
    let left_out = find(&marks, &arguments.without, MarkState::LeftOut)?;
    let tables = Catalog::of_store(&store)?.tables().without(marks).without(left_out.clone());
    let (counted, unread) = count(&store, &tables)?;
    let mut out = stdout().lock();
    let cells = compare(&mut out, store.cells()?, &counted.cells)?;
    let counts = compare(&mut out, store.count_cells()?, &counted.counts)?;
    let differences = cells + counts;
    if unread.damaged_rows > 0 {
        writeln!(out, "{} rows cannot be read and do not count", unread.damaged_rows)?;
    }
    writeln!(out, "{} cells, {differences} differ", counted.cells.len() + counted.counts.len())?;
    if arguments.write && differences + left_out.len() > 0 {
        let Changes { cells, counts: count_cells } = counted;
        store.apply(&Change {
            clears_cells: true,
            cells,
            count_cells,
            marks: left_out,
            ..Change::default()
        })?;
        writeln!(out, "the cells are replaced")?;
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::from(if differences == 0 { 0 } else { FAILED }))
}

/// Prints the first cells that differ, and returns how many do.
fn compare<C: Ord + Clone + Label>(
    out: &mut impl Write,
    kept: Vec<(C, i64)>,
    counted: &[(C, i64)],
) -> io::Result<usize> {
    let mut numbers: BTreeMap<C, (i64, i64)> = BTreeMap::new();
    for (cell, number) in kept {
        numbers.entry(cell).or_default().0 = number;
    }
    for (cell, number) in counted {
        numbers.entry(cell.clone()).or_default().1 = *number;
    }
    let differing: Vec<_> = numbers.iter().filter(|(_, (before, now))| before != now).collect();
    for (cell, (before, now)) in differing.iter().take(SHOWN) {
        writeln!(out, "{}: {before}, counted again {now}", cell.name())?;
    }
    Ok(differing.len())
}

/// The text by which a message names a cell.
trait Label {
    fn name(&self) -> String;
}

impl Label for Cell {
    fn name(&self) -> String {
        let Self { tool, week, table, values } = self;
        format!("{tool} {week} {table} {values}")
    }
}

impl Label for CountCell {
    fn name(&self) -> String {
        let Self { tool, keys, values, .. } = self;
        format!("{tool} {} count of {keys} {values}", self.first_week())
    }
}
