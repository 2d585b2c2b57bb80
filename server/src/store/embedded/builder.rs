//! Gathers what becomes a slot, column by column: windows, and slots that were rolled before.

mod alike;
mod placed;

use std::collections::HashMap;

use self::alike::Alike;
pub(super) use self::placed::Placed;
use super::chunk::{Aggregate, ChunkWriter, Layout, Packed};
use super::row::{Kind, Row};
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
    /// Windows that are not in the columns yet.
    alike: Alike,
}

/// A slot that is ready for its rows.
pub(super) struct Rolled {
    pub(super) times: Times,
    pub(super) layout: Layout,
    pub(super) chunks: Vec<Vec<u8>>,
    pub(super) samples: usize,
}

impl Builder {
    pub(super) fn samples(&self) -> usize {
        self.samples + self.alike.samples()
    }

    /// The series and their columns; in no order before [`Builder::order`].
    pub(super) fn series(&self) -> &[(u32, Vec<Placed>)] {
        &self.series
    }

    /// Its times; ascending after [`Builder::order`].
    pub(super) fn times(&self) -> &[i64] {
        &self.times
    }

    /// Ends of its windows; ascending after [`Builder::order`].
    pub(super) fn ends(&self) -> &[i64] {
        &self.ends
    }

    /// With these columns, which are in order.
    pub(super) fn ordered(times: Vec<i64>, ends: Vec<i64>, series: Vec<(u32, Vec<Placed>)>) -> Self {
        let values = |placed: &Placed| {
            if placed.aggregate == Aggregate::Value { placed.column.values.len() } else { 0 }
        };
        let samples = series.iter().flat_map(|(_, columns)| columns).map(values).sum();
        Self { times, ends, series, samples, ..Self::default() }
    }

    /// Adds a window's row. Where a field of a series has a value at this time already, the new one takes its place. Of a damaged
    /// row nothing is added.
    pub(super) fn add(&mut self, row: &Row, end_ns: i64) -> Result<(), Damaged> {
        if !self.alike.takes(row) {
            self.take_apart();
            self.alike = Alike::of(row)?;
        }
        self.alike.add(row)?;
        self.ends.push(end_ns);
        for number in 0..self.alike.distances().len() {
            let time = end_ns.wrapping_add(self.alike.distances()[number]);
            let place = self.place(time);
            self.alike.add_place(place);
        }
        Ok(())
    }

    /// Brings the windows that look alike into their columns.
    fn take_apart(&mut self) {
        let mut alike = std::mem::take(&mut self.alike);
        let places = alike.places();
        let mut value = 0;
        for point in 0..alike.points() {
            let (series, distance, fields) = alike.point(point);
            let series = self.number(series);
            let mut next = 0;
            for field in fields {
                let field = alike.field(field);
                let (id, kind) = (field >> 2, Kind::from_bits(field as u8));
                let column = self.column(series, next, (id, Aggregate::Value, kind));
                next = column + 1;
                let placed = &mut self.series[series].1[column];
                if kind == Kind::Text {
                    alike.number_texts(value, &mut placed.column);
                }
                self.samples += placed.extend(&places[distance], alike.values(value));
                value += 1;
            }
        }
    }

    /// Begins to add a slot: returns what [`Builder::add_column`] needs to know of it.
    pub(super) fn add_slot(&mut self, times: &Times, ends: &[i64]) -> Vec<u32> {
        self.ends.extend_from_slice(ends);
        times.0.iter().map(|time| self.place(*time)).collect()
    }

    /// Adds a column of a slot, given the places of the slot's times here.
    pub(super) fn add_column(&mut self, packed: &Packed<'_>, places: &[u32]) -> Result<(), Damaged> {
        let (mut own, mut column) = packed.decode(places.len())?;
        for at in &mut own {
            *at = places[*at as usize];
        }
        let current = self.number(packed.key.1);
        let found = self.column(current, 0, (packed.key.0, packed.aggregate, packed.kind));
        let placed = &mut self.series[current].1[found];
        if packed.kind == Kind::Text {
            for value in &mut column.values {
                *value = placed.column.text(&column.texts[*value as usize]);
            }
        }
        let new = placed.extend(&own, column.values.into_iter());
        self.samples += if packed.aggregate == Aggregate::Value { new } else { 0 };
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
    fn column(
        &mut self,
        series: usize,
        likely: usize,
        (field, aggregate, kind): (u32, Aggregate, Kind),
    ) -> usize {
        let columns = &mut self.series[series].1;
        let is = |placed: &Placed| {
            placed.field == field && placed.aggregate == aggregate && placed.column.kind == kind
        };
        match columns.get(likely) {
            Some(placed) if is(placed) => likely,
            _ => columns.iter().position(is).unwrap_or_else(|| {
                columns.push(Placed::new(field, aggregate, kind));
                columns.len() - 1
            }),
        }
    }

    /// Brings the times, and every column with them, into ascending order, and the series into that of their ids. Windows
    /// mostly come in order: then there is little to do.
    pub(super) fn order(&mut self) {
        self.take_apart();
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
            let gone = placed.order();
            self.samples -= if placed.aggregate == Aggregate::Value { gone } else { 0 };
        }
        self.series.sort_unstable_by_key(|(id, _)| *id);
        self.known.clear();
        self.index.clear();
        self.ends.sort_unstable();
        self.ends.dedup();
    }

    /// The slot, compressed at this level of zstd; of steps, with how many windows each time stands for. It must be in order.
    pub(super) fn finish(self, level: i32, counts: Option<Vec<u64>>) -> std::io::Result<Rolled> {
        let times = self.times.len();
        let mut layout = Layout::new((self.ends != self.times).then_some(self.ends), counts);
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
        let mut writer = ChunkWriter::new(level);
        for (field, id, number, column, beside) in keys {
            let placed = &self.series[number].1[column];
            let places = (!beside).then(|| placed.explicit());
            writer.add(&mut layout, (field, id), placed.aggregate, places.as_deref(), &placed.column)?;
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

    use super::super::row::{Cell, RowWriter};
    use super::super::times::LEVEL;
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
                row.begin();
                for field in 0..fields as u32 {
                    let value = next() as i64;
                    row.field(field, Cell::Int(value));
                    expected.entry((field, series)).or_default().insert(end + distance, value);
                }
                row.end(series, distance);
            }
            builder.add(&Row::unpack(row.finish().expect("zstd")).expect("frame"), end).expect("row");
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
            let rolled = part.finish(LEVEL, None).expect("zstd");
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
        assert_eq!(read_back(&whole.finish(LEVEL, None).expect("zstd")), expected);
    }

    #[test]
    fn two_windows_of_one_time_that_are_not_neighbours_are_one() {
        let mut builder = Builder::default();
        for (end, value) in [(5, 1), (6, 2), (5, 3)] {
            let mut row = RowWriter::default();
            row.begin();
            row.field(1, Cell::Int(value));
            row.end(1, 0);
            builder.add(&Row::unpack(row.finish().expect("zstd")).expect("frame"), end).expect("row");
        }
        builder.order();
        let expected: Samples = [((1, 1), BTreeMap::from([(5, 3), (6, 2)]))].into();
        assert_eq!(builder.samples(), 2);
        assert_eq!(read_back(&builder.finish(LEVEL, None).expect("zstd")), expected);
    }
}
