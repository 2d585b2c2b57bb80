//! Series of a slot, side by side in one zstd frame.
//!
//! A bundle holds series until it is about 64 KiB: zstd then finds what neighbours have in common, a row of SQLite has
//! little overhead, and a query for one series still unpacks little. Frame: count of
//! series; for each its id's distance, its length, then its columns: field and kind, where it has values (indices into
//! the slot's times), length, the values.

use std::collections::HashMap;

use super::column::Column;
use super::row::{Cell, Item, Kind, read, unpack};
use super::varint::{Bytes, Damaged, put, unzigzag, zigzag};

/// Bytes of columns after which a bundle is closed.
const BUNDLE_BYTES: usize = 64 << 10;
/// zstd level, measured with `store_bench`: 1 gives 0.358 bytes a sample, 3 gives 0.342, 6 gives 0.333.
const LEVEL: i32 = 3;

/// A bundle, ready for its row.
#[derive(Debug)]
pub(super) struct Bundle {
    pub(super) first_series: u32,
    pub(super) last_series: u32,
    pub(super) body: Vec<u8>,
}

/// Gathers the points of windows, series by series.
#[derive(Debug, Default)]
pub(super) struct Builder {
    times: Vec<i64>,
    /// Time to its index in `times`.
    index: HashMap<i64, u32>,
    /// Series id to its index in `series`.
    known: HashMap<u32, usize>,
    series: Vec<(u32, Vec<Placed>)>,
    samples: usize,
}

/// A column of a series, and the indices of the times at which it has its values.
#[derive(Debug)]
struct Placed {
    field: u32,
    /// Empty as long as the values stand at the first times without a gap: most columns never need it, and writing to
    /// thousands of columns in turn is what rolling waits for.
    places: Vec<u32>,
    column: Column,
}

impl Placed {
    /// The place of the last value.
    fn last(&self) -> Option<u32> {
        self.places.last().copied().or((self.column.values.len() as u32).checked_sub(1))
    }

    fn push(&mut self, at: u32, value: u64) {
        if !self.places.is_empty() || at as usize != self.column.values.len() {
            self.write_out();
            self.places.push(at);
        }
        self.column.values.push(value);
    }

    /// Makes the places explicit.
    fn write_out(&mut self) {
        if self.places.is_empty() {
            self.places = (0..self.column.values.len() as u32).collect();
        }
    }
}

impl Builder {
    pub(super) fn samples(&self) -> usize {
        self.samples
    }

    /// The series that have points, in no order.
    pub(super) fn series(&self) -> impl Iterator<Item = u32> {
        self.series.iter().map(|(id, _)| *id)
    }

    /// Adds a window's row. Where a field of a series has a value at this time already, the new one takes its place.
    pub(super) fn add(&mut self, raw: &[u8], end_ns: i64) -> Result<(), Damaged> {
        let mut last_distance = None;
        // Index of the time, of the series, and of the series and the column that are likely next.
        let (mut at, mut current, mut likely, mut next) = (0_u32, 0_usize, 0_usize, 0_usize);
        read(raw, |item| match item {
            Item::Point(id, distance) => {
                if last_distance != Some(distance) {
                    last_distance = Some(distance);
                    let time = end_ns.wrapping_add(distance);
                    at = *self.index.entry(time).or_insert_with(|| {
                        self.times.push(time);
                        self.times.len() as u32 - 1
                    });
                }
                next = 0;
                // Windows mostly have the same series in the same order.
                current = match self.series.get(likely) {
                    Some((known, _)) if *known == id => likely,
                    _ => *self.known.entry(id).or_insert_with(|| {
                        self.series.push((id, Vec::new()));
                        self.series.len() - 1
                    }),
                };
                likely = current + 1;
            }
            Item::Field(field, cell) => {
                let (kind, value) = match cell {
                    Cell::Int(v) => (Kind::Int, v.cast_unsigned()),
                    Cell::Float(v) => (Kind::Float, v),
                    Cell::Bool(v) => (Kind::Bool, u64::from(v)),
                    Cell::Text(_) => (Kind::Text, 0),
                };
                let columns = &mut self.series[current].1;
                let is = |placed: &Placed| placed.field == field && placed.column.kind == kind;
                let found = match columns.get(next) {
                    Some(placed) if is(placed) => next,
                    _ => columns.iter().position(is).unwrap_or_else(|| {
                        columns.push(Placed { field, places: Vec::new(), column: Column::new(kind) });
                        columns.len() - 1
                    }),
                };
                next = found + 1;
                let placed = &mut columns[found];
                let value = if let Cell::Text(text) = cell { placed.column.text(text) } else { value };
                if placed.last() == Some(at) {
                    // SANITY: it has a last place.
                    *placed.column.values.last_mut().expect("as many values as places") = value;
                } else {
                    placed.push(at, value);
                    self.samples += 1;
                }
            }
        })
    }

