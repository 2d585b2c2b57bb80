//! From the database into memory: the encoded columns of many series in one pass over the slots.
//!
//! A chunk holds one field of many series. So all that are wanted are taken out of it at once, encoded as they are (less
//! than a byte a sample), and decoded one by one when the evaluator comes to them.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::rc::Rc;

use rusqlite::{Connection, OptionalExtension as _, ffi};

use super::names::Plan;
use crate::store::embedded::bundle;
use crate::store::embedded::chunk::{Aggregate, Key, Packed};
use crate::store::embedded::push::PUSHED_STREAM;
use crate::store::embedded::read::order;
use crate::store::embedded::row::{Cell, Frame, Item, Kind, Row};
use crate::store::embedded::slot::{self, Slot, damaged};
use crate::store::embedded::times::Times;
use crate::store::embedded::varint::Damaged;
use crate::store::samples::{Number, Raw, Windows};

/// Bytes of unpacked rows that a view keeps: some ten seconds of 300 processes.
const UNPACKED_BYTES: usize = 4 << 20;

/// The slots and windows of a span, without their columns.
#[derive(Debug)]
pub(super) struct Slots {
    span: Range<i64>,
    /// In the order in which they were rolled.
    found: Vec<Found>,
    windows: Windows,
}

#[derive(Debug)]
struct Found {
    id: i64,
    stream: i64,
    times: Times,
}

impl Slots {
    /// Those that have times in the span; with `parts`, also all that were not rolled into one yet: no running sum has them.
    pub(super) fn find(conn: &Connection, span: Range<i64>, parts: bool) -> rusqlite::Result<Self> {
        let mut all = Self { span, found: Vec::new(), windows: Windows::default() };
        let pushed: Option<i64> = conn
            .prepare_cached("SELECT id FROM stream WHERE host = ? AND name = ?")?
            .query_row(PUSHED_STREAM, |row| row.get(0))
            .optional()?;
        each_slot(conn, &all.span, parts, |slot| {
            // A series that was not pushed has not ended.
            if pushed != Some(slot.stream) {
                all.windows.add(slot.stream, slot.ends(), slot.step.ns);
            }
            all.found.push(Found { id: slot.id, stream: slot.stream, times: slot.times });
            Ok(())
        })?;
        let (from, to) = all.head_span(parts);
        let mut statement = conn.prepare_cached(
            "SELECT stream, end_ns FROM head WHERE last_ns >= ? AND first_ns < ? ORDER BY end_ns",
        )?;
        let mut rows = statement.query([from, to])?;
        while let Some(row) = rows.next()? {
            let stream = row.get(0)?;
            if pushed != Some(stream) {
                all.windows.add(stream, &[row.get(1)?], 0);
            }
        }
        all.windows.order();
        Ok(all)
    }

    /// Ids of the series that they have.
    pub(super) fn alive(&self, conn: &Connection, parts: bool) -> rusqlite::Result<HashSet<u32>> {
        let mut alive = HashSet::new();
        each_slot(conn, &self.span, parts, |slot| slot_series(conn, &slot, &mut alive))?;
        head_series(conn, self.head_span(parts), &mut alive)?;
        Ok(alive)
    }

    fn head_span(&self, parts: bool) -> (i64, i64) {
        (if parts { i64::MIN } else { self.span.start }, self.span.end)
    }

    pub(super) fn windows(&self) -> &Windows {
        &self.windows
    }
}

fn each_slot(
    conn: &Connection,
    span: &Range<i64>,
    parts: bool,
    mut each: impl FnMut(Slot) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let sql = if parts {
        format!(
            "{} WHERE id IN (SELECT id FROM slot WHERE last_ns >= ?1 AND first_ns < ?2 AND end_ns > ?1
             UNION SELECT id FROM slot WHERE part = 1 AND first_ns < ?2) ORDER BY id",
            slot::SELECT
        )
    } else {
        format!("{} WHERE last_ns >= ?1 AND first_ns < ?2 ORDER BY id", slot::SELECT)
    };
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query([span.start, span.end])?;
    while let Some(row) = rows.next()? {
        each(Slot::read(row)?)?;
    }
    Ok(())
}

/// Rows that a view has unpacked: the next question of a request is about the same seconds.
#[derive(Debug, Default)]
pub(super) struct Unpacked(RefCell<(HashMap<i64, Rc<Row>>, usize)>);

