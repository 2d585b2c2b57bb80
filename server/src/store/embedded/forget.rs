//! Deletes what there is of one host, beside a running writer.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agent_common::units::UnixNs;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::push::PUSHED_STREAM;
use super::retain::{count_deleted, delete_slot};
use super::{catalogue, notes, schema};
use crate::store::StoreError;

/// Why these are gone, in the store's counts.
const WHY: &str = "of forgotten hosts";
/// Slots, or windows at the head, that go in one transaction: some 20 ms.
const SLOTS: i64 = 8;
const WINDOWS: i64 = 64;

/// A connection that deletes a host.
#[derive(Debug)]
pub struct Forgetting {
    path: PathBuf,
    conn: Connection,
    host: String,
}

impl Forgetting {
    /// Opens the file; a store of another version is refused.
    pub fn open(path: &Path, host: &str) -> Result<Self, StoreError> {
        Ok(Self { path: path.to_owned(), conn: schema::open_beside(path)?, host: host.to_owned() })
    }

    /// Deletes some of its values and returns how many, then leaves the file alone for as long as that took. `None`: there were none
    /// any more, and its alerts, reports and running sums are gone, too.
    ///
    /// The host must have been silent for [`Options::silent`](super::Options::silent): then the writer has nothing of it in memory.
    /// The numbers of its windows stay: what comes again was there already.
    pub fn step(&self) -> Result<Option<u64>, StoreError> {
        let begun = Instant::now();
        let deleted = self.delete().map_err(|e| schema::error("cannot forget a host in", &self.path, e))?;
        if deleted.is_some() {
            std::thread::sleep(begun.elapsed().max(Duration::from_millis(1)));
        }
        Ok(deleted)
    }

    fn delete(&self) -> rusqlite::Result<Option<u64>> {
        let tx = Transaction::new_unchecked(&self.conn, TransactionBehavior::Immediate)?;
        let slots: Vec<i64> = tx
            .prepare_cached(
                "SELECT id FROM slot WHERE stream IN (SELECT id FROM stream WHERE host = ?) LIMIT ?",
            )?
            .query_map((&self.host, SLOTS), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let mut samples = 0;
        for slot in &slots {
            samples += delete_slot(&tx, *slot, WHY)?;
        }
        let mut windows = 0;
        if slots.is_empty() {
            let mut head = tx.prepare_cached(
                "DELETE FROM head WHERE id IN (SELECT id FROM head WHERE stream IN (SELECT id FROM stream WHERE host = ?) LIMIT ?)
                 RETURNING samples",
            )?;
            for one in head.query_map((&self.host, WINDOWS), |row| row.get::<_, i64>(0))? {
                samples += one?;
                windows += 1;
            }
            count_deleted(&tx, &format!("windows {WHY}"), windows)?;
            count_deleted(&tx, &format!("samples {WHY}"), samples)?;
        }
        let is_all = slots.is_empty() && windows == 0;
        if is_all {
            notes::forget(&tx, &self.host)?;
            self.delete_sums(&tx)?;
        }
        tx.commit()?;
        Ok((!is_all).then_some(samples.cast_unsigned()))
    }

    /// Its series themselves go by retention, which tells the writer.
    fn delete_sums(&self, tx: &Connection) -> rusqlite::Result<()> {
        let mut series = tx.prepare_cached("SELECT id, tags FROM series")?;
        let mut delete = tx.prepare_cached("DELETE FROM total WHERE series = ?")?;
        let mut rows = series.query([])?;
        while let Some(row) = rows.next()? {
            if catalogue::tag(row.get_ref(1)?.as_str()?, "host").as_deref() == Some(&self.host) {
                delete.execute([row.get::<_, u32>(0)?])?;
            }
        }
        Ok(())
    }
}

/// What there is of a host, at all resolutions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Time of its first and its last point.
    pub from: UnixNs,
    /// See `from`.
    pub to: UnixNs,
    /// Windows.
    pub windows: u64,
    /// Values.
    pub samples: u64,
    /// Bytes of these values, without the pages of SQLite.
    pub bytes: u64,
}

impl super::Info {
    /// The hosts, by name. What programs have pushed is no host's.
    pub fn hosts(&self) -> Vec<Host> {
        let mut hosts: Vec<Host> = Vec::new();
        for part in self.parts.iter().filter(|part| part.host != PUSHED_STREAM.0) {
            match hosts.last_mut().filter(|last| last.name == part.host) {
                Some(host) => {
                    (host.from, host.to) = (host.from.min(part.from), host.to.max(part.to));
                    host.windows += part.windows;
                    host.samples += part.samples;
                    host.bytes += part.bytes;
                }
                None => hosts.push(Host {
                    name: part.host.clone(),
                    from: part.from,
                    to: part.to,
                    windows: part.windows,
                    samples: part.samples,
                    bytes: part.bytes,
                }),
            }
        }
        hosts
    }
}
