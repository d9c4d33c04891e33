//! `export`: the runs of a store.

use std::io::{BufWriter, Write as _, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::Failure;
use super::failure::FAILED;
use crate::reading::{each_trace, traces_data};
use crate::store::SqliteStore;

/// Print the runs of a store
///
/// As OTLP/JSON Lines, the format of the OpenTelemetry file exporter: one `TracesData` a line, one run each. A span starts
/// at the beginning of its hour. The store may be in use.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 all runs; 1 some could not be read; 2 there is no store, or it cannot be read."
)]
pub struct ExportArguments {
    /// The directory of the store
    #[arg(long, value_name = "DIRECTORY")]
    store: PathBuf,
    /// Only the runs of this tool
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
}

pub(super) fn run(arguments: &ExportArguments) -> Result<ExitCode, Failure> {
    let store = SqliteStore::open_to_read(&arguments.store)?;
    let mut out = BufWriter::new(stdout().lock());
    let unread = each_trace(&store, |_, trace| {
        let is_of_tool = |tool: &String| trace.spans.iter().any(|span| span.shape.content().tool() == tool);
        if arguments.tool.as_ref().is_none_or(is_of_tool) {
            writeln!(out, "{}", traces_data(&trace))?;
        }
        Ok::<(), Failure>(())
    })?;
    out.flush()?;
    if unread.damaged_rows == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        stderr(),
        "{} rows do not hold what was written to them; their runs are missing",
        unread.damaged_rows
    )?;
    Ok(ExitCode::from(FAILED))
}
