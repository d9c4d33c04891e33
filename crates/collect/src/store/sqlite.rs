//! The store in SQLite: write-ahead log, `synchronous=FULL`.
//!
//! With `synchronous=NORMAL`, a store survived twenty kills but lost data in a power cut. A test with kills therefore does not
//! show that this file is right; `tests/it/power_cut.rs` does.

mod apply;
mod open;

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::{
    Change, GroupEntry, GroupState, Rejection, RowId, Store, StoreError, StoreSize, StoredDefinition,
    StoredRow, TidyProgress,
};
use crate::cell::Cell;
use crate::counts::CountCell;
use crate::index::Group;
use crate::marks::{Mark, MarkState};
use crate::row::PackedRow;
use crate::shape::Period;
use crate::time::{Day, Hour, Week};
use crate::trace::TraceId;

/// Bits of a row's id below its group.
const SALT_BITS: u32 = 38;
/// Pages that are given back at once, half a megabyte: requests wait for them.
const PAGES_AT_ONCE: u32 = 128;

/// A store in a directory.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    directory: PathBuf,
    /// The database's file, as long as nobody moves or deletes it.
    #[cfg(unix)]
    file: (u64, u64),
    /// Held as long as the store is open for writing.
    _lock: Option<File>,
}

impl Store for SqliteStore {
    fn apply(&mut self, change: &Change) -> Result<(), StoreError> {
        self.check_file()?;
        apply::apply(&mut self.connection, change)
    }

    fn groups(&self) -> Result<Vec<GroupEntry>, StoreError> {
        self.list("SELECT id, state, day, tool, week FROM run_group", |row| {
            let tool: Option<String> = row.get(3)?;
            let week: Option<u32> = row.get(4)?;
            Ok(GroupEntry {
                id: row.get(0)?,
                state: match row.get(1)? {
                    0 => GroupState::Live,
                    1 => GroupState::Staged,
                    _ => GroupState::Dead,
                },
                day: row.get::<_, Option<u32>>(2)?.map(Day),
                part: tool.zip(week.map(Week)),
            })
        })
    }

    fn rows(&self, group: Group) -> Result<Vec<StoredRow>, StoreError> {
        let first = i64::from(group) << SALT_BITS;
        let mut statement =
            self.connection.prepare_cached("SELECT id, ids, data FROM run_row WHERE id BETWEEN ?1 AND ?2")?;
        let rows = statement.query_map([first, first | ((1 << SALT_BITS) - 1)], |row| {
            let packed = PackedRow { ids: row.get(1)?, data: row.get(2)? };
            Ok(StoredRow { id: RowId(row.get(0)?), packed })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn each_ids(&self, each: &mut dyn FnMut(RowId, Group, &[u8])) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare("SELECT id, ids FROM run_row")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            let ids = row.get_ref(1)?.as_blob().unwrap_or_default();
            each(RowId(id), (id >> SALT_BITS) as Group, ids);
        }
        Ok(())
    }

    fn stale(&self, group: Group) -> Result<Vec<TraceId>, StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT trace_id FROM stale WHERE run_group = ?1")?;
        let ids = statement.query_map([group], |row| row.get(0))?;
        Ok(ids.collect::<Result<_, _>>()?)
    }

    fn sweep(&mut self, limit: u32) -> Result<bool, StoreError> {
        apply::sweep(&mut self.connection, limit)
    }

