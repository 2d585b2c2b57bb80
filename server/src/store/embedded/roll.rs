//! Rolling: rows of the head become bundles; retention: the oldest bundles go.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use super::bundle::Builder;
use super::row::{Item, read, unpack};
use super::stream::Due;
use super::varint::Damaged;
use super::{Options, schema};

/// Length of a slot, by the end of the windows: ten minutes. Longer slots compress better (0.200 instead of 0.212
/// bytes a sample for an hour) but the head, which takes 2 bytes a sample, would be longer too.
pub(super) const SLOT_NS: i64 = 600 * 1_000_000_000;
/// A slot is closed before its ten minutes are over when it has so many samples, so that rolling takes some
/// 25 MiB of memory (17 MiB were measured for 300 processes with 8 fields, which make 1.4 million).
const MAX_SLOT_SAMPLES: usize = 2_000_000;
/// A damaged row of the head is moved out of the way under this name in `deleted`.
const DAMAGED: &str = "damaged head windows";

/// Ten minutes that a window belongs to.
pub(super) fn slot_of(end_ns: i64) -> i64 {
    end_ns.div_euclid(SLOT_NS)
}

/// Rolls the oldest slot of the stream's head that is due. One transaction a slot: after a crash in the middle
/// the windows are at the head still, never at both places. Returns how many windows it took.
pub(super) fn roll(conn: &mut Connection, stream: i64, due: Due) -> rusqlite::Result<u64> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (open_from, open_to) = match due {
        Due::Except(open) => slot_bounds(open),
        // No time lies between the two.
        Due::Any => (i64::MAX, i64::MAX),
    };
    let oldest: Option<i64> = tx
        .prepare_cached("SELECT min(end_ns) FROM head WHERE stream = ? AND (end_ns < ? OR end_ns >= ?)")?
        .query_row((stream, open_from, open_to), |row| row.get(0))?;
    let Some(oldest) = oldest else { return Ok(0) };
    let (from, to) = slot_bounds(slot_of(oldest));

    let mut builder = Builder::default();
    let mut taken = Vec::new();
    let (mut points, mut damaged) = (0_i64, 0_i64);
    {
        let mut statement = tx.prepare_cached(
            "SELECT id, end_ns, points, body FROM head WHERE stream = ? AND end_ns >= ? AND end_ns <= ? ORDER BY id",
        )?;
        let mut rows = statement.query((stream, from, to - 1))?;
        while let Some(row) = rows.next()? {
            let raw = unpack(row.get_ref(3)?.as_blob()?);
            let end_ns = row.get(1)?;
            match raw.and_then(|raw| builder.add(&raw, end_ns)) {
                Ok(()) => points += row.get::<_, i64>(2)?,
                // What could be read of it is kept; the rest is lost and counted, and does not stop the others.
                Err(Damaged(_)) => damaged += 1,
            }
            taken.push(row.get::<_, i64>(0)?);
            if builder.samples() >= MAX_SLOT_SAMPLES {
                break;
            }
        }
    }
    let slot = Slot { stream, end_ns: to, windows: taken.len() as i64 - damaged, points };
    {
        let mut statement = tx.prepare_cached("DELETE FROM head WHERE id = ?")?;
        for id in &taken {
            statement.execute([id])?;
        }
    }
    // After the deletion, whose pages it takes: a full store can still be rolled.
    insert(&tx, &slot, builder)?;
    count_deleted(&tx, DAMAGED, damaged)?;
    tx.commit()?;
    Ok(taken.len() as u64)
}

/// The stream with most windows at the head.
pub(super) fn longest_head(conn: &Connection) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT stream FROM head GROUP BY stream ORDER BY count(*) DESC LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()
}

/// First time of a slot, and the time past its last.
fn slot_bounds(slot: i64) -> (i64, i64) {
    (slot.saturating_mul(SLOT_NS), slot.saturating_add(1).saturating_mul(SLOT_NS))
}

/// What a slot's row says beside what its points say.
struct Slot {
    stream: i64,
    end_ns: i64,
    windows: i64,
    points: i64,
}

fn insert(tx: &Connection, slot: &Slot, builder: Builder) -> rusqlite::Result<()> {
    let failed = |e: std::io::Error| rusqlite::Error::ToSqlConversionFailure(e.into());
    let samples = builder.samples() as i64;
    let series: Vec<u32> = builder.series().collect();
    let (times, bundles) = builder.finish().map_err(failed)?;
    let bytes: usize = bundles.iter().map(|bundle| bundle.body.len()).sum();
    let first = times.0.first().copied().unwrap_or(slot.end_ns);
    let last = times.0.last().copied().unwrap_or(slot.end_ns);
    let id: i64 = tx
        .prepare_cached(
            "INSERT INTO slot(stream, end_ns, first_ns, last_ns, windows, points, samples, bytes, times)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        )?
        .query_row(
            rusqlite::params![
                slot.stream,
                slot.end_ns,
                first,
                last,
                slot.windows,
                slot.points,
                samples,
                bytes as i64,
                times.pack().map_err(failed)?
            ],
            |row| row.get(0),
        )?;
    let mut statement =
        tx.prepare_cached("INSERT INTO bundle(id, first_series, last_series, body) VALUES (?, ?, ?, ?)")?;
    for (number, bundle) in bundles.iter().enumerate() {
        statement.execute((
            bundle_ids(id).0 + number as i64,
            bundle.first_series,
            bundle.last_series,
            &bundle.body,
        ))?;
    }
    let mut statement = tx.prepare_cached("UPDATE series SET last_slot = ? WHERE id = ?")?;
    for series in series {
        statement.execute((id, series))?;
    }
    Ok(())
}

/// Bits of a bundle's id that are its number in the slot.
const BUNDLE_BITS: u32 = 20;

/// First and last id that a slot's bundles can have.
pub(super) fn bundle_ids(slot: i64) -> (i64, i64) {
    (slot << BUNDLE_BITS, ((slot + 1) << BUNDLE_BITS) - 1)
}

/// What retention did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Retained {
    /// Slots deleted.
    pub(super) slots: u64,
    /// Series deleted: their ids must be forgotten.
    pub(super) series: u64,
}

