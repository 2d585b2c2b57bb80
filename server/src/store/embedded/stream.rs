//! What the writer remembers of a stream: its windows' numbers, and how many of them wait at the head.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use agent_common::wire::stored::RangeSet;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction};

use super::roll;
use super::varint::{self, Bytes, put};

#[derive(Debug, Clone)]
pub(super) struct Stream {
    pub(super) id: i64,
    pub(super) stored: RangeSet,
    /// Windows at the head, by slot.
    pub(super) head: HashMap<i64, u64>,
    /// Slots of which there are parts.
    pub(super) parts: HashSet<i64>,
    /// Slot of the window that came last.
    pub(super) open: i64,
    /// Windows in a row that belong to it.
    pub(super) calm: u64,
    /// When that was.
    arrived: Instant,
}

/// A slot is rolled when so many windows in a row belonged to another one. At a slot's border windows of both may come
/// mixed (a spool being sent beside live windows); rolling then would make a slot of each few.
const CALM: u64 = 30;
/// A slot's windows at the head become a part when there are so many: a minute's worth. A query reads them one by one.
const PART_WINDOWS: u64 = 60;
/// Windows of a stream at the head above which a slot is rolled calm or not, the open one included: 8 MB.
const MAX_HEAD_WINDOWS: u64 = 3_600;
/// What may be rolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Every slot but the open one.
    Except(i64),
    /// The open one too.
    Any,
    /// The windows of this slot, for the time being.
    Part(i64),
}

impl Stream {
    fn new(id: i64, stored: RangeSet) -> Self {
        Self {
            id,
            stored,
            head: HashMap::new(),
            parts: HashSet::new(),
            open: i64::MIN,
            calm: 0,
            arrived: Instant::now(),
        }
    }

    pub(super) fn arrived(&mut self, end_ns: i64) {
        let slot = roll::slot_of(end_ns);
        *self.head.entry(slot).or_default() += 1;
        self.calm = if self.open == slot { self.calm + 1 } else { 1 };
        self.open = slot;
        self.arrived = Instant::now();
    }

    /// Whether to roll now, and what. Of a stream that was silent for so long it is all there is.
    pub(super) fn due(&self, silent: Duration) -> Option<Due> {
        if !(self.head.is_empty() && self.parts.is_empty()) && self.arrived.elapsed() >= silent {
            return Some(Due::Any);
        }
        if self.head.values().sum::<u64>() > MAX_HEAD_WINDOWS {
            let crowded = self.head.get(&self.open).is_some_and(|open| *open > MAX_HEAD_WINDOWS / 2);
            return Some(if crowded { Due::Any } else { Due::Except(self.open) });
        }
        if self.calm >= CALM && self.head.keys().chain(&self.parts).any(|slot| *slot != self.open) {
            return Some(Due::Except(self.open));
        }
        let many = self.head.iter().find(|(_, windows)| **windows >= PART_WINDOWS);
        many.map(|(slot, _)| Due::Part(*slot))
    }

    /// Reads again what waits in the database.
    pub(super) fn recount(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        (self.head, self.parts) = (head_slots(conn, self.id)?, part_slots(conn, self.id)?);
        Ok(())
    }
}

/// Ranges kept of a stream. Each is a gap, that is windows which the collector's spool dropped; above this the oldest
/// are forgotten, which can at worst store a window twice.
pub(super) const MAX_RANGES: usize = 1024;

pub(super) fn load_stream(conn: &Connection, host: &str, name: &str) -> rusqlite::Result<Option<Stream>> {
    conn.prepare_cached("SELECT id, stored FROM stream WHERE host = ? AND name = ?")?
        .query_row([host, name], |row| {
            let mut stream = Stream::new(row.get(0)?, ranges(row, 1)?);
            stream.recount(conn)?;
            Ok(stream)
        })
        .optional()
}

/// How many windows of each slot are at the head.
fn head_slots(conn: &Connection, stream: i64) -> rusqlite::Result<HashMap<i64, u64>> {
    let mut slots = HashMap::new();
    let mut statement = conn.prepare_cached("SELECT end_ns FROM head WHERE id BETWEEN ? AND ?")?;
    let mut rows = statement.query(roll::head_ids(stream))?;
    while let Some(row) = rows.next()? {
        *slots.entry(roll::slot_of(row.get(0)?)).or_default() += 1;
    }
    Ok(slots)
}

/// The slots of which there are parts.
fn part_slots(conn: &Connection, stream: i64) -> rusqlite::Result<HashSet<i64>> {
    conn.prepare_cached("SELECT DISTINCT end_ns FROM slot WHERE stream = ? AND part = 1")?
        .query_map([stream], |row| Ok(roll::slot_of(row.get::<_, i64>(0)? - 1)))?
        .collect()
}

/// Host and name of the streams of which something waits to be rolled.
pub(super) fn waiting(conn: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    conn.prepare_cached(
        "SELECT host, name FROM stream WHERE EXISTS (SELECT 1 FROM slot WHERE part = 1 AND slot.stream = stream.id)
         OR EXISTS (SELECT 1 FROM head WHERE head.id BETWEEN stream.id << 40 AND (stream.id + 1 << 40) - 1)",
    )?
    .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
    .collect()
}

pub(super) fn find_stream(tx: &Transaction<'_>, host: &str, name: &str) -> rusqlite::Result<Stream> {
    if let Some(stream) = load_stream(tx, host, name)? {
        return Ok(stream);
    }
    let id = tx
        .prepare_cached("INSERT INTO stream(host, name, stored) VALUES (?, ?, x'') RETURNING id")?
        .query_row([host, name], |row| row.get(0))?;
    Ok(Stream::new(id, RangeSet::default()))
}

/// Ranges as varints: gap to the last, length.
pub(super) fn pack_ranges(set: &RangeSet) -> Vec<u8> {
    let mut out = Vec::new();
    let mut last = 0;
    for &(lo, hi) in set.ranges() {
        put(&mut out, lo - last);
        put(&mut out, hi - lo);
        last = hi;
    }
    out
}

/// The ranges in a column.
pub(super) fn ranges(row: &Row<'_>, column: usize) -> rusqlite::Result<RangeSet> {
    unpack_ranges(row.get_ref(column)?.as_blob()?)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Blob, e.into()))
}

fn unpack_ranges(packed: &[u8]) -> Result<RangeSet, varint::Damaged> {
    let mut bytes = Bytes(packed);
    let mut set = RangeSet::default();
    let mut last = 0_u64;
    while !bytes.is_empty() {
        let lo = last.saturating_add(bytes.varint()?);
        last = lo.saturating_add(bytes.varint()?);
        set.insert_range(lo, last);
    }
    Ok(set)
}
