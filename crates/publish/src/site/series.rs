//! The tables of all releases in effect, each cell as one row over time.

use std::collections::HashMap;

use serde_json::Value;

use super::timeline::Timeline;

/// What a period says about a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    /// The cell was not counted in this period, or the period was withdrawn.
    NotCounted,
    /// Fewer installations than this, which is not zero.
    Below(u64),
    /// Installations.
    Shown(u64),
}

/// A table over time.
#[derive(Debug)]
pub(super) struct SeriesTable {
    pub(super) of: Vec<String>,
    /// How many cells one installation counts at most, in the newest release that has the table.
    pub(super) at_most: u32,
    /// The position of the newest period that has the table.
    pub(super) newest: usize,
    pub(super) rows: Vec<Row>,
}

/// A cell over time: one number for each period.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) values: Vec<Value>,
    pub(super) numbers: Vec<Number>,
}

impl SeriesTable {
    /// The name of the table's files, which is also its anchor on the page.
    pub(super) fn slug(&self) -> String {
        self.of.join("-by-")
    }

    pub(super) fn row(&self, values: &[Value]) -> Option<&Row> {
        self.rows.iter().find(|row| row.values == values)
    }
}

/// All tables, in the order of the newest release that has them.
pub(super) fn tables(timeline: &Timeline<'_>) -> Vec<SeriesTable> {
    let mut tables: Vec<SeriesTable> = Vec::new();
    let mut rows: HashMap<(usize, String), usize> = HashMap::new();
    for (period, release) in timeline.releases().rev() {
        for table in &release.tables {
            let position = tables.iter().position(|known| known.of == table.of).unwrap_or_else(|| {
                tables.push(SeriesTable {
                    of: table.of.clone(),
                    at_most: table.at_most,
                    newest: period,
                    rows: Vec::new(),
                });
                tables.len() - 1
            });
            let known = &mut tables[position].rows;
            for cell in &table.cells {
                let key = (position, serde_json::Value::Array(cell.values.clone()).to_string());
                let row = *rows.entry(key).or_insert_with(|| {
                    let numbers = vec![Number::NotCounted; timeline.periods.len()];
                    known.push(Row { values: cell.values.clone(), numbers });
                    known.len() - 1
                });
                known[row].numbers[period] =
                    cell.installations.map_or(Number::Below(table.threshold), Number::Shown);
            }
        }
    }
    tables
}