impl Unpacked {
    /// The row of this id.
    fn row(&self, id: i64, body: &[u8]) -> Result<Rc<Row>, Damaged> {
        let (rows, bytes) = &mut *self.0.borrow_mut();
        if let Some(known) = rows.get(&id) {
            return Ok(Rc::clone(known));
        }
        let row = Rc::new(Row::unpack(body)?);
        if *bytes + row.bytes() <= UNPACKED_BYTES {
            *bytes += row.bytes();
            rows.insert(id, Rc::clone(&row));
        }
        Ok(row)
    }
}

/// One field of one series, encoded.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) series: u32,
    pub(super) field: u32,
    bytes: Vec<u8>,
    pieces: Vec<Piece>,
    head: Vec<Raw>,
}

/// What a slot has of it.
#[derive(Debug)]
struct Piece {
    /// Place of the slot in [`Slots`].
    slot: u32,
    /// Whether a version of the store rolled it that has running sums.
    summed: bool,
    kind: Kind,
    /// Where in the column's bytes its runs end, and its values.
    begin: u32,
    runs: Option<u32>,
    end: u32,
}

impl Column {
    fn new((field, series): Key) -> Self {
        Self { series, field, bytes: Vec::new(), pieces: Vec::new(), head: Vec::new() }
    }

    fn add(&mut self, slot: usize, summed: bool, packed: &Packed<'_>) {
        let begin = self.bytes.len() as u32;
        let runs = packed.runs.map(|runs| {
            self.bytes.extend_from_slice(runs);
            self.bytes.len() as u32
        });
        self.bytes.extend_from_slice(packed.values);
        let end = self.bytes.len() as u32;
        self.pieces.push(Piece { slot: slot as u32, summed, kind: packed.kind, begin, runs, end });
    }

    /// Its samples, ascending in time, each time once.
    pub(super) fn samples(&self, slots: &Slots) -> Result<Vec<Raw>, Damaged> {
        let slot = |piece: &Piece| &slots.found[piece.slot as usize];
        let most: usize = self.pieces.iter().map(|piece| slot(piece).times.0.len()).sum();
        let mut all = Vec::with_capacity(most + self.head.len());
        for piece in &self.pieces {
            let slot = slot(piece);
            let runs = piece.runs.map(|end| &self.bytes[piece.begin as usize..end as usize]);
            let values = &self.bytes[piece.runs.unwrap_or(piece.begin) as usize..piece.end as usize];
            let key = (self.field, self.series);
            let packed = Packed { key, aggregate: Aggregate::Value, kind: piece.kind, runs, values };
            packed.each(&slot.times, |time, cell| {
                if let Some(number) = number(cell) {
                    all.push(Raw { time, stream: slot.stream, number, summed: piece.summed });
                }
            })?;
        }
        all.extend_from_slice(&self.head);
        order(&mut all, |raw| raw.time);
        Ok(all)
    }
}

fn number(cell: Cell<'_>) -> Option<Number> {
    match cell {
        Cell::Int(value) => Some(Number::Int(value)),
        Cell::Float(bits) => Some(Number::Float(f64::from_bits(bits))),
        Cell::Bool(value) => Some(Number::Int(value.into())),
        Cell::Text(_) => None,
    }
}

/// What a pass brought.
pub(super) struct Gathered {
    pub(super) columns: VecDeque<Column>,
    /// Series for which there was no room.
    pub(super) deferred: Vec<u32>,
}

/// Columns by series and field, so that series can be left out from the end.
struct Taken {
    columns: BTreeMap<(u32, u32), Column>,
    series: Vec<u32>,
    deferred: Vec<u32>,
    bytes: usize,
}

impl Taken {
    fn column(&mut self, (field, series): Key) -> &mut Column {
        self.columns.entry((series, field)).or_insert_with(|| Column::new((field, series)))
    }

    /// Leaves out series until the rest fits; one stays, whatever it takes.
    fn fit(&mut self, most: usize) {
        while self.bytes > most && self.series.len() > 1 {
            let rest = self.series.split_off(self.series.len() / 2);
            // SANITY: of two or more, half is at least one.
            let gone = self.columns.split_off(&(*rest.first().expect("a half"), 0));
            self.bytes -= gone.values().map(|column| column.bytes.len()).sum::<usize>();
            self.deferred.splice(0..0, rest);
        }
    }
}

