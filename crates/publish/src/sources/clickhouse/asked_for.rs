//! What the queries let through, as arrays of tuples that are written into them.

use tool_telemetry_definition::{Count, DataPoint, DataPoints, ERROR_TYPE, ERROR_TYPES, Kind, OTHER};

use super::definition::Definition;

/// The values that a key may have in a table: a list, or from a least to a greatest number.
type AdmittedValues = (Vec<String>, i64, i64);
/// A hash, the keys of a table in alphabetical order, and the values of each.
pub(super) type CountedTable = (String, Vec<String>, Vec<AdmittedValues>);
/// A key that a span may have: whether its values are judged elsewhere, a list of them, and a least and a greatest number.
type ApprovedKey = (String, u8, Vec<String>, i64, i64);
/// A hash, the name of a span, whether it is a run, and the keys that it may have.
pub(super) type ApprovedSpan = (String, String, u8, Vec<ApprovedKey>);

/// The cells that each version counts.
pub(super) fn counted_cells(versions: &[Definition]) -> Vec<CountedTable> {
    let of_version = |version: &Definition| {
        let hash = version.approvals.hash.to_string();
        let data_points = version.data_points;
        let tables = data_points.counts.iter().map(move |count| {
            let mut keys: Vec<&str> = count.of.to_vec();
            keys.sort_unstable();
            let values = keys.iter().map(|key| admitted(data_points, count, key)).collect();
            (hash.clone(), keys.into_iter().map(str::to_owned).collect(), values)
        });
        tables.collect::<Vec<_>>()
    };
    versions.iter().flat_map(of_version).collect()
}

fn admitted(data_points: &DataPoints, count: &Count, key: &str) -> AdmittedValues {
    if key == ERROR_TYPE {
        return (texts(&ERROR_TYPES), 1, 0);
    }
    if let Some(listed) = count.listed(data_points, key) {
        return (and_other(listed), 1, 0);
    }
    match data_points.keyed(key).map(|data_point| data_point.kind) {
        Some(Kind::Bool) => (texts(&["false", "true"]), 1, 0),
        Some(Kind::Integer { min, max }) => (Vec::new(), min, max),
        Some(Kind::Command(values) | Kind::Set(values)) => (and_other(values), 1, 0),
        // Each of these has a list of its own in the table.
        Some(Kind::Version | Kind::Moniker { .. } | Kind::ExitCode) | None => (Vec::new(), 1, 0),
    }
}

/// The spans that each version approves. A run is named after its tool, alone or with a command.
pub(super) fn approved_spans(versions: &[Definition], tool: &str) -> Vec<ApprovedSpan> {
    let mut spans = Vec::new();
    for version in versions {
        let hash = version.approvals.hash.to_string();
        let data_points = version.data_points;
        let keys = |positions| data_points.at(positions).map(approved_key).collect::<Vec<_>>();
        let mut of_run = keys(data_points.on_run);
        of_run.push((ERROR_TYPE.to_owned(), 0, texts(&ERROR_TYPES), 1, 0));
        let commands =
            match data_points.command().map(|place| data_points.data_points[usize::from(place)].kind) {
                Some(Kind::Command(commands)) => [commands, &[OTHER]].concat(),
                _ => Vec::new(),
            };
        let names = commands.iter().map(|command| format!("{tool} {command}"));
        for name in std::iter::once(tool.to_owned()).chain(names) {
            spans.push((hash.clone(), name, 1, of_run.clone()));
        }
        for span in data_points.spans {
            spans.push((hash.clone(), span.name.to_owned(), 0, keys(span.data_points)));
        }
    }
    spans
}

fn approved_key(data_point: &'static DataPoint) -> ApprovedKey {
    let key = data_point.key.to_owned();
    match data_point.kind {
        Kind::Bool => (key, 0, texts(&["false", "true"]), 1, 0),
        Kind::Integer { min, max } => (key, 0, Vec::new(), min, max),
        Kind::ExitCode => (key, 0, Vec::new(), i64::from(i32::MIN), i64::from(u32::MAX)),
        Kind::Command(values) | Kind::Set(values) => (key, 0, and_other(values), 1, 0),
        Kind::Version | Kind::Moniker { .. } => (key, 1, Vec::new(), 1, 0),
    }
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn and_other(list: &[&str]) -> Vec<String> {
    let mut list = texts(list);
    list.push(OTHER.to_owned());
    list
}
