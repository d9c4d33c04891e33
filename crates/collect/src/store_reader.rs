//! Reading a store: every trace once, and OTLP/JSON made of it.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value as Json, json};

use crate::cell::Cell;
use crate::cells::{Changes, Tables, Tally};
use crate::counts::CountCell;
use crate::index::Group;
use crate::row;
use crate::shape::{Attributes, Status, Value};
use crate::store::{GroupState, Store, StoreError};
use crate::trace::{Span, Trace, TraceId};

/// What could not be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnreadRows {
    /// Rows that do not hold what was written to them.
    pub damaged_rows: u64,
}

/// Calls `each` with every trace, once, in an order that says nothing of its arrival.
///
/// # Errors
/// If the store cannot be read, or `each` fails.
pub fn each_trace<S: Store, E: From<StoreError>>(
    store: &S,
    mut each: impl FnMut(Group, Trace) -> Result<(), E>,
) -> Result<UnreadRows, E> {
    let mut unread = UnreadRows::default();
    for group in store.groups()?.iter().filter(|group| group.state == GroupState::Live) {
        let stale: HashSet<TraceId> = store.stale(group.id)?.into_iter().collect();
        let mut traces = Vec::new();
        for stored in store.rows(group.id)? {
            match row::unpack(&stored.packed.ids, &stored.packed.data) {
                Ok(row) => traces.extend(row.into_iter().filter(|trace| !stale.contains(&trace.id))),
                Err(_) => unread.damaged_rows += 1,
            }
        }
        traces.sort_unstable_by_key(|trace| trace.id);
        traces.into_iter().try_for_each(|trace| each(group.id, trace))?;
    }
    Ok(unread)
}

/// The cells of all traces, in order, those that are zero left out.
///
/// # Errors
/// If the store cannot be read.
pub fn count<S: Store>(store: &S, tables: &Tables) -> Result<(Changes, UnreadRows), StoreError> {
    let mut tally = Tally::new(tables);
    let mut total = Total::default();
    let mut last = None;
    let unread = each_trace(store, |group, trace| {
        // A tally keeps every shape that it has seen, so each group gets its own.
        if last.replace(group).is_some_and(|last| last != group) {
            total.add(std::mem::replace(&mut tally, Tally::new(tables)));
        }
        tally.add(&trace, 1);
        Ok::<(), StoreError>(())
    })?;
    total.add(tally);
    let (cells, counts) = (total.cells.into_iter().collect(), total.counts.into_iter().collect());
    Ok((Changes { cells, counts }, unread))
}

#[derive(Default)]
struct Total {
    cells: BTreeMap<Cell, i64>,
    counts: BTreeMap<CountCell, i64>,
}

impl Total {
    fn add(&mut self, tally: Tally<'_>) {
        let changes = tally.changes();
        for (cell, number) in changes.cells {
            *self.cells.entry(cell).or_default() += number;
        }
        for (cell, number) in changes.counts {
            *self.counts.entry(cell).or_default() += number;
        }
    }
}

/// One `TracesData` of OTLP/JSON: spans start at the beginning of their hour and last as long as they did.
pub fn traces_data(trace: &Trace) -> Json {
    let resource_spans: Vec<Json> = trace
        .spans
        .chunk_by(|one, other| one.shape.content().resource == other.shape.content().resource)
        .map(|spans| {
            json!({
                "resource": { "attributes": attributes(&spans[0].shape.content().resource) },
                "scopeSpans": [{
                    "scope": { "name": "tool-telemetry" },
                    "spans": spans.iter().map(|span| span_json(&trace.id, span)).collect::<Vec<_>>(),
                }],
            })
        })
        .collect();
    json!({ "resourceSpans": resource_spans })
}

fn span_json(trace_id: &TraceId, span: &Span) -> Json {
    let content = span.shape.content();
    let start = span.hour.unix_nano();
    let mut json = json!({
        "traceId": hex(trace_id),
        "spanId": hex(&span.id),
        "flags": content.flags,
        "name": content.name,
        "kind": 1,
        "startTimeUnixNano": start.to_string(),
        "endTimeUnixNano": start.saturating_add(span.duration).to_string(),
        "attributes": attributes(&content.attributes),
        "status": match content.status {
            Status::Unset => json!({}),
            status => json!({ "code": status as u8 }),
        },
    });
    if let Some(parent) = &span.parent {
        json["parentSpanId"] = hex(parent).into();
    }
    json
}

fn attributes(attributes: &Attributes<'_>) -> Vec<Json> {
    let value = |value: &Value<'_>| match value {
        Value::Text(text) => json!({ "stringValue": text }),
        Value::Bool(flag) => json!({ "boolValue": flag }),
        Value::Int(number) => json!({ "intValue": number.to_string() }),
    };
    attributes.iter().map(|(key, there)| json!({ "key": key, "value": value(there) })).collect()
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 0xf])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}
