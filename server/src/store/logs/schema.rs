//! The database file: its tables, and what is counted of them.

use rusqlite::Connection;

use crate::store::database::Kind;
pub(super) use crate::store::database::{
    Forgotten, Streams, count_deleted, deleted, load_stored, read_ranges, time, used_bytes, write_ranges,
};

/// The lines' file.
pub(super) const LINES: Kind = Kind {
    what: "log lines",
    // "s7lg".
    application_id: 0x7337_6c67,
    version: 2,
    tables: TABLES,
    upgrades: &[MARKS_OF_RANGES],
};

/// The filters' file. What is missing in it is searched without: it may be deleted.
pub(super) const FILTERS: Kind = Kind {
    what: "filters of log lines",
    // "s7lf".
    application_id: 0x7337_6c66,
    version: 1,
    upgrades: &[],
    tables: "CREATE TABLE filter(block INTEGER PRIMARY KEY, body BLOB NOT NULL);",
};

/// * `log`: the labels of a stream of lines, as JSON.
/// * `block`: lines of one of them, as a block of the crate `logs`. `level`: 0 as they came, 1 some put together, 2 full. Times are
///   those of the block's header, both ends included. `head`: the header by itself, before the body, so that it is read without
///   it; of level 0 it is NULL. `filter_bytes`: 0 if it has no filter. `came_ns`: when it was written.
/// * `mark`: what is stored of a source (`mark.rs`); `stored` are ranges as JSON.
const TABLES: &str = "
CREATE TABLE log(id INTEGER PRIMARY KEY, host TEXT NOT NULL, labels TEXT NOT NULL, UNIQUE(host, labels));
CREATE TABLE block(
    id INTEGER PRIMARY KEY AUTOINCREMENT, log INTEGER NOT NULL, level INTEGER NOT NULL, from_ns INTEGER NOT NULL,
    to_ns INTEGER NOT NULL, lines INTEGER NOT NULL, text_bytes INTEGER NOT NULL, filter_bytes INTEGER NOT NULL,
    came_ns INTEGER NOT NULL, head BLOB, body BLOB NOT NULL);
CREATE INDEX block_time ON block(to_ns, from_ns, log);
CREATE INDEX block_level ON block(level, log, came_ns, lines, text_bytes, from_ns) WHERE level < 2;
CREATE TABLE mark(
    host TEXT NOT NULL, source INTEGER NOT NULL, stored TEXT NOT NULL, stream TEXT NOT NULL, seq INTEGER NOT NULL,
    at_ns INTEGER NOT NULL, PRIMARY KEY(host, source)) WITHOUT ROWID;
CREATE INDEX mark_at ON mark(at_ns);
";

/// Version 1 knew the highest position of a source alone, and had columns that nobody read.
const MARKS_OF_RANGES: &str = "
ALTER TABLE mark RENAME TO old_mark;
CREATE TABLE mark(
    host TEXT NOT NULL, source INTEGER NOT NULL, stored TEXT NOT NULL, stream TEXT NOT NULL, seq INTEGER NOT NULL,
    at_ns INTEGER NOT NULL, PRIMARY KEY(host, source)) WITHOUT ROWID;
INSERT INTO mark SELECT host, source, '[[1,' || (position + 1) || ']]', '', 0, at_ns FROM old_mark;
DROP TABLE old_mark;
CREATE INDEX mark_at ON mark(at_ns);
DROP INDEX block_time;
ALTER TABLE block DROP COLUMN severities;
ALTER TABLE block DROP COLUMN pid_least;
ALTER TABLE block DROP COLUMN pid_most;
CREATE INDEX block_time ON block(to_ns, from_ns, log);
";

/// Counts for [`crate::store::Health`].
pub(super) fn counts(conn: &Connection) -> rusqlite::Result<Vec<(&'static str, u64)>> {
    let one = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned);
    Ok(vec![
        ("streams", one("SELECT count(*) FROM log")?),
        ("blocks", one("SELECT count(*) FROM block")?),
        ("lines", one("SELECT coalesce(sum(lines), 0) FROM block")?),
        ("text_bytes", one("SELECT coalesce(sum(text_bytes), 0) FROM block")?),
        ("used_bytes", used_bytes(conn)?),
    ])
}
