//! A window at the head of the store: one row, its points as compact bytes.
//!
//! What the window looks like comes first, then its values: windows mostly look like the one before, so rolling compares that
//! part and reads the values alone ([`Frame`]). The look: the lists of fields (id × 4 + kind) that its points have; then of each
//! point the number of its list, the distance of its series from that of the point before, and the distance of its time from the
//! window's end, less that of the point before. Integers are varints, floats eight bytes. The whole is one zstd frame after a byte
//! that says so.

mod older;

use std::cell::RefCell;

use super::varint::{Bytes, Damaged, put, unzigzag, zigzag};

/// zstd level of the head: these rows live a minute, so time counts, not size.
const LEVEL: i32 = 1;
/// First byte of a row; rows of older versions begin with zstd's own number.
const FORM: u8 = 1;
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
    /// Lists of fields, and the end of each in it.
    fields: Vec<u32>,
    lists: Vec<usize>,
    /// Number of the list that the point before had.
    likely: usize,
    /// The fields of the point under way.
    open: Vec<u32>,
    /// Where its values begin.
    begin: usize,
    points: Vec<u8>,
    count: u64,
    values: Vec<u8>,
    last: (i64, i64),
    raw: Vec<u8>,
    packed: Vec<u8>,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl RowWriter {
    pub(crate) fn clear(&mut self) {
        self.fields.clear();
        self.lists.clear();
        (self.likely, self.count, self.last) = (0, 0, (0, 0));
        self.points.clear();
        self.values.clear();
        self.begin();
    }

    /// A point begins; one that was not ended was never there.
    pub(crate) fn begin(&mut self) {
        self.open.clear();
        self.begin = self.values.len();
    }

    pub(crate) fn abandon(&mut self) {
        self.values.truncate(self.begin);
        self.open.clear();
    }

    pub(crate) fn field(&mut self, field: u32, cell: Cell<'_>) {
        let out = &mut self.values;
        let kind = match cell {
            Cell::Int(v) => {
                put(out, zigzag(v));
                Kind::Int
            }
            Cell::Float(bits) => {
                out.extend_from_slice(&bits.to_le_bytes());
                Kind::Float
            }
            Cell::Bool(v) => {
                out.push(u8::from(v));
                Kind::Bool
            }
            Cell::Text(v) => {
                put(out, v.len() as u64);
                out.extend_from_slice(v.as_bytes());
                Kind::Text
            }
        };
        self.open.push(field << 2 | kind as u32);
    }

    /// The point that was begun, of this series.
    pub(crate) fn end(&mut self, series: u32, time_from_end: i64) {
        let list = self.list();
        let series = i64::from(series);
        put(&mut self.points, list as u64);
        put(&mut self.points, zigzag(series - self.last.0));
        put(&mut self.points, zigzag(time_from_end.wrapping_sub(self.last.1)));
        (self.last, self.likely) = ((series, time_from_end), list);
        self.count += 1;
        self.begin();
    }

    /// The number of the list of its fields.
    fn list(&mut self) -> usize {
        let of = |number: usize| {
            let begin = number.checked_sub(1).map_or(0, |before| self.lists[before]);
            &self.fields[begin..self.lists[number]]
        };
        let is = |number: &usize| *number < self.lists.len() && of(*number) == &*self.open;
        if let Some(known) = std::iter::once(self.likely).chain(0..self.lists.len()).find(is) {
            return known;
        }
        self.fields.extend_from_slice(&self.open);
        self.lists.push(self.fields.len());
        self.lists.len() - 1
    }

    /// The compressed row.
    pub(crate) fn finish(&mut self) -> std::io::Result<&[u8]> {
        self.write_raw();
        let zstd = match &mut self.zstd {
            Some(zstd) => zstd,
            none => none.insert(zstd::bulk::Compressor::new(LEVEL)?),
        };
        self.packed.clear();
        self.packed.resize(1 + zstd::zstd_safe::compress_bound(self.raw.len()), FORM);
        let len = zstd.compress_to_buffer(&self.raw, &mut self.packed[1..])?;
        self.packed.truncate(1 + len);
        Ok(&self.packed)
    }

    fn write_raw(&mut self) {
        let mut look = std::mem::take(&mut self.raw);
        look.clear();
        put(&mut look, self.lists.len() as u64);
        let mut begin = 0;
        for end in &self.lists {
            put(&mut look, (end - begin) as u64);
            self.fields[begin..*end].iter().for_each(|field| put(&mut look, u64::from(*field)));
            begin = *end;
        }
        put(&mut look, self.count);
        look.extend_from_slice(&self.points);
        look.extend_from_slice(&self.values);
        // At the end, where it needs no room kept free.
        let values = self.values.len() as u64;
        look.extend_from_slice(&values.to_le_bytes());
        self.raw = look;
    }
}

impl std::fmt::Debug for RowWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowWriter").field("bytes", &self.values.len()).finish_non_exhaustive()
    }
}

