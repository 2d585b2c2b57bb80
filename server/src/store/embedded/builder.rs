//! Gathers what becomes a slot, column by column: windows, and slots that were rolled before.

use std::collections::HashMap;

use super::chunk::{ChunkWriter, Layout, Packed};
use super::column::Column;
use super::row::{Cell, Item, Kind, read};
use super::times::Times;
use super::varint::Damaged;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Builder {
    times: Vec<i64>,
    /// Time to its index in `times`.
    index: HashMap<i64, u32>,
    /// Ends of the windows.
    ends: Vec<i64>,
    /// Series id to its index in `series`.
    known: HashMap<u32, usize>,
    series: Vec<(u32, Vec<Placed>)>,
    samples: usize,
}

/// A column of a series, and the indices of the times at which it has its values.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) field: u32,
    /// Empty as long as the values stand at the first times without a gap: most columns never need it, and writing to
    /// thousands of columns in turn is what rolling waits for.
    places: Vec<u32>,
    pub(super) column: Column,
}

/// A slot that is ready for its rows.
pub(super) struct Rolled {
    pub(super) times: Times,
    pub(super) layout: Layout,
    pub(super) chunks: Vec<Vec<u8>>,
    pub(super) samples: usize,
}

impl Placed {
    fn new(field: u32, kind: Kind) -> Self {
        Self { field, places: Vec::new(), column: Column::new(kind) }
    }

    /// The place of the last value.
    fn last(&self) -> Option<u32> {
        self.places.last().copied().or((self.column.values.len() as u32).checked_sub(1))
    }

    /// Puts a value at a place, over the one that was put there just before; says whether there was none.
    fn push(&mut self, at: u32, value: u64) -> bool {
        if self.last() == Some(at) {
            // SANITY: it has a last place.
            *self.column.values.last_mut().expect("as many values as places") = value;
            return false;
        }
        if !self.places.is_empty() || at as usize != self.column.values.len() {
            self.write_out();
            self.places.push(at);
        }
        self.column.values.push(value);
        true
    }

    /// Makes the places explicit.
    fn write_out(&mut self) {
        if self.places.is_empty() {
            self.places = (0..self.column.values.len() as u32).collect();
        }
    }

    /// Brings the values into the order of their places, and of two at one place keeps the later; returns how many went.
    fn order(&mut self) -> usize {
        if self.places.is_sorted_by(|a, b| a < b) {
            return 0;
        }
        let mut pairs: Vec<(u32, u64)> =
            self.places.iter().copied().zip(self.column.values.iter().copied()).collect();
        // Stable, then the last of equals.
        pairs.sort_by_key(|(at, _)| *at);
        pairs.reverse();
        pairs.dedup_by_key(|(at, _)| *at);
        pairs.reverse();
        let gone = self.places.len() - pairs.len();
        (self.places, self.column.values) = pairs.into_iter().unzip();
        gone
    }

    /// Each place and value.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, u64)> {
        let dense = if self.places.is_empty() { self.column.values.len() as u32 } else { 0 };
        self.places.iter().copied().chain(0..dense).zip(self.column.values.iter().copied())
    }

    /// Whether it has values at the same times.
    fn beside(&self, other: &Self) -> bool {
        self.places == other.places && self.column.values.len() == other.column.values.len()
    }

    fn is_everywhere(&self, times: usize) -> bool {
        self.column.values.len() == times
    }

    fn explicit(&self) -> std::borrow::Cow<'_, [u32]> {
        if self.places.is_empty() {
            (0..self.column.values.len() as u32).collect::<Vec<_>>().into()
        } else {
            (&self.places).into()
        }
    }
}

impl Builder {
    pub(super) fn samples(&self) -> usize {
        self.samples
    }

    /// The series and their columns; in no order before [`Builder::order`].
    pub(super) fn series(&self) -> &[(u32, Vec<Placed>)] {
        &self.series
    }

    /// Its times; ascending after [`Builder::order`].
    pub(super) fn times(&self) -> &[i64] {
        &self.times
    }

