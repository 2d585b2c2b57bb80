//! Older counts in longer columns, and the dictionary of an epoch that is over in one part.

use std::time::Duration;

use profile::block::{Counters, Entry, Looked};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};

use super::Options;
use super::body::{self, Sizes};
use super::epoch::{self, EPOCH, LATE};
use super::schema::{broken, time};
use super::write::Row;

/// Most columns of a row: what the bits of its entries can say.
const MAX_COLUMNS: i64 = profile::block::MAX_COLUMNS as i64;
/// Parts of a dictionary that are worth to be joined.
const MAX_PARTS: i64 = 8;
/// Columns of this length, in rows of ten, or six, of them.
struct Target {
    column: i64,
    row: i64,
    after: Duration,
}

/// Does one step; says whether there was one.
pub(super) fn roll(conn: &mut Connection, options: &Options, now: i64) -> rusqlite::Result<bool> {
    let minute = time(Duration::from_mins(1).as_nanos() as u64);
    let minutes = Target { column: minute, row: 10 * minute, after: options.minutes_after };
    let tens = Target { column: 10 * minute, row: 60 * minute, after: options.ten_minutes_after };
    for target in [tens, minutes] {
        if let Some(first) = due(conn, &target, now)? {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            roll_row(&tx, &target, &first)?;
            tx.commit()?;
            return Ok(true);
        }
    }
    if let Some(epoch) = in_parts(conn, now)? {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        epoch::join(&tx, epoch)?;
        tx.commit()?;
        return Ok(true);
    }
    Ok(false)
}

/// A row that is to be rolled.
struct First {
    epoch: i64,
    host: String,
    rate_hz: u32,
    from: i64,
}

/// The oldest row with shorter columns that is old enough.
fn due(conn: &Connection, target: &Target, now: i64) -> rusqlite::Result<Option<First>> {
    // A row is made of all that it will have.
    let before = now.saturating_sub(time(target.after.as_nanos() as u64)).saturating_sub(target.row);
    let mut column = 0;
    loop {
        let next: Option<i64> = conn
            .prepare_cached("SELECT min(column_ns) FROM block WHERE column_ns > ? AND column_ns < ?")?
            .query_row((column, target.column), |row| row.get(0))?;
        let Some(next) = next else { return Ok(None) };
        column = next;
        let first = conn
            .prepare_cached(
                "SELECT epoch, host, rate_hz, from_ns FROM block WHERE column_ns = ? AND from_ns < ? ORDER BY from_ns LIMIT 1",
            )?
            .query_row((column, before), |row| {
                Ok(First { epoch: row.get(0)?, host: row.get(1)?, rate_hz: row.get(2)?, from: row.get(3)? })
            })
            .optional()?;
        if first.is_some() {
            return Ok(first);
        }
    }
}

/// Makes one row of those that begin in the same ten minutes, or hour.
fn roll_row(tx: &Transaction<'_>, target: &Target, first: &First) -> rusqlite::Result<()> {
    let from = first.from / target.row * target.row;
    let select = "FROM block WHERE epoch = ? AND host = ? AND rate_hz = ? AND column_ns < ? AND from_ns >= ? AND from_ns < ?";
    let chosen = (first.epoch, &first.host, first.rate_hz, target.column, from, from + target.row);
    let mut kinds: [Vec<Entry>; 2] = Default::default();
    let (mut counters, mut samples, mut columns) = (Counters::new(), 0_i64, 1);
    {
        let sql = format!("SELECT from_ns, column_ns, columns, samples, counters, body {select}");
        let mut statement = tx.prepare_cached(&sql)?;
        let mut rows = statement.query(chosen)?;
        while let Some(row) = rows.next()? {
            let (start, length): (i64, i64) = (row.get(0)?, row.get(1)?);
            samples = samples.saturating_add(row.get(3)?);
            add_counters(&mut counters, row.get_ref(4)?.as_str()?);
            // Ids need not be compared with the dictionary's sizes: nothing is looked up.
            let sizes = Sizes {
                groups: u32::MAX as usize,
                nodes: u32::MAX as usize,
                columns: row.get(2)?,
                rate_hz: first.rate_hz,
            };
            let each = |looked: Looked, entry: Entry| {
                let place = (start + i64::from(entry.column) * length - from) / target.column;
                let column = place.clamp(0, MAX_COLUMNS - 1) as u32;
                columns = columns.max(column + 1);
                kinds[looked as usize].push(Entry { column, ..entry });
            };
            body::decode(row.get_ref(5)?.as_blob()?, sizes, |_| true, each).map_err(broken)?;
        }
    }
    kinds.iter_mut().for_each(epoch::sum);
    tx.prepare_cached(&format!("DELETE {select}"))?.execute(chosen)?;
    let row = Row {
        epoch: first.epoch,
        host: &first.host,
        from,
        column: target.column,
        columns: columns.max((target.row / target.column) as u32),
        rate_hz: first.rate_hz,
        samples,
        counters: serde_json::to_string(&counters).unwrap_or_default(),
        body: body::encode(&kinds[0], &kinds[1])?,
    };
    row.insert(tx)
}

/// Adds counters as they lie in a row.
pub(super) fn add_counters(sum: &mut Counters, json: &str) {
    let more: Counters = serde_json::from_str(json).unwrap_or_default();
    for (name, count) in more {
        let known = sum.entry(name).or_default();
        *known = known.saturating_add(count);
    }
}

/// An epoch that is over and whose dictionary has many parts.
fn in_parts(conn: &Connection, now: i64) -> rusqlite::Result<Option<i64>> {
    let over = now.saturating_sub(time((EPOCH + LATE).as_nanos() as u64));
    conn.prepare_cached(
        "SELECT epoch.id FROM epoch WHERE epoch.from_ns < ?1
           AND (SELECT count(*) FROM (SELECT 1 FROM dictionary WHERE dictionary.epoch = epoch.id LIMIT ?2)) = ?2 LIMIT 1",
    )?
    .query_row((over, MAX_PARTS), |row| row.get(0))
    .optional()
}
