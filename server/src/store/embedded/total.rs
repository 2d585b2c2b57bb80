//! Running sums of amounts.
//!
//! A counter is the amount of one window ([`registry`]). Its running sum is that of all amounts of its series that the store
//! was given, in the order of their times. `total` has, for a series and ten minutes, the sums up to the end of these minutes,
//! one a counter; minutes that added nothing have no row. So a query adds up at most ten minutes before its first
//! sample, and retention, which deletes the amounts, leaves the sums as they were.

use std::collections::{BTreeMap, HashMap, HashSet};

use agent_common::wire::registry::{self, Kind as Behaviour};
use rusqlite::{Connection, OptionalExtension as _};

use super::builder::{Builder, Placed};
pub(super) use super::roll::SLOT_NS;
use super::roll::slot_of;
use super::row::{Cell, Kind};
use super::slot::{self, Slot, damaged};
use super::step::{BEGIN, MINUTE};
use super::varint::{Bytes, Damaged, put};

/// Sums by field.
type Sums = BTreeMap<u32, i64>;

/// What a value adds to a running sum. Sums only rise, so less than nothing is nothing.
pub(super) fn amount(cell: Cell<'_>) -> Option<i64> {
    match cell {
        Cell::Int(value) => Some(value.max(0)),
        Cell::Float(bits) => Some((f64::from_bits(bits) as i64).max(0)),
        Cell::Bool(value) => Some(value.into()),
        Cell::Text(_) => None,
    }
}

/// The fields of a measurement that are counters, by name.
pub(super) fn counters(measurement: &str) -> impl Iterator<Item = &'static str> {
    let fields = registry::measurement(measurement).map_or(&[][..], |found| found.fields);
    fields.iter().filter(|field| field.kind == Behaviour::Counter).map(|field| field.name)
}

/// The running sum of a series' field at the end of all ten minutes before `slot`.
pub(super) fn before(conn: &Connection, series: u32, field: u32, slot: i64) -> rusqlite::Result<i64> {
    let sums = latest(conn, series, slot.saturating_sub(1))?;
    Ok(sums.get(&field).copied().unwrap_or(0))
}

/// Number of the oldest ten minutes that are there: sums before them are known at their beginning alone.
pub(super) fn oldest(conn: &Connection) -> rusqlite::Result<i64> {
    let sql = format!("SELECT min({BEGIN}) FROM slot WHERE end_ns <= (SELECT min(end_ns) FROM slot) + ?");
    let begin: Option<i64> = conn.prepare_cached(&sql)?.query_row([MINUTE.slot_ns], |row| row.get(0))?;
    Ok(begin.map_or(i64::MAX, slot_of))
}

/// Number of the ten minutes from which on amounts must be read for running sums from this time on: what was put together over
/// steps is known at the beginning of its slot alone.
pub(super) fn first(conn: &Connection, from_ns: i64) -> rusqlite::Result<i64> {
    let sql = format!(
        "SELECT min({BEGIN}) FROM slot WHERE step > 0 AND end_ns > ?1 AND end_ns <= ?2 AND {BEGIN} <= ?1"
    );
    let begin: Option<i64> = conn
        .prepare_cached(&sql)?
        .query_row((from_ns, from_ns.saturating_add(MINUTE.slot_ns)), |row| row.get(0))?;
    let first = begin.map_or(i64::MAX, slot_of).min(slot_of(from_ns));
    Ok(oldest(conn)?.max(first))
}

/// Deletes the sums of these series within a slot, but for the last: nothing asks for them any more.
pub(super) fn forget_within(
    tx: &Connection,
    series: impl Iterator<Item = u32>,
    begin_ns: i64,
    end_ns: i64,
) -> rusqlite::Result<()> {
    let (first, last) = (slot_of(begin_ns), slot_of(end_ns - 1));
    let mut statement = tx.prepare_cached(
        "DELETE FROM total WHERE series = ?1 AND slot >= ?2
         AND slot < (SELECT max(slot) FROM total WHERE series = ?1 AND slot BETWEEN ?2 AND ?3)",
    )?;
    for id in series {
        statement.execute((id, first, last))?;
    }
    Ok(())
}

/// Adds the amounts of ten minutes that are being rolled to the running sums at their end, and to later ones: these
/// windows may come late.
pub(super) fn add(tx: &Connection, stream: i64, end_ns: i64, builder: &Builder) -> rusqlite::Result<()> {
    let slot = slot_of(end_ns - 1);
    let replaced = replaced(tx, stream, end_ns, builder)?;
    let oldest = oldest(tx)?.min(slot);
    let mut known: HashMap<String, HashSet<u32>> = HashMap::new();
    for (id, columns) in builder.series() {
        let measurement: Option<String> = tx
            .prepare_cached("SELECT measurement FROM series WHERE id = ?")?
            .query_row([id], |row| row.get(0))
            .optional()?;
        let Some(measurement) = measurement else { continue };
        let counters = if let Some(known) = known.get(&measurement) {
            known
        } else {
            let fields = counter_ids(tx, &measurement)?;
            known.entry(measurement).or_insert(fields)
        };
        let mut sums = Sums::new();
        for placed in columns.iter().filter(|placed| counters.contains(&placed.field)) {
            let added = sum(placed).saturating_sub(*replaced.get(&(placed.field, *id)).unwrap_or(&0));
            let entry = sums.entry(placed.field).or_default();
            *entry = entry.saturating_add(added);
        }
        sums.retain(|_, sum| *sum != 0);
        if !sums.is_empty() {
            write(tx, *id, slot, &sums)?;
        }
        forget(tx, *id, oldest)?;
    }
    Ok(())
}

