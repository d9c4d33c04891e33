//! `hold`: the cells that a person should look at.

use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::Failure;
use super::failure::FAILED;
use crate::marks::{Mark, MarkState};
use crate::store::{Change, SqliteStore, Store};

/// List the cells that jumped, and release them
///
/// Once a day the server marks the cells of installations that grew more than ten times over, compared with the four
/// periods before. A period with a cell that nobody has decided on is not published. Release what is plausible, and leave
/// out a flood with `recount --without`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 every cell is decided on; 1 some are held; 2 there is no store or no such mark, or the \
                  store cannot be used."
)]
pub struct HoldArguments {
    /// The directory of the store
    #[arg(long, value_name = "DIRECTORY")]
    store: PathBuf,
    /// Release this cell; the store must not be in use
    #[arg(long, value_name = "MARK")]
    release: Vec<String>,
}

pub(super) fn run(arguments: &HoldArguments) -> Result<ExitCode, Failure> {
    let mut out = stdout().lock();
    let marks = if arguments.release.is_empty() {
        SqliteStore::open_to_read(&arguments.store)?.marks()?
    } else {
        let mut store = SqliteStore::open(&arguments.store)?;
        let marks = find(&store.marks()?, &arguments.release, MarkState::Released)?;
        store.apply(&Change { marks, ..Change::default() })?;
        store.marks()?
    };
    for mark in &marks {
        let state = match mark.state {
            MarkState::Held => "held",
            MarkState::Released => "released",
            MarkState::LeftOut => "left out",
        };
        let Mark { id, tool, table, values, first, end, number, before, .. } = mark;
        let time = format!("{} to {}", first.text(), end.text());
        writeln!(
            out,
            "{id} {state}: {tool} {table} {values} from {time}: {number}, before at most {before}"
        )?;
    }
    let held = marks.iter().filter(|mark| mark.state == MarkState::Held).count();
    writeln!(out, "{} cells are marked, {held} are held", marks.len())?;
    Ok(ExitCode::from(if held == 0 { 0 } else { FAILED }))
}

/// The marks with these ids, in a new state.
pub(super) fn find(marks: &[Mark], ids: &[String], state: MarkState) -> Result<Vec<Mark>, Failure> {
    let find = |id: &String| {
        let mark = marks.iter().find(|mark| mark.id == *id);
        let mark = mark.ok_or_else(|| {
            Failure::usage(format!("there is no mark {id}; `tool-telemetry hold` lists those that there are"))
        })?;
        Ok(Mark { state, ..mark.clone() })
    };
    ids.iter().map(find).collect()
}
