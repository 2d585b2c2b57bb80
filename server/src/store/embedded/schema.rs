//! The database file: tables, pragmas, and what SQLite's errors mean.

use std::error::Error as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use super::varint::Damaged;
use crate::sqlite;
use crate::store::StoreError;

/// `PRAGMA application_id`: "s7mp". Tells `file` and us whose file this is.
const APPLICATION_ID: i32 = 0x7337_6d70;
/// `PRAGMA user_version`: of the tables and of the bytes in them.
const VERSION: i32 = 5;

/// * `stream`: one row a (host, spool of a collector); `stored` holds the ranges of window numbers that were written,
///   whether retention has deleted them since or not.
/// * `series`: measurement and canonical tags (sorted, escaped as in the line protocol); `last_slot` is the last slot
///   that has it, so that it can go when the slots went.
/// * `head`: one row a window (`row.rs`).
/// * `slot`: up to ten minutes of a stream, rolled; `end_ns` is the end of these minutes, `times` are the points' times,
///   ascending.
/// * `bundle`: the series of a slot that a version before the third rolled (`bundle.rs`); `id` is slot × 2^20 + number.
const TABLES: &str = "
CREATE TABLE stream(
    id INTEGER PRIMARY KEY, host TEXT NOT NULL, name TEXT NOT NULL, stored BLOB NOT NULL, UNIQUE(host, name));
CREATE TABLE series(
    id INTEGER PRIMARY KEY AUTOINCREMENT, measurement TEXT NOT NULL, tags TEXT NOT NULL, last_slot INTEGER,
    UNIQUE(measurement, tags));
