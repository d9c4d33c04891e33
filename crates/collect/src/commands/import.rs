//! `import`: runs from files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use tool_telemetry_receiver::wire::{Limits, read_json};

use super::Failure;
use super::failure::FAILED;
use crate::judge::{Catalog, Verdict};
use crate::keeper::{Batch, Keeper};
use crate::server::{Config, DataPointsFile};
use crate::store::SqliteStore;
use crate::time::Hour;

/// Spans that are kept at once.
const SPANS_AT_ONCE: usize = 32_768;
/// Larger than a line of the Collector's file exporter, which holds one request.
const MAX_LINE_BYTES: usize = 64 << 20;

/// Add the runs of files to a store
///
/// The files are OTLP/JSON Lines: run files, what `export` prints, and what the OpenTelemetry Collector's file exporter
/// writes. A run that is there already is not added again. The store must not be in use.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 all runs are there; 1 some were rejected; 2 a file or the store cannot be used."
)]
pub struct ImportArguments {
    /// The directory of the store; made if it is not there
    #[arg(long, value_name = "DIRECTORY")]
    store: PathBuf,
    /// The data points of a tool; may be given more than once [default: those that the store has been used with]
    #[arg(long, value_name = "[TOOL=]FILE")]
    data_points: Vec<String>,
    /// The files
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// What became of the spans.
#[derive(Default)]
struct Summary {
    lines: u64,
    traces: u64,
    /// By reason.
    removed: BTreeMap<String, u64>,
    rejected: u64,
}

pub(super) fn run(arguments: &ImportArguments) -> Result<ExitCode, Failure> {
    let store = SqliteStore::create_or_open(&arguments.store)?;
    let catalog = catalog(arguments, &store)?;
    let now = Hour::now();
    let mut keeper = Keeper::open(store, now)?;
    keeper.keep_definitions(catalog.texts().to_vec())?;
    keeper.configure(catalog.tables(), catalog.retention());
    let mut summary = Summary::default();
    for file in &arguments.files {
        import(file, &catalog, &mut keeper, &mut summary)?;
    }
    keeper.flush()?;
    let mut out = stdout().lock();
    writeln!(
        out,
        "{} lines, {} runs and counts, {} spans rejected",
        summary.lines, summary.traces, summary.rejected
    )?;
    for (reason, number) in &summary.removed {
        writeln!(out, "  {reason}: {number}")?;
    }
    Ok(ExitCode::from(if summary.rejected == 0 { 0 } else { FAILED }))
}

fn catalog(arguments: &ImportArguments, store: &SqliteStore) -> Result<Catalog, Failure> {
    if arguments.data_points.is_empty() {
        let catalog = Catalog::of_store(store)?;
        if catalog.tools().is_empty() {
            return Err(Failure::usage("the store knows no telemetry.toml yet; add `--data-points FILE`"));
        }
        return Ok(catalog);
    }
    let config = Config {
        store: arguments.store.clone(),
        data_points: arguments.data_points.iter().map(|text| DataPointsFile::parse(text)).collect(),
        addresses: Vec::new(),
        metrics: None,
        tls: None,
        tokens: None,
        limits: crate::server::Limits::default(),
    };
    Ok(config.load()?.catalog)
}

fn import(
    path: &Path,
    catalog: &Catalog,
    keeper: &mut Keeper<SqliteStore>,
    summary: &mut Summary,
) -> Result<(), Failure> {
    let unreadable =
        |error: std::io::Error| Failure::usage(format!("{} cannot be read: {error}", path.display()));
    let mut lines = BufReader::new(File::open(path).map_err(unreadable)?);
    let now = Hour::now();
    let mut batches: Vec<Batch> = Vec::new();
    let mut spans = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = std::io::Read::take(&mut lines, MAX_LINE_BYTES as u64);
        if bounded.read_until(b'\n', &mut line).map_err(unreadable)? == 0 {
            break;
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            // A run file has blank lines where a span was lost.
            continue;
        }
        summary.lines += 1;
        match judge(&line, catalog, now) {
            None => {
                summary.rejected += 1;
                *summary
                    .removed
                    .entry("lines that are not OTLP/JSON, or of an unknown telemetry.toml".to_owned())
                    .or_default() += 1;
            }
            Some(judged) => {
                summary.rejected += judged.rejected;
                keeper.count_removed(&judged, now.week());
                for (reason, number) in judged.counts {
                    *summary.removed.entry(reason.to_owned()).or_default() += number;
                }
                summary.traces += judged.traces.len() as u64;
                spans += judged.traces.iter().map(|trace| trace.spans.len()).sum::<usize>();
                batches.push(judged.traces);
            }
        }
        if spans >= SPANS_AT_ONCE {
            spans = 0;
            keep(keeper, std::mem::take(&mut batches), summary)?;
        }
    }
    keep(keeper, batches, summary)
}

fn judge(line: &[u8], catalog: &Catalog, now: Hour) -> Option<crate::judge::JudgedRequest> {
    let json: serde_json::Value = serde_json::from_slice(line).ok()?;
    let request = read_json(&json, &Limits::NONE).ok()?;
    match catalog.judge(&request, now) {
        Verdict::Judged(judged) => Some(judged),
        Verdict::Unknown(_) => None,
    }
}

fn keep(keeper: &mut Keeper<SqliteStore>, batches: Vec<Batch>, summary: &mut Summary) -> Result<(), Failure> {
    for outcome in keeper.commit(batches, Hour::now())? {
        if outcome.late_spans > 0 {
            summary.rejected += outcome.late_spans;
            *summary.removed.entry("spans.late".to_owned()).or_default() += outcome.late_spans;
        }
    }
    Ok(())
}
