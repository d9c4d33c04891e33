//! The cells of runs that `tool-telemetry collect` counts, from the answers of ClickHouse.

use std::collections::BTreeMap;

use clickhouse::Row;
use clickhouse::sql::Identifier;
use jiff::ToSpan as _;
use jiff::civil::Date;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use tool_telemetry_collect::approvals::Admission;
use tool_telemetry_collect::cell::Cell;
use tool_telemetry_collect::shape::Value;
use tool_telemetry_collect::time::{Hour, Week};
use tool_telemetry_definition::{ERROR_TYPE, ERROR_TYPES, Kind, SERVICE_VERSION, Version};

use super::asked_for::ApprovedSpan;
use super::connection::Connection;
use super::definition::Definition;
use crate::failure::Failure;

/// How long before and after its week a run's spans are looked for: one that began on Sunday may end on Monday.
const DAYS_AROUND: i64 = 1;
const SPANS: &str = include_str!("spans.sql");

/// All cells of a tool's runs.
pub(super) fn cells(
    connection: &mut Connection,
    table: &str,
    tool: &str,
    versions: &[Definition],
    spans: &[ApprovedSpan],
) -> Result<Vec<(Cell, i64)>, Failure> {
    let query = connection.query(include_str!("weeks.sql")).bind(Identifier(table)).bind(tool);
    let mondays: Vec<String> = connection.rows(query, "the weeks of the runs")?;
    let mut counting = Counting { connection, table, tool, versions, spans, cells: BTreeMap::new() };
    for monday in mondays {
        counting.week(&monday)?;
    }
    let cells = counting.cells.into_iter().filter(|(_, number)| *number != 0);
    Ok(cells.collect())
}

/// In how many runs values occur together.
#[derive(Debug, Row, Deserialize)]
struct CrossingRow {
    keys: Vec<String>,
    cell: Vec<String>,
    hash: String,
    number: i64,
}

struct Counting<'a> {
    connection: &'a mut Connection,
    table: &'a str,
    tool: &'a str,
    versions: &'a [Definition],
    spans: &'a [ApprovedSpan],
    cells: BTreeMap<Cell, i64>,
}