    /// The slot's times, ascending and packed, and its bundles.
    pub(super) fn finish(mut self) -> std::io::Result<(Times, Vec<Bundle>)> {
        self.sort();
        self.series.sort_unstable_by_key(|(id, _)| *id);
        let mut bundles = Vec::new();
        let mut open: Option<(u32, u32)> = None;
        let (mut count, mut raw, mut section) = (0_u64, Vec::new(), Vec::new());
        let mut packed = Vec::new();
        let mut zstd = zstd::bulk::Compressor::new(LEVEL)?;
        let mut close = |count: &mut u64, raw: &mut Vec<u8>, range: (u32, u32)| -> std::io::Result<()> {
            let mut frame = Vec::with_capacity(raw.len() + 4);
            put(&mut frame, *count);
            frame.append(raw);
            *count = 0;
            bundles.push(Bundle {
                first_series: range.0,
                last_series: range.1,
                body: zstd.compress(&frame)?,
            });
            Ok(())
        };
        for (id, mut columns) in self.series {
            section.clear();
            put(&mut section, columns.len() as u64);
            let mut last_places: &[u32] = &[];
            for placed in &mut columns {
                placed.write_out();
                let Placed { field, places, column } = placed;
                put(&mut section, u64::from(*field) << 2 | column.kind as u64);
                encode_places(&mut section, places, last_places, self.times.len());
                last_places = places;
                packed.clear();
                column.encode(&mut packed);
                put(&mut section, packed.len() as u64);
                section.extend_from_slice(&packed);
            }
            let (first, last) = open.unwrap_or((id, 0));
            put(&mut raw, u64::from(id - last));
            put(&mut raw, section.len() as u64);
            raw.extend_from_slice(&section);
            count += 1;
            open = Some((first, id));
            if raw.len() >= BUNDLE_BYTES {
                close(&mut count, &mut raw, (first, id))?;
                open = None;
            }
        }
        if let Some(range) = open {
            close(&mut count, &mut raw, range)?;
        }
        Ok((Times(self.times), bundles))
    }

    /// Brings the times, and every column with them, into ascending order. Windows mostly come in order: then there
    /// is nothing to do.
    fn sort(&mut self) {
        if self.times.is_sorted() {
            return;
        }
        let mut order: Vec<u32> = (0..self.times.len() as u32).collect();
        order.sort_by_key(|i| self.times[*i as usize]);
        let mut place = vec![0_u32; order.len()];
        for (new, old) in order.iter().enumerate() {
            place[*old as usize] = new as u32;
        }
        self.times.sort_unstable();
        for placed in self.series.iter_mut().flat_map(|(_, columns)| columns) {
            placed.write_out();
            let Placed { places, column, .. } = placed;
            let mut pairs: Vec<(u32, u64)> = places
                .iter()
                .zip(&column.values)
                .map(|(old, value)| (place[*old as usize], *value))
                .collect();
            // Stable, then the last of equals: what came later counts.
            pairs.sort_by_key(|(at, _)| *at);
            pairs.reverse();
            pairs.dedup_by_key(|(at, _)| *at);
            pairs.reverse();
            (*places, column.values) = pairs.into_iter().unzip();
        }
    }
}

/// Times of a slot, ascending, no two equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Times(pub(super) Vec<i64>);

impl Times {
    pub(super) fn pack(&self) -> std::io::Result<Vec<u8>> {
        let mut raw = Vec::new();
        put(&mut raw, self.0.len() as u64);
        let (mut last, mut last_delta) = (0_i64, 0_i64);
        for &time in &self.0 {
            let delta = time.wrapping_sub(last);
            put(&mut raw, zigzag(delta.wrapping_sub(last_delta)));
            (last, last_delta) = (time, delta);
        }
        zstd::bulk::compress(&raw, LEVEL)
    }

    pub(super) fn unpack(packed: &[u8]) -> Result<Self, Damaged> {
        let raw = unpack(packed)?;
        let mut bytes = Bytes(&raw);
        let (mut last, mut last_delta) = (0_i64, 0_i64);
        let mut times = Vec::new();
        for _ in 0..bytes.varint()? {
            last_delta = last_delta.wrapping_add(unzigzag(bytes.varint()?));
            last = last.wrapping_add(last_delta);
            times.push(last);
        }
        Ok(Self(times))
    }
}

const ALL_PLACES: u8 = 0;
const SAME_PLACES: u8 = 1;
const SOME_PLACES: u8 = 2;

