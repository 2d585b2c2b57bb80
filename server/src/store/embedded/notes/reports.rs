//! Reports: the latest of each host, and one a minute.

use agent_common::units::UnixNs;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::super::read::Reader;
use super::super::row::unpack;
use super::super::time;
use super::super::varint::Damaged;
use super::packed;
use crate::store::{ReportNote, StoreError};

/// Hosts whose latest report is kept; when there are more, those that were silent longest go.
const MAX_HOSTS: i64 = 10_000;
/// Least time between two reports of a host that are kept for the time alone. Collectors send one every ten seconds.
const KEPT_EVERY_NS: i64 = 59_000_000_000;
/// Time after which a report is a key again.
const KEY_EVERY_NS: i64 = 3_600_000_000_000;
/// Share of the store that kept reports may take: the oldest hours of all hosts go first.
const SHARE: u64 = 8;
/// Hours of hosts that are deleted in one transaction: it must not keep a window waiting.
const MAX_DELETED: u32 = 64;
/// Largest report, unpacked.
const MAX_BYTES: usize = crate::store::MAX_NOTE_BYTES;

/// A report that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReport {
    /// Whose.
    pub host: String,
    /// End of the time that it is about, by the clock of its host; of reports of older agents when it arrived.
    pub at: UnixNs,
    /// As it came.
    pub json: String,
}

