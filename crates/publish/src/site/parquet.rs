//! A table as a Parquet file.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use jiff::civil::Date;
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::Result;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::record::Row;
use parquet::schema::types::Type;
use serde_json::Value;

use super::data_table::{Column, ColumnKind, DataTable};
use super::invalid;

/// Day 0 of Parquet's dates.
const EPOCH: Date = Date::constant(1970, 1, 1);

pub(super) fn write(table: &DataTable) -> io::Result<Vec<u8>> {
    write_table(table).map_err(|error| invalid(format!("{}.parquet: {error}", table.name)))
}

/// Whether two files are equal: byte for byte, or row for row, because another version of the library may compress otherwise.
pub(super) fn is_same(one: &[u8], other: &[u8]) -> bool {
    one == other || matches!((rows(one), rows(other)), (Some(one), Some(other)) if one == other)
}

/// The columns and rows of a file, if it is Parquet.
fn rows(bytes: &[u8]) -> Option<(Vec<String>, Vec<Row>)> {
    let reader = SerializedFileReader::new(Bytes::copy_from_slice(bytes)).ok()?;
    let columns = reader.metadata().file_metadata().schema().get_fields();
    let columns = columns.iter().map(|column| format!("{column:?}")).collect();
    Some((columns, reader.get_row_iter(None).ok()?.collect::<Result<_>>().ok()?))
}

fn write_table(table: &DataTable) -> Result<Vec<u8>> {
    let fields = table.columns.iter().map(|column| Ok(Arc::new(field(column)?))).collect::<Result<_>>()?;
    let schema = Arc::new(Type::group_type_builder("schema").with_fields(fields).build()?);
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(9)?))
        // The library's version would change the bytes without a change of the data.
        .set_created_by("tool-telemetry".to_owned())
        .build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    let mut rows = writer.next_row_group()?;
    let mut columns = table.columns.iter();
    while let Some(mut target) = rows.next_column()? {
        if let Some(column) = columns.next() {
            write_column(target.untyped(), column)?;
        }
        target.close()?;
    }
    rows.close()?;
    writer.into_inner()
}

fn field(column: &Column) -> Result<Type> {
    let (physical, logical) = match column.kind {
        ColumnKind::Day => (Physical::INT32, Some(LogicalType::Date)),
        ColumnKind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        ColumnKind::Bool => (Physical::BOOLEAN, None),
        ColumnKind::Integer => (Physical::INT64, None),
        ColumnKind::Number => (Physical::DOUBLE, None),
    };
    let repetition = if column.is_optional { Repetition::OPTIONAL } else { Repetition::REQUIRED };
    Type::primitive_type_builder(&column.name, physical)
        .with_logical_type(logical)
        .with_repetition(repetition)
        .build()
}

fn write_column(writer: &mut ColumnWriter<'_>, column: &Column) -> Result<()> {
    let levels: Option<Vec<i16>> =
        column.is_optional.then(|| column.values.iter().map(|value| i16::from(!value.is_null())).collect());
    let levels = levels.as_deref();
    let present = || column.values.iter().filter(|value| !value.is_null());
    match writer {
        ColumnWriter::Int32ColumnWriter(writer) => {
            let days: Vec<i32> = present().map(day_number).collect();
            writer.write_batch(&days, levels, None)?;
        }
        ColumnWriter::ByteArrayColumnWriter(writer) => {
            let texts: Vec<ByteArray> =
                present().map(|value| value.as_str().unwrap_or_default().into()).collect();
            writer.write_batch(&texts, levels, None)?;
        }
        ColumnWriter::BoolColumnWriter(writer) => {
            let flags: Vec<bool> = present().map(|value| value.as_bool().unwrap_or_default()).collect();
            writer.write_batch(&flags, levels, None)?;
        }
        ColumnWriter::Int64ColumnWriter(writer) => {
            let numbers: Vec<i64> = present().map(|value| value.as_i64().unwrap_or_default()).collect();
            writer.write_batch(&numbers, levels, None)?;
        }
        ColumnWriter::DoubleColumnWriter(writer) => {
            let numbers: Vec<f64> = present().map(|value| value.as_f64().unwrap_or_default()).collect();
            writer.write_batch(&numbers, levels, None)?;
        }
        _ => unreachable!("`field` makes no other column"),
    }
    Ok(())
}

fn day_number(value: &Value) -> i32 {
    let date: Date = value.as_str().and_then(|text| text.parse().ok()).unwrap_or(EPOCH);
    date.since(EPOCH).map_or(0, |span| span.get_days())
}
