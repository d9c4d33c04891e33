//! Traces, stores, and what is in them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tool_telemetry_collect::cells::{Tables, Tally};
use tool_telemetry_collect::keeper::Keeper;
use tool_telemetry_collect::row;
use tool_telemetry_collect::shape::{Role, Shape, ShapeContent, Status, Value};
use tool_telemetry_collect::store::{GroupState, SqliteStore, Store};
use tool_telemetry_collect::time::Hour;
use tool_telemetry_collect::trace::{Span, Trace, TraceId};

/// A Saturday in 2026.
pub(crate) const NOW: Hour = Hour(498_922);

pub(crate) fn trace_id(number: u32) -> TraceId {
    let mut id = [0x11; 16];
    // Neighbouring numbers lie far apart, as random ids do.
    id[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
    id[4..8].copy_from_slice(&number.to_be_bytes());
    id
}

pub(crate) fn shape(role: Role, name: &str, attributes: &[(&str, Value<'_>)]) -> Arc<Shape> {
    Arc::new(Shape::new(&ShapeContent {
        resource: vec![("service.name", Value::Text("frob")), ("service.version", Value::Text("1.2.0"))],
        role,
        status: Status::Unset,
        flags: 0x101,
        name,
        attributes: attributes.to_vec(),
    }))
}

/// A run that started at an hour, with one attribute and a step.
pub(crate) fn run_at(number: u32, hour: Hour) -> Trace {
    let command = ["build", "test", "run"][number as usize % 3];
    let root = Span {
        id: [1; 8],
        parent: None,
        hour,
        duration: u64::from(number) * 1_000,
        shape: shape(Role::Run, "frob", &[("frob.command", Value::Text(command))]),
    };
    let step =
        Span { id: [2; 8], parent: Some([1; 8]), hour, duration: 7, shape: shape(Role::Step, "target", &[]) };
    Trace::new(trace_id(number), vec![root, step])
}

pub(crate) fn run(number: u32) -> Trace {
    run_at(number, NOW)
}

pub(crate) fn runs(numbers: std::ops::Range<u32>) -> Vec<Trace> {
    numbers.map(run).collect()
}

pub(crate) fn open(directory: &Path, now: Hour) -> Keeper<SqliteStore> {
    let store = SqliteStore::create_or_open(directory).unwrap();
    let mut keeper = Keeper::open(store, now).unwrap();
    keeper.configure(tables(), [("frob".to_owned(), 90)].into());
    keeper
}

pub(crate) fn tables() -> Tables {
    let commands = [("frob".to_owned(), "frob.command".to_owned())].into();
    Tables { commands, ..Tables::default() }
}

/// Does all the work that is left.
pub(crate) fn finish_work(keeper: &mut Keeper<SqliteStore>, now: Hour) {
    while keeper.work(now).unwrap() {}
    while keeper.work(now).unwrap() {}
}

/// All traces that are not stale, and a panic if one is there twice or the cells are not those of the traces.
pub(crate) fn contents(store: &SqliteStore) -> BTreeMap<TraceId, Trace> {
    let mut traces = BTreeMap::new();
    for group in store.groups().unwrap().iter().filter(|group| group.state == GroupState::Live) {
        let stale = store.stale(group.id).unwrap();
        for stored in store.rows(group.id).unwrap() {
            for trace in row::unpack(&stored.packed.ids, &stored.packed.data).unwrap() {
                if !stale.contains(&trace.id) {
                    let id = trace.id;
                    assert!(traces.insert(id, trace).is_none(), "a trace is there twice");
                }
            }
        }
    }
    let tables = tables();
    let mut tally = Tally::new(&tables);
    traces.values().for_each(|trace| tally.add(trace, 1));
    let changes = tally.changes();
    let expected: BTreeMap<_, _> = changes.cells.into_iter().collect();
    assert_eq!(store.cells().unwrap().into_iter().collect::<BTreeMap<_, _>>(), expected);
    assert_eq!(store.count_cells().unwrap(), changes.counts);
    traces
}

pub(crate) fn expected(traces: impl IntoIterator<Item = Trace>) -> BTreeMap<TraceId, Trace> {
    traces.into_iter().map(|trace| (trace.id, trace)).collect()
}

pub(crate) fn counter(store: &SqliteStore, name: &str) -> i64 {
    store.counters().unwrap().into_iter().find(|(there, _)| there == name).map_or(0, |(_, number)| number)
}
