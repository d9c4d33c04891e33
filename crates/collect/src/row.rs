//! Rows: some thousands of traces, sorted by their ids and packed by column.
//!
//! A row says nothing of when or together with what its traces arrived. Ids are random and do not compress, so they
//! stay outside of the compressed part; the trace ids are read alone when a store is opened.
//!
//! ```text
//! ids   trace ids, 16 bytes each, ascending | CRC-32
//! data  length of the compressed part | zstd(shapes, then a column for each property of a span)
//!       | span ids and the parents that are not in the trace, 8 bytes each | CRC-32
//! ```

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::shape::Shape;
use crate::time::Hour;
use crate::trace::{Span, SpanId, Trace, TraceId};
use crate::varint;

/// Spans in a row, unless one trace alone has more.
pub const SPANS_IN_ROW: usize = 4_096;
/// The layout, as the first byte of the compressed part.
const LAYOUT: u8 = 1;
/// zstd's fastest regular level: 3 costs twice the time here and saves 4 %.
const LEVEL: i32 = 1;
/// The most that the compressed part of a row may unpack to: far above the 4,096 spans of a full row.
const MAX_BYTES: usize = 256 << 20;

/// The two blobs of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedRow {
    /// Trace ids.
    pub ids: Vec<u8>,
    /// The rest.
    pub data: Vec<u8>,
}

/// A row does not hold what was written to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DamagedRow;

impl fmt::Display for DamagedRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row does not hold what was written to it")
    }
}

impl std::error::Error for DamagedRow {}

/// Splits sorted traces into rows.
pub(crate) fn split(traces: &[Trace]) -> impl Iterator<Item = &[Trace]> {
    let mut rest = traces;
    std::iter::from_fn(move || {
        let mut spans = 0;
        let is_full = |trace: &Trace| {
            let before = spans;
            spans += trace.spans.len();
            before > 0 && spans > SPANS_IN_ROW
        };
        let end = rest.iter().position(is_full).unwrap_or(rest.len());
        let (row, others) = rest.split_at(end);
        rest = others;
        (!row.is_empty()).then_some(row)
    })
}

/// Packs traces that are sorted by their ids.
pub fn pack(traces: &[Trace]) -> PackedRow {
    debug_assert!(traces.is_sorted_by(|one, other| one.id < other.id));
    let mut ids = Vec::with_capacity(16 * traces.len() + 4);
    for trace in traces {
        ids.extend_from_slice(&trace.id);
    }
    seal(&mut ids);

    let mut shapes = ShapeTable::default();
    let mut columns = Columns::default();
    for trace in traces {
        varint::put(&mut columns.counts, trace.spans.len() as u64);
        for span in &trace.spans {
            columns.put(trace, span, shapes.position(&span.shape));
        }
    }
    let mut plain = vec![LAYOUT];
    varint::put(&mut plain, shapes.list.len() as u64);
    for shape in &shapes.list {
        varint::put_bytes(&mut plain, shape.as_bytes());
    }
    for column in [&columns.counts, &columns.shapes, &columns.hours, &columns.durations, &columns.parents] {
        varint::put_bytes(&mut plain, column);
    }
    let packed = compress(&plain);
    let mut data = Vec::with_capacity(packed.len() + columns.ids.len() + 12);
    varint::put_bytes(&mut data, &packed);
    data.extend_from_slice(&columns.ids);
    seal(&mut data);
    PackedRow { ids, data }
}

fn compress(plain: &[u8]) -> Vec<u8> {
    thread_local! {
        /// One for all rows of a thread: making one takes longer than compressing a small row.
        static COMPRESSOR: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
    }
    COMPRESSOR.with_borrow_mut(|compressor| {
        let compressor = compressor
            .get_or_insert_with(|| zstd::bulk::Compressor::new(LEVEL).expect("memory for a compressor"));
        compressor.compress(plain).expect("compressing memory into memory")
    })
}

/// Reads the trace ids of a row.
///
/// # Errors
/// If the ids are not those that were written.
pub fn trace_ids(ids: &[u8]) -> Result<&[TraceId], DamagedRow> {
    let (ids, rest) = unseal(ids)?.as_chunks::<16>();
    if rest.is_empty() { Ok(ids) } else { Err(DamagedRow) }
}

/// Reads a row.
///
/// # Errors
/// If the row is not the one that was written.
pub fn unpack(ids: &[u8], data: &[u8]) -> Result<Vec<Trace>, DamagedRow> {
    read(trace_ids(ids)?, unseal(data)?).ok_or(DamagedRow)
}

fn read(ids: &[TraceId], mut data: &[u8]) -> Option<Vec<Trace>> {
    let packed = varint::take_bytes(&mut data)?;
    let (mut span_ids, rest) = data.as_chunks::<8>();
    let length = zstd::zstd_safe::get_frame_content_size(packed).ok()??;
    let plain = zstd::bulk::decompress(packed, usize::try_from(length).ok()?.min(MAX_BYTES)).ok()?;
    let mut plain = &plain[..];
    if !rest.is_empty() || *plain.split_off_first()? != LAYOUT {
        return None;
    }
    let mut shapes = Vec::new();
    for _ in 0..varint::take(&mut plain)? {
        shapes.push(Arc::new(Shape::from_bytes(varint::take_bytes(&mut plain)?)?));
    }
    let mut column = || varint::take_bytes(&mut plain);
    let (mut counts, mut shape_column) = (column()?, column()?);
    let (mut hours, mut durations, mut parents) = (column()?, column()?, column()?);
    let mut hour = 0;
    let mut traces = Vec::with_capacity(ids.len());
    for id in ids {
        let count = usize::try_from(varint::take(&mut counts)?).ok()?;
        let own: &[SpanId] = span_ids.split_off(..count)?;
        let mut spans = Vec::with_capacity(count);
        for span_id in own {
            let shape = Arc::clone(shapes.get(usize::try_from(varint::take(&mut shape_column)?).ok()?)?);
            hour += varint::take_signed(&mut hours)?;
            let parent = match usize::try_from(varint::take(&mut parents)?).ok()? {
                0 => None,
                1 => Some(*span_ids.split_off_first()?),
                place => Some(*own.get(place - 2)?),
            };
            let duration = varint::take(&mut durations)?;
            spans.push(Span { id: *span_id, parent, hour: Hour(u32::try_from(hour).ok()?), duration, shape });
        }
        traces.push(Trace { id: *id, spans });
    }
    Some(traces)
}

