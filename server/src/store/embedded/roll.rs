//! Rolling: the windows at the head become slots.
//!
//! First every minute's worth becomes a *part*, so that a query has few windows to read one by one. When the ten minutes are
//! over, their parts and what is left at the head become one slot.

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use super::builder::{Builder, Rolled};
use super::retain::count_deleted;
use super::row::Row;
use super::slot::{self, Slot, chunk_ids, damaged};
use super::step::{Step, WRITTEN};
use super::stream::Due;
use super::times::LEVEL;
use super::total;
use super::varint::Damaged;

/// Length of a slot, by the end of the windows: ten minutes. Longer slots compress better (0.200 instead of 0.212
/// bytes a sample for an hour), but the amounts of a slot are added up whenever a running sum is asked for.
pub(super) const SLOT_NS: i64 = 600 * 1_000_000_000;
/// A slot is closed before its ten minutes are over when it has so many samples, so that rolling takes some
/// 25 MiB of memory (17 MiB were measured for 300 processes with 8 fields, which make 1.4 million).
pub(super) const MAX_SLOT_SAMPLES: usize = 2_000_000;
/// zstd level of parts: they live ten minutes, so time counts.
const PART_LEVEL: i32 = 1;
/// A damaged row of the head is moved out of the way under this name in `deleted`.
const DAMAGED: &str = "damaged head windows";
/// A damaged part, likewise.
const DAMAGED_PARTS: &str = "damaged parts";

/// Ten minutes that a window belongs to.
pub(super) fn slot_of(end_ns: i64) -> i64 {
    end_ns.div_euclid(SLOT_NS)
}

/// Bits of the id of a window at the head that are its number: its stream is above them.
const HEAD_BITS: u32 = 40;

/// First and last id that windows of a stream at the head can have.
pub(super) fn head_ids(stream: i64) -> (i64, i64) {
    (stream << HEAD_BITS, ((stream + 1) << HEAD_BITS) - 1)
}

/// The number of the next window at the head: they rise in the order of arrival.
pub(super) fn next_number(conn: &Connection) -> rusqlite::Result<i64> {
    let mask = (1_i64 << HEAD_BITS) - 1;
    let last: Option<i64> = conn.query_row("SELECT max(id & ?) FROM head", [mask], |row| row.get(0))?;
    Ok(last.unwrap_or(0) + 1)
}

/// First time of a slot, and the time past its last.
fn slot_bounds(slot: i64) -> (i64, i64) {
    (slot.saturating_mul(SLOT_NS), slot.saturating_add(1).saturating_mul(SLOT_NS))
}

/// What a slot's row says beside what its points say.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) windows: i64,
    pub(super) points: i64,
}

/// What a slot is of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) stream: i64,
    pub(super) end_ns: i64,
    pub(super) step: Step,
    pub(super) part: i64,
    pub(super) summed: bool,
}

/// Rolls what is due of a stream, at most one slot. One transaction a slot: after a crash in the middle the windows are
/// at the head still, never at both places.
pub(super) fn roll(conn: &mut Connection, stream: i64, due: Due) -> rusqlite::Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let Some(number) = choose(&tx, stream, due)? else { return Ok(()) };
    let (from, to) = slot_bounds(number);
    let part = matches!(due, Due::Part(_));
    let mut builder = Builder::default();
    let mut counted = Counted::default();
    if !part {
        let parts: Vec<i64> = tx
            .prepare_cached("SELECT id FROM slot WHERE stream = ? AND part = 1 AND end_ns = ? ORDER BY id")?
            .query_map((stream, to), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        take_slots(&tx, &parts, &mut builder, &mut counted, |_| ())?;
    }
    // The parts alone may fill the slot.
    if builder.samples() < MAX_SLOT_SAMPLES {
        take_head(&tx, stream, (from, to), &mut builder, &mut counted)?;
    }
    builder.order();
    if !part {
        total::add(&tx, stream, to, &builder)?;
    }
    // After the deletion, whose pages it takes: a full store can still be rolled.
    let place = Place { stream, end_ns: to, step: WRITTEN, part: part.into(), summed: true };
    insert(&tx, place, &counted, builder, None)?;
    tx.commit()
}

/// The ten minutes to roll: the oldest that are due.
fn choose(tx: &Connection, stream: i64, due: Due) -> rusqlite::Result<Option<i64>> {
    let (open_from, open_to) = match due {
        Due::Part(number) => return Ok(Some(number)),
        Due::Except(open) => slot_bounds(open),
        // No time lies between the two.
        Due::Any => (i64::MAX, i64::MAX),
    };
    let head: Option<i64> = tx
        .prepare_cached(
            "SELECT min(end_ns) FROM head WHERE id BETWEEN ? AND ? AND (end_ns < ? OR end_ns >= ?)",
        )?
        .query_row((head_ids(stream).0, head_ids(stream).1, open_from, open_to), |row| row.get(0))?;
    let parts: Option<i64> = tx
        .prepare_cached("SELECT min(end_ns) FROM slot WHERE stream = ? AND part = 1 AND end_ns <> ?")?
        .query_row((stream, open_to), |row| row.get(0))?;
    Ok(head.into_iter().chain(parts.map(|end| end - 1)).map(slot_of).min())
}