/// Writes a report as the latest of its host, and keeps it if it is time for one. Says whether anything was new.
pub(super) fn write(conn: &Connection, report: &ReportNote) -> rusqlite::Result<bool> {
    let at = time(report.at.0);
    let packed = packed(&report.json, &[])?;
    // One that comes again, after a reconnect, is as old as it was. A clock may be set back.
    let latest = conn
        .prepare_cached(
            "INSERT INTO report(host, at_ns, json) VALUES (?, ?, ?) ON CONFLICT(host) DO UPDATE
             SET at_ns = excluded.at_ns, json = excluded.json
             WHERE excluded.json <> json AND (excluded.at_ns >= at_ns OR excluded.at_ns < at_ns - ?)",
        )?
        .execute((&report.host, at, &packed, KEPT_EVERY_NS))?;
    let last: Option<(i64, i64)> = conn
        .prepare_cached(
            "SELECT key_ns, at_ns FROM kept_report WHERE host = ? ORDER BY key_ns DESC, at_ns DESC LIMIT 1",
        )?
        .query_row([&report.host], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    // A clock that was set back begins anew after the report of the future.
    let due =
        last.is_none_or(|(_, last)| at >= last.saturating_add(KEPT_EVERY_NS) || at < last - KEY_EVERY_NS);
    if latest == 0 || !(due || report.of_alert) {
        return Ok(latest > 0);
    }
    let key = last.map(|(key, _)| key).filter(|key| (0..KEY_EVERY_NS).contains(&(at - key)));
    let (key, body) = match key {
        Some(key) => match key_text(conn, &report.host, key)? {
            Some(text) => (key, super::packed(&report.json, &text)?),
            None => (at, packed),
        },
        None => (at, packed),
    };
    let bytes = body.len() as i64;
    let new = conn
        .prepare_cached("INSERT OR IGNORE INTO kept_report(host, key_ns, at_ns, json) VALUES (?, ?, ?, ?)")?
        .execute((&report.host, key, at, body))?;
    if new > 0 {
        add_bytes(conn, bytes)?;
    }
    Ok(true)
}

/// The text of a key report; `None` if it is gone or damaged: then the next one is a key.
fn key_text(conn: &Connection, host: &str, key: i64) -> rusqlite::Result<Option<Vec<u8>>> {
    let body: Option<Vec<u8>> = conn
        .prepare_cached("SELECT json FROM kept_report WHERE host = ?1 AND key_ns = ?2 AND at_ns = ?2")?
        .query_row((host, key), |row| row.get(0))
        .optional()?;
    Ok(body.and_then(|body| unpack(&body).ok()))
}

/// Bytes of all kept reports.
fn bytes(conn: &Connection) -> rusqlite::Result<i64> {
    conn.prepare_cached("SELECT bytes FROM kept_bytes")?.query_row([], |row| row.get(0))
}

fn add_bytes(conn: &Connection, more: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE kept_bytes SET bytes = max(0, bytes + ?)")?.execute([more]).map(|_| ())
}

/// Deletes those of a host.
pub(super) fn forget(conn: &Connection, host: &str) -> rusqlite::Result<()> {
    conn.execute("DELETE FROM report WHERE host = ?", [host])?;
    let bytes: i64 = conn.query_row(
        "SELECT coalesce(sum(length(json)), 0) FROM kept_report WHERE host = ?",
        [host],
        |row| row.get(0),
    )?;
    conn.execute("DELETE FROM kept_report WHERE host = ?", [host])?;
    add_bytes(conn, -bytes)
}

/// Deletes the hours that are too old, and the oldest when there is too much. Returns the reports deleted.
pub(super) fn retain(conn: &Connection, oldest: i64, max_bytes: u64) -> rusqlite::Result<i64> {
    let mut gone = conn.prepare_cached("DELETE FROM report WHERE at_ns < ?")?.execute([oldest])? as i64;
    gone += conn
        .prepare_cached(
            "DELETE FROM report WHERE host IN (SELECT host FROM report ORDER BY at_ns DESC LIMIT -1 OFFSET ?)",
        )?
        .execute([MAX_HOSTS])? as i64;
    let most = i64::try_from(max_bytes / SHARE).unwrap_or(i64::MAX);
    for _ in 0..MAX_DELETED {
        let first: Option<(String, i64)> = conn
            .prepare_cached(
                "SELECT host, key_ns FROM kept_report INDEXED BY kept_report_key ORDER BY key_ns LIMIT 1",
            )?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((host, key)) = first else { break };
        if key >= oldest && bytes(conn)? <= most {
            break;
        }
        let (count, freed): (i64, i64) = conn
            .prepare_cached(
                "SELECT count(*), coalesce(sum(length(json)), 0) FROM kept_report WHERE host = ? AND key_ns = ?",
            )?
            .query_row((&host, key), |row| Ok((row.get(0)?, row.get(1)?)))?;
        conn.prepare_cached("DELETE FROM kept_report WHERE host = ? AND key_ns = ?")?
            .execute((&host, key))?;
        add_bytes(conn, -freed)?;
        gone += count;
    }
    Ok(gone)
}

/// A row of a kept report: host, its time, its key's time, its body.
type Kept = (String, i64, i64, Vec<u8>);

fn kept(row: &Row<'_>) -> rusqlite::Result<Kept> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
}

impl Reader {
    /// The latest report of a host.
    pub fn report(&self, host: &str) -> Result<Option<StoredReport>, StoreError> {
        let found: Option<(i64, Vec<u8>)> = self
            .conn()
            .query_row("SELECT at_ns, json FROM report WHERE host = ?", [host], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()
            .map_err(|e| self.error(e))?;
        found
            .map(|(at, body)| stored(host.to_owned(), at, &body, &[]))
            .transpose()
            .map_err(|e| self.damaged(e))
    }

    /// The hosts that have a report, by name.
    pub fn reporting_hosts(&self) -> Result<Vec<String>, StoreError> {
        self.texts("SELECT host FROM report ORDER BY host")
    }

    /// Reports between two times (the second excluded), oldest first; of one host, if it is named. When there are more than `limit`
    /// it is the latest.
    pub fn reports(
        &self,
        host: Option<&str>,
        from: UnixNs,
        to: UnixNs,
        limit: usize,
    ) -> Result<Vec<StoredReport>, StoreError> {
        let rows = || -> rusqlite::Result<Vec<Kept>> {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            self.conn()
                .prepare_cached(
                    "SELECT host, at_ns, key_ns, json FROM kept_report
                     WHERE key_ns > ?1 - ?5 AND at_ns >= ?1 AND at_ns < ?2 AND (?3 IS NULL OR host = ?3)
                     ORDER BY at_ns DESC, host LIMIT ?4",
                )?
                .query_map((time(from.0), time(to.0), host, limit, KEY_EVERY_NS), kept)?
                .collect()
        };
        let rows = rows().map_err(|e| self.error(e))?;
        rows.into_iter().rev().map(|row| self.unpacked(row)).collect()
    }

    /// The report of a host that is nearest to a time.
    pub fn report_near(&self, host: &str, at: UnixNs) -> Result<Option<StoredReport>, StoreError> {
        let at = time(at.0);
        let side = |order: &str| -> rusqlite::Result<Option<Kept>> {
            self.conn().prepare_cached(order)?.query_row((host, at), kept).optional()
        };
        let both = || -> rusqlite::Result<[Option<Kept>; 2]> {
            // Keys rise with the times of their reports, so few rows of the index are read.
            Ok([
                side(
                    "SELECT host, at_ns, key_ns, json FROM kept_report WHERE host = ?1 AND key_ns <= ?2 AND at_ns <= ?2
                     ORDER BY key_ns DESC, at_ns DESC LIMIT 1",
                )?,
                side(
                    "SELECT host, at_ns, key_ns, json FROM kept_report
                     WHERE host = ?1 AND key_ns > ?2 - 3600000000000 AND at_ns > ?2 ORDER BY key_ns, at_ns LIMIT 1",
                )?,
            ])
        };
        let found = both().map_err(|e| self.error(e))?.into_iter().flatten();
        found.min_by_key(|row| row.1.abs_diff(at)).map(|row| self.unpacked(row)).transpose()
    }

    fn unpacked(&self, (host, at, key, body): Kept) -> Result<StoredReport, StoreError> {
        let dictionary = if key == at {
            Vec::new()
        } else {
            let text = key_text(self.conn(), &host, key).map_err(|e| self.error(e))?;
            text.ok_or_else(|| self.damaged(Damaged("a report's key")))?
        };
        stored(host, at, &body, &dictionary).map_err(|e| self.damaged(e))
    }
}

fn stored(host: String, at: i64, body: &[u8], dictionary: &[u8]) -> Result<StoredReport, Damaged> {
    let bad = Damaged("a report's JSON");
    let raw = zstd::bulk::Decompressor::with_dictionary(dictionary)
        .and_then(|mut unpack| unpack.decompress(body, MAX_BYTES));
    let json = raw.ok().and_then(|raw| String::from_utf8(raw).ok()).ok_or(bad)?;
    Ok(StoredReport { host, at: UnixNs(at.cast_unsigned()), json })
}
