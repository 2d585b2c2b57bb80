//! The columns of a slot, side by side in zstd frames.
//!
//! A column is one field of one series. Columns lie in the order of (field, series): a query asks for one field of many
//! series, and finds them in few chunks. A chunk holds columns until it is about 64 KiB: zstd then finds what neighbours have
//! in common, a row of SQLite has little overhead, and a query for one series still unpacks little. Of each column a chunk
//! has the distance of its field and series, kind, places, length, values. The [`Layout`] of the slot says which chunk a
//! column is in.

use super::column::Column;
use super::row::{Cell, Kind, unpack};
use super::times::{LEVEL, Times, expand, put_runs, put_times, skip_runs, take_times};
use super::varint::{Bytes, Damaged, put};

/// Bytes of columns after which a chunk is closed.
const CHUNK_BYTES: usize = 64 << 10;
/// Bit in the byte of a column's kind: its places follow; otherwise they are those of its series.
const OWN_PLACES: u8 = 4;
/// Bits above it: what the values are.
const AGGREGATE_SHIFT: u32 = 3;

/// What the values of a column are. All but the first are in slots of steps alone (`summary.rs`), and there where they do not
/// follow from the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Aggregate {
    /// The value; over a step, its sum or the last.
    #[default]
    Value = 0,
    /// How much less than the last the least is; of floats, the least.
    Least = 1,
    /// How much more than the last the greatest is; of floats, the greatest.
    Greatest = 2,
    /// Sum of the distances from the last.
    Excess = 3,
    /// How many windows of the step have no value.
    Missing = 4,
}

impl Aggregate {
    fn from_bits(head: u8) -> Result<Self, Damaged> {
        [Self::Value, Self::Least, Self::Greatest, Self::Excess, Self::Missing]
            .get(usize::from(head >> AGGREGATE_SHIFT))
            .copied()
            .ok_or(Damaged("aggregate"))
    }
}

/// Where a column is: field, then series.
pub(super) type Key = (u32, u32);

/// A column as it lies in a chunk or bundle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packed<'a> {
    /// Its field and series.
    pub(super) key: Key,
    pub(super) aggregate: Aggregate,
    /// Type of its values.
    pub(super) kind: Kind,
    /// Where it has values (`times.rs`); `None`: at all times of the slot.
    pub(super) runs: Option<&'a [u8]>,
    /// Its values, encoded.
    pub(super) values: &'a [u8],
}

impl Packed<'_> {
    /// The places of the values among the slot's times, and the values.
    pub(super) fn decode(&self, times: usize) -> Result<(Vec<u32>, Column), Damaged> {
        let mut places = Vec::new();
        expand(self.runs, times, &mut places)?;
        let column = Column::decode(self.kind, places.len(), &mut Bytes(self.values))?;
        Ok((places, column))
    }

    /// Calls with time and value, ascending in time.
    pub(super) fn each(&self, times: &Times, mut each: impl FnMut(i64, Cell<'_>)) -> Result<(), Damaged> {
        let (places, column) = self.decode(times.0.len())?;
        for (place, value) in places.iter().zip(&column.values) {
            each(times.0[*place as usize], column.cell(*value));
        }
        Ok(())
    }
}

/// What is where in a slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// The first column of each chunk.
    chunks: Vec<Key>,
    /// Ends of the slot's windows, ascending, where they are not its times.
    ends: Option<Vec<i64>>,
    /// How many windows each of its times stands for, where it has steps.
    counts: Option<Vec<u64>>,
    /// Its series in order, and where in `runs` their places are; of no length: at all times.
    series: Vec<(u32, u32, u32)>,
    runs: Vec<u8>,
}

impl Layout {
    pub(super) fn new(ends: Option<Vec<i64>>, counts: Option<Vec<u64>>) -> Self {
        Self { ends, counts, ..Self::default() }
    }

    /// Adds a series, in order of ids; `None`: it is at all times.
    pub(super) fn add_series(&mut self, id: u32, places: Option<&[u32]>) {
        let begin = self.runs.len();
        if let Some(places) = places {
            put_runs(&mut self.runs, places);
        }
        self.series.push((id, begin as u32, (self.runs.len() - begin) as u32));
    }

    pub(super) fn pack(&self) -> std::io::Result<Vec<u8>> {
        let mut raw = Vec::new();
        put(&mut raw, self.chunks.len() as u64);
        let mut last = 0;
        for (field, series) in &self.chunks {
            put(&mut raw, u64::from(field - last));
            put(&mut raw, u64::from(*series));
            last = *field;
        }
        raw.push(u8::from(self.ends.is_some()) | u8::from(self.counts.is_some()) << 1);
        if let Some(ends) = &self.ends {
            put_times(&mut raw, ends);
        }
        if let Some(counts) = &self.counts {
            put(&mut raw, counts.len() as u64);
            for count in counts {
                put(&mut raw, *count);
            }
        }
        put(&mut raw, self.series.len() as u64);
        let mut last = 0;
        for (id, begin, len) in &self.series {
            put(&mut raw, u64::from(id - last));
            put(&mut raw, u64::from(*len));
            raw.extend_from_slice(&self.runs[*begin as usize..(begin + len) as usize]);
            last = *id;
        }
        zstd::bulk::compress(&raw, LEVEL)
    }

