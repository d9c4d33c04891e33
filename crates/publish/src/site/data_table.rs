//! A table of published numbers, whatever the file that holds it.

use serde_json::Value;

/// A table of the data: columns of equal length.
#[derive(Debug)]
pub(super) struct DataTable {
    /// The name of its files, without directory and ending.
    pub(super) name: String,
    pub(super) title: String,
    pub(super) columns: Vec<Column>,
}

/// A column.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) kind: ColumnKind,
    /// `Null` where there is no value. Days are texts such as `2026-11-23`.
    pub(super) values: Vec<Value>,
    /// Whether a value may be missing.
    pub(super) is_optional: bool,
}

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnKind {
    Day,
    Text,
    Bool,
    Integer,
    Number,
}

impl Column {
    pub(super) fn new(name: &str, kind: ColumnKind, description: &str) -> Self {
        Self {
            name: name.to_owned(),
            description: description.to_owned(),
            kind,
            values: Vec::new(),
            is_optional: false,
        }
    }

    pub(super) fn optional(name: &str, kind: ColumnKind, description: &str) -> Self {
        Self { is_optional: true, ..Self::new(name, kind, description) }
    }
}

impl DataTable {
    pub(super) fn rows(&self) -> usize {
        self.columns.first().map_or(0, |column| column.values.len())
    }
}
