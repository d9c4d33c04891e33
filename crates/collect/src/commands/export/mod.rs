//! `export`: the runs of a store.

mod columns;

use std::io::{BufWriter, IsTerminal as _, Write as _, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use columns::SpanFile;

use super::Failure;
use super::failure::FAILED;
use crate::store::SqliteStore;
use crate::store_reader::{UnreadRows, each_trace, traces_data};
use crate::trace::Trace;

/// Print the runs of a store
///
/// A span starts at the beginning of its hour. The store may be in use.
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
    /// How they are printed
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Jsonl)]
    format: Format,
}

/// A format of runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// OTLP/JSON Lines, the format of the OpenTelemetry file exporter: one `TracesData` a line, one run each
    Jsonl,
    /// Apache Parquet: one row for each span
    Parquet,
}

pub(super) fn run(arguments: &ExportArguments) -> Result<ExitCode, Failure> {
    if arguments.format == Format::Parquet && stdout().is_terminal() {
        return Err(Failure::usage(
            "Parquet is not for a terminal; write it to a file with `> runs.parquet`",
        ));
    }
    let store = SqliteStore::open_to_read(&arguments.store)?;
    let unread = match arguments.format {
        Format::Jsonl => jsonl(arguments, &store)?,
        Format::Parquet => parquet(arguments, &store)?,
    };
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

fn jsonl(arguments: &ExportArguments, store: &SqliteStore) -> Result<UnreadRows, Failure> {
    let mut out = BufWriter::new(stdout().lock());
    let unread = each_trace(store, |_, trace| {
        if arguments.wants(&trace) {
            writeln!(out, "{}", traces_data(&trace))?;
        }
        Ok::<(), Failure>(())
    })?;
    out.flush()?;
    Ok(unread)
}

fn parquet(arguments: &ExportArguments, store: &SqliteStore) -> Result<UnreadRows, Failure> {
    let failed = |error: parquet::errors::ParquetError| {
        Failure::usage(format!("the output cannot be written: {error}"))
    };
    let mut file = SpanFile::new(BufWriter::new(stdout())).map_err(failed)?;
    let unread =
        each_trace(
            store,
            |_, trace| {
                if arguments.wants(&trace) { file.add(&trace).map_err(failed) } else { Ok(()) }
            },
        )?;
    file.finish().map_err(failed)?;
    Ok(unread)
}

impl ExportArguments {
    fn wants(&self, trace: &Trace) -> bool {
        let is_of_tool = |tool: &String| trace.spans.iter().any(|span| span.shape.content().tool() == tool);
        self.tool.as_ref().is_none_or(is_of_tool)
    }
}