pub(super) fn counter_ids(tx: &Connection, measurement: &str) -> rusqlite::Result<HashSet<u32>> {
    let mut ids = HashSet::new();
    for name in counters(measurement) {
        let found = tx
            .prepare_cached("SELECT id FROM field WHERE name = ?")?
            .query_row([name], |row| row.get::<_, u32>(0));
        ids.extend(found.optional()?);
    }
    Ok(ids)
}

fn sum(placed: &Placed) -> i64 {
    if placed.column.kind == Kind::Text {
        return 0;
    }
    let amounts = placed.iter().filter_map(|(_, value)| amount(placed.column.cell(value)));
    amounts.fold(0, i64::saturating_add)
}

fn write(tx: &Connection, series: u32, slot: i64, added: &Sums) -> rusqlite::Result<()> {
    let later: Vec<(i64, Vec<u8>)> = tx
        .prepare_cached("SELECT slot, sums FROM total WHERE series = ? AND slot > ?")?
        .query_map((series, slot), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let put_row = |slot: i64, mut sums: Sums| {
        for (field, added) in added {
            let entry = sums.entry(*field).or_default();
            *entry = entry.saturating_add(*added);
        }
        tx.prepare_cached("INSERT OR REPLACE INTO total(series, slot, sums) VALUES (?, ?, ?)")?.execute((
            series,
            slot,
            pack(&sums),
        ))
    };
    put_row(slot, latest(tx, series, slot)?)?;
    for (slot, sums) in later {
        put_row(slot, unpack(&sums).map_err(damaged)?)?;
    }
    Ok(())
}

/// Deletes the rows that no query needs: of those before the oldest slot the last is where its sums begin.
fn forget(tx: &Connection, series: u32, oldest: i64) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "DELETE FROM total WHERE series = ?1 AND slot < (SELECT max(slot) FROM total WHERE series = ?1 AND slot < ?2)",
    )?
    .execute((series, oldest))?;
    Ok(())
}

/// The sums at the end of these ten minutes.
fn latest(conn: &Connection, series: u32, slot: i64) -> rusqlite::Result<Sums> {
    let found: Option<Vec<u8>> = conn
        .prepare_cached("SELECT sums FROM total WHERE series = ? AND slot <= ? ORDER BY slot DESC LIMIT 1")?
        .query_row((series, slot), |row| row.get(0))
        .optional()?;
    found.map_or(Ok(Sums::new()), |packed| unpack(&packed).map_err(damaged))
}

/// The amounts, by field and series, that are in slots of these ten minutes already and whose time has another value
/// now: a window of the same end but with another number.
fn replaced(
    tx: &Connection,
    stream: i64,
    end_ns: i64,
    builder: &Builder,
) -> rusqlite::Result<HashMap<(u32, u32), i64>> {
    let sql = format!(
        "{} WHERE end_ns = ? AND stream IN (SELECT id FROM stream WHERE host = (SELECT host FROM stream WHERE id = ?))
         AND part = 0 AND step = 0 ORDER BY id",
        slot::SELECT
    );
    let mut others: Vec<Slot> =
        tx.prepare_cached(&sql)?.query_map((end_ns, stream), Slot::read)?.collect::<Result<_, _>>()?;
    let times = builder.times();
    others.retain(|slot| slot.times.0.iter().any(|time| times.binary_search(time).is_ok()));
    if others.is_empty() {
        return Ok(HashMap::new());
    }
    let own: HashSet<((u32, u32), i64)> = builder
        .series()
        .iter()
        .flat_map(|(id, columns)| columns.iter().map(move |placed| (*id, placed)))
        .flat_map(|(id, placed)| placed.iter().map(move |(at, _)| ((placed.field, id), times[at as usize])))
        .collect();
    let mut values = HashMap::new();
    for slot in &others {
        let all = ((0, 0), (u32::MAX, u32::MAX));
        slot.columns(
            tx,
            all,
            |_| true,
            |packed| {
                packed.each(&slot.times, |time, cell| {
                    if let Some(amount) = amount(cell)
                        && own.contains(&(packed.key, time))
                    {
                        values.insert((packed.key, time), amount);
                    }
                })
            },
        )?;
    }
    let mut replaced: HashMap<(u32, u32), i64> = HashMap::new();
    for ((key, _), amount) in values {
        let entry = replaced.entry(key).or_default();
        *entry = entry.saturating_add(amount);
    }
    Ok(replaced)
}

/// Sums as varints: distance of the field, sum.
fn pack(sums: &Sums) -> Vec<u8> {
    let (mut out, mut last) = (Vec::new(), 0);
    for (field, sum) in sums {
        put(&mut out, u64::from(field - last));
        put(&mut out, sum.cast_unsigned());
        last = *field;
    }
    out
}

fn unpack(packed: &[u8]) -> Result<Sums, Damaged> {
    let (mut bytes, mut last) = (Bytes(packed), 0_u32);
    let mut sums = Sums::new();
    while !bytes.is_empty() {
        last = last.checked_add(bytes.index()?).ok_or(Damaged("field"))?;
        sums.insert(last, bytes.varint()?.cast_signed());
    }
    Ok(sums)
}