/// Appends a checksum. SQLite has none of its own.
fn seal(bytes: &mut Vec<u8>) {
    let checksum = crc32fast::hash(bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
}

fn unseal(bytes: &[u8]) -> Result<&[u8], DamagedRow> {
    let (content, checksum) = bytes.split_last_chunk::<4>().ok_or(DamagedRow)?;
    if crc32fast::hash(content).to_le_bytes() == *checksum { Ok(content) } else { Err(DamagedRow) }
}

/// Each shape of a row once.
#[derive(Default)]
struct ShapeTable {
    list: Vec<Arc<Shape>>,
    by_content: HashMap<Arc<Shape>, u64>,
    /// The shapes of a request are shared, so most spans are found by the address alone.
    by_address: HashMap<*const Shape, u64, foldhash::fast::RandomState>,
}

impl ShapeTable {
    fn position(&mut self, shape: &Arc<Shape>) -> u64 {
        let Self { list, by_content, by_address } = self;
        *by_address.entry(Arc::as_ptr(shape)).or_insert_with(|| {
            *by_content.entry(Arc::clone(shape)).or_insert_with(|| {
                list.push(Arc::clone(shape));
                list.len() as u64 - 1
            })
        })
    }
}

#[derive(Default)]
struct Columns {
    counts: Vec<u8>,
    shapes: Vec<u8>,
    hours: Vec<u8>,
    durations: Vec<u8>,
    /// 0 for none, 1 for one that is not in the trace, else its place in the trace and 2.
    parents: Vec<u8>,
    /// Of each trace its span ids, then its parents that are not in it.
    ids: Vec<u8>,
    hour: i64,
}

impl Columns {
    fn put(&mut self, trace: &Trace, span: &Span, shape: u64) {
        if span.id == trace.spans[0].id {
            self.ids.extend(trace.spans.iter().flat_map(|span| span.id));
        }
        varint::put(&mut self.shapes, shape);
        let hour = i64::from(span.hour.0);
        varint::put_signed(&mut self.hours, hour - self.hour);
        self.hour = hour;
        varint::put(&mut self.durations, span.duration);
        let parent = match span.parent {
            None => 0,
            Some(parent) => match trace.spans.binary_search_by(|there| there.id.cmp(&parent)) {
                Ok(place) => place as u64 + 2,
                Err(_) => {
                    self.ids.extend_from_slice(&parent);
                    1
                }
            },
        };
        varint::put(&mut self.parents, parent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Value;
    use crate::trace::tests::{run, step};

    fn traces() -> Vec<Trace> {
        let alone =
            Trace::new([1; 16], vec![run(9, 1_000_000_007, &[("frob.command", Value::Text("build"))])]);
        let mut family = vec![run(5, 77, &[]), step(3, 5, "target", &[]), step(8, 3, "target", &[])];
        family[0].parent = Some([0xee; 8]);
        family[1].hour = Hour(499_999);
        vec![alone, Trace::new([2; 16], family), Trace::new([3; 16], vec![step(1, 200, "target", &[])])]
    }

    #[test]
    fn a_row_holds_what_was_packed() {
        let packed = pack(&traces());
        assert_eq!(unpack(&packed.ids, &packed.data).unwrap(), traces());
        assert_eq!(trace_ids(&packed.ids).unwrap(), [[1; 16], [2; 16], [3; 16]]);
        assert_eq!(unpack(&pack(&[]).ids, &pack(&[]).data).unwrap(), []);
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let packed = pack(&traces());
        for place in 0..packed.ids.len() {
            let mut ids = packed.ids.clone();
            ids[place] ^= 0x40;
            assert_eq!(unpack(&ids, &packed.data), Err(DamagedRow));
        }
        for place in 0..packed.data.len() {
            let mut data = packed.data.clone();
            data[place] ^= 0x40;
            assert_eq!(unpack(&packed.ids, &data), Err(DamagedRow));
            assert_eq!(unpack(&packed.ids, &packed.data[..place]), Err(DamagedRow));
        }
    }

    #[test]
    fn rows_are_split_between_traces() {
        let many: Vec<Trace> = (0..10_000_u32)
            .map(|number| {
                let mut id = [1; 16];
                id[..4].copy_from_slice(&number.to_be_bytes());
                Trace::new(id, vec![run(1, 1, &[]), run(2, 1, &[])])
            })
            .collect();
        let rows: Vec<usize> = split(&many).map(<[Trace]>::len).collect();
        assert_eq!(rows, [2_048, 2_048, 2_048, 2_048, 1_808]);
        assert_eq!(split(&[]).count(), 0);
    }
}
