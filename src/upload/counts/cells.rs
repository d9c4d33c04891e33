//! The cells of a run.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::cell::{Cell, CellValue, own_value};
use crate::model::data_points::{Count, DataPoints, Value};
use crate::model::span::{Ending, Span, Subject};

/// The cells that occurred in a run of this version, whose own span comes first: each once, in the order of the tables.
///
/// A cell has values of the run, and of at most one other span in it. Where both have a value for a key, the span's counts.
pub(crate) fn of_run(version: &str, spans: &[Span], data_points: &DataPoints) -> Vec<Cell> {
    let Some(root) = spans.first() else { return Vec::new() };
    let mut cells = Vec::new();
    for table in data_points.counts {
        let occurred: BTreeSet<Cell> =
            spans.iter().filter_map(|span| cell(table, data_points, version, root, span)).collect();
        cells.extend(occurred);
    }
    cells
}

/// The cell that the run and one of its spans give. `None` if a key of the table has no value.
fn cell(table: &Count, data_points: &DataPoints, version: &str, root: &Span, span: &Span) -> Option<Cell> {
    let error_type = match root.subject {
        Subject::Run(ending) => ending.and_then(Ending::error_type),
        Subject::Approved(_) => None,
    };
    let value = |key: &str| {
        let found = own_value(key, version, error_type)
            .or_else(|| value_of(span, data_points, key))
            .or_else(|| value_of(root, data_points, key))?;
        Some((key.to_owned(), counted(table, data_points, key, found)))
    };
    table.of.iter().map(|key| value(key)).collect::<Option<BTreeMap<_, _>>>().map(Cell)
}

/// A value as the table counts it. Against a list, every value is a text, because `other` is one.
fn counted(table: &Count, data_points: &DataPoints, key: &str, value: CellValue) -> CellValue {
    if table.listed(data_points, key).is_none() {
        return value;
    }
    let text = match value {
        CellValue::Bool(flag) => flag.to_string(),
        CellValue::Integer(number) => number.to_string(),
        CellValue::Text(text) => text,
    };
    CellValue::Text(table.counted(data_points, key, &text).to_owned())
}

fn value_of(span: &Span, data_points: &DataPoints, key: &str) -> Option<CellValue> {
    let position = data_points.data_points.iter().position(|data_point| data_point.key == key)? as u8;
    if let (Subject::Run(Some(Ending::Exited(code))), true) =
        (span.subject, data_points.exit_code() == Some(position))
    {
        return Some(CellValue::Integer(code));
    }
    let (_, value) = span.values.iter().find(|(found, _)| *found == position)?;
    Some(match value {
        Value::Bool(flag) => CellValue::Bool(*flag),
        Value::Integer(number) => CellValue::Integer(*number),
        text => {
            let mut rendered = String::new();
            let _ = data_points.data_points[usize::from(position)].render(text, &mut rendered);
            CellValue::Text(rendered)
        }
    })
}