/// Where a column has values: everywhere, where the column before has them, or gap and length of each run.
fn encode_places(out: &mut Vec<u8>, places: &[u32], last: &[u32], times: usize) {
    if places.len() == times {
        out.push(ALL_PLACES);
    } else if places == last {
        out.push(SAME_PLACES);
    } else {
        out.push(SOME_PLACES);
        let runs = places.chunk_by(|a, b| a + 1 == *b);
        put(out, runs.clone().count() as u64);
        let mut next = 0;
        for run in runs {
            put(out, u64::from(run[0] - next));
            put(out, run.len() as u64 - 1);
            next = run[0] + run.len() as u32;
        }
    }
}

fn decode_places(bytes: &mut Bytes<'_>, last: &mut Vec<u32>, times: usize) -> Result<(), Damaged> {
    match bytes.byte()? {
        ALL_PLACES => *last = (0..times as u32).collect(),
        SAME_PLACES => {}
        SOME_PLACES => {
            last.clear();
            let mut next = 0_u32;
            for _ in 0..bytes.varint()? {
                let first = next.checked_add(bytes.index()?).ok_or(Damaged("place"))?;
                let end = first
                    .checked_add(bytes.index()?)
                    .and_then(|n| n.checked_add(1))
                    .ok_or(Damaged("place"))?;
                if end as usize > times {
                    return Err(Damaged("place"));
                }
                last.extend(first..end);
                next = end;
            }
        }
        _ => return Err(Damaged("places")),
    }
    Ok(())
}

/// Reads one field of the wanted series out of a bundle. Each is called with series, time and value, per series
/// ascending in time, except where a field changed its type: then once for each type.
pub(super) fn read_bundle(
    body: &[u8],
    times: &Times,
    field: u32,
    wanted: impl Fn(u32) -> bool,
    mut each: impl FnMut(u32, i64, Cell<'_>),
) -> Result<(), Damaged> {
    let raw = unpack(body)?;
    let mut bytes = Bytes(&raw);
    let mut id = 0_u32;
    for _ in 0..bytes.varint()? {
        id = id.checked_add(bytes.index()?).ok_or(Damaged("series"))?;
        let len = bytes.index()? as usize;
        let mut section = Bytes(bytes.take(len)?);
        if !wanted(id) {
            continue;
        }
        let mut places = Vec::new();
        for _ in 0..section.varint()? {
            let head = section.varint()?;
            decode_places(&mut section, &mut places, times.0.len())?;
            let len = section.index()? as usize;
            let mut packed = Bytes(section.take(len)?);
            if head >> 2 != u64::from(field) {
                continue;
            }
            let column = Column::decode(Kind::from_bits(head as u8), places.len(), &mut packed)?;
            for (place, value) in places.iter().zip(&column.values) {
                let cell = match column.kind {
                    Kind::Int => Cell::Int(value.cast_signed()),
                    Kind::Float => Cell::Float(*value),
                    Kind::Bool => Cell::Bool(*value != 0),
                    Kind::Text => Cell::Text(&column.texts[*value as usize]),
                };
                each(id, times.0[*place as usize], cell);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::row::RowWriter;
    use super::*;

    #[test]
    fn points_in_any_order_with_gaps_come_back_sorted() {
        let mut builder = Builder::default();
        let mut expected: BTreeMap<(u32, u32), BTreeMap<i64, i64>> = BTreeMap::new();
        let mut state = 11_u64;
        for _ in 0..500 {
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                state >> 33
            };
            let end = (next() % 300) as i64 * 1_000_000_007;
            let mut row = RowWriter::default();
            for _ in 0..next() % 4 {
                let (series, distance, fields) =
                    ((next() % 40) as u32 * 7, -((next() % 3) as i64), next() % 3);
                row.point(series, distance, fields as usize);
                for field in 0..fields as u32 {
                    let value = next() as i64;
                    row.field(field, Cell::Int(value));
                    expected.entry((series, field)).or_default().insert(end + distance, value);
                }
            }
            let packed = row.finish().expect("zstd").to_vec();
            builder.add(&unpack(&packed).expect("frame"), end).expect("row");
        }
        let (times, bundles) = builder.finish().expect("zstd");
        let times = Times::unpack(&times.pack().expect("zstd")).expect("times");
        for field in 0..2 {
            let mut got: BTreeMap<(u32, u32), BTreeMap<i64, i64>> = BTreeMap::new();
            for bundle in &bundles {
                read_bundle(
                    &bundle.body,
                    &times,
                    field,
                    |_| true,
                    |series, time, cell| {
                        let Cell::Int(value) = cell else { panic!("an integer") };
                        let old = got.entry((series, field)).or_default().insert(time, value);
                        assert_eq!(old, None, "each time once");
                        assert!((bundle.first_series..=bundle.last_series).contains(&series));
                    },
                )
                .expect("our bundle");
            }
            let wanted: BTreeMap<_, _> =
                expected.iter().filter(|((_, f), _)| *f == field).map(|(k, v)| (*k, v.clone())).collect();
            assert_eq!(got, wanted);
        }
    }
}
