//! Puts small blocks of a stream together, twice on their way to a full one: some hundred of a second become one of some minutes, and
//! some of these a full one. A line is rewritten twice.

use logs::block::{Block, MAX_LINES, MAX_TEXT_BYTES, merge};
use rusqlite::TransactionBehavior;

use super::schema::{count_deleted, time};
use super::write::{Writer, insert};

/// Blocks of a level that are enough to be put together …
const ENOUGH: [i64; 2] = [64, 16];
/// What came later than this is left alone: those who follow the lines read it by its number. In ns.
const YOUNG_NS: u64 = 10_000_000_000;
/// … or the oldest line in them is older than this, and there are two. In ns.
const OLD_NS: u64 = 600_000_000_000;
/// Most blocks, and bytes of text, that are put together at once: decoded they are in memory.
const MAX_BLOCKS: i64 = 256;
const MAX_BYTES: i64 = 4 << 20;
/// A block of fewer lines has no filter: to search it is as quick.
const FILTERED_LINES: u32 = 128;

/// Does one step; says whether it did something.
pub(super) fn arrange(writer: &mut Writer, now: i64) -> rusqlite::Result<bool> {
    for (level, enough) in [0_i64, 1].into_iter().zip(ENOUGH) {
        let due: Option<i64> = {
            let mut statement = writer.conn.prepare_cached(
                "SELECT log FROM block WHERE level = ?1 AND came_ns < ?6 GROUP BY log
                 HAVING count(*) >= ?2 OR sum(lines) >= ?3 OR sum(text_bytes) >= ?4
                     OR (min(from_ns) < ?5 AND count(*) > 1)
                 LIMIT 1",
            )?;
            let old = now.saturating_sub(time(OLD_NS << (2 * level)));
            let young = now.saturating_sub(time(YOUNG_NS));
            let limits = (level, enough, MAX_LINES as i64, MAX_TEXT_BYTES as i64, old, young);
            rusqlite::OptionalExtension::optional(statement.query_row(limits, |row| row.get(0)))?
        };
        if let Some(log) = due {
            put_together(writer, log, level, now.saturating_sub(time(YOUNG_NS)))?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// Puts blocks of one level of one stream together, the oldest first.
fn put_together(writer: &mut Writer, log: i64, level: i64, young: i64) -> rusqlite::Result<()> {
    let Writer { conn, filters, codec, .. } = writer;
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut old: Vec<(i64, i64, Vec<u8>)> = Vec::new();
    {
        let mut statement = tx.prepare_cached(
            "SELECT id, text_bytes, body FROM block WHERE level = ? AND log = ? AND came_ns < ?
             ORDER BY from_ns, id LIMIT ?",
        )?;
        let mut rows = statement.query((level, log, young, MAX_BLOCKS))?;
        let mut bytes = 0;
        while let Some(row) = rows.next()? {
            let text: i64 = row.get(1)?;
            bytes += text;
            if bytes > MAX_BYTES && !old.is_empty() {
                break;
            }
            old.push((row.get(0)?, text, row.get(2)?));
        }
    }
    let blocks: Result<Vec<Block<'_>>, _> = old.iter().map(|(.., body)| Block::open(body)).collect();
    let merged = blocks.and_then(|blocks| merge(&blocks, codec));
    let mut new = Vec::new();
    match merged {
        Ok(merged) => {
            for one in merged {
                let is_full = one.header.lines as usize * 2 >= MAX_LINES
                    || one.header.text_bytes as usize * 2 >= MAX_TEXT_BYTES;
                let level = if is_full { 2 } else { level + 1 };
                let filter = if one.header.lines >= FILTERED_LINES { one.filter } else { Vec::new() };
                let id = insert(&tx, log, level, &one.header, (&one.bytes, filter.len()))?;
                if !filter.is_empty() {
                    new.push((id, filter));
                }
            }
            for (id, ..) in &old {
                tx.prepare_cached("DELETE FROM block WHERE id = ?")?.execute([id])?;
            }
        }
        Err(error) => {
            // They were looked at when they came: the disk has changed them. They stay, as they are, to be searched as far as they go.
            tracing::warn!(%error, "blocks of log lines that cannot be put together are left as they are");
            for (id, ..) in &old {
                tx.prepare_cached("UPDATE block SET level = 2 WHERE id = ?")?.execute([id])?;
            }
            count_deleted(&tx, "blocks that are damaged", old.len() as u64)?;
        }
    }
    // The filters first: one without its block is never asked for, a block without its filter is read to be searched.
    let of_filters = filters.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (id, filter) in new {
        of_filters
            .prepare_cached("INSERT OR REPLACE INTO filter(block, body) VALUES (?, ?)")?
            .execute((id, filter))?;
    }
    for (id, ..) in &old {
        of_filters.prepare_cached("DELETE FROM filter WHERE block = ?")?.execute([id])?;
    }
    of_filters.commit()?;
    tx.commit()
}
