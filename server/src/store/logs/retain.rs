//! Retention: the oldest blocks go.

use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{OptionalExtension as _, TransactionBehavior};

use super::schema::{count_deleted, time, used_bytes};
use super::write::Writer;

/// Blocks that go at once.
const BLOCKS_AT_ONCE: i64 = 64;
/// Marks of sources that were not heard of for longer go: a host that was away may send its lines again until then.
const MARK_AGE_NS: i64 = 30 * 24 * 3_600 * 1_000_000_000;

/// Unix time in ns.
pub(super) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    time(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}

/// Does one step; says whether it did something.
pub(super) fn retain(writer: &mut Writer, now: i64) -> rusqlite::Result<bool> {
    let age = |age: std::time::Duration| now.saturating_sub(time(age.as_nanos() as u64));
    let oldest: Option<i64> = writer
        .conn
        .prepare_cached("SELECT min(to_ns) FROM block")?
        .query_row([], |row| row.get(0))
        .optional()?
        .flatten();
    let Some(oldest) = oldest else { return Ok(false) };
    if oldest < age(writer.options.max_age) {
        let sql = "SELECT id, lines FROM block WHERE to_ns < ? ORDER BY to_ns LIMIT ?";
        return delete(writer, sql, (age(writer.options.max_age), BLOCKS_AT_ONCE), "lines by retention");
    }
    for (source, most) in writer.options.source_age.clone() {
        let sql = "SELECT id, lines FROM block WHERE to_ns < ?1 AND log IN (
                       SELECT log.id FROM log, json_each(log.labels) AS label
                       WHERE label.value ->> 0 = 'source' AND label.value ->> 1 = ?2) ORDER BY to_ns LIMIT ?3";
        if delete(writer, sql, (age(most), source, BLOCKS_AT_ONCE), "lines by retention")? {
            return Ok(true);
        }
    }
    if used_bytes(&writer.conn)? + used_bytes(&writer.filters)? > writer.options.max_bytes {
        let sql = "SELECT id, lines FROM block ORDER BY to_ns LIMIT ?";
        return delete(writer, sql, (BLOCKS_AT_ONCE,), "lines by size");
    }
    // Of blocks that somebody else has deleted: a host was forgotten.
    let first = first(writer)?;
    writer.filters.prepare_cached("DELETE FROM filter WHERE block < ?")?.execute([first])?;
    let gone = writer
        .conn
        .prepare_cached("DELETE FROM mark WHERE at_ns < ?")?
        .execute([now.saturating_sub(MARK_AGE_NS)])?;
    Ok(gone > 0)
}

/// The lowest number of a block that is there.
fn first(writer: &Writer) -> rusqlite::Result<i64> {
    writer.conn.prepare_cached("SELECT coalesce(min(id), 0) FROM block")?.query_row([], |row| row.get(0))
}

/// Deletes the blocks that a query names, with their filters; says whether there were any.
fn delete(
    writer: &mut Writer,
    sql: &str,
    parameters: impl rusqlite::Params,
    why: &str,
) -> rusqlite::Result<bool> {
    let Writer { conn, filters, .. } = writer;
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let blocks: Vec<(i64, i64)> = tx
        .prepare_cached(sql)?
        .query_map(parameters, |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    if blocks.is_empty() {
        return Ok(false);
    }
    let of_filters = filters.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (id, _) in &blocks {
        tx.prepare_cached("DELETE FROM block WHERE id = ?")?.execute([id])?;
        of_filters.prepare_cached("DELETE FROM filter WHERE block = ?")?.execute([id])?;
    }
    let lines: i64 = blocks.iter().map(|(_, lines)| lines).sum();
    count_deleted(&tx, why, lines.cast_unsigned())?;
    tx.execute("DELETE FROM log WHERE id NOT IN (SELECT log FROM block)", [])?;
    tx.commit()?;
    of_filters.commit()?;
    // The disk gets some of it back.
    for conn in [conn, filters] {
        conn.execute_batch("PRAGMA incremental_vacuum(256)")?;
    }
    writer.forget();
    Ok(true)
}
