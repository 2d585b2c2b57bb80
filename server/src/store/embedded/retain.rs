//! Retention: the oldest slots go, then the series that no slot has.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use super::row::{Frame, Row};
use super::slot::{self, Slot, chunk_ids};
use super::{Options, schema};

/// What retention did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Retained {
    /// Slots deleted.
    pub(super) slots: u64,
    /// Series deleted: their ids must be forgotten.
    pub(super) series: u64,
    /// Pages given back to the file system.
    pub(super) pages: u64,
}

/// Slots deleted and pages given back at once: some 20 ms.
const SLOTS_AT_ONCE: u64 = 8;
const PAGES_AT_ONCE: u64 = 512;
/// Fewer free pages than these are not worth it.
const MIN_FREE_PAGES: u64 = 64;

/// Time of the newest sample, Unix ns, or now, if that is earlier: a collector with a wrong clock must not delete everything
/// (data from the future), nor may this host's.
pub(super) fn newest(conn: &Connection, now: SystemTime) -> rusqlite::Result<Option<i64>> {
    let newest: Option<i64> =
        conn.prepare_cached("SELECT max(last_ns) FROM slot")?.query_row([], |row| row.get(0))?;
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_nanos();
    Ok(newest.map(|newest| newest.min(i64::try_from(now).unwrap_or(i64::MAX))))
}

/// Deletes some of the slots that are too old, or of the oldest while the store holds more than `max_bytes`; if it returns
/// nothing deleted and nothing given back, all is done.
pub(super) fn retain(
    conn: &mut Connection,
    options: &Options,
    max_bytes: u64,
    now: SystemTime,
) -> rusqlite::Result<Retained> {
    let mut retained = Retained::default();
    let Some(newest) = newest(conn, now)? else { return Ok(retained) };
    let oldest = newest.saturating_sub(i64::try_from(options.max_age.as_nanos()).unwrap_or(i64::MAX));
    let mut time = None;
    // All of one time go together: a running sum begins where no host has anything before.
    while let Some((slot, end_ns)) = oldest_slot(conn)?
        && (time == Some(end_ns)
            || retained.slots < SLOTS_AT_ONCE && (end_ns < oldest || used_bytes(conn)? > max_bytes))
    {
        delete(conn, slot)?;
        retained.slots += 1;
        time = Some(end_ns);
    }
    if retained.slots > 0 {
        retained.series = forget_series(conn)?;
    }
    // Gives pages back to the file system when the limit was lowered; what the next ten minutes need stays.
    let (free, all) = (page_count(conn, "freelist_count")?, page_count(conn, "page_count")?);
    if free > all / 4 && free - all / 8 >= MIN_FREE_PAGES {
        retained.pages = (free - all / 8).min(PAGES_AT_ONCE);
        conn.execute_batch(&format!("PRAGMA incremental_vacuum({})", retained.pages))?;
    }
    Ok(retained)
}

/// Deletes the series that no slot has any more: processes come and go, and their names with them. Slots get rising
/// ids, so a series whose last slot is below all that are left is in none. It may be at the head again, or in a part: those
/// are read.
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
            let Ok(window) = Row::unpack(row.get_ref(0)?.as_blob()?) else { continue };
            let Ok(frame) = Frame::read(window.look()) else { continue };
            for point in &frame.points {
                gone.remove(&point.series);
            }
        }
    }
    if !gone.is_empty() {
        let sql = format!("{} WHERE part = 1", slot::SELECT);
        let mut statement = tx.prepare_cached(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let Ok(Slot { layout: Some(layout), .. }) = Slot::read(row) else { continue };
            for series in layout.series() {
                gone.remove(&series);
            }
        }
    }
    for sql in ["DELETE FROM series WHERE id = ?", "DELETE FROM total WHERE series = ?"] {
        let mut statement = tx.prepare_cached(sql)?;
        for series in &gone {
            statement.execute([series])?;
        }
    }
    count_deleted(&tx, "series by retention", gone.len() as i64)?;
    tx.commit()?;
    Ok(gone.len() as u64)
}

/// The slot with the oldest end, and that end.
fn oldest_slot(conn: &Connection) -> rusqlite::Result<Option<(i64, i64)>> {
    conn.prepare_cached("SELECT id, end_ns FROM slot ORDER BY end_ns LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

fn delete(conn: &mut Connection, slot: i64) -> rusqlite::Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    delete_slot(&tx, slot, "by retention")?;
    tx.commit()
}

/// Deletes a slot, and counts what it had under this reason. Returns its values.
pub(super) fn delete_slot(tx: &Connection, slot: i64, why: &str) -> rusqlite::Result<i64> {
    let (windows, points, samples, bytes): (i64, i64, i64, i64) = tx
        .prepare_cached("DELETE FROM slot WHERE id = ? RETURNING windows, points, samples, bytes")?
        .query_row([slot], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    for sql in ["DELETE FROM chunk WHERE id BETWEEN ? AND ?", "DELETE FROM bundle WHERE id BETWEEN ? AND ?"] {
        tx.prepare_cached(sql)?.execute(chunk_ids(slot))?;
    }
    for (what, count) in [("windows", windows), ("points", points), ("samples", samples), ("bytes", bytes)] {
        count_deleted(tx, &format!("{what} {why}"), count)?;
    }
    Ok(samples)
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
