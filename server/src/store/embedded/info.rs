//! What the store holds, for people.

use std::path::PathBuf;

use agent_common::units::UnixNs;

use rusqlite::Connection;

use super::{Counts, Reader, retain, schema};
use crate::store::StoreError;

/// The store in figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Its file.
    pub path: PathBuf,
    /// Size of the file.
    pub file_bytes: u64,
    /// Of that, free.
    pub free_bytes: u64,
    /// Size of the log of writes beside it.
    pub log_bytes: u64,
    /// Version of the tables.
    pub version: i32,
    /// Series that it knows.
    pub series: u64,
    /// What it has of each host at each resolution, the oldest first.
    pub parts: Vec<Held>,
    /// What was deleted or lost since it was made, by reason.
    pub deleted: Vec<(String, u64)>,
}

/// What there is of one host at one resolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Host.
    pub host: String,
    /// From one point to the next, seconds; 0: as it was written.
    pub step_s: u64,
    /// Time of the first and the last point.
    pub from: UnixNs,
    /// See `from`.
    pub to: UnixNs,
    /// Windows that it stands for.
    pub windows: u64,
    /// Values.
    pub samples: u64,
    /// Bytes of these values, compressed, without the pages of SQLite.
    pub bytes: u64,
    /// Of the windows, those that wait to be put together.
    pub waiting: u64,
}

impl Reader {
    /// Counts what is there. Reads every row of it, but no values.
    pub fn info(&self) -> Result<Info, StoreError> {
        self.read_info().map_err(|e| self.error(e))
    }

    fn read_info(&self) -> rusqlite::Result<Info> {
        let tx = self.conn().unchecked_transaction()?;
        let pages = |name| retain::page_count(&tx, name);
        let size = pages("page_size")?;
        let mut parts = tx.prepare(
            "SELECT stream.host, found.step, min(first_ns), max(last_ns), sum(windows), sum(samples), sum(bytes), sum(waiting)
             FROM (SELECT stream, step, first_ns, last_ns, windows, samples, bytes + length(times) AS bytes, 0 AS waiting FROM slot
                   UNION ALL SELECT stream, 0, first_ns, last_ns, 1, samples, length(body), 1 FROM head) found
             JOIN stream ON stream.id = found.stream GROUP BY stream.host, found.step
             ORDER BY stream.host, found.step DESC",
        )?;
        let parts = parts.query_map([], |row| {
            let count = |at| row.get::<_, i64>(at).map(i64::cast_unsigned);
            Ok(Held {
                host: row.get(0)?,
                step_s: count(1)? / 1_000_000_000,
                from: UnixNs(count(2)?),
                to: UnixNs(count(3)?),
                windows: count(4)?,
                samples: count(5)?,
                bytes: count(6)?,
                waiting: count(7)?,
            })
        })?;
        let parts = parts.collect::<Result<_, _>>()?;
        let series: i64 = tx.query_row("SELECT count(*) FROM series", [], |row| row.get(0))?;
        let mut log = self.path().as_os_str().to_owned();
        log.push("-wal");
        Ok(Info {
            path: self.path().to_owned(),
            file_bytes: pages("page_count")? * size,
            free_bytes: pages("freelist_count")? * size,
            log_bytes: std::fs::metadata(log).map_or(0, |found| found.len()),
            version: schema::pragma(&tx, "user_version")?,
            series: series.cast_unsigned(),
            parts,
            deleted: retain::deleted(&tx)?,
        })
    }
}

/// How much is in the store.
pub(super) fn counts(conn: &Connection) -> rusqlite::Result<Counts> {
    conn.query_row(
        "SELECT h.n + s.n, h.points + s.points, h.samples + s.samples, h.n FROM
         (SELECT count(*) n, coalesce(sum(points), 0) points, coalesce(sum(samples), 0) samples FROM head) h,
         (SELECT coalesce(sum(windows), 0) n, coalesce(sum(points), 0) points, coalesce(sum(samples), 0) samples FROM slot) s",
        [],
        |row| {
            let count = |at| row.get::<_, i64>(at).map(i64::cast_unsigned);
            Ok(Counts { windows: count(0)?, points: count(1)?, samples: count(2)?, head_windows: count(3)? })
        },
    )
}
