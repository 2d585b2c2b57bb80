//! The database file: its tables, and what is counted of them.

use rusqlite::Connection;

use crate::store::database::Kind;
pub(super) use crate::store::database::{
    Forgotten, Streams, broken, count_deleted, deleted, load_stored, time, used_bytes,
};

/// The profiles' file.
pub(super) const PROFILES: Kind = Kind {
    what: "profiles",
    // "s7pr".
    application_id: 0x7337_7072,
    version: 1,
    upgrades: &[],
    tables: TABLES,
};

/// * `epoch`: from `from_ns` until the next begins, at a multiple of six hours at the latest.
/// * `dictionary`: frames, processes and stacks of an epoch, in the order of `id`: each row has what was new (`epoch.rs`).
/// * `block`: counts (`body.rs`) in `columns` columns of `column_ns`; `counters` says what they cover, as JSON.
/// * `pin`: what must outlive its epoch. `pinned`: what has outlived it, as packed blocks.
/// * `evidence`: packed blocks; `evidence_of` says of which alerts.
const TABLES: &str = "
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
";

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