CREATE TABLE field(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE head(
    id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, seq INTEGER NOT NULL, end_ns INTEGER NOT NULL,
    first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL, points INTEGER NOT NULL, samples INTEGER NOT NULL,
    body BLOB NOT NULL);
CREATE TABLE slot(
    id INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL, end_ns INTEGER NOT NULL,
    first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL, windows INTEGER NOT NULL, points INTEGER NOT NULL, samples INTEGER NOT NULL, bytes INTEGER NOT NULL,
    times BLOB NOT NULL);
CREATE INDEX slot_end ON slot(end_ns);
CREATE TABLE bundle(
    id INTEGER PRIMARY KEY, first_series INTEGER NOT NULL, last_series INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE deleted(what TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
";

/// Since version 2 (`notes.rs`).
/// * `alert`: one row a message of an alert; rows are written in the order of their arrival.
/// * `report`: the latest of each host.
const NOTES: &str = "
CREATE TABLE alert(
    id INTEGER PRIMARY KEY, host TEXT NOT NULL, alert TEXT NOT NULL, at_ns INTEGER NOT NULL, state TEXT NOT NULL,
    json BLOB NOT NULL, UNIQUE(host, alert, at_ns, state));
CREATE INDEX alert_at ON alert(at_ns);
CREATE TABLE report(host TEXT PRIMARY KEY, at_ns INTEGER NOT NULL, json BLOB NOT NULL);
";

/// Since version 3.
/// * `series.fields`: ids of the fields that it ever had (`catalogue.rs`); NULL: it was not written since.
/// * `slot.layout`: what is where in it (`chunk.rs`); NULL: it has bundles. `part` is 1 as long as it will be rolled again.
/// * `chunk`: the columns of a slot; `id` is slot × 2^20 + number, so the table is its own index, and it is written in
///   order, which fills the pages.
/// * `total`: running sums of a series at the end of the slot with this number (`total.rs`).
const COLUMNS: &str = "
ALTER TABLE series ADD COLUMN fields BLOB;
ALTER TABLE slot ADD COLUMN layout BLOB;
ALTER TABLE slot ADD COLUMN part INTEGER NOT NULL DEFAULT 0;
CREATE INDEX slot_last ON slot(last_ns, first_ns);
CREATE INDEX slot_part ON slot(stream, end_ns) WHERE part = 1;
CREATE TABLE chunk(id INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE total(
    series INTEGER NOT NULL, slot INTEGER NOT NULL, sums BLOB NOT NULL, PRIMARY KEY(series, slot)) WITHOUT ROWID;
";

/// Since version 4.
/// * `head.id`: stream × 2^40 + number, so that those of a stream lie together.
/// * `slot.step`: 0: points as they were written; otherwise one point in so many ns (`thin.rs`); `part` is then 2 as long as it
///   will be put together with others.
/// * `slot.summed`: 0: running sums do not have it.
const STEPS: &str = "
UPDATE head SET id = (stream << 40) | id;
ALTER TABLE slot ADD COLUMN step INTEGER NOT NULL DEFAULT 0;
ALTER TABLE slot ADD COLUMN summed INTEGER NOT NULL DEFAULT 1;
UPDATE slot SET summed = 0 WHERE layout IS NULL;
CREATE INDEX slot_step ON slot(step, part, end_ns);
";

/// Since version 5 (`notes/reports.rs`).
/// * `kept_report`: reports of a host; `key_ns` is the time of the report whose text is the dictionary of this one's, its own if it has
///   none.
/// * `kept_bytes`: the bytes of all of them, in one row.
const REPORTS: &str = "
CREATE TABLE kept_report(
    host TEXT NOT NULL, key_ns INTEGER NOT NULL, at_ns INTEGER NOT NULL, json BLOB NOT NULL,
    PRIMARY KEY(host, key_ns, at_ns)) WITHOUT ROWID;
CREATE INDEX kept_report_key ON kept_report(key_ns);
CREATE TABLE kept_bytes(bytes INTEGER NOT NULL);
INSERT INTO kept_bytes VALUES (0);
";

/// What each version added to the one before, the first first.
const VERSIONS: [&str; VERSION as usize] = [TABLES, NOTES, COLUMNS, STEPS, REPORTS];

/// Opens the database for writing and makes the tables when they are not there.
///
/// WAL: readers in other processes see a consistent state while we write. `synchronous=FULL`: a commit is on the disk
/// when it returns. With `NORMAL`, SIGKILL would lose nothing either. But a power cut could undo the last commits after the
/// server has acknowledged them and the relay has deleted them from its spool. `FULL` costs one fsync a commit, that is one
/// a second.
pub(super) fn open(path: &Path, max_pages: Option<u32>) -> Result<Connection, StoreError> {
    let conn = sqlite::create(path).map_err(|e| error("cannot open", path, e))?;
    setup(&conn, max_pages).map_err(|e| error("cannot open", path, e))?;
    let id: i32 = pragma(&conn, "application_id").map_err(|e| error("cannot open", path, e))?;
    let version: i32 = pragma(&conn, "user_version").map_err(|e| error("cannot open", path, e))?;
    match (id, version) {
        (0, 0) => {
            let tables: i64 = conn
                .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
                .map_err(|e| error("cannot open", path, e))?;
            if tables > 0 {
                return Err(foreign(path, "is another program's database"));
            }
            let tables = VERSIONS.concat();
            conn.execute_batch(&format!(
                "BEGIN IMMEDIATE; {tables} PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={VERSION}; COMMIT"
            ))
            .map_err(|e| error("cannot make the tables in", path, e))?;
        }
        (APPLICATION_ID, VERSION) => {}
        (APPLICATION_ID, older @ 1..VERSION) => {
            let missing = VERSIONS[older as usize..].concat();
            conn.execute_batch(&format!("BEGIN IMMEDIATE; {missing} PRAGMA user_version={VERSION}; COMMIT"))
                .map_err(|e| error("cannot bring up to date", path, e))?;
        }
        (APPLICATION_ID, newer) => {
            return Err(foreign(path, &format!("is of version {newer}, this program reads {VERSION}")));
        }
        _ => return Err(foreign(path, "is another program's database")),
    }
    Ok(conn)
}

/// Makes the tables as an older version of the store did.
#[cfg(test)]
pub(super) fn make_older(conn: &Connection, version: usize) -> rusqlite::Result<()> {
    let tables = VERSIONS[..version].concat();
    conn.execute_batch(&format!(
        "{tables} PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={version};"
    ))
}

fn setup(conn: &Connection, max_pages: Option<u32>) -> rusqlite::Result<()> {
    // Only before the first table: lets retention give pages back to the file system.
    conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    // The WAL is reused from its start after a checkpoint; a large roll must not leave it large. 8 MiB.
    conn.pragma_update(None, "journal_size_limit", 8 << 20)?;
    // 4 MiB of page cache instead of 2: the roll touches some hundred pages at once.
    conn.pragma_update(None, "cache_size", -4096)?;
    if let Some(pages) = max_pages {
        conn.pragma_update(None, "max_page_count", pages)?;
    }
    Ok(())
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
    let conn = sqlite::open(path, flags).map_err(|e| error(what, path, e))?;
    let id: i32 = pragma(&conn, "application_id").map_err(|e| error(what, path, e))?;
    let version: i32 = pragma(&conn, "user_version").map_err(|e| error(what, path, e))?;
    if (id, version) == (APPLICATION_ID, VERSION) {
        Ok(conn)
    } else {
        Err(foreign(path, "is no store of this version of s7mpa"))
    }
}

pub(in crate::store) fn pragma<T: rusqlite::types::FromSql>(
    conn: &Connection,
    name: &str,
) -> rusqlite::Result<T> {
    conn.pragma_query_value(None, name, |row| row.get(0))
}

fn foreign(path: &Path, what: &str) -> StoreError {
    StoreError::Corrupt { what: format!("{} {what}", path.display()), source: None }
}

/// Damaged bytes inside the database.
pub(in crate::store) fn damaged(path: &Path, source: Damaged) -> StoreError {
    StoreError::Corrupt { what: format!("{} is damaged", path.display()), source: Some(source.into()) }
}

/// What an error of SQLite means for the caller. The time to wait is filled in by the store.
pub(in crate::store) fn error(operation: &str, path: &Path, source: rusqlite::Error) -> StoreError {
    let retry_after = Duration::from_secs(1);
    let what = format!("{operation} {}", path.display());
    let (code, extended) = match &source {
        rusqlite::Error::SqliteFailure(failure, _) => (failure.code, failure.extended_code),
        rusqlite::Error::FromSqlConversionFailure(..)
            if source.source().is_some_and(<dyn std::error::Error>::is::<Damaged>) =>
        {
            (ErrorCode::DatabaseCorrupt, 0)
        }
        _ => (ErrorCode::Unknown, 0),
    };
    match code {
        ErrorCode::DiskFull => StoreError::Full { what, retry_after, source: Some(source.into()) },
        // The file that readers and writer share (-shm) could not grow: same cause.
        ErrorCode::SystemIoFailure if extended == ffi::SQLITE_IOERR_SHMSIZE => {
            StoreError::Full { what, retry_after, source: Some(source.into()) }
        }
        ErrorCode::CannotOpen
        | ErrorCode::PermissionDenied
        | ErrorCode::ReadOnly
        | ErrorCode::AuthorizationForStatementDenied => {
            StoreError::Misconfigured { what, retry_after, source: Some(source.into()) }
        }
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
            StoreError::Corrupt { what, source: Some(source.into()) }
        }
        _ => StoreError::Unavailable { what, retry_after, source: Some(source.into()) },
    }
}
