//! A SQLite file of ours beside the metrics' store: its pragmas, its version, and the table of what was deleted.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;
use std::time::{Duration, Instant};

use agent_common::varint::Damaged;
use agent_common::wire::head::WindowHead;
use agent_common::wire::stored::RangeSet;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Transaction, TransactionBehavior};

use super::StoreError;
use super::embedded::{pragma, sqlite_error};
use crate::sqlite;

/// * `stream`: one row a (host, spool of a collector); `stored` are the ranges of message numbers that were written, as JSON.
/// * `deleted`: what was deleted or lost since the store was made, by reason.
const TABLES: &str = "
CREATE TABLE stream(
    id INTEGER PRIMARY KEY, host TEXT NOT NULL, name TEXT NOT NULL, stored TEXT NOT NULL, UNIQUE(host, name));
CREATE TABLE deleted(what TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
";
/// Blocks that go in one transaction when a host is forgotten.
const FORGOTTEN_AT_ONCE: i64 = 200;
/// Ranges kept of a stream.
const MAX_RANGES: usize = 1_024;

/// What is in a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    /// In the plural, for people.
    pub(super) what: &'static str,
    /// `PRAGMA application_id`.
    pub(super) application_id: i32,
    /// `PRAGMA user_version`: of the tables and of the bytes in them.
    pub(super) version: i32,
    /// Makes the tables.
    pub(super) tables: &'static str,
    /// What makes the next version of a file, from version 1 on.
    pub(super) upgrades: &'static [&'static str],
}

impl Kind {
    /// Opens the database for writing and makes the tables when they are not there. `synchronous=FULL` as in the metrics' store:
    /// what is acknowledged survives a power cut.
    pub(super) fn open(self, path: &Path) -> Result<Connection, StoreError> {
        let Self { what, application_id, version, tables, upgrades } = self;
        let cannot = |source| sqlite_error("cannot open", path, source);
        let conn = sqlite::create(path).map_err(cannot)?;
        let (id, found, count) = look(&conn).map_err(cannot)?;
        match (id, found) {
            (0, 0) if count == 0 => conn
                .execute_batch(&format!(
                    "BEGIN IMMEDIATE; {TABLES} {tables} PRAGMA application_id={application_id}; PRAGMA user_version={version}; COMMIT"
                ))
                .map_err(|source| sqlite_error("cannot make the tables in", path, source))?,
            (id, found) if (id, found) == (application_id, version) => {}
            (id, older) if id == application_id && (1..version).contains(&older) => {
                let steps = upgrades.get(older as usize - 1..).unwrap_or_default().concat();
                conn.execute_batch(&format!(
                    "BEGIN IMMEDIATE; {steps} PRAGMA user_version={version}; COMMIT"
                ))
                .map_err(|source| sqlite_error("cannot upgrade", path, source))?;
            }
            (id, newer) if id == application_id => {
                return Err(foreign(path, &format!("is of version {newer}, this program reads {what} of version {version}")));
            }
            _ => return Err(foreign(path, "is another program's database")),
        }
        Ok(conn)
    }

    /// Opens the database of another process for reading.
    pub(super) fn open_read_only(self, path: &Path) -> Result<Connection, StoreError> {
        self.open_with(path, "cannot open for reading", OpenFlags::SQLITE_OPEN_READ_ONLY)
    }

    /// Opens the database of another process, which goes on writing.
    pub(super) fn open_beside(self, path: &Path) -> Result<Connection, StoreError> {
        self.open_with(path, "cannot open", OpenFlags::SQLITE_OPEN_READ_WRITE)
    }

    /// Deletes what there is of one host, beside a running writer, and leaves the file alone in between. Returns what its blocks count.
    pub(super) fn forget(self, path: &Path, host: &str, how: &Forgotten) -> Result<u64, StoreError> {
        let conn = self.open_beside(path)?;
        let delete = || {
            let tx = Transaction::new_unchecked(&conn, TransactionBehavior::Immediate)?;
            let counts: Vec<i64> = tx
                .prepare_cached(how.blocks)?
                .query_map((host, FORGOTTEN_AT_ONCE), |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            if counts.is_empty() {
                for table in how.tables {
                    tx.execute(&format!("DELETE FROM {table} WHERE host = ?"), [host])?;
                }
            }
            let sum = counts.iter().sum::<i64>().cast_unsigned();
            count_deleted(&tx, how.what, sum)?;
            tx.commit()?;
            Ok((!counts.is_empty()).then_some(sum))
        };
        in_pieces(delete).map_err(|source| sqlite_error("cannot forget a host in", path, source))
    }

    fn open_with(self, path: &Path, doing: &str, flags: OpenFlags) -> Result<Connection, StoreError> {
        let cannot = |source| sqlite_error(doing, path, source);
        let conn = sqlite::open(path, flags).map_err(cannot)?;
        let id: i32 = pragma(&conn, "application_id").map_err(cannot)?;
        let version: i32 = pragma(&conn, "user_version").map_err(cannot)?;
        if (id, version) == (self.application_id, self.version) {
            Ok(conn)
        } else {
            Err(foreign(path, &format!("holds no {} of this version of s7mpa", self.what)))
        }
    }
}

fn look(conn: &Connection) -> rusqlite::Result<(i32, i32, i64)> {
    conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "journal_size_limit", 8 << 20)?;
    let tables = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok((pragma(conn, "application_id")?, pragma(conn, "user_version")?, tables))
}

