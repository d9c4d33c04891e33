//! Counts and runs from ClickHouse, as the OpenTelemetry Collector's exporter stores them.
//!
//! The exporter keeps every copy of every span, and values as texts. The queries remove repetitions, leave out names and
//! keys that no telemetry.toml approves, and count. For installations they also leave out values, because those of a count
//! are a closed list. Values of runs are judged here, by the code that `tool-telemetry collect` judges them with: a moniker
//! in SQL would be a second definition of it.
//!
//! - `asked_for` says which names, keys, and values the queries let through.
//! - `definition` is a telemetry.toml that was read, and `address` where the server is.
//! - `connection` asks one query after the other, and `schema` checks the table.
//! - `runs` turns answers into the cells that `tool-telemetry collect` counts.

mod address;
mod asked_for;
mod connection;
mod definition;
mod runs;
mod schema;

use std::io::{Write as _, stderr};
use std::time::Duration;

use clickhouse::Row;
use clickhouse::sql::Identifier;
use serde::Deserialize;
use serde_json::json;
use tool_telemetry_collect::cell::Cell;

use self::asked_for::{approved_spans, counted_cells};
use self::connection::Connection;
use super::{CountSource, InstallationCount, RunSource};
use crate::calendar::Interval;
use crate::failure::Failure;

pub use address::Address;
pub use definition::Definition;

/// How a server is asked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it is.
    pub address: Address,
    /// The user, who needs no right but to read the table.
    pub user: String,
    /// The user's password.
    pub password: Option<String>,
    /// The table of the exporter, `otel_traces` if its configuration does not name another.
    pub table: String,
    /// How long one query may take.
    pub patience: Duration,
}

/// A table of spans in ClickHouse, of one tool.
#[derive(Debug)]
pub struct ClickHouseSource {
    connection: Connection,
    table: String,
    /// The newest last.
    versions: Vec<Definition>,
    /// Counts of the period that was read last, and which of them nothing asks for.
    read: Option<(Interval, Vec<InstallationCount>, u64)>,
}

/// The number of a cell. Without keys it is that of all counts that nothing asks for.
#[derive(Debug, Row, Deserialize)]
struct CountRow {
    hash: String,
    keys: Vec<String>,
    cell: Vec<String>,
    installations: i64,
}

impl ClickHouseSource {
    /// Connects, and checks the table. The versions are those of one tool, the newest last.
    ///
    /// # Errors
    /// If the server cannot be reached, refuses the user, or has no such table.
    pub fn open(settings: &Settings, versions: Vec<Definition>) -> Result<Self, Failure> {
        let mut connection = Connection::new(
            &settings.address,
            &settings.user,
            settings.password.as_deref(),
            settings.patience,
        )?;
        schema::check(&mut connection, &settings.table)?;
        Ok(Self { connection, table: settings.table.clone(), versions, read: None })
    }

    /// Reads the counts of a period, once.
    fn read(
        &mut self,
        tool: &str,
        interval: Interval,
    ) -> Result<&(Interval, Vec<InstallationCount>, u64), Failure> {
        if self.read.as_ref().is_none_or(|(read, ..)| *read != interval) {
            let table = Identifier(&self.table);
            let query = self
                .connection
                .query(include_str!("counts.sql"))
                .bind(counted_cells(&self.versions))
                .bind(interval.start().to_string())
                .bind(table)
                .bind(tool)
                .bind(interval.end().to_string())
                .bind(Identifier(&self.table))
                .bind(tool);
            let what = format!("the counts of {}", interval.start());
            let rows: Vec<CountRow> = self.connection.rows(query, &what)?;
            self.read = Some(self.sort_out(interval, rows));
        }
        self.read.as_ref().ok_or_else(|| Failure::failed("no counts were read"))
    }

    fn sort_out(&self, interval: Interval, rows: Vec<CountRow>) -> (Interval, Vec<InstallationCount>, u64) {
        let mut counted = Vec::new();
        let mut rejected = 0;
        for CountRow { hash, keys, cell, installations } in rows {
            if keys.is_empty() {
                rejected += installations.unsigned_abs();
                let is_known = self.versions.iter().any(|version| version.approvals.hash.to_string() == hash);
                if !is_known {
                    let _ = writeln!(
                        stderr(),
                        "warning: {installations} counts of {} were made under a telemetry.toml that is not given with \
                         --data-points: {hash:?}",
                        interval.start()
                    );
                }
                continue;
            }
            let values = cell.into_iter().map(|value| json!(value)).collect();
            counted.push(InstallationCount { hash, keys, values, installations });
        }
        (interval, counted, rejected)
    }
}

impl CountSource for ClickHouseSource {
    /// The table takes spans for ever, so a period never has to wait: what the ledger says of it is final.
    fn waiting(&mut self, _: &str, _: Interval) -> Result<Option<String>, Failure> {
        Ok(None)
    }

    fn counts(&mut self, tool: &str, interval: Interval) -> Result<Vec<InstallationCount>, Failure> {
        Ok(self.read(tool, interval)?.1.clone())
    }

    fn rejected(&mut self, tool: &str, interval: Interval) -> Result<u64, Failure> {
        Ok(self.read(tool, interval)?.2)
    }
}

impl RunSource for ClickHouseSource {
    fn run_cells(&mut self, tool: &str) -> Result<Vec<(Cell, i64)>, Failure> {
        let spans = approved_spans(&self.versions, tool);
        runs::cells(&mut self.connection, &self.table, tool, &self.versions, &spans)
    }
}