    pub(super) fn unpack(packed: &[u8]) -> Result<Self, Damaged> {
        let raw = unpack(packed)?;
        let mut bytes = Bytes(&raw);
        let mut layout = Self::default();
        let mut last = 0_u32;
        for _ in 0..bytes.index()? {
            last = last.checked_add(bytes.index()?).ok_or(Damaged("field"))?;
            layout.chunks.push((last, bytes.index()?));
        }
        let parts = bytes.byte()?;
        if parts & 1 != 0 {
            layout.ends = Some(take_times(&mut bytes)?);
        }
        if parts & 2 != 0 {
            let count = bytes.index()?;
            layout.counts = Some((0..count).map(|_| bytes.varint()).collect::<Result<_, _>>()?);
        }
        let mut last = 0_u32;
        for _ in 0..bytes.index()? {
            last = last.checked_add(bytes.index()?).ok_or(Damaged("series"))?;
            let begin = layout.runs.len();
            let len = bytes.index()?;
            layout.runs.extend_from_slice(bytes.take(len as usize)?);
            layout.series.push((last, begin as u32, len));
        }
        Ok(layout)
    }

    /// Ends of the slot's windows.
    pub(super) fn ends<'a>(&'a self, times: &'a Times) -> &'a [i64] {
        self.ends.as_deref().unwrap_or(&times.0)
    }

    /// How many windows a time stands for, by its place.
    pub(super) fn count(&self, place: u32) -> i64 {
        let count = self.counts.as_ref().and_then(|counts| counts.get(place as usize));
        count.map_or(1, |count| count.cast_signed())
    }

    /// The series that the slot has, in order.
    pub(super) fn series(&self) -> impl Iterator<Item = u32> {
        self.series.iter().map(|(id, ..)| *id)
    }

    /// Where a series has values.
    fn runs_of(&self, id: u32) -> Result<Option<&[u8]>, Damaged> {
        let at = self.series.binary_search_by_key(&id, |(id, ..)| *id).map_err(|_| Damaged("series"))?;
        let (_, begin, len) = self.series[at];
        Ok((len > 0).then(|| &self.runs[begin as usize..(begin + len) as usize]))
    }

    /// Numbers of the chunks that can hold columns between two keys, both included.
    pub(super) fn between(&self, first: Key, last: Key) -> std::ops::Range<usize> {
        // The chunk that begins before `first` may hold it; one that begins with it may have its other type before.
        let begin = self.chunks.partition_point(|key| *key < first).saturating_sub(1);
        begin..self.chunks.partition_point(|key| *key <= last)
    }

    /// Calls with the columns of one of its chunks.
    pub(super) fn columns(
        &self,
        body: &[u8],
        mut each: impl FnMut(Packed<'_>) -> Result<(), Damaged>,
        wanted: impl Fn(Key) -> bool,
    ) -> Result<(), Damaged> {
        let raw = unpack(body)?;
        let mut bytes = Bytes(&raw);
        let (mut field, mut series) = (0_u32, 0_u32);
        while !bytes.is_empty() {
            let distance = bytes.index()?;
            field = field.checked_add(distance).ok_or(Damaged("field"))?;
            let base = if distance == 0 { series } else { 0 };
            series = base.checked_add(bytes.index()?).ok_or(Damaged("series"))?;
            let head = bytes.byte()?;
            let own = if head & OWN_PLACES != 0 { Some(skip_runs(&mut bytes)?) } else { None };
            let len = bytes.index()? as usize;
            let values = bytes.take(len)?;
            if wanted((field, series)) {
                let runs = if own.is_some() { own } else { self.runs_of(series)? };
                let (aggregate, kind) = (Aggregate::from_bits(head)?, Kind::from_bits(head));
                each(Packed { key: (field, series), aggregate, kind, runs, values })?;
            }
        }
        Ok(())
    }
}

/// Writes chunks, given their columns in order.
pub(super) struct ChunkWriter {
    level: i32,
    raw: Vec<u8>,
    values: Vec<u8>,
    last: Key,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    done: Vec<Vec<u8>>,
}

impl ChunkWriter {
    /// At a level of zstd.
    pub(super) fn new(level: i32) -> Self {
        Self { level, raw: Vec::new(), values: Vec::new(), last: (0, 0), zstd: None, done: Vec::new() }
    }

    /// Adds a column; its places, where they are not those of its series.
    pub(super) fn add(
        &mut self,
        layout: &mut Layout,
        key: Key,
        aggregate: Aggregate,
        places: Option<&[u32]>,
        column: &Column,
    ) -> std::io::Result<()> {
        if self.raw.is_empty() {
            layout.chunks.push(key);
            self.last = (0, 0);
        }
        let base = if key.0 == self.last.0 { self.last.1 } else { 0 };
        put(&mut self.raw, u64::from(key.0 - self.last.0));
        put(&mut self.raw, u64::from(key.1 - base));
        self.last = key;
        let head = column.kind as u8 | (aggregate as u8) << AGGREGATE_SHIFT;
        match places {
            None => self.raw.push(head),
            Some(places) => {
                self.raw.push(head | OWN_PLACES);
                put_runs(&mut self.raw, places);
            }
        }
        self.values.clear();
        column.encode(&mut self.values);
        put(&mut self.raw, self.values.len() as u64);
        self.raw.extend_from_slice(&self.values);
        if self.raw.len() >= CHUNK_BYTES { self.close() } else { Ok(()) }
    }

    fn close(&mut self) -> std::io::Result<()> {
        let zstd = match &mut self.zstd {
            Some(zstd) => zstd,
            none => none.insert(zstd::bulk::Compressor::new(self.level)?),
        };
        self.done.push(zstd.compress(&self.raw)?);
        self.raw.clear();
        Ok(())
    }

    pub(super) fn finish(mut self) -> std::io::Result<Vec<Vec<u8>>> {
        if !self.raw.is_empty() {
            self.close()?;
        }
        Ok(self.done)
    }
}
