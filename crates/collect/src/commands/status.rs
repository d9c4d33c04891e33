//! `status`: what a store holds.

use std::collections::BTreeMap;
use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value as Json, json};

use super::Failure;
use crate::store::{Rejection, SqliteStore, Store as _, StoreSize};
use crate::time::Week;

/// Tell what a store holds
///
/// Runs and counts of each tool by week, sizes, and what was not kept, by reason. The store may be in use.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 fine; 2 there is no store, or it cannot be read.")]
pub struct StoreStatusArguments {
    /// The directory of the store
    #[arg(long, value_name = "DIRECTORY")]
    store: PathBuf,
    /// Print it as one JSON object
    #[arg(long)]
    json: bool,
}

impl StoreStatusArguments {
    /// Arguments for a store.
    pub fn new(store: PathBuf, json: bool) -> Self {
        Self { store, json }
    }

    /// Prints the status. Errors go to stderr.
    pub fn run(&self) -> ExitCode {
        run(self).unwrap_or_else(|failure| failure.report())
    }
}

/// Runs of one tool in one week, and counts of the period that begins in it.
#[derive(Debug, Default)]
struct Numbers {
    runs: i64,
    counts: i64,
}

struct StoreStatus {
    size: StoreSize,
    weeks: BTreeMap<(String, Week), Numbers>,
    rejections: Vec<(Rejection, i64)>,
    counters: Vec<(String, i64)>,
}

fn run(arguments: &StoreStatusArguments) -> Result<ExitCode, Failure> {
    let store = SqliteStore::open_to_read(&arguments.store)?;
    let mut weeks: BTreeMap<(String, Week), Numbers> = BTreeMap::new();
    for (cell, number) in store.cells()? {
        let numbers = weeks.entry((cell.tool, cell.week)).or_default();
        if cell.table == "runs" {
            numbers.runs += number;
        }
    }
    for (cell, number) in store.count_cells()? {
        let week = cell.first_week();
        weeks.entry((cell.tool, week)).or_default().counts += number;
    }
    let status = StoreStatus {
        size: store.size()?,
        weeks,
        rejections: store.rejections()?,
        counters: store.counters()?,
    };
    let text = if arguments.json { format!("{}\n", status.json()) } else { status.text() };
    stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

impl StoreStatus {
    fn json(&self) -> Json {
        let weeks = self.weeks.iter().map(|((tool, week), numbers)| {
            json!({ "tool": tool, "week": week.to_string(), "runs": numbers.runs, "counts": numbers.counts })
        });
        let rejected = self.rejections.iter().map(|(Rejection { tool, week, reason }, spans)| {
            json!({ "tool": tool, "week": week.to_string(), "reason": reason, "spans": spans })
        });
        json!({
            "bytes": self.size.bytes,
            "rows": self.size.rows,
            "traces": self.size.traces,
            "spans": self.size.spans,
            "damaged_rows": self.size.damaged_rows,
            "weeks": weeks.collect::<Vec<_>>(),
            "rejected": rejected.collect::<Vec<_>>(),
            "not_kept": self.counters.iter().cloned().collect::<BTreeMap<String, i64>>(),
        })
    }

    fn text(&self) -> String {
        let StoreSize { bytes, rows, traces, spans, damaged_rows } = self.size;
        let mut text = format!("{traces} runs and counts, {spans} spans, {rows} rows, {bytes} bytes\n");
        if damaged_rows > 0 {
            text.push_str(&format!("{damaged_rows} damaged rows are put aside\n"));
        }
        for ((tool, week), numbers) in &self.weeks {
            text.push_str(&format!("{tool} {week}: {} runs, {} counts\n", numbers.runs, numbers.counts));
        }
        if !self.counters.is_empty() {
            text.push_str("Not kept, or worth a look:\n");
        }
        for (name, number) in &self.counters {
            text.push_str(&format!("  {name}: {number}\n"));
        }
        text
    }
}