fn foreign(path: &Path, what: &str) -> StoreError {
    StoreError::Corrupt { what: format!("{} {what}", path.display()), source: None }
}

/// Bytes of the file that hold something.
pub(super) fn used_bytes(conn: &Connection) -> rusqlite::Result<u64> {
    let of = |name| pragma::<i64>(conn, name).map(i64::cast_unsigned);
    Ok(of("page_count")?.saturating_sub(of("freelist_count")?) * of("page_size")?)
}

/// Counts what is lost or deleted.
pub(super) fn count_deleted(conn: &Connection, what: &str, count: u64) -> rusqlite::Result<()> {
    if count == 0 {
        return Ok(());
    }
    let sql = "INSERT INTO deleted(what, count) VALUES (?, ?) ON CONFLICT(what) DO UPDATE SET count = count + excluded.count";
    conn.prepare_cached(sql)?.execute((what, time(count)))?;
    Ok(())
}

/// What was deleted or lost since the store was made, by reason.
pub(super) fn deleted(conn: &Connection) -> rusqlite::Result<Vec<(String, u64)>> {
    conn.prepare_cached("SELECT what, count FROM deleted ORDER BY what")?
        .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned())))?
        .collect()
}

/// A time or a count as SQLite has it.
pub(super) fn time(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}

/// Damaged bytes inside the database, as its own errors are.
pub(super) fn broken(damaged: Damaged) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, damaged.into())
}

/// Which messages of a stream were written.
pub(super) fn load_stored(conn: &Connection, (host, name): (&str, &str)) -> rusqlite::Result<RangeSet> {
    let json: Option<String> = conn
        .prepare_cached("SELECT stored FROM stream WHERE host = ? AND name = ?")?
        .query_row([host, name], |row| row.get(0))
        .optional()?;
    json.map_or_else(|| Ok(RangeSet::default()), |json| read_ranges(&json, "the numbers of stored messages"))
}

/// Ranges as they are stored. Damaged ones are an error: as if nothing was stored, all would be counted twice.
pub(super) fn read_ranges(json: &str, what: &'static str) -> rusqlite::Result<RangeSet> {
    let ranges: Vec<(u64, u64)> = serde_json::from_str(json).map_err(|_| broken(Damaged(what)))?;
    Ok(ranges.into_iter().collect())
}

/// The newest ranges, at most so many, as they are stored.
pub(super) fn write_ranges(mut set: RangeSet, most: usize) -> String {
    set.cut(most);
    serde_json::to_string(set.ranges()).unwrap_or_default()
}

/// The streams whose messages a transaction writes.
#[derive(Debug, Default)]
pub(super) struct Streams<'m>(BTreeMap<(&'m str, &'m str), RangeSet>);

impl<'m> Streams<'m> {
    /// Takes the number of a message. Returns the numbers of its stream, with this one; `None` if it was there already.
    pub(super) fn insert(
        &mut self,
        tx: &Connection,
        head: &'m WindowHead,
    ) -> rusqlite::Result<Option<&RangeSet>> {
        let key = (head.host.as_str(), head.stream.as_str());
        let stored = match self.0.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(load_stored(tx, key)?),
        };
        Ok(stored.insert(head.seq).then_some(stored))
    }

    /// Remembers the numbers.
    pub(super) fn save(self, tx: &Connection) -> rusqlite::Result<()> {
        for (stream, stored) in self.0 {
            save_stored(tx, stream, stored)?;
        }
        Ok(())
    }
}

/// What goes when a host is forgotten.
#[derive(Debug)]
pub(super) struct Forgotten {
    /// Deletes some blocks of a host and returns what each counts; its parameters are the host and how many.
    pub(super) blocks: &'static str,
    /// Then all rows of the host in these tables.
    pub(super) tables: &'static [&'static str],
    /// What is counted.
    pub(super) what: &'static str,
}

/// Does a work of short transactions that each say how much they did, until there is none. In between the file is left alone for as long
/// as that took. Returns the sum.
fn in_pieces(mut piece: impl FnMut() -> rusqlite::Result<Option<u64>>) -> rusqlite::Result<u64> {
    let mut all = 0;
    loop {
        let begun = Instant::now();
        let Some(done) = piece()? else { return Ok(all) };
        all += done;
        std::thread::sleep(begun.elapsed().max(Duration::from_millis(1)));
    }
}

fn save_stored(conn: &Connection, (host, name): (&str, &str), stored: RangeSet) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO stream(host, name, stored) VALUES (?, ?, ?)
         ON CONFLICT(host, name) DO UPDATE SET stored = excluded.stored",
    )?
    .execute((host, name, write_ranges(stored, MAX_RANGES)))?;
    Ok(())
}
