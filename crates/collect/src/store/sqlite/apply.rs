//! Changes, each as one transaction.

use rusqlite::{Connection, ErrorCode, Transaction, params};

use super::SALT_BITS;
use crate::marks::Mark;
use crate::store::{Change, NewRow, StoreError};
use crate::trace::weeks;

/// Of a row's id that some other row of its group has already. Three would need a million rows in one group.
const TRIES: u32 = 8;

pub(super) fn apply(connection: &mut Connection, change: &Change) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    groups_and_rows(&transaction, change)?;
    cells(&transaction, change)?;
    count_cells(&transaction, change)?;
    for (rejection, number) in &change.rejections {
        let mut statement = transaction.prepare_cached(
            "INSERT INTO rejection VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (tool, week, reason) DO UPDATE SET n = n + excluded.n",
        )?;
        statement.execute(params![rejection.tool, rejection.week.0, rejection.reason, number])?;
    }
    for mark in &change.marks {
        let mut statement = transaction.prepare_cached(
            "INSERT INTO mark VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (id) DO UPDATE SET state = excluded.state, n = excluded.n, n_before = excluded.n_before",
        )?;
        let Mark { id, tool, table, values, first, end, state, number, before } = mark;
        statement.execute(params![id, tool, table, values, first.0, end.0, *state as i64, number, before])?;
    }
    for (name, number) in &change.counters {
        let mut statement = transaction.prepare_cached(
            "INSERT INTO counter VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET n = n + excluded.n",
        )?;
        statement.execute(params![name, number])?;
    }
    for (name, value) in &change.settings {
        transaction
            .prepare_cached("INSERT OR REPLACE INTO setting VALUES (?1, ?2)")?
            .execute([name, value])?;
    }
    for definition in &change.definitions {
        transaction
            .prepare_cached("INSERT OR REPLACE INTO definition (hash, tool, text) VALUES (?1, ?2, ?3)")?
            .execute(params![definition.hash, definition.tool, definition.text])?;
    }
    // If the log cannot be synced, this connection goes on without the transaction and the next one overwrites it. If
    // the process dies in between, it may be there: its sender, who got no success, sends it again and it is a double.
    Ok(transaction.commit()?)
}

fn groups_and_rows(transaction: &Transaction<'_>, change: &Change) -> Result<(), StoreError> {
    for group in &change.groups {
        let (tool, week) = match &group.part {
            Some((tool, week)) => (Some(tool), Some(week.0)),
            None => (None, None),
        };
        transaction
            .prepare_cached("INSERT OR REPLACE INTO run_group VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![group.id, group.state as i64, group.day.map(|day| day.0), tool, week])?;
    }
    for row in &change.removed_rows {
        transaction.prepare_cached("DELETE FROM run_row WHERE id = ?1")?.execute([row.0])?;
    }
    for row in &change.rows {
        insert(transaction, row)?;
    }
    for (group, trace_id) in &change.stale {
        transaction
            .prepare_cached("INSERT OR IGNORE INTO stale VALUES (?1, ?2)")?
            .execute(params![group, trace_id])?;
    }
    for group in &change.settled {
        transaction.prepare_cached("DELETE FROM stale WHERE run_group = ?1")?.execute([group])?;
    }
    Ok(())
}

fn insert(transaction: &Transaction<'_>, row: &NewRow) -> Result<(), StoreError> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO run_row VALUES ((?1 << ?2) | (random() & ((1 << ?2) - 1)), ?3, ?4, ?5, ?6)",
    )?;
    let (ids, data) = (&row.packed.ids, &row.packed.data);
    let (traces, spans) = (row.traces as i64, row.spans as i64);
    for _ in 1..TRIES {
        match statement.execute(params![row.group, SALT_BITS, traces, spans, ids, data]) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {}
            other => return Ok(other.map(drop)?),
        }
    }
    Ok(statement.execute(params![row.group, SALT_BITS, traces, spans, ids, data]).map(drop)?)
}

fn cells(transaction: &Transaction<'_>, change: &Change) -> Result<(), StoreError> {
    if change.clears_cells {
        transaction.execute("DELETE FROM cell", [])?;
        transaction.execute("DELETE FROM count_cell", [])?;
    }
    for (tool, week) in &change.expired_cells {
        for table in ["cell", "count_cell"] {
            let delete = format!("DELETE FROM {table} WHERE tool = ?1 AND week < ?2");
            transaction.execute(&delete, params![tool, week.0])?;
        }
    }
    for (cell, number) in &change.cells {
        let mut statement = transaction.prepare_cached(
            "INSERT INTO cell VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (tool, week, name, cell_values) DO UPDATE SET n = n + excluded.n",
        )?;
        statement.execute(params![cell.tool, cell.week.0, cell.table, cell.values, number])?;
        if *number < 0 {
            // A cell that nobody is in would still say that somebody was.
            let mut statement = transaction.prepare_cached(
                "DELETE FROM cell WHERE tool = ?1 AND week = ?2 AND name = ?3 AND cell_values = ?4 AND n = 0",
            )?;
            statement.execute(params![cell.tool, cell.week.0, cell.table, cell.values])?;
        }
    }
    Ok(())
}

fn count_cells(transaction: &Transaction<'_>, change: &Change) -> Result<(), StoreError> {
    for (cell, number) in &change.count_cells {
        let mut statement = transaction.prepare_cached(
            "INSERT INTO count_cell VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (tool, week, weeks, hash, cell_keys, cell_values) DO UPDATE SET n = n + excluded.n",
        )?;
        let (week, weeks) = (cell.last_week.0, weeks(cell.period));
        statement.execute(params![cell.tool, week, weeks, cell.hash, cell.keys, cell.values, number])?;
        if *number < 0 {
            transaction.prepare_cached("DELETE FROM count_cell WHERE n = 0")?.execute([])?;
        }
    }
    Ok(())
}

pub(super) fn sweep(connection: &mut Connection, limit: u32) -> Result<bool, StoreError> {
    let transaction = connection.transaction()?;
    let dead: Option<i64> =
        transaction.query_row("SELECT min(id) FROM run_group WHERE state = 2", [], |row| row.get(0))?;
    let Some(dead) = dead else { return Ok(false) };
    let (first, last) = (dead << SALT_BITS, (dead + 1) << SALT_BITS);
    let deleted = transaction.execute(
        "DELETE FROM run_row WHERE id IN (SELECT id FROM run_row WHERE id >= ?1 AND id < ?2 LIMIT ?3)",
        params![first, last, limit],
    )?;
    if deleted < limit as usize {
        transaction.execute("DELETE FROM stale WHERE run_group = ?1", [dead])?;
        transaction.execute("DELETE FROM run_group WHERE id = ?1", [dead])?;
    }
    transaction.commit()?;
    Ok(true)
}
