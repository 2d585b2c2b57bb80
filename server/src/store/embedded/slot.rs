//! Reading slots: which there are, and their columns, whatever version of the store wrote them.

use rusqlite::{Connection, Row};

use super::bundle;
use super::chunk::{Aggregate, Key, Layout, Packed};
use super::column::Column;
use super::row::{Cell, Kind};
use super::step::{Step, WRITTEN};
use super::summary::{Beside, Summary};
use super::times::Times;
use super::varint::Damaged;

/// Bits of a chunk's or bundle's id that are its number in the slot.
const NUMBER_BITS: u32 = 20;

/// First and last id that a slot's chunks can have.
pub(super) fn chunk_ids(slot: i64) -> (i64, i64) {
    (slot << NUMBER_BITS, ((slot + 1) << NUMBER_BITS) - 1)
}

/// The columns that [`Slot::read`] reads.
pub(super) const SELECT: &str = "SELECT id, stream, times, layout, step, summed FROM slot";

/// A slot's row.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) id: i64,
    pub(super) stream: i64,
    pub(super) times: Times,
    /// `None`: it was rolled by a version of the store before the third.
    pub(super) layout: Option<Layout>,
    pub(super) step: Step,
    /// Whether running sums have it.
    pub(super) summed: bool,
}

impl Slot {
    /// Reads a row of [`SELECT`].
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let times = Times::unpack(row.get_ref(2)?.as_blob()?).map_err(damaged)?;
        let layout = row.get_ref(3)?.as_blob_or_null()?.map(Layout::unpack).transpose().map_err(damaged)?;
        let step = Step::of(row.get(4)?);
        Ok(Self { id: row.get(0)?, stream: row.get(1)?, times, layout, step, summed: row.get(5)? })
    }

    /// Ends of its windows, Unix ns, ascending.
    pub(super) fn ends(&self) -> &[i64] {
        self.layout.as_ref().map_or(&self.times.0, |layout| layout.ends(&self.times))
    }

    /// How many windows a time stands for, by its place.
    pub(super) fn count(&self, place: u32) -> i64 {
        self.layout.as_ref().map_or(1, |layout| layout.count(place))
    }

    /// Calls with those columns between two keys (both included) that are wanted.
    pub(super) fn columns(
        &self,
        conn: &Connection,
        (first, last): (Key, Key),
        wanted: impl Fn(Key) -> bool,
        mut each: impl FnMut(Packed<'_>) -> Result<(), Damaged>,
    ) -> rusqlite::Result<()> {
        let (low, high) = chunk_ids(self.id);
        let Some(layout) = &self.layout else {
            let mut bundles = conn.prepare_cached(
                "SELECT body FROM bundle WHERE id BETWEEN ? AND ? AND first_series <= ? AND last_series >= ? ORDER BY id",
            )?;
            // With several fields, a key between the two can be of any series.
            let (least, most) = if first.0 == last.0 { (first.1, last.1) } else { (0, u32::MAX) };
            let mut rows = bundles.query((low, high, most, least))?;
            while let Some(row) = rows.next()? {
                let wanted = |key| (first..=last).contains(&key) && wanted(key);
                bundle::columns(row.get_ref(0)?.as_blob()?, &mut each, wanted).map_err(damaged)?;
            }
            return Ok(());
        };
        let numbers = layout.between(first, last);
        let mut chunks =
            conn.prepare_cached("SELECT body FROM chunk WHERE id >= ? AND id < ? ORDER BY id")?;
        let mut rows = chunks.query((low + numbers.start as i64, low + numbers.end as i64))?;
        while let Some(row) = rows.next()? {
            let wanted = |key| (first..=last).contains(&key) && wanted(key);
            layout.columns(row.get_ref(0)?.as_blob()?, &mut each, wanted).map_err(damaged)?;
        }
        Ok(())
    }
}

impl Slot {
    /// Calls with each value of those columns between two keys that are wanted, and of a slot of steps with what else it says.
    pub(super) fn summaries(
        &self,
        conn: &Connection,
        keys: (Key, Key),
        wanted: impl Fn(Key) -> bool,
        mut each: impl FnMut(Key, i64, Cell<'_>, Option<(Kind, Summary)>),
    ) -> rusqlite::Result<()> {
        if self.step == WRITTEN {
            let column = |packed: Packed<'_>| {
                packed.each(&self.times, |time, cell| each(packed.key, time, cell, None))
            };
            return self.columns(conn, keys, wanted, column);
        }
        // Those of one key follow each other.
        let mut open: Vec<(Key, Aggregate, Vec<u32>, Column)> = Vec::new();
        self.columns(conn, keys, wanted, |packed| {
            if open.first().is_some_and(|(key, ..)| *key != packed.key) {
                self.close(&open, &mut each);
                open.clear();
            }
            let (places, column) = packed.decode(self.times.0.len())?;
            open.push((packed.key, packed.aggregate, places, column));
            Ok(())
        })?;
        self.close(&open, &mut each);
        Ok(())
    }

    fn close(
        &self,
        columns: &[(Key, Aggregate, Vec<u32>, Column)],
        each: &mut impl FnMut(Key, i64, Cell<'_>, Option<(Kind, Summary)>),
    ) {
        for (key, _, places, column) in columns.iter().filter(|one| one.1 == Aggregate::Value) {
            let mut beside = Beside::default();
            for (_, aggregate, places, other) in columns.iter().filter(|one| one.1 != Aggregate::Value) {
                if *aggregate == Aggregate::Missing || other.kind == column.kind {
                    beside.set(*aggregate, places, other);
                }
            }
            for (place, value) in places.iter().zip(&column.values) {
                let summary = beside.summary(column.kind, *place, *value, self.count(*place));
                each(*key, self.times.0[*place as usize], column.cell(*value), Some((column.kind, summary)));
            }
        }
    }
}

/// Damaged bytes as an error of SQLite; `schema::error` knows it again.
pub(super) fn damaged(source: Damaged) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, source.into())
}