    /// Adds a window's row. Where a field of a series has a value at this time already, the new one takes its place.
    pub(super) fn add(&mut self, raw: &[u8], end_ns: i64) -> Result<(), Damaged> {
        self.ends.push(end_ns);
        let mut last_distance = None;
        // Index of the time, of the series, and of the series and the column that are likely next.
        let (mut at, mut current, mut likely, mut next) = (0_u32, 0_usize, 0_usize, 0_usize);
        read(raw, |item| match item {
            Item::Point(id, distance) => {
                if last_distance != Some(distance) {
                    last_distance = Some(distance);
                    at = self.place(end_ns.wrapping_add(distance));
                }
                next = 0;
                // Windows mostly have the same series in the same order.
                current = match self.series.get(likely) {
                    Some((known, _)) if *known == id => likely,
                    _ => self.number(id),
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
                let found = self.column(current, next, field, kind);
                next = found + 1;
                let placed = &mut self.series[current].1[found];
                let value = if let Cell::Text(text) = cell { placed.column.text(text) } else { value };
                self.samples += usize::from(placed.push(at, value));
            }
        })
    }

    /// Begins to add a slot: returns what [`Builder::add_column`] needs to know of it.
    pub(super) fn add_slot(&mut self, times: &Times, ends: &[i64]) -> Vec<u32> {
        self.ends.extend_from_slice(ends);
        times.0.iter().map(|time| self.place(*time)).collect()
    }

    /// Adds a column of a slot, given the places of the slot's times here.
    pub(super) fn add_column(&mut self, packed: &Packed<'_>, places: &[u32]) -> Result<(), Damaged> {
        let (own, column) = packed.decode(places.len())?;
        let current = self.number(packed.key.1);
        let found = self.column(current, 0, packed.key.0, packed.kind);
        let placed = &mut self.series[current].1[found];
        for (place, value) in own.iter().zip(&column.values) {
            let value = match packed.kind {
                Kind::Text => placed.column.text(&column.texts[*value as usize]),
                _ => *value,
            };
            self.samples += usize::from(placed.push(places[*place as usize], value));
        }
        Ok(())
    }

    /// The place of a time.
    fn place(&mut self, time: i64) -> u32 {
        *self.index.entry(time).or_insert_with(|| {
            self.times.push(time);
            self.times.len() as u32 - 1
        })
    }

    /// The number of a series.
    fn number(&mut self, id: u32) -> usize {
        *self.known.entry(id).or_insert_with(|| {
            self.series.push((id, Vec::new()));
            self.series.len() - 1
        })
    }

    /// The number of a series' column, which is likely this one.
    fn column(&mut self, series: usize, likely: usize, field: u32, kind: Kind) -> usize {
        let columns = &mut self.series[series].1;
        let is = |placed: &Placed| placed.field == field && placed.column.kind == kind;
        match columns.get(likely) {
            Some(placed) if is(placed) => likely,
            _ => columns.iter().position(is).unwrap_or_else(|| {
                columns.push(Placed::new(field, kind));
                columns.len() - 1
            }),
        }
    }

    /// Brings the times, and every column with them, into ascending order, and the series into that of their ids. Windows
    /// mostly come in order: then there is little to do.
    pub(super) fn order(&mut self) {
        if !self.times.is_sorted() {
            let mut order: Vec<u32> = (0..self.times.len() as u32).collect();
            order.sort_by_key(|i| self.times[*i as usize]);
            let mut place = vec![0_u32; order.len()];
            for (new, old) in order.iter().enumerate() {
                place[*old as usize] = new as u32;
            }
            self.times.sort_unstable();
            for placed in self.series.iter_mut().flat_map(|(_, columns)| columns) {
                placed.write_out();
                placed.places.iter_mut().for_each(|at| *at = place[*at as usize]);
            }
        }
        for placed in self.series.iter_mut().flat_map(|(_, columns)| columns) {
            self.samples -= placed.order();
        }
        self.series.sort_unstable_by_key(|(id, _)| *id);
        self.known.clear();
        self.index.clear();
        self.ends.sort_unstable();
        self.ends.dedup();
    }

    /// The slot. It must be in order.
    pub(super) fn finish(self) -> std::io::Result<Rolled> {
        let times = self.times.len();
        let mut layout = Layout::new((self.ends != self.times).then_some(self.ends));
        let mut keys = Vec::new();
        for (number, (id, columns)) in self.series.iter().enumerate() {
            let common = most(columns);
            let everywhere = columns.get(common).is_none_or(|placed| placed.is_everywhere(times));
            let places = (!everywhere).then(|| columns[common].explicit());
            layout.add_series(*id, places.as_deref());
            for (column, placed) in columns.iter().enumerate() {
                keys.push((placed.field, *id, number, column, placed.beside(&columns[common])));
            }
        }
        keys.sort_unstable();
        let mut writer = ChunkWriter::default();
        for (field, id, number, column, beside) in keys {
            let placed = &self.series[number].1[column];
            let places = (!beside).then(|| placed.explicit());
            writer.add(&mut layout, (field, id), places.as_deref(), &placed.column)?;
        }
        Ok(Rolled { times: Times(self.times), layout, chunks: writer.finish()?, samples: self.samples })
    }
}

/// The number of the column with most values: most others have theirs at the same times.
fn most(columns: &[Placed]) -> usize {
    let longest = columns
        .iter()
        .enumerate()
        .max_by_key(|(at, placed)| (placed.column.values.len(), std::cmp::Reverse(*at)));
    longest.map_or(0, |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::row::{RowWriter, unpack};
    use super::*;

    type Samples = BTreeMap<(u32, u32), BTreeMap<i64, i64>>;

    fn random_windows(builder: &mut Builder, state: &mut u64, expected: &mut Samples) {
        let mut next = || {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *state >> 33
        };
        for _ in 0..500 {
            let end = (next() % 300) as i64 * 1_000_000_007;
            let mut row = RowWriter::default();
            for _ in 0..next() % 4 {
                let (series, distance, fields) =
                    ((next() % 40) as u32 * 7, -((next() % 3) as i64), next() % 3);
                row.point(series, distance, fields as usize);
                for field in 0..fields as u32 {
                    let value = next() as i64;
                    row.field(field, Cell::Int(value));
                    expected.entry((field, series)).or_default().insert(end + distance, value);
                }
            }
            let packed = row.finish().expect("zstd").to_vec();
            builder.add(&unpack(&packed).expect("frame"), end).expect("row");
        }
    }

    fn read_back(rolled: &Rolled) -> Samples {
        let times = Times::unpack(&rolled.times.pack().expect("zstd")).expect("times");
        let layout = Layout::unpack(&rolled.layout.pack().expect("zstd")).expect("layout");
        assert_eq!(layout, rolled.layout);
        let mut got = Samples::new();
        for (number, body) in rolled.chunks.iter().enumerate() {
            let each = |packed: Packed<'_>| {
                assert!(layout.between(packed.key, packed.key).contains(&number));
                packed.each(&times, |time, cell| {
                    let Cell::Int(value) = cell else { panic!("an integer") };
                    let old = got.entry(packed.key).or_default().insert(time, value);
                    assert_eq!(old, None, "each time once");
                })
            };
            layout.columns(body, each, |_| true).expect("our chunk");
        }
        got
    }

    #[test]
    fn points_in_any_order_with_gaps_come_back_sorted_also_by_way_of_other_slots() {
        let (mut state, mut expected) = (11, Samples::new());
        let mut whole = Builder::default();
        for _ in 0..3 {
            let mut part = Builder::default();
            random_windows(&mut part, &mut state, &mut expected);
            part.order();
            let samples = part.samples();
            let rolled = part.finish().expect("zstd");
            let got = read_back(&rolled);
            assert_eq!(got.values().map(BTreeMap::len).sum::<usize>(), samples);
            let places = whole.add_slot(&rolled.times, rolled.layout.ends(&rolled.times));
            for body in &rolled.chunks {
                rolled
                    .layout
                    .columns(body, |packed| whole.add_column(&packed, &places), |_| true)
                    .expect("our chunk");
            }
        }
        whole.order();
        assert_eq!(read_back(&whole.finish().expect("zstd")), expected);
    }

    #[test]
    fn two_windows_of_one_time_that_are_not_neighbours_are_one() {
        let mut builder = Builder::default();
        for (end, value) in [(5, 1), (6, 2), (5, 3)] {
            let mut row = RowWriter::default();
            row.point(1, 0, 1);
            row.field(1, Cell::Int(value));
            let packed = row.finish().expect("zstd").to_vec();
            builder.add(&unpack(&packed).expect("frame"), end).expect("row");
        }
        builder.order();
        let expected: Samples = [((1, 1), BTreeMap::from([(5, 3), (6, 2)]))].into();
        assert_eq!(builder.samples(), 2);
        assert_eq!(read_back(&builder.finish().expect("zstd")), expected);
    }
}
