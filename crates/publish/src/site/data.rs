//! The published numbers as files: CSV, JSON, and Parquet, each with the same rows.

use std::io;

use serde_json::Value;

use super::data_table::{Column, ColumnKind, DataTable};
use super::file::File;
use super::series::{Number, SeriesTable};
use super::timeline::Timeline;
use super::{invalid, parquet};

/// Columns of ours that stand beside those of the keys.
const OWN_COLUMNS: [&str; 5] = ["period_start", "period_days", "release", "installations", "threshold"];

/// The tables of the data: one for the periods, and one for each table that was counted.
pub(super) fn tables(timeline: &Timeline<'_>, tables: &[SeriesTable]) -> Vec<DataTable> {
    let counted = tables.iter().map(|table| counted(timeline, table));
    std::iter::once(periods(timeline)).chain(counted).collect()
}

/// The files of all tables.
pub(super) fn files(tables: &[DataTable]) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    for table in tables {
        let path = |ending| format!("data/{}.{ending}", table.name);
        files.push(File::new(path("csv"), csv(table)?));
        files.push(File::new(path("json"), json(table)));
        files.push(File::new(path("parquet"), parquet::write(table)?));
    }
    Ok(files)
}

fn counted(timeline: &Timeline<'_>, table: &SeriesTable) -> DataTable {
    let [start, days, number, installations, threshold] = OWN_COLUMNS;
    let mut columns = vec![
        Column::new(start, ColumnKind::Day, "The first day of the period in UTC, a Monday."),
        Column::new(days, ColumnKind::Integer, "Days in the period: 7 or 28."),
        Column::new(number, ColumnKind::Integer, "1 is the first release of the period, 2 its correction."),
    ];
    for (position, key) in table.of.iter().enumerate() {
        let values = || table.rows.iter().map(|row| &row.values[position]);
        let kind = if values().all(Value::is_boolean) {
            ColumnKind::Bool
        } else if values().all(Value::is_i64) {
            ColumnKind::Integer
        } else {
            ColumnKind::Text
        };
        let name = if OWN_COLUMNS.contains(&key.as_str()) { format!("value.{key}") } else { key.clone() };
        columns.push(Column::new(
            &name,
            kind,
            "The value that was counted. `other` stands for all that are not listed.",
        ));
    }
    columns.push(Column::optional(
        installations,
        ColumnKind::Integer,
        "Installations, with random noise, rounded to 5. Missing if below the threshold, which is not zero.",
    ));
    columns.push(Column::new(threshold, ColumnKind::Integer, "A number below this is not published."));
    for (period, release) in timeline.releases() {
        let Some(released) = release.tables.iter().find(|released| released.of == table.of) else { continue };
        for row in &table.rows {
            let installations = match row.numbers[period] {
                Number::NotCounted => continue,
                Number::Below(_) => Value::Null,
                Number::Shown(number) => number.into(),
            };
            let mut values = vec![
                Value::from(timeline.periods[period].start.to_string()),
                release.days.into(),
                release.number.into(),
            ];
            let is_text = |position: usize| columns[3 + position].kind == ColumnKind::Text;
            values.extend(row.values.iter().enumerate().map(|(position, value)| match value {
                Value::String(_) => value.clone(),
                value if is_text(position) => value.to_string().into(),
                value => value.clone(),
            }));
            values.extend([installations, released.threshold.into()]);
            columns.iter_mut().zip(values).for_each(|(column, value)| column.values.push(value));
        }
    }
    DataTable { name: table.slug(), title: format!("Installations by {}", table.of.join(" and ")), columns }
}

fn periods(timeline: &Timeline<'_>) -> DataTable {
    use ColumnKind::{Day, Integer, Number, Text};
    let mut columns = vec![
        Column::new("period_start", Day, "The first day of the period in UTC, a Monday."),
        Column::new("period_days", Integer, "Days in the period: 7 or 28."),
        Column::optional(
            "release",
            Integer,
            "The release in effect: 1, or 2 for a correction. Missing if withdrawn.",
        ),
        Column::optional("released", Day, "The day of the release in UTC."),
        Column::optional(
            "epsilon",
            Number,
            "The privacy parameter epsilon of the period, all its releases together.",
        ),
        Column::optional("delta", Number, "The privacy parameter delta of the period."),
        Column::optional("rho", Number, "The privacy parameter rho of the release."),
        Column::optional("sigma", Number, "The standard deviation of the noise of each number."),
        Column::optional(
            "counts_per_installation",
            Integer,
            "How many counts one installation adds at most.",
        ),
        Column::optional(
            "rejected",
            Integer,
            "Rejected reports to a power of ten: 100 stands for 100 to 999.",
        ),
        Column::optional("correction", Text, "Why the period was released again."),
        Column::optional("withdrawn", Day, "The day on which the newest withdrawal took place."),
        Column::optional("withdrawal_reason", Text, "Why it was withdrawn."),
    ];
    for period in &timeline.periods {
        let release = period.release;
        let of_release = |get: &dyn Fn(&crate::release::Release) -> Value| release.map_or(Value::Null, get);
        let withdrawal = period.withdrawals.last();
        let values = [
            period.start.to_string().into(),
            period.days.into(),
            of_release(&|release| release.number.into()),
            of_release(&|release| release.released.as_str().into()),
            of_release(&|release| release.privacy.epsilon.into()),
            of_release(&|release| release.privacy.delta.into()),
            of_release(&|release| release.privacy.rho.into()),
            of_release(&|release| release.privacy.sigma.into()),
            of_release(&|release| release.privacy.counts_per_installation.into()),
            of_release(&|release| release.rejected.into()),
            of_release(&|release| {
                release.correction.as_deref().map_or(Value::Null, |text| harmless(text).into())
            }),
            withdrawal.map_or(Value::Null, |withdrawal| withdrawal.withdrawn.as_str().into()),
            withdrawal.map_or(Value::Null, |withdrawal| harmless(&withdrawal.reason).into()),
        ];
        columns.iter_mut().zip(values).for_each(|(column, value)| column.values.push(value));
    }
    DataTable {
        name: "periods".to_owned(),
        title: "Periods and their privacy parameters".to_owned(),
        columns,
    }
}

/// A sentence that no spreadsheet takes for a formula.
fn harmless(text: &str) -> String {
    let text = text.trim();
    let is_formula = text.starts_with(['=', '+', '-', '@']);
    if is_formula { format!("'{text}") } else { text.to_owned() }
}

fn csv(table: &DataTable) -> io::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(table.columns.iter().map(|column| &column.name))?;
    for row in 0..table.rows() {
        writer.write_record(table.columns.iter().map(|column| match &column.values[row] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            value => value.to_string(),
        }))?;
    }
    writer.into_inner().map_err(|error| invalid(error.to_string()))
}

/// An array with one object a line.
fn json(table: &DataTable) -> String {
    let mut text = "[".to_owned();
    for row in 0..table.rows() {
        text.push_str(if row == 0 { "\n{" } else { ",\n{" });
        for (position, column) in table.columns.iter().enumerate() {
            let separator = if position == 0 { "" } else { "," };
            text.push_str(&format!(
                "{separator}{}:{}",
                Value::from(column.name.as_str()),
                column.values[row]
            ));
        }
        text.push('}');
    }
    text.push_str("\n]\n");
    text
}