impl Counting<'_> {
    fn week(&mut self, monday: &str) -> Result<(), Failure> {
        let unread = || Failure::failed(format!("ClickHouse has a span of {monday}, which is no day"));
        let day: Date = monday.parse().map_err(|_| unread())?;
        // What began before 1970 comes from a wrong clock.
        let Ok(hour) = Hour::parse(monday) else { return Ok(()) };
        let week = hour.week();
        self.attributes(day, week)?;
        self.runs(day, week)?;
        self.steps(day, week)?;
        self.crossings(day, week)
    }

    /// A query of the spans of a week.
    fn query(&self, monday: Date, tail: &str) -> clickhouse::query::Query {
        let newest =
            self.versions.last().map(|version| version.approvals.hash.to_string()).unwrap_or_default();
        let around = DAYS_AROUND.days();
        self.connection
            .query(&format!("{SPANS}\n{tail}"))
            .bind(self.spans)
            .bind(newest)
            .bind(Identifier(self.table))
            .bind(self.tool)
            .bind(monday.saturating_sub(around).to_string())
            .bind(monday.saturating_add(7.days()).saturating_add(around).to_string())
            .bind(monday.to_string())
    }

    fn attributes(&mut self, monday: Date, week: Week) -> Result<(), Failure> {
        let query = self.query(monday, include_str!("attributes.sql"));
        let what = format!("the values in {week}");
        let rows: Vec<(String, String, String, String, i64)> = self.connection.rows(query, &what)?;
        for (hash, version, key, value, number) in rows {
            if let Some(value) = self.value(&hash, &key, &value) {
                self.add(week, &key, &[json!(version_of(&version)), value], number);
            }
        }
        Ok(())
    }

    fn runs(&mut self, monday: Date, week: Week) -> Result<(), Failure> {
        let newest = self.versions.last().and_then(|version| version.approvals.command_key());
        let key = newest.unwrap_or_default();
        let query = self.query(monday, include_str!("runs.sql")).bind(key).bind(key);
        let what = format!("the runs in {week}");
        let rows: Vec<(String, String, String, String, u16, i64)> = self.connection.rows(query, &what)?;
        for (hash, version, command, error, bucket, number) in rows {
            let version = json!(version_of(&version));
            self.add(week, "runs", std::slice::from_ref(&version), number);
            self.add(week, "duration", &[version, json!(bucket)], number);
            if let Some(command) = self.value(&hash, key, &command) {
                let error = self.value(&hash, ERROR_TYPE, &error).unwrap_or(Json::Null);
                self.add(week, &format!("{key} and duration"), &[command.clone(), json!(bucket)], number);
                self.add(week, &format!("{key} and {ERROR_TYPE}"), &[command, error], number);
            }
        }
        Ok(())
    }

    fn steps(&mut self, monday: Date, week: Week) -> Result<(), Failure> {
        let query = self.query(monday, include_str!("steps.sql"));
        let rows: Vec<(String, u16, i64)> = self.connection.rows(query, &format!("the steps in {week}"))?;
        for (name, bucket, number) in rows {
            self.add(week, &format!("duration of {name}"), &[json!(bucket)], number);
        }
        Ok(())
    }

    fn crossings(&mut self, monday: Date, week: Week) -> Result<(), Failure> {
        let command = self.versions.last().and_then(|version| version.approvals.command_key());
        // That table is there anyway.
        let is_there = |of: &[String]| matches!(of, [key, error] if Some(key.as_str()) == command && error == ERROR_TYPE);
        let of_version = |version: &Definition| {
            let hash = version.approvals.hash.to_string();
            let crossings = version.approvals.crossings().into_iter().filter(|of| !is_there(of));
            crossings.map(|of| (hash.clone(), of)).collect::<Vec<_>>()
        };
        let asked_for: Vec<(String, Vec<String>)> = self.versions.iter().flat_map(of_version).collect();
        let query = self.query(monday, include_str!("crossings.sql")).bind(asked_for);
        let rows: Vec<CrossingRow> = self.connection.rows(query, &format!("the crossings in {week}"))?;
        for CrossingRow { keys, cell, hash, number } in rows {
            let values = keys.iter().zip(&cell).map(|(key, value)| match key.as_str() {
                SERVICE_VERSION => Some(json!(version_of(value))),
                key => self.value(&hash, key, value),
            });
            if let Some(values) = values.collect::<Option<Vec<Json>>>() {
                self.add(week, &keys.join(" and "), &values, number);
            }
        }
        Ok(())
    }

    /// A value as `collect` keeps it, or nothing if it is not approved. The exporter made a text of it.
    fn value(&self, hash: &str, key: &str, text: &str) -> Option<Json> {
        if key == ERROR_TYPE {
            return ERROR_TYPES.contains(&text).then(|| json!(text));
        }
        let version = self.versions.iter().find(|version| version.approvals.hash.to_string() == hash)?;
        let value = match version.data_points.keyed(key)?.kind {
            Kind::Bool => Value::Bool(match text {
                "true" => true,
                "false" => false,
                _ => return None,
            }),
            Kind::Integer { .. } | Kind::ExitCode => {
                let number: i64 = text.parse().ok().filter(|number: &i64| number.to_string() == text)?;
                Value::Int(number)
            }
            _ => Value::Text(text),
        };
        let is_admitted = version.approvals.admits_key(key, value) == Admission::Admitted;
        is_admitted.then(|| match value {
            Value::Bool(flag) => json!(flag),
            Value::Int(number) => json!(number),
            Value::Text(text) => json!(text),
        })
    }

    fn add(&mut self, week: Week, table: &str, values: &[Json], number: i64) {
        let values = Json::from(values).to_string();
        let cell = Cell { tool: self.tool.to_owned(), week, table: table.to_owned(), values };
        *self.cells.entry(cell).or_default() += number;
    }
}

/// The part of a version that is kept.
fn version_of(text: &str) -> &str {
    Version::longest_prefix(text).unwrap_or_default()
}
