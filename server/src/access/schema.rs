//! The database of accounts: tables and versions.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rusqlite::Connection;

use super::AccessError;
use crate::sqlite;

/// `PRAGMA application_id`: "s7ma".
const APPLICATION_ID: i32 = 0x7337_6d61;

/// * `account`: `hash` is argon2id of the password with `salt` and the cost that stands beside it.
/// * `session`: of an account (whose role it has), or of a one-use link (then it has its own `role`).
/// * `token`: of programs. * `link`: not used yet.
/// * `audit`: `failed` is 1 for what was refused.
///
/// `secret` is the SHA-256 of what the client has. Times are seconds since 1970.
const TABLES: &str = "
CREATE TABLE account(
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, role TEXT NOT NULL, made_at INTEGER NOT NULL,
    salt BLOB NOT NULL, hash BLOB NOT NULL, memory_kib INTEGER NOT NULL, passes INTEGER NOT NULL, lanes INTEGER NOT NULL);
CREATE TABLE session(
    id INTEGER PRIMARY KEY AUTOINCREMENT, secret BLOB NOT NULL UNIQUE,
    account INTEGER REFERENCES account(id) ON DELETE CASCADE, role TEXT,
    made_at INTEGER NOT NULL, seen_at INTEGER NOT NULL, address TEXT NOT NULL);
CREATE INDEX session_account ON session(account);
CREATE TABLE token(
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, secret BLOB NOT NULL UNIQUE, role TEXT NOT NULL,
    made_at INTEGER NOT NULL, expires_at INTEGER, used_at INTEGER);
CREATE TABLE link(secret BLOB PRIMARY KEY, role TEXT NOT NULL, expires_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE audit(
    id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL, failed INTEGER NOT NULL,
    address TEXT NOT NULL);
CREATE INDEX audit_failed ON audit(failed, id);
";

/// * `acknowledged`: that somebody knows of an alert. * `silence`: which alerts no notifier is told of; what is empty is any.
const ALERTS: &str = "
CREATE TABLE acknowledged(
    host TEXT NOT NULL, alert TEXT NOT NULL, who TEXT NOT NULL, at INTEGER NOT NULL, note TEXT NOT NULL,
    PRIMARY KEY(host, alert)) WITHOUT ROWID;
CREATE TABLE silence(
    id INTEGER PRIMARY KEY AUTOINCREMENT, host TEXT, class TEXT, comm TEXT, from_at INTEGER NOT NULL, until_at INTEGER NOT NULL,
    who TEXT NOT NULL, note TEXT NOT NULL);
";

/// What each version added to the one before, the first first.
const VERSIONS: [&str; 2] = [TABLES, ALERTS];

/// Opens it, readable by its owner alone, and brings it up to date.
pub(super) fn open(path: &Path) -> Result<Connection, AccessError> {
    let failed = |source| AccessError::Open { path: path.to_owned(), source };
    // SQLite gives its other files the mode of this one.
    let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    made.map_err(|e| failed(rusqlite::Error::ToSqlConversionFailure(e.into())))?;
    let mut conn = sqlite::create(path).map_err(failed)?;
    conn.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;")
        .map_err(failed)?;
    update(&mut conn, path).map_err(|error| match error {
        AccessError::Database(source) => failed(source),
        other => other,
    })?;
    Ok(conn)
}

fn update(conn: &mut Connection, path: &Path) -> Result<(), AccessError> {
    // One of several processes makes the tables.
    let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let pragma = |name: &str| tx.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i32>(0));
    let (id, version) = (pragma("application_id")?, pragma("user_version")?);
    let foreign = |what: String| Err(AccessError::Foreign { path: path.to_owned(), what });
    let newest = VERSIONS.len() as i32;
    match (id, version) {
        (0, 0) if tx.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))? > 0 => {
            return foreign("is another program's database".to_owned());
        }
        (0, 0) | (APPLICATION_ID, 1..) if version < newest => {
            tx.execute_batch(&VERSIONS[version as usize..].concat())?;
            tx.execute_batch(&format!(
                "PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={newest}"
            ))?;
        }
        (APPLICATION_ID, same) if same == newest => return Ok(()),
        (APPLICATION_ID, newer) => {
            return foreign(format!("is of version {newer}, this program reads {newest}"));
        }
        _ => return foreign("is another program's database".to_owned()),
    }
    tx.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn it_is_made_once_for_its_owner_alone_and_a_foreign_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.db");
        drop(open(&path).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let conn = open(&path).unwrap();
        conn.execute_batch("PRAGMA user_version=99").unwrap();
        assert!(open(&path).unwrap_err().to_string().contains("version 99"));
        let other = dir.path().join("other.db");
        Connection::open(&other).unwrap().execute_batch("CREATE TABLE a(b)").unwrap();
        assert!(open(&other).unwrap_err().to_string().contains("another program"));
    }
}
