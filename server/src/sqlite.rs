//! Connections to files of SQLite.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

/// How long to wait for another process' lock.
const BUSY: Duration = Duration::from_secs(5);
/// Statements that a connection keeps prepared: a query of the store has some thirty.
const STATEMENTS: usize = 64;

/// Opens a file that is there.
pub(crate) fn open(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(BUSY)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    // Plans do not depend on the values: otherwise each statement with a range is prepared again whenever its values change.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(conn)
}

/// Opens a file for writing, and makes it.
pub(crate) fn create(path: &Path) -> rusqlite::Result<Connection> {
    open(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn a_statement_with_a_range_is_prepared_once() {
        let dir = tempfile::tempdir().unwrap();
        let conn = create(&dir.path().join("a.db")).unwrap();
        conn.execute_batch(
            "CREATE TABLE a(b INTEGER, c TEXT); CREATE INDEX i ON a(b);
             WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 1000)
             INSERT INTO a SELECT v, 'x' FROM n; ANALYZE;",
        )
        .unwrap();
        let mut statement =
            conn.prepare("SELECT count(*) FROM a WHERE b >= ? AND b < ? AND c LIKE ?").unwrap();
        for from in 0..20_i64 {
            let count: i64 = statement.query_row((from, from + 5, "x%"), |row| row.get(0)).unwrap();
            assert_eq!(count, 5 - i64::from(from == 0));
        }
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
    }
}
