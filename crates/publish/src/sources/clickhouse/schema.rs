//! The table of the Collector's exporter: that it is there, and that its columns are those that the queries read.

use super::connection::Connection;
use crate::failure::Failure;

/// The columns that are read, and how their types begin. The type of `Duration` was signed in earlier versions.
const COLUMNS: [(&str, &[&str]); 10] = [
    ("Timestamp", &["DateTime64("]),
    ("TraceId", &["String", "FixedString"]),
    ("SpanId", &["String", "FixedString"]),
    ("ParentSpanId", &["String", "FixedString"]),
    ("SpanName", &["LowCardinality(String)", "String"]),
    ("SpanKind", &["LowCardinality(String)", "String"]),
    ("ServiceName", &["LowCardinality(String)", "String"]),
    ("ResourceAttributes", &["Map("]),
    ("SpanAttributes", &["Map("]),
    ("Duration", &["UInt64", "Int64"]),
];

/// Checks the table.
pub(super) fn check(connection: &mut Connection, table: &str) -> Result<(), Failure> {
    let query = connection.query(include_str!("schema.sql")).bind(table);
    let columns: Vec<(String, String)> = connection.rows(query, "the columns of its table")?;
    problem(&columns, table).map_or(Ok(()), |problem| Err(Failure::failed(problem)))
}

fn problem(columns: &[(String, String)], table: &str) -> Option<String> {
    if columns.is_empty() {
        return Some(format!(
            "ClickHouse has no table {table} in this database, or the user may not read it. The Collector's exporter makes \
             it when it starts; another name is given with --clickhouse-table"
        ));
    }
    COLUMNS.iter().find_map(|(name, beginnings)| {
        let found = columns.iter().find(|(column, _)| column == name).map(|(_, kind)| kind.as_str());
        let is_known = found.is_some_and(|kind| beginnings.iter().any(|start| kind.starts_with(start)));
        (!is_known).then(|| {
            format!(
                "the table {table} has another schema than this version reads: its column {name} is {}, not {}. It is that \
                 of the Collector's clickhouse exporter 0.161, without `json: true`",
                found.unwrap_or("missing"),
                beginnings.join(" or "),
            )
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_is_missing_or_of_another_version_is_named() {
        let mut columns: Vec<(String, String)> =
            COLUMNS.iter().map(|(name, kinds)| ((*name).to_owned(), format!("{}9)", kinds[0]))).collect();
        assert_eq!(problem(&columns, "otel_traces"), None);
        assert!(problem(&[], "otel_traces").unwrap().contains("no table otel_traces"));
        columns[8].1 = "JSON".to_owned();
        let json = problem(&columns, "otel_traces").unwrap();
        assert!(json.contains("its column SpanAttributes is JSON, not Map("), "{json}");
        columns.truncate(3);
        assert!(problem(&columns, "t").unwrap().contains("its column ParentSpanId is missing"));
    }
}
