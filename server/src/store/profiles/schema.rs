//! The database file: tables and pragmas.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::super::StoreError;
use super::super::embedded::{pragma, sqlite_error};

/// `PRAGMA application_id`: "s7pr".
const APPLICATION_ID: i32 = 0x7337_7072;
/// `PRAGMA user_version`: of the tables and of the bytes in them.
const VERSION: i32 = 1;
/// How long to wait for another process' lock.
const BUSY: Duration = Duration::from_secs(5);

/// * `stream`: one row a (host, spool of a collector); `stored` are the ranges of block numbers that were written, as JSON.
/// * `epoch`: from `from_ns` until the next begins, at a multiple of six hours at the latest.
/// * `dictionary`: frames, processes and stacks of an epoch, in the order of `id`: each row has what was new (`epoch.rs`).
/// * `block`: counts (`body.rs`) in `columns` columns of `column_ns`; `counters` says what they cover, as JSON.
/// * `pin`: what must outlive its epoch. `pinned`: what has outlived it, as packed blocks.
/// * `evidence`: packed blocks; `evidence_of` says of which alerts.
const TABLES: &str = "
CREATE TABLE stream(
    id INTEGER PRIMARY KEY, host TEXT NOT NULL, name TEXT NOT NULL, stored TEXT NOT NULL, UNIQUE(host, name));
CREATE TABLE epoch(id INTEGER PRIMARY KEY AUTOINCREMENT, from_ns INTEGER NOT NULL UNIQUE);
CREATE TABLE dictionary(id INTEGER PRIMARY KEY AUTOINCREMENT, epoch INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX dictionary_epoch ON dictionary(epoch, id);
CREATE TABLE block(
    id INTEGER PRIMARY KEY AUTOINCREMENT, epoch INTEGER NOT NULL, host TEXT NOT NULL, from_ns INTEGER NOT NULL,
    to_ns INTEGER NOT NULL, column_ns INTEGER NOT NULL, columns INTEGER NOT NULL, rate_hz INTEGER NOT NULL,
    samples INTEGER NOT NULL, counters TEXT NOT NULL, body BLOB NOT NULL);
CREATE INDEX block_epoch ON block(epoch, from_ns);
CREATE INDEX block_column ON block(column_ns, from_ns);
CREATE TABLE pin(
    host TEXT NOT NULL, alert TEXT NOT NULL, from_ns INTEGER NOT NULL, to_ns INTEGER NOT NULL,
    until_ns INTEGER NOT NULL, PRIMARY KEY(host, alert)) WITHOUT ROWID;
CREATE TABLE pinned(
    id INTEGER PRIMARY KEY AUTOINCREMENT, host TEXT NOT NULL, from_ns INTEGER NOT NULL, to_ns INTEGER NOT NULL,
    until_ns INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE evidence(id INTEGER PRIMARY KEY AUTOINCREMENT, host TEXT NOT NULL, until_ns INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE evidence_of(
    host TEXT NOT NULL, alert TEXT NOT NULL, evidence INTEGER NOT NULL, PRIMARY KEY(host, alert, evidence)) WITHOUT ROWID;
CREATE TABLE deleted(what TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
";

/// Opens the database for writing and makes the tables when they are not there. `synchronous=FULL` as in the metrics' store:
/// what is acknowledged survives a power cut.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let cannot = |source| sqlite_error("cannot open", path, source);
    let conn = Connection::open(path).map_err(cannot)?;
    let (id, version, tables) = look(&conn).map_err(cannot)?;
    match (id, version) {
        (0, 0) if tables == 0 => conn
            .execute_batch(&format!(
                "BEGIN IMMEDIATE; {TABLES} PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={VERSION}; COMMIT"
            ))
            .map_err(|source| sqlite_error("cannot make the tables in", path, source))?,
        (APPLICATION_ID, VERSION) => {}
        (APPLICATION_ID, newer) => return Err(foreign(path, &format!("is of version {newer}, this program reads {VERSION}"))),
        _ => return Err(foreign(path, "is another program's database")),
    }
    Ok(conn)
}

fn look(conn: &Connection) -> rusqlite::Result<(i32, i32, i64)> {
    conn.busy_timeout(BUSY)?;
    conn.set_prepared_statement_cache_capacity(32);
    conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "journal_size_limit", 8 << 20)?;
    let tables = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok((pragma(conn, "application_id")?, pragma(conn, "user_version")?, tables))
}

/// Opens the database of another process for reading.
pub(super) fn open_read_only(path: &Path) -> Result<Connection, StoreError> {
    open_with(path, "cannot open for reading", OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// Opens the database of another process, which goes on writing.
pub(super) fn open_beside(path: &Path) -> Result<Connection, StoreError> {
    open_with(path, "cannot open", OpenFlags::SQLITE_OPEN_READ_WRITE)
}

fn open_with(path: &Path, what: &str, flags: OpenFlags) -> Result<Connection, StoreError> {
    let cannot = |source| sqlite_error(what, path, source);
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(cannot)?;
    conn.busy_timeout(BUSY).map_err(cannot)?;
    let id: i32 = pragma(&conn, "application_id").map_err(cannot)?;
    let version: i32 = pragma(&conn, "user_version").map_err(cannot)?;
    if (id, version) == (APPLICATION_ID, VERSION) {
        Ok(conn)
    } else {
        Err(foreign(path, "holds no profiles of this version of s7mpa"))
    }
}

fn foreign(path: &Path, what: &str) -> StoreError {
    StoreError::Corrupt { what: format!("{} {what}", path.display()), source: None }
}

/// Counts for [`super::super::Health`].
pub(super) fn counts(conn: &Connection) -> rusqlite::Result<Vec<(&'static str, u64)>> {
    let one = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned);
    Ok(vec![
        ("epochs", one("SELECT count(*) FROM epoch")?),
        ("blocks", one("SELECT count(*) FROM block")?),
        ("samples", one("SELECT coalesce(sum(samples), 0) FROM block")?),
        ("block_bytes", one("SELECT coalesce(sum(length(body) + length(counters)), 0) FROM block")?),
        ("dictionary_bytes", one("SELECT coalesce(sum(length(body)), 0) FROM dictionary")?),
        ("evidence", one("SELECT count(*) FROM evidence")?),
        ("pinned", one("SELECT count(*) FROM pinned")?),
        ("used_bytes", used_bytes(conn)?),
    ])
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
