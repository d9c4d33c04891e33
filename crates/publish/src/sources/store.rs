//! Counts from the store of `tool-telemetry collect`.

use std::path::Path;

use tool_telemetry_collect::cell::Cell;
use tool_telemetry_collect::marks::MarkState;
use tool_telemetry_collect::store::{SqliteStore, Store as _, StoreError, StoredDefinition};
use tool_telemetry_collect::time::{Hour, Week};

use super::{CountSource, InstallationCount, RunSource};
use crate::calendar::Interval;
use crate::failure::Failure;

/// Reasons for which no report of an unmodified sender is rejected. A late one is, so it does not count here: whether one
/// installation was late is nobody's business.
const REJECTED: [&str; 2] = ["counts.unapproved", "counts.wrong_start"];

/// A store, opened to read. The server may use it.
#[derive(Debug)]
pub struct StoreSource {
    store: SqliteStore,
}

impl StoreSource {
    /// Opens the store in a directory.
    ///
    /// # Errors
    /// If there is none, or if it cannot be read.
    pub fn open(directory: &Path) -> Result<Self, Failure> {
        Ok(Self { store: SqliteStore::open_to_read(directory)? })
    }

    /// Each telemetry.toml that the store was used with, the newest of a tool behind its others.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn definitions(&self) -> Result<Vec<StoredDefinition>, Failure> {
        Ok(self.store.definitions()?)
    }
}

impl RunSource for StoreSource {
    fn run_cells(&mut self, tool: &str) -> Result<Vec<(Cell, i64)>, Failure> {
        let mut cells = self.store.cells()?;
        cells.retain(|(cell, _)| cell.tool == tool);
        Ok(cells)
    }
}

impl CountSource for StoreSource {
    /// The store still takes counts of the period, or a person has to look at a cell that jumped.
    fn waiting(&mut self, tool: &str, interval: Interval) -> Result<Option<String>, Failure> {
        let last = last_week(interval);
        if self.store.closed_through()? < last {
            return Ok(Some(format!(
                "the store still takes counts of {last}; `tool-telemetry collect` closes a week when it runs 28 days after \
                 its end"
            )));
        }
        let first = Hour((interval.unix_seconds() / 3_600) as u32);
        let end = Hour(first.0 + interval.days() * 24);
        let marks = self.store.marks()?;
        // The tables of installations are named by their keys, as JSON arrays.
        let held = marks.iter().find(|mark| {
            mark.state == MarkState::Held
                && mark.tool == tool
                && mark.table.starts_with('[')
                && mark.first < end
                && mark.end > first
        });
        Ok(held.map(|mark| {
            format!(
                "the cell {} {} has jumped and is held; decide with `tool-telemetry hold` whether it counts",
                mark.table, mark.values
            )
        }))
    }

    fn counts(&mut self, tool: &str, interval: Interval) -> Result<Vec<InstallationCount>, Failure> {
        let cells = self.store.count_cells()?.into_iter().filter(|(cell, _)| {
            cell.tool == tool && cell.period == interval.period() && cell.first_week() == week(interval)
        });
        cells
            .map(|(cell, installations)| {
                let damaged =
                    |_| Failure::failed(format!("the store has a damaged count of {}", cell.last_week));
                Ok(InstallationCount {
                    hash: cell.hash.iter().map(|byte| format!("{byte:02x}")).collect(),
                    keys: serde_json::from_str(&cell.keys).map_err(damaged)?,
                    values: serde_json::from_str(&cell.values).map_err(damaged)?,
                    installations,
                })
            })
            .collect()
    }

    fn rejected(&mut self, tool: &str, interval: Interval) -> Result<u64, Failure> {
        let first = week(interval).0;
        let weeks = first..first + interval.days() / 7;
        let rejections = self.store.rejections()?.into_iter();
        let of_period = rejections.filter(|(rejection, _)| {
            rejection.tool == tool
                && weeks.contains(&rejection.week.0)
                && REJECTED.contains(&rejection.reason.as_str())
        });
        Ok(of_period.map(|(_, number)| number.max(0).unsigned_abs()).sum())
    }
}

fn last_week(interval: Interval) -> Week {
    Week(week(interval).0 + interval.days() / 7 - 1)
}

fn week(interval: Interval) -> Week {
    tool_telemetry_collect::time::Day((interval.unix_seconds() / 86_400) as u32).week()
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::usage(error.to_string())
    }
}
