//! `forget`: one run less.

use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;

use super::Failure;
use super::failure::FAILED;
use crate::cells::Tally;
use crate::judge::Catalog;
use crate::row;
use crate::store::{Change, GroupState, NewRow, SqliteStore, Store, TidyProgress};
use crate::trace::TraceId;

/// A reader of the log may take this long.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// Delete one run of a store
///
/// The run goes from the rows, also from those that only wait to be overwritten, and from the cells. What was published
/// stays. The store must not be in use.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 it is deleted; 1 there is no such run, or another process still reads the log that holds it; 2 the store cannot be used."
)]
pub struct ForgetArguments {
    /// The directory of the store
    #[arg(long, value_name = "DIRECTORY")]
    store: PathBuf,
    /// The trace id, which the tool's `telemetry show` prints
    #[arg(value_name = "TRACE-ID", value_parser = trace_id)]
    trace_id: TraceId,
}

fn trace_id(text: &str) -> Result<TraceId, String> {
    let number = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32 && !text.starts_with('+'));
    number.map(u128::to_be_bytes).ok_or_else(|| "a trace id has 32 hexadecimal digits".to_owned())
}

pub(super) fn run(arguments: &ForgetArguments) -> Result<ExitCode, Failure> {
    let mut store = SqliteStore::open(&arguments.store)?;
    let spans = forget(&mut store, &arguments.trace_id)?;
    let mut out = stdout().lock();
    if spans == 0 {
        writeln!(out, "no run has this trace id")?;
    }
    // Also what an earlier attempt left.
    let is_overwritten = overwrite(&mut store)?;
    if spans > 0 {
        writeln!(out, "the run is deleted, {spans} spans")?;
    }
    if !is_overwritten {
        writeln!(
            out,
            "another process reads the store, so deleted runs are still in its log; repeat this when it has ended"
        )?;
    }
    Ok(ExitCode::from(if spans == 0 || !is_overwritten { FAILED } else { 0 }))
}

/// Deletes every copy of a trace, and returns how many spans the current one had.
fn forget(store: &mut SqliteStore, id: &TraceId) -> Result<usize, Failure> {
    let tables = Catalog::of_store(store)?.tables().without(store.marks()?);
    let mut tally = Tally::new(&tables);
    let mut change = Change::default();
    let mut spans = 0;
    for group in store.groups()? {
        let is_stale = store.stale(group.id)?.contains(id);
        for stored in store.rows(group.id)? {
            let Ok(mut traces) = row::unpack(&stored.packed.ids, &stored.packed.data) else { continue };
            let Ok(place) = traces.binary_search_by(|trace| trace.id.cmp(id)) else { continue };
            let trace = traces.remove(place);
            if group.state == GroupState::Live && !is_stale {
                tally.add(&trace, -1);
                spans = trace.spans.len();
            }
            change.removed_rows.push(stored.id);
            if !traces.is_empty() {
                let spans = traces.iter().map(|trace| trace.spans.len()).sum();
                let packed = row::pack(&traces);
                change.rows.push(NewRow { group: group.id, traces: traces.len(), spans, packed });
            }
        }
    }
    let changes = tally.changes();
    (change.cells, change.count_cells) = (changes.cells, changes.counts);
    if !change.is_empty() {
        store.apply(&change)?;
    }
    Ok(spans)
}

/// Overwrites what was deleted, and returns whether all of it is.
fn overwrite(store: &mut SqliteStore) -> Result<bool, Failure> {
    let start = Instant::now();
    loop {
        match store.tidy()? {
            TidyProgress::More => {}
            TidyProgress::Done => return Ok(true),
            TidyProgress::LogInUse if start.elapsed() >= PATIENCE => return Ok(false),
            TidyProgress::LogInUse => std::thread::sleep(PAUSE),
        }
    }
}
