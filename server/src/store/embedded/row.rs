//! A window at the head of the store: one row, its points as compact bytes.
//!
//! Each point: series id, distance of its time from the window's end, count of fields, then the fields as
//! (id × 4 + kind) and value. All numbers are varints, floats eight bytes. The whole is one zstd frame.

use std::cell::RefCell;

use super::varint::{Bytes, Damaged, put, zigzag};

/// zstd level of the head: these rows live ten minutes, so time counts, not size.
const LEVEL: i32 = 1;
/// Largest row when decompressed: far above [`crate::ingest`]'s bound on a payload; what claims more is damaged.
pub(crate) const MAX_ROW_BYTES: usize = 256 << 20;

/// Type of a value; its number is in the stored bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Kind {
    Int = 0,
    Float = 1,
    Bool = 2,
    Text = 3,
}

impl Kind {
    pub(crate) fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::Int,
            1 => Self::Float,
            2 => Self::Bool,
            _ => Self::Text,
        }
    }
}

/// A value on its way through the store. Floats are bits, so that equality is exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cell<'a> {
    Int(i64),
    Float(u64),
    Bool(bool),
    Text(&'a str),
}

/// Writes rows; keeps its buffers.
#[derive(Default)]
pub(crate) struct RowWriter {
    raw: Vec<u8>,
    packed: Vec<u8>,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl RowWriter {
    pub(crate) fn clear(&mut self) {
        self.raw.clear();
    }

    pub(crate) fn point(&mut self, series: u32, time_from_end: i64, fields: usize) {
        put(&mut self.raw, u64::from(series));
        put(&mut self.raw, zigzag(time_from_end));
        put(&mut self.raw, fields as u64);
    }

    pub(crate) fn field(&mut self, field: u32, cell: Cell<'_>) {
        let out = &mut self.raw;
        let id = u64::from(field) << 2;
        match cell {
            Cell::Int(v) => {
                put(out, id | Kind::Int as u64);
                put(out, zigzag(v));
            }
            Cell::Float(bits) => {
                put(out, id | Kind::Float as u64);
                out.extend_from_slice(&bits.to_le_bytes());
            }
            Cell::Bool(v) => {
                put(out, id | Kind::Bool as u64);
                out.push(u8::from(v));
            }
            Cell::Text(v) => {
                put(out, id | Kind::Text as u64);
                put(out, v.len() as u64);
                out.extend_from_slice(v.as_bytes());
            }
        }
    }

    /// The compressed row.
    pub(crate) fn finish(&mut self) -> std::io::Result<&[u8]> {
        let zstd = match &mut self.zstd {
            Some(zstd) => zstd,
            none => none.insert(zstd::bulk::Compressor::new(LEVEL)?),
        };
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(self.raw.len()));
        zstd.compress_to_buffer(&self.raw, &mut self.packed)?;
        Ok(&self.packed)
    }
}

impl std::fmt::Debug for RowWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowWriter").field("bytes", &self.raw.len()).finish_non_exhaustive()
    }
}

/// Decompresses a row or a bundle; the frame says how large it is.
pub(crate) fn unpack(packed: &[u8]) -> Result<Vec<u8>, Damaged> {
    let size = zstd::zstd_safe::get_frame_content_size(packed).ok().flatten().unwrap_or(u64::MAX);
    if size > MAX_ROW_BYTES as u64 {
        return Err(Damaged("frame too large"));
    }
    // Its context is as large as the row takes to unpack: rolling unpacks 600 in a row.
    thread_local!(static ZSTD: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) });
    ZSTD.with_borrow_mut(|zstd| {
        let zstd = match zstd {
            Some(zstd) => zstd,
            none => none.insert(zstd::bulk::Decompressor::new().map_err(|_| Damaged("no memory for zstd"))?),
        };
        zstd.decompress(packed, size as usize).map_err(|_| Damaged("zstd"))
    })
}

/// What a row is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    /// A point begins: its series, and its time as distance from the window's end.
    Point(u32, i64),
    /// A field of that point: its id and value.
    Field(u32, Cell<'a>),
}

/// Reads a decompressed row in its order.
pub(crate) fn read<'a>(raw: &'a [u8], mut each: impl FnMut(Item<'a>)) -> Result<(), Damaged> {
    let mut bytes = Bytes(raw);
    while !bytes.is_empty() {
        let series = bytes.index()?;
        each(Item::Point(series, bytes.signed()?));
        for _ in 0..bytes.varint()? {
            let id = bytes.varint()?;
            let cell = match Kind::from_bits(id as u8) {
                Kind::Int => Cell::Int(bytes.signed()?),
                Kind::Float => {
                    let mut bits = [0; 8];
                    bits.copy_from_slice(bytes.take(8)?);
                    Cell::Float(u64::from_le_bytes(bits))
                }
                Kind::Bool => Cell::Bool(bytes.byte()? != 0),
                Kind::Text => Cell::Text(bytes.text()?),
            };
            each(Item::Field(u32::try_from(id >> 2).map_err(|_| Damaged("field id"))?, cell));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_comes_back_and_damage_is_an_error() {
        let mut writer = RowWriter::default();
        let cells = [
            Cell::Int(i64::MIN),
            Cell::Float(f64::NAN.to_bits()),
            Cell::Bool(true),
            Cell::Text("ü"),
            Cell::Text(""),
        ];
        writer.point(7, -3, cells.len());
        for (field, cell) in cells.into_iter().enumerate() {
            writer.field(field as u32, cell);
        }
        writer.point(8, 0, 0);
        let packed = writer.finish().expect("zstd").to_vec();
        let raw = unpack(&packed).expect("our frame");
        let mut items = Vec::new();
        read(&raw, |item| items.push(item)).expect("our bytes");
        let mut expected = vec![Item::Point(7, -3)];
        expected.extend(cells.into_iter().enumerate().map(|(i, cell)| Item::Field(i as u32, cell)));
        expected.push(Item::Point(8, 0));
        assert_eq!(items, expected);

        for len in 0..packed.len() {
            assert!(unpack(&packed[..len]).is_err());
        }
        // Cutting at a point's end is not seen here: the frame's own checks are for that.
        for len in 1..raw.len() - 3 {
            assert!(read(&raw[..len], |_| ()).is_err(), "{len}");
        }
    }
}
