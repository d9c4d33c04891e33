//! Runs as Parquet: a row for each span.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::errors::Result;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use crate::shape::{Attributes, Status};
use crate::store_reader::hex;
use crate::trace::Trace;

/// Spans in a row group: some 20 MB while they are collected.
const SPANS_IN_GROUP: usize = 1 << 16;
const NANOS_IN_MILLI: u64 = 1_000_000;

/// A map has one key once, and all of its values are texts.
const SCHEMA: &str = "message span {
    required binary trace_id (STRING);
    required binary span_id (STRING);
    optional binary parent_span_id (STRING);
    required binary name (STRING);
    required int64 start (TIMESTAMP(MILLIS,true));
    required int64 duration_ns;
    optional binary status (STRING);
    required group resource (MAP) {
        repeated group key_value { required binary key (STRING); required binary value (STRING); }
    }
    required group attributes (MAP) {
        repeated group key_value { required binary key (STRING); required binary value (STRING); }
    }
}";

/// A Parquet file that is being written.
pub(super) struct SpanFile<W: Write + Send> {
    file: SerializedFileWriter<W>,
    columns: Columns,
}

impl<W: Write + Send> SpanFile<W> {
    pub(super) fn new(out: W) -> Result<Self> {
        let compression = Compression::ZSTD(ZstdLevel::try_new(1)?);
        let properties = WriterProperties::builder().set_compression(compression).build();
        let schema = Arc::new(parse_message_type(SCHEMA)?);
        let file = SerializedFileWriter::new(out, schema, Arc::new(properties))?;
        Ok(Self { file, columns: Columns::default() })
    }

    pub(super) fn add(&mut self, trace: &Trace) -> Result<()> {
        self.columns.add(trace);
        if self.columns.start.len() >= SPANS_IN_GROUP { self.write_group() } else { Ok(()) }
    }

    /// Writes the rest, and the footer without which the file cannot be read.
    pub(super) fn finish(mut self) -> Result<()> {
        if !self.columns.start.is_empty() {
            self.write_group()?;
        }
        self.file.finish()?;
        Ok(self.file.inner_mut().flush()?)
    }

    fn write_group(&mut self) -> Result<()> {
        let columns = std::mem::take(&mut self.columns);
        let mut group = self.file.next_row_group()?;
        write::<ByteArrayType, W>(&mut group, &columns.trace_id, None, None)?;
        write::<ByteArrayType, W>(&mut group, &columns.span_id, None, None)?;
        columns.parent.write(&mut group)?;
        write::<ByteArrayType, W>(&mut group, &columns.name, None, None)?;
        write::<Int64Type, W>(&mut group, &columns.start, None, None)?;
        write::<Int64Type, W>(&mut group, &columns.duration, None, None)?;
        columns.status.write(&mut group)?;
        columns.resource.write(&mut group)?;
        columns.attributes.write(&mut group)?;
        group.close().map(drop)
    }
}

fn write<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    definition: Option<&[i16]>,
    repetition: Option<&[i16]>,
) -> Result<()> {
    if let Some(mut column) = group.next_column()? {
        column.typed::<T>().write_batch(values, definition, repetition)?;
        column.close()?;
    }
    Ok(())
}

#[derive(Default)]
struct Columns {
    trace_id: Vec<ByteArray>,
    span_id: Vec<ByteArray>,
    parent: OptionalColumn,
    name: Vec<ByteArray>,
    start: Vec<i64>,
    duration: Vec<i64>,
    status: OptionalColumn,
    resource: MapColumn,
    attributes: MapColumn,
}

impl Columns {
    fn add(&mut self, trace: &Trace) {
        let trace_id = ByteArray::from(hex(&trace.id).as_str());
        for span in &trace.spans {
            let content = span.shape.content();
            self.trace_id.push(trace_id.clone());
            self.span_id.push(hex(&span.id).as_str().into());
            self.parent.add(span.parent.map(|parent| hex(&parent)).as_deref());
            self.name.push(content.name.into());
            self.start.push((span.hour.unix_nano() / NANOS_IN_MILLI).cast_signed());
            self.duration.push(i64::try_from(span.duration).unwrap_or(i64::MAX));
            self.status.add(match content.status {
                Status::Unset => None,
                Status::Ok => Some("ok"),
                Status::Error => Some("error"),
            });
            self.resource.add(&content.resource);
            self.attributes.add(&content.attributes);
        }
    }
}

/// A column in which values may be missing.
#[derive(Default)]
struct OptionalColumn {
    values: Vec<ByteArray>,
    definition: Vec<i16>,
}

impl OptionalColumn {
    fn add(&mut self, value: Option<&str>) {
        self.definition.push(i16::from(value.is_some()));
        self.values.extend(value.map(ByteArray::from));
    }

    fn write<W: Write + Send>(&self, group: &mut SerializedRowGroupWriter<'_, W>) -> Result<()> {
        write::<ByteArrayType, W>(group, &self.values, Some(&self.definition), None)
    }
}

/// The columns of a map: its keys and its values.
#[derive(Default)]
struct MapColumn {
    keys: Vec<ByteArray>,
    values: Vec<ByteArray>,
    /// 1 for an entry, 0 for a map without any.
    definition: Vec<i16>,
    /// 0 for the first entry of a map, 1 for the others.
    repetition: Vec<i16>,
}

impl MapColumn {
    fn add(&mut self, attributes: &Attributes<'_>) {
        if attributes.is_empty() {
            self.definition.push(0);
            self.repetition.push(0);
        }
        for (place, (key, value)) in attributes.iter().enumerate() {
            self.definition.push(1);
            self.repetition.push(i16::from(place > 0));
            self.keys.push((*key).into());
            self.values.push(value.to_string().as_str().into());
        }
    }

    fn write<W: Write + Send>(&self, group: &mut SerializedRowGroupWriter<'_, W>) -> Result<()> {
        for column in [&self.keys, &self.values] {
            write::<ByteArrayType, W>(group, column, Some(&self.definition), Some(&self.repetition))?;
        }
        Ok(())
    }
}