/// Moves slots into the builder, until it is full.
pub(super) fn take_slots(
    tx: &Connection,
    ids: &[i64],
    builder: &mut Builder,
    counted: &mut Counted,
    mut each: impl FnMut(&Slot),
) -> rusqlite::Result<()> {
    for id in ids {
        if builder.samples() >= MAX_SLOT_SAMPLES {
            break;
        }
        let sql = format!("{} WHERE id = ?", slot::SELECT);
        let read = tx.prepare_cached(&sql)?.query_row([id], Slot::read).and_then(|slot| {
            each(&slot);
            let places = builder.add_slot(&slot.times, slot.ends());
            let all = ((0, 0), (u32::MAX, u32::MAX));
            slot.columns(tx, all, |_| true, |packed| builder.add_column(&packed, &places))
        });
        let (windows, points): (i64, i64) = tx
            .prepare_cached("DELETE FROM slot WHERE id = ? RETURNING windows, points")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        for sql in
            ["DELETE FROM chunk WHERE id BETWEEN ? AND ?", "DELETE FROM bundle WHERE id BETWEEN ? AND ?"]
        {
            tx.prepare_cached(sql)?.execute(chunk_ids(*id))?;
        }
        match read {
            Ok(()) => {
                counted.windows += windows;
                counted.points += points;
            }
            // What could be read of it is kept; the rest is lost and counted, and does not stop the others.
            Err(rusqlite::Error::FromSqlConversionFailure(..)) => count_deleted(tx, DAMAGED_PARTS, 1)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Moves windows from the head into the builder.
fn take_head(
    tx: &Connection,
    stream: i64,
    (from, to): (i64, i64),
    builder: &mut Builder,
    counted: &mut Counted,
) -> rusqlite::Result<()> {
    let mut taken = Vec::new();
    let mut lost = 0_i64;
    {
        let mut statement = tx.prepare_cached(
            "SELECT id, end_ns, points, body FROM head WHERE id BETWEEN ? AND ? AND end_ns >= ? AND end_ns <= ? ORDER BY id",
        )?;
        let (first, last) = head_ids(stream);
        let mut rows = statement.query((first, last, from, to - 1))?;
        while let Some(row) = rows.next()? {
            let window = Row::unpack(row.get_ref(3)?.as_blob()?);
            let end_ns = row.get(1)?;
            match window.and_then(|window| builder.add(&window, end_ns)) {
                Ok(()) => {
                    counted.windows += 1;
                    counted.points += row.get::<_, i64>(2)?;
                }
                // It is lost and counted, and does not stop the others.
                Err(Damaged(_)) => lost += 1,
            }
            taken.push(row.get::<_, i64>(0)?);
            if builder.samples() >= MAX_SLOT_SAMPLES {
                break;
            }
        }
    }
    let mut statement = tx.prepare_cached("DELETE FROM head WHERE id = ?")?;
    for id in &taken {
        statement.execute([id])?;
    }
    count_deleted(tx, DAMAGED, lost)
}

/// The stream with most windows at the head.
pub(super) fn longest_head(conn: &Connection) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT stream FROM head GROUP BY stream ORDER BY count(*) DESC LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()
}

/// Writes what was gathered as a slot.
pub(super) fn insert(
    tx: &Connection,
    place: Place,
    counted: &Counted,
    builder: Builder,
    counts: Option<Vec<u64>>,
) -> rusqlite::Result<()> {
    let Place { stream, end_ns, step, part, summed } = place;
    let failed = |e: std::io::Error| rusqlite::Error::ToSqlConversionFailure(e.into());
    let level = if part == 0 { LEVEL } else { PART_LEVEL };
    let Rolled { times, layout, chunks, samples } = builder.finish(level, counts).map_err(failed)?;
    if times.0.is_empty() && counted.windows == 0 {
        return Ok(());
    }
    let bytes: usize = chunks.iter().map(Vec::len).sum();
    let packed = layout.pack().map_err(failed)?;
    let id: i64 = tx
        .prepare_cached(
            "INSERT INTO slot(stream, end_ns, first_ns, last_ns, windows, points, samples, bytes, times, layout, part, step, summed)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        )?
        .query_row(
            rusqlite::params![
                stream,
                end_ns,
                times.0.first().copied().unwrap_or(end_ns),
                times.0.last().copied().unwrap_or(end_ns),
                counted.windows,
                counted.points,
                samples as i64,
                (bytes + packed.len()) as i64,
                times.pack().map_err(failed)?,
                packed,
                part,
                step.ns,
                summed
            ],
            |row| row.get(0),
        )?;
    if chunk_ids(id).0 + chunks.len() as i64 > chunk_ids(id).1 {
        return Err(damaged(Damaged("too many chunks")));
    }
    let mut statement = tx.prepare_cached("INSERT INTO chunk(id, body) VALUES (?, ?)")?;
    for (number, body) in chunks.iter().enumerate() {
        statement.execute((chunk_ids(id).0 + number as i64, body))?;
    }
    if part != 1 {
        let mut statement = tx.prepare_cached("UPDATE series SET last_slot = ? WHERE id = ?")?;
        for series in layout.series() {
            statement.execute((id, series))?;
        }
    }
    Ok(())
}