/// Reads the wanted columns of these series, which are in order; of as many as have `most` encoded bytes.
pub(super) fn gather(
    conn: &Connection,
    slots: &Slots,
    (plan, rows): (&Plan, &Unpacked),
    series: Vec<u32>,
    most: usize,
    over: impl Fn() -> bool,
) -> rusqlite::Result<Gathered> {
    let fields = plan.fields();
    let mut taken = Taken { columns: BTreeMap::new(), series, deferred: Vec::new(), bytes: 0 };
    let sql = format!("{} WHERE id = ?", slot::SELECT);
    for (place, found) in slots.found.iter().enumerate() {
        if over() {
            return Err(interrupted());
        }
        let slot = conn.prepare_cached(&sql)?.query_row([found.id], Slot::read)?;
        for field in &fields {
            let (Some(first), Some(last)) = (taken.series.first(), taken.series.last()) else { break };
            let pass = *first..=*last;
            let keys = ((*field, *first), (*field, *last));
            let Taken { columns, bytes, .. } = &mut taken;
            let take = |packed: Packed<'_>| {
                if packed.kind != Kind::Text && packed.aggregate == Aggregate::Value {
                    let (field, series) = packed.key;
                    let column = columns.entry((series, field)).or_insert_with(|| Column::new(packed.key));
                    let before = column.bytes.len();
                    column.add(place, slot.summed, &packed);
                    *bytes += column.bytes.len() - before;
                }
                Ok(())
            };
            let wanted = |(field, series)| pass.contains(&series) && !plan.metrics(series, field).is_empty();
            slot.columns(conn, keys, wanted, take)?;
        }
        taken.fit(most);
    }
    head(conn, slots, (plan, rows), &mut taken)?;
    Ok(Gathered { columns: taken.columns.into_values().collect(), deferred: taken.deferred })
}

/// As SQLite says it of a query that was given up.
fn interrupted() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_INTERRUPT), None)
}

/// Takes the values out of the windows that are not rolled.
fn head(
    conn: &Connection,
    slots: &Slots,
    (plan, unpacked): (&Plan, &Unpacked),
    taken: &mut Taken,
) -> rusqlite::Result<()> {
    let (from, to) = slots.head_span(plan.has_totals());
    let (Some(first), Some(last)) = (taken.series.first(), taken.series.last()) else { return Ok(()) };
    let pass = *first..=*last;
    let mut statement = conn.prepare_cached(
        "SELECT stream, end_ns, id, body FROM head WHERE last_ns >= ? AND first_ns < ? ORDER BY id",
    )?;
    let mut rows = statement.query([from, to])?;
    while let Some(row) = rows.next()? {
        let (stream, end): (i64, i64) = (row.get(0)?, row.get(1)?);
        let window = unpacked.row(row.get(2)?, row.get_ref(3)?.as_blob()?).map_err(damaged)?;
        let mut at = (0, 0);
        let each = |item: Item<'_>| match item {
            Item::Point(series, distance) => at = (series, end.wrapping_add(distance)),
            Item::Field(field, cell) => {
                let (series, time) = at;
                if pass.contains(&series)
                    && !plan.metrics(series, field).is_empty()
                    && let Some(number) = number(cell)
                {
                    taken.column((field, series)).head.push(Raw { time, stream, number, summed: true });
                }
            }
        };
        window.read(each).map_err(damaged)?;
    }
    Ok(())
}

/// Ids of the series that have samples in a span, or a little outside of it.
pub(super) fn alive(conn: &Connection, span: &Range<i64>) -> rusqlite::Result<HashSet<u32>> {
    let mut alive = HashSet::new();
    each_slot(conn, span, false, |slot| slot_series(conn, &slot, &mut alive))?;
    head_series(conn, (span.start, span.end), &mut alive)?;
    Ok(alive)
}

fn slot_series(conn: &Connection, slot: &Slot, alive: &mut HashSet<u32>) -> rusqlite::Result<()> {
    if let Some(layout) = &slot.layout {
        alive.extend(layout.series());
        return Ok(());
    }
    let mut statement = conn.prepare_cached("SELECT body FROM bundle WHERE id BETWEEN ? AND ?")?;
    let mut rows = statement.query(slot::chunk_ids(slot.id))?;
    while let Some(row) = rows.next()? {
        let each = |packed: Packed<'_>| {
            alive.insert(packed.key.1);
            Ok(())
        };
        bundle::columns(row.get_ref(0)?.as_blob()?, each, |_| true).map_err(damaged)?;
    }
    Ok(())
}

fn head_series(conn: &Connection, span: (i64, i64), alive: &mut HashSet<u32>) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached("SELECT body FROM head WHERE last_ns >= ? AND first_ns < ?")?;
    let mut rows = statement.query(span)?;
    // Windows mostly look like the one before.
    let mut look = Vec::new();
    while let Some(row) = rows.next()? {
        let window = Row::unpack(row.get_ref(0)?.as_blob()?).map_err(damaged)?;
        if window.look() != look {
            window.look().clone_into(&mut look);
            let frame = Frame::read(&look).map_err(damaged)?;
            alive.extend(frame.points.iter().map(|point| point.series));
        }
    }
    Ok(())
}