/// Deletes the slots that are too old, then the oldest until the store holds at most `max_bytes`.
pub(super) fn retain(
    conn: &mut Connection,
    options: &Options,
    max_bytes: u64,
    now: SystemTime,
) -> rusqlite::Result<Retained> {
    let mut retained = Retained::default();
    let newest: Option<i64> = conn.query_row("SELECT max(end_ns) FROM slot", [], |row| row.get(0))?;
    let Some(newest) = newest else { return Ok(retained) };
    // A collector with a wrong clock must not delete everything (data from the future), nor may this host's.
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_nanos();
    let now = i64::try_from(now).unwrap_or(i64::MAX).min(newest);
    let oldest = now.saturating_sub(i64::try_from(options.max_age.as_nanos()).unwrap_or(i64::MAX));
    while let Some(slot) = oldest_slot(conn, oldest)? {
        delete(conn, slot)?;
        retained.slots += 1;
    }
    while used_bytes(conn)? > max_bytes
        && let Some(slot) = oldest_slot(conn, i64::MAX)?
    {
        delete(conn, slot)?;
        retained.slots += 1;
    }
    if retained.slots > 0 {
        retained.series = forget_series(conn)?;
        // Gives pages back to the file system when the limit was lowered; what the next ten minutes need stays.
        let (free, all) = (page_count(conn, "freelist_count")?, page_count(conn, "page_count")?);
        if free > all / 4 {
            conn.execute_batch(&format!("PRAGMA incremental_vacuum({})", free - all / 8))?;
        }
    }
    Ok(retained)
}

/// Deletes the series that no slot has any more: processes come and go, and their names with them. Slots get rising
/// ids, so a series whose last slot is below all that are left is in none. It may be at the head again: that is read.
fn forget_series(conn: &mut Connection) -> rusqlite::Result<u64> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut gone: BTreeSet<u32> = tx
        .prepare_cached("SELECT id FROM series WHERE last_slot < (SELECT min(id) FROM slot)")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    if !gone.is_empty() {
        let mut statement = tx.prepare_cached("SELECT body FROM head")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            // A damaged row is counted when it is rolled.
            let Ok(raw) = unpack(row.get_ref(0)?.as_blob()?) else { continue };
            let _ = read(&raw, |item| {
                if let Item::Point(series, _) = item {
                    gone.remove(&series);
                }
            });
        }
    }
    let mut statement = tx.prepare_cached("DELETE FROM series WHERE id = ?")?;
    for series in &gone {
        statement.execute([series])?;
    }
    drop(statement);
    count_deleted(&tx, "series by retention", gone.len() as i64)?;
    tx.commit()?;
    Ok(gone.len() as u64)
}

/// The slot with the oldest end, if that is before `before`.
fn oldest_slot(conn: &Connection, before: i64) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT id FROM slot WHERE end_ns < ? ORDER BY end_ns LIMIT 1")?
        .query_row([before], |row| row.get(0))
        .optional()
}

fn delete(conn: &mut Connection, slot: i64) -> rusqlite::Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (windows, points, samples, bytes): (i64, i64, i64, i64) = tx
        .prepare_cached("DELETE FROM slot WHERE id = ? RETURNING windows, points, samples, bytes")?
        .query_row([slot], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    tx.prepare_cached("DELETE FROM bundle WHERE id BETWEEN ? AND ?")?.execute(bundle_ids(slot))?;
    for (what, count) in [
        ("windows by retention", windows),
        ("points by retention", points),
        ("samples by retention", samples),
        ("bytes by retention", bytes),
    ] {
        count_deleted(&tx, what, count)?;
    }
    tx.commit()
}

pub(super) fn count_deleted(conn: &Connection, what: &str, count: i64) -> rusqlite::Result<()> {
    if count > 0 {
        conn.prepare_cached(
            "INSERT INTO deleted(what, count) VALUES (?, ?) ON CONFLICT(what) DO UPDATE SET count = count + excluded.count",
        )?
        .execute((what, count))?;
    }
    Ok(())
}

/// Bytes of the file that hold something.
pub(super) fn used_bytes(conn: &Connection) -> rusqlite::Result<u64> {
    let pages = page_count(conn, "page_count")?.saturating_sub(page_count(conn, "freelist_count")?);
    Ok(pages * page_count(conn, "page_size")?)
}

pub(super) fn page_count(conn: &Connection, pragma: &str) -> rusqlite::Result<u64> {
    schema::pragma::<i64>(conn, pragma).map(i64::cast_unsigned)
}

/// What was deleted or lost since the store was made, by reason.
pub(super) fn deleted(conn: &Connection) -> rusqlite::Result<Vec<(String, u64)>> {
    conn.prepare_cached("SELECT what, count FROM deleted ORDER BY what")?
        .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned())))?
        .collect()
}
