//! Alerts and reports in the database: as they came, zstd-compressed.

use std::time::{Duration, SystemTime};

use agent_common::units::UnixNs;
use agent_common::wire::finding::Alert;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use super::read::Reader;
use super::row::unpack;
use super::varint::Damaged;
use super::{retain, time};
use crate::store::note::state;
use crate::store::{Note, StoreError};

/// Messages of alerts that are kept, the latest: about 20 MB. They go with the metrics of their time, too.
const MAX_ALERTS: i64 = 20_000;
/// Hosts whose report is kept; when there are more, those that were silent longest go.
const MAX_REPORTS: i64 = 10_000;
/// zstd level: JSON becomes a fifth of it.
const LEVEL: i32 = 3;

/// Writes what is not there yet, and deletes what is too old or too much. Returns how many were new.
pub(super) fn write(conn: &mut Connection, notes: &[Note], max_age: Duration) -> rusqlite::Result<u64> {
    let packed = |json: &str| {
        zstd::bulk::compress(json.as_bytes(), LEVEL)
            .map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))
    };
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
                    packed(json)?,
                ))?,
            // One that comes again, after a reconnect, is as old as it was.
            Note::Report { host, at, json } => tx
                .prepare_cached(
                    "INSERT INTO report(host, at_ns, json) VALUES (?, ?, ?) ON CONFLICT(host) DO UPDATE
                     SET at_ns = excluded.at_ns, json = excluded.json
                     WHERE excluded.json <> json AND excluded.at_ns >= at_ns",
                )?
                .execute((host, time(at.0), packed(json)?))?,
        } as u64;
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let oldest = time(now.saturating_sub(max_age).as_nanos() as u64);
    let mut gone = tx
        .prepare_cached("DELETE FROM alert WHERE id <= (SELECT max(id) FROM alert) - ?")?
        .execute([MAX_ALERTS])?;
    gone += tx.prepare_cached("DELETE FROM alert WHERE at_ns < ?")?.execute([oldest])?;
    retain::count_deleted(&tx, "alert messages by retention", gone as i64)?;
    gone = tx.prepare_cached("DELETE FROM report WHERE at_ns < ?")?.execute([oldest])?;
    gone += tx
        .prepare_cached(
            "DELETE FROM report WHERE host IN (SELECT host FROM report ORDER BY at_ns DESC LIMIT -1 OFFSET ?)",
        )?
        .execute([MAX_REPORTS])?;
    retain::count_deleted(&tx, "reports by retention", gone as i64)?;
    tx.commit()?;
    Ok(new)
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

    /// The latest report of a host: when it arrived, and its JSON.
    pub fn report(&self, host: &str) -> Result<Option<(UnixNs, String)>, StoreError> {
        let found: Option<(i64, Vec<u8>)> = self
            .conn()
            .query_row("SELECT at_ns, json FROM report WHERE host = ?", [host], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()
            .map_err(|e| self.error(e))?;
        let Some((at, body)) = found else { return Ok(None) };
        let json = unpack(&body)
            .and_then(|raw| String::from_utf8(raw).map_err(|_| Damaged("a report's JSON")))
            .map_err(|e| self.damaged(e))?;
        Ok(Some((UnixNs(at.cast_unsigned()), json)))
    }

    /// The hosts that have a report, by name.
    pub fn reporting_hosts(&self) -> Result<Vec<String>, StoreError> {
        self.texts("SELECT host FROM report ORDER BY host")
    }
}