/// Decompresses what zstd made; the frame says how large it is.
pub(crate) fn unpack(packed: &[u8]) -> Result<Vec<u8>, Damaged> {
    let size = zstd::zstd_safe::get_frame_content_size(packed).ok().flatten().unwrap_or(u64::MAX);
    if size > MAX_ROW_BYTES as u64 {
        return Err(Damaged("frame too large"));
    }
    // Its context is as large as a row takes to unpack: rolling unpacks sixty, one after the other.
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

/// A decompressed row.
#[derive(Debug)]
pub(crate) struct Row {
    raw: Vec<u8>,
    /// Where the values begin and end.
    values: (usize, usize),
}

impl Row {
    /// Of a version of the store, whichever.
    pub(crate) fn unpack(packed: &[u8]) -> Result<Self, Damaged> {
        match packed.split_first() {
            Some((&FORM, frame)) => Self::of(unpack(frame)?),
            _ => older::row(&unpack(packed)?),
        }
    }

    fn of(raw: Vec<u8>) -> Result<Self, Damaged> {
        let end = raw.len().checked_sub(8).ok_or(Damaged("too short"))?;
        let (_, len) = raw.split_at(end);
        let len = len.try_into().map_or(u64::MAX, u64::from_le_bytes);
        let begin =
            usize::try_from(len).ok().and_then(|len| end.checked_sub(len)).ok_or(Damaged("length"))?;
        Ok(Self { raw, values: (begin, end) })
    }

    /// Memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.raw.len()
    }

    /// What the window looks like: the same bytes, the same [`Frame`].
    pub(crate) fn look(&self) -> &[u8] {
        &self.raw[..self.values.0]
    }

    pub(crate) fn values(&self) -> Bytes<'_> {
        Bytes(&self.raw[self.values.0..self.values.1])
    }

    /// Calls with all of it, in its order.
    pub(crate) fn read<'a>(&'a self, mut each: impl FnMut(Item<'a>)) -> Result<(), Damaged> {
        let frame = Frame::read(self.look())?;
        let mut values = self.values();
        for point in &frame.points {
            each(Item::Point(point.series, point.distance));
            for field in &frame.fields[point.fields.0..point.fields.1] {
                each(Item::Field(field >> 2, cell(Kind::from_bits(*field as u8), &mut values)?));
            }
        }
        if values.is_empty() { Ok(()) } else { Err(Damaged("values left over")) }
    }
}

/// Reads a value.
pub(crate) fn cell<'a>(kind: Kind, bytes: &mut Bytes<'a>) -> Result<Cell<'a>, Damaged> {
    Ok(match kind {
        Kind::Int => Cell::Int(bytes.signed()?),
        Kind::Float => {
            let mut bits = [0; 8];
            bits.copy_from_slice(bytes.take(8)?);
            Cell::Float(u64::from_le_bytes(bits))
        }
        Kind::Bool => Cell::Bool(bytes.byte()? != 0),
        Kind::Text => Cell::Text(bytes.text()?),
    })
}

/// What a window looks like: its points without their values.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    /// Lists of fields: id × 4 + kind.
    pub(crate) fields: Vec<u32>,
    pub(crate) points: Vec<FramePoint>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct FramePoint {
    pub(crate) series: u32,
    /// Of its time from the window's end, ns.
    pub(crate) distance: i64,
    /// Begin and end of its list of fields.
    pub(crate) fields: (usize, usize),
}

impl Frame {
    pub(crate) fn read(look: &[u8]) -> Result<Self, Damaged> {
        let mut bytes = Bytes(look);
        let mut frame = Self::default();
        let mut lists = Vec::new();
        for _ in 0..bytes.index()? {
            let begin = frame.fields.len();
            for _ in 0..bytes.index()? {
                frame.fields.push(bytes.index()?);
            }
            lists.push((begin, frame.fields.len()));
        }
        let (mut series, mut distance) = (0_i64, 0_i64);
        for _ in 0..bytes.index()? {
            let list = bytes.index()? as usize;
            series = series.wrapping_add(unzigzag(bytes.varint()?));
            distance = distance.wrapping_add(unzigzag(bytes.varint()?));
            frame.points.push(FramePoint {
                series: u32::try_from(series).map_err(|_| Damaged("series"))?,
                distance,
                fields: *lists.get(list).ok_or(Damaged("list of fields"))?,
            });
        }
        if bytes.is_empty() { Ok(frame) } else { Err(Damaged("look")) }
    }
}

#[cfg(test)]
pub(super) use older::tests::older;

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
        let mut expected = Vec::new();
        for (series, distance, len) in
            [(7, -3, 5), (8, 0, 0), (3, -3, 5), (u32::MAX, i64::MIN, 2), (0, i64::MAX, 5)]
        {
            writer.begin();
            writer.field(1, Cell::Text("was never there"));
            writer.abandon();
            writer.begin();
            expected.push(Item::Point(series, distance));
            for (field, cell) in cells.into_iter().enumerate().take(len) {
                writer.field(field as u32, cell);
                expected.push(Item::Field(field as u32, cell));
            }
            writer.end(series, distance);
        }
        let packed = writer.finish().expect("zstd").to_vec();
        let row = Row::unpack(&packed).expect("our frame");
        let mut items = Vec::new();
        row.read(|item| items.push(item)).expect("our bytes");
        assert_eq!(items, expected);

        for len in 0..packed.len() {
            assert!(Row::unpack(&packed[..len]).is_err());
        }
        for len in 0..row.raw.len() {
            // Whatever is cut off or changed is an error or other values, never a panic.
            if let Ok(row) = Row::of(row.raw[..len].to_vec()) {
                let _ = row.read(|_| ());
            }
            let mut bad = row.raw.clone();
            bad[len] ^= 0x41;
            if let Ok(row) = Row::of(bad) {
                let _ = row.read(|_| ());
            }
        }
        writer.clear();
        let empty = Row::unpack(writer.finish().expect("zstd")).expect("our frame");
        empty.read(|_| panic!("nothing is in it")).expect("our bytes");
    }
}
