//! Alerts and reports in the database: as they came, zstd-compressed.
//!
//! Of the reports of a host one a minute is kept, and each that was made for an alert. Reports of one host are much alike, so a *key* report is
//! compressed by itself, and those of the hour after it with the key's text as dictionary. A key goes with its hour.

mod reports;

use std::time::{Duration, SystemTime};

use agent_common::units::UnixNs;
use agent_common::wire::finding::Alert;
use rusqlite::{Connection, TransactionBehavior};

use super::read::Reader;
use super::row::unpack;
use super::varint::Damaged;
use super::{Options, retain, time};
use crate::store::note::state;
use crate::store::{Note, StoreError};

pub use reports::StoredReport;

/// Deletes alerts and reports of a host.
pub(super) fn forget(conn: &Connection, host: &str) -> rusqlite::Result<()> {
    conn.execute("DELETE FROM alert WHERE host = ?", [host])?;
    reports::forget(conn, host)
}

/// How long alerts and reports are kept.
const MAX_AGE: Duration = Duration::from_hours(90 * 24);
/// Messages of alerts that are kept, the latest: some 150 MB. A host with an alert every ten minutes has 40,000 in 90 days.
const MAX_ALERTS: i64 = 200_000;
/// zstd level: JSON becomes a fifth of it.
const LEVEL: i32 = 3;

/// Writes what is not there yet, and deletes what is too old or too much. Returns how many were new.
pub(super) fn write(conn: &mut Connection, notes: &[Note], options: &Options) -> rusqlite::Result<u64> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut new = 0;
    for note in notes {
        new += match note {
            Note::Alert { alert, json } => tx
                .prepare_cached(
                    "INSERT OR IGNORE INTO alert(host, alert, at_ns, state, json) VALUES (?, ?, ?, ?, ?)",
                )?
                .execute((
                    &alert.host,
                    &alert.id,
                    time(alert.at_unix_ns),
                    state(alert.state),
                    packed(json, &[])?,
                ))? as u64,
            Note::Report(report) => u64::from(reports::write(&tx, report)?),
        };
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let oldest = time(now.saturating_sub(MAX_AGE).as_nanos() as u64);
    let mut gone = tx
        .prepare_cached("DELETE FROM alert WHERE id <= (SELECT max(id) FROM alert) - ?")?
        .execute([MAX_ALERTS])?;
    gone += tx.prepare_cached("DELETE FROM alert WHERE at_ns < ?")?.execute([oldest])?;
    retain::count_deleted(&tx, "alert messages by retention", gone as i64)?;
    let gone = reports::retain(&tx, oldest, options.max_bytes)?;
    retain::count_deleted(&tx, "reports by retention", gone)?;
    tx.commit()?;
    Ok(new)
}

fn packed(json: &str, dictionary: &[u8]) -> rusqlite::Result<Vec<u8>> {
    zstd::bulk::Compressor::with_dictionary(LEVEL, dictionary)
        .and_then(|mut pack| pack.compress(json.as_bytes()))
        .map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))
}

impl Reader {
    /// Messages of alerts between two times (the second excluded), oldest first; of one host, if it is named. When
    /// there are more than `limit` it is the latest.
    pub fn alerts(
        &self,
        host: Option<&str>,
        from: UnixNs,
        to: UnixNs,
        limit: usize,
    ) -> Result<Vec<Alert>, StoreError> {
        let bodies = || -> rusqlite::Result<Vec<Vec<u8>>> {
            self.conn()
                .prepare_cached(
                    "SELECT json FROM alert WHERE at_ns >= ?1 AND at_ns < ?2 AND (?3 IS NULL OR host = ?3)
                     ORDER BY at_ns DESC, id DESC LIMIT ?4",
                )?
                .query_map(
                    (time(from.0), time(to.0), host, i64::try_from(limit).unwrap_or(i64::MAX)),
                    |row| row.get(0),
                )?
                .collect()
        };
        let bodies = bodies().map_err(|e| self.error(e))?;
        let alert =
            |body: &Vec<u8>| serde_json::from_slice(&unpack(body)?).map_err(|_| Damaged("an alert's JSON"));
        bodies.iter().rev().map(alert).collect::<Result<_, _>>().map_err(|e| self.damaged(e))
    }
}
