//! Retention: the oldest epoch goes, row by row; what alerts have pinned stays, each row as a block by itself.

use agent_common::units::{DurNs, UnixNs};
use profile::block::{Block, Entry, Looked};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use super::body::{self, Sizes};
use super::epoch::{self, Dictionary, EPOCH};
use super::schema::{broken, count_deleted, time, used_bytes};
use super::{Options, roll};

/// Rows that go at once: some hundred milliseconds where many of them are pinned.
const ROWS_AT_ONCE: i64 = 200;
/// What is pinned has at most this part of the room, and evidence as much …
const PINNED_SHARE: u64 = 4;
/// … and this many bytes at least: some dozens of alerts.
const LEAST_EVIDENCE: i64 = 256 << 10;

/// Does one step. Returns the start of the epoch of which something went.
pub(super) fn retain(conn: &mut Connection, options: &Options, now: i64) -> rusqlite::Result<Option<i64>> {
    expire(conn, options, now)?;
    let oldest: Option<(i64, i64)> = conn
        .prepare_cached("SELECT id, from_ns FROM epoch ORDER BY from_ns LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((id, from)) = oldest else { return Ok(None) };
    let age = time(options.max_age.as_nanos() as u64);
    // It may be over before, where another has followed it.
    let end = epoch::start(from.cast_unsigned()).saturating_add(time(EPOCH.as_nanos() as u64));
    if end < now.saturating_sub(age) {
        drop_rows(conn, id, "samples by retention")?;
    } else if used_bytes(conn)? > options.max_bytes {
        drop_rows(conn, id, "samples by size")?;
    } else {
        return Ok(None);
    }
    // What was just pinned has its bound, too.
    expire(conn, options, now)?;
    Ok(Some(from))
}

/// Deletes evidence and pins whose time is over, and what they have beyond their room, the oldest first.
fn expire(conn: &mut Connection, options: &Options, now: i64) -> rusqlite::Result<()> {
    let due: bool = conn
        .prepare_cached(
            "SELECT EXISTS(SELECT 1 FROM evidence WHERE until_ns < ?1) OR EXISTS(SELECT 1 FROM pinned WHERE until_ns < ?1)
                 OR EXISTS(SELECT 1 FROM pin WHERE until_ns < ?1)",
        )?
        .query_row([now], |row| row.get(0))?;
    let most = time(options.max_bytes / PINNED_SHARE);
    let most_evidence = most.max(LEAST_EVIDENCE);
    if !due && bytes_of(conn, "pinned")? <= most && bytes_of(conn, "evidence")? <= most_evidence {
        return Ok(());
    }
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute("DELETE FROM evidence WHERE until_ns < ?", [now])?;
    tx.execute("DELETE FROM pin WHERE until_ns < ?", [now])?;
    tx.execute("DELETE FROM pinned WHERE until_ns < ?", [now])?;
    // What came since the last step is a few hundred at most.
    for (table, oldest, what, most) in [
        ("pinned", "from_ns", "pinned blocks by size", most),
        ("evidence", "until_ns", "evidence by size", most_evidence),
    ] {
        let (mut held, mut gone) = (bytes_of(&tx, table)?, 0);
        while held > most {
            let sql = format!(
                "DELETE FROM {table} WHERE id = (SELECT id FROM {table} ORDER BY {oldest}, id LIMIT 1) RETURNING length(body)"
            );
            let freed: i64 = tx.prepare_cached(&sql)?.query_row([], |row| row.get(0))?;
            held -= freed;
            gone += 1;
        }
        count_deleted(&tx, what, gone)?;
    }
    tx.execute("DELETE FROM evidence_of WHERE evidence NOT IN (SELECT id FROM evidence)", [])?;
    tx.commit()
}

fn bytes_of(conn: &Connection, table: &str) -> rusqlite::Result<i64> {
    let sql = format!("SELECT coalesce(sum(length(body)), 0) FROM {table}");
    conn.prepare_cached(&sql)?.query_row([], |row| row.get(0))
}

/// Deletes the first rows of an epoch, or the epoch when it has none.
fn drop_rows(conn: &mut Connection, epoch: i64, why: &str) -> rusqlite::Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let rows: Vec<Old> = tx
        .prepare_cached(
            "SELECT id, host, from_ns, to_ns, column_ns, columns, rate_hz, samples FROM block WHERE epoch = ? ORDER BY id LIMIT ?",
        )?
        .query_map((epoch, ROWS_AT_ONCE), Old::read)?
        .collect::<Result<_, _>>()?;
    if rows.is_empty() {
        tx.execute("DELETE FROM dictionary WHERE epoch = ?", [epoch])?;
        tx.execute("DELETE FROM epoch WHERE id = ?", [epoch])?;
        return tx.commit();
    }
    // A block with the epoch's dictionary, for the rows that are pinned.
    let mut whole: Option<Block> = None;
    let mut samples = 0_u64;
    for old in rows {
        let until: Option<i64> = tx
            .prepare_cached("SELECT max(until_ns) FROM pin WHERE host = ? AND from_ns < ? AND to_ns > ?")?
            .query_row((&old.host, old.to, old.from), |row| row.get(0))?;
        if let Some(until) = until {
            let whole = if let Some(whole) = &mut whole {
                whole
            } else {
                let Dictionary { groups, trie } = epoch::load(&tx, epoch)?;
                whole.insert(Block { groups, trie, ..Block::default() })
            };
            let packed = body::pack(&old.block(&tx, whole)?.encode())?;
            tx.prepare_cached(
                "INSERT INTO pinned(host, from_ns, to_ns, until_ns, body) VALUES (?, ?, ?, ?, ?)",
            )?
            .execute((&old.host, old.from, old.to, until, packed))?;
        } else {
            samples = samples.saturating_add(old.samples.cast_unsigned());
        }
        tx.prepare_cached("DELETE FROM block WHERE id = ?")?.execute([old.id])?;
    }
    count_deleted(&tx, why, samples)?;
    tx.commit()
}

/// A row that goes.
struct Old {
    id: i64,
    host: String,
    from: i64,
    to: i64,
    column: i64,
    columns: u32,
    rate_hz: u32,
    samples: i64,
}

impl Old {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            host: row.get(1)?,
            from: row.get(2)?,
            to: row.get(3)?,
            column: row.get(4)?,
            columns: row.get(5)?,
            rate_hz: row.get(6)?,
            samples: row.get(7)?,
        })
    }

    /// The row as a block that needs no dictionary of its epoch. `whole` has that dictionary; afterwards it has this row's entries,
    /// too.
    fn block(&self, conn: &Connection, whole: &mut Block) -> rusqlite::Result<Block> {
        let (counters, body): (String, Vec<u8>) = conn
            .prepare_cached("SELECT counters, body FROM block WHERE id = ?")?
            .query_row([self.id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let sizes = Sizes {
            groups: whole.groups.len(),
            nodes: whole.trie.nodes.len(),
            columns: self.columns,
            rate_hz: self.rate_hz,
        };
        let mut kinds: [Vec<Entry>; 2] = Default::default();
        let each = |looked: Looked, entry: Entry| kinds[looked as usize].push(entry);
        body::decode(&body, sizes, |_| true, each).map_err(broken)?;
        [whole.cpu, whole.waits] = kinds;
        whole.from = UnixNs(self.from.cast_unsigned());
        whole.column = DurNs(self.column.cast_unsigned());
        (whole.columns, whole.rate_hz) = (self.columns, self.rate_hz);
        // Of the dictionary only what it needs.
        let mut own = whole.only(|_, _| true);
        roll::add_counters(&mut own.counters, &counters);
        Ok(own)
    }
}