    fn put_aside(&mut self, row: RowId) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        transaction.execute(
            "INSERT OR IGNORE INTO damaged_row SELECT id, ids, data FROM run_row WHERE id = ?1",
            [row.0],
        )?;
        transaction.execute("DELETE FROM run_row WHERE id = ?1", [row.0])?;
        Ok(transaction.commit()?)
    }

    fn cells(&self) -> Result<Vec<(Cell, i64)>, StoreError> {
        let query =
            "SELECT tool, week, name, cell_values, n FROM cell ORDER BY tool, week, name, cell_values";
        self.list(query, |row| {
            let week = Week(row.get(1)?);
            let cell = Cell { tool: row.get(0)?, week, table: row.get(2)?, values: row.get(3)? };
            Ok((cell, row.get(4)?))
        })
    }

    fn count_cells(&self) -> Result<Vec<(CountCell, i64)>, StoreError> {
        let query = "SELECT tool, week, weeks, hash, cell_keys, cell_values, n FROM count_cell
                     ORDER BY tool, week, weeks, hash, cell_keys, cell_values";
        self.list(query, |row| {
            let cell = CountCell {
                tool: row.get(0)?,
                last_week: Week(row.get(1)?),
                period: if row.get::<_, u32>(2)? == 1 { Period::Week } else { Period::FourWeeks },
                hash: row.get(3)?,
                keys: row.get(4)?,
                values: row.get(5)?,
            };
            Ok((cell, row.get(6)?))
        })
    }

    fn rejections(&self) -> Result<Vec<(Rejection, i64)>, StoreError> {
        let query = "SELECT tool, week, reason, n FROM rejection ORDER BY tool, week, reason";
        self.list(query, |row| {
            let rejection = Rejection { tool: row.get(0)?, week: Week(row.get(1)?), reason: row.get(2)? };
            Ok((rejection, row.get(3)?))
        })
    }

    fn marks(&self) -> Result<Vec<Mark>, StoreError> {
        let query = "SELECT tool, name, cell_values, first_hour, end_hour, state, n, n_before, id FROM mark
                     ORDER BY tool, first_hour, name, cell_values";
        self.list(query, |row| {
            Ok(Mark {
                tool: row.get(0)?,
                table: row.get(1)?,
                values: row.get(2)?,
                first: Hour(row.get(3)?),
                end: Hour(row.get(4)?),
                state: match row.get(5)? {
                    0 => MarkState::Held,
                    1 => MarkState::Released,
                    _ => MarkState::LeftOut,
                },
                number: row.get(6)?,
                before: row.get(7)?,
                id: row.get(8)?,
            })
        })
    }

    fn counters(&self) -> Result<Vec<(String, i64)>, StoreError> {
        self.list("SELECT name, n FROM counter ORDER BY name", |row| Ok((row.get(0)?, row.get(1)?)))
    }

    fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT value FROM setting WHERE name = ?1")?;
        Ok(statement.query_row([name], |row| row.get(0)).optional()?)
    }

    fn definitions(&self) -> Result<Vec<StoredDefinition>, StoreError> {
        self.list("SELECT hash, tool, text FROM definition ORDER BY id", |row| {
            Ok(StoredDefinition { hash: row.get(0)?, tool: row.get(1)?, text: row.get(2)? })
        })
    }

    fn size(&self) -> Result<StoreSize, StoreError> {
        let query = "SELECT count(*), total(traces), total(spans) FROM run_row
                     JOIN run_group ON run_group.id = run_row.id >> 38 WHERE state = 0";
        let mut size = self.connection.query_row(query, [], |row| {
            let (rows, traces, spans): (i64, f64, f64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(StoreSize {
                rows: rows.unsigned_abs(),
                traces: traces as u64,
                spans: spans as u64,
                ..StoreSize::default()
            })
        })?;
        let damaged: i64 =
            self.connection.query_row("SELECT count(*) FROM damaged_row", [], |row| row.get(0))?;
        size.damaged_rows = damaged.unsigned_abs();
        let files = [open::DATABASE.to_owned(), format!("{}-wal", open::DATABASE)];
        size.bytes = files
            .iter()
            .filter_map(|file| std::fs::metadata(self.directory.join(file)).ok())
            .map(|file| file.len())
            .sum();
        Ok(size)
    }

    fn tidy(&mut self) -> Result<TidyProgress, StoreError> {
        let free = self.free_pages()?;
        if free > 0 {
            self.connection.execute_batch(&format!("PRAGMA incremental_vacuum({PAGES_AT_ONCE})"))?;
            if self.free_pages()? < free {
                return Ok(TidyProgress::More);
            }
        }
        // Pages of the log that a checkpoint has copied stay readable in the file until it is truncated. SQLite would
        // wait for readers, and the requests with it.
        self.connection.busy_timeout(Duration::ZERO)?;
        let is_busy = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
        self.connection.busy_timeout(open::BUSY)?;
        Ok(if is_busy? { TidyProgress::LogInUse } else { TidyProgress::Done })
    }
}

impl SqliteStore {
    /// A file that was deleted or moved still takes writes, and nobody would find them again.
    fn check_file(&self) -> Result<(), StoreError> {
        #[cfg(unix)]
        if open::file_of(&self.directory)? != self.file {
            return Err(open::replaced(&self.directory));
        }
        Ok(())
    }

    fn free_pages(&self) -> Result<i64, StoreError> {
        Ok(self.connection.query_row("PRAGMA freelist_count", [], |row| row.get(0))?)
    }

    fn list<T>(
        &self,
        query: &str,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.connection.prepare_cached(query)?;
        let rows = statement.query_map([], read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
