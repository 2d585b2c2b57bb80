//! Writing blocks, evidence and pins.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use agent_common::wire::finding::{Alert, AlertState};
use agent_common::wire::stored::Stored;
use profile::block::Block;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::epoch::Epoch;
use super::schema::{Streams, count_deleted, load_stored, time};
use super::{Message, Options, Written, body, retain, roll};
use crate::store::writer::Upkeep;

/// Epochs whose dictionaries are in memory: the present one, and one that a spool which was away goes on with.
const MAX_LOADED: usize = 2;
/// A dictionary that nothing was written to for this long leaves memory.
const UNUSED: Duration = Duration::from_mins(5);
/// What is pinned around an alert.
const PIN_BEFORE: Duration = Duration::from_mins(10);
const PIN_AFTER: Duration = Duration::from_mins(5);

/// The one connection that writes, and what it remembers.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) conn: Connection,
    options: Options,
    /// By start.
    epochs: BTreeMap<i64, Epoch>,
    pub(super) upkeep: Upkeep,
}

impl Writer {
    pub(super) fn new(conn: Connection, options: Options) -> Self {
        Self { conn, options, epochs: BTreeMap::new(), upkeep: Upkeep::default() }
    }

    /// What is remembered of a transaction that was rolled back is wrong: it is read again.
    pub(super) fn forget(&mut self) {
        self.epochs.clear();
    }

    pub(super) fn write(&mut self, messages: &[Message]) -> rusqlite::Result<Written> {
        let mut written = Written::default();
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut streams = Streams::default();
        for Message { head, block } in messages {
            if streams.insert(&tx, head)?.is_none() {
                written.duplicates += 1;
                continue;
            }
            written.blocks += 1;
            if block.columns == 0 {
                count_deleted(&tx, "profiles that cannot be read", 1)?;
                continue;
            }
            if !block.alerts.is_empty() {
                write_evidence(&tx, &head.host, block, self.options.pinned)?;
                continue;
            }
            write_block(&tx, &head.host, block, &mut self.epochs, self.options.max_nodes)?;
        }
        self.epochs.retain(|_, epoch| epoch.used.elapsed() < UNUSED);
        streams.save(&tx)?;
        tx.commit()?;
        Ok(written)
    }

    pub(super) fn pin(&mut self, alert: &Alert) -> rusqlite::Result<()> {
        if alert.state == AlertState::Open {
            pin(&self.conn, &alert.host, &alert.id, alert.opened_unix_ns, self.options.pinned)?;
        }
        Ok(())
    }

    pub(super) fn stored(&mut self, host: &str, stream: &str) -> rusqlite::Result<Stored> {
        Ok(Stored::new(stream, &load_stored(&self.conn, (host, stream))?))
    }

    /// One step of rolling or deleting. What fails here is a warning: the blocks are stored.
    pub(super) fn do_upkeep(&mut self, path: &Path) {
        if !self.upkeep.is_due() {
            return;
        }
        match self.step() {
            Ok(_) => self.upkeep.succeeded(),
            Err(source) => {
                self.forget();
                self.upkeep.failed(format!("cannot roll or delete in {}: {source}", path.display()));
            }
        }
    }

    pub(super) fn settle(&mut self) -> rusqlite::Result<()> {
        while self.step()? {}
        Ok(())
    }

    /// Whether there was something to do.
    fn step(&mut self) -> rusqlite::Result<bool> {
        let newest: Option<i64> = self
            .conn
            .prepare_cached(
                "SELECT max(from_ns) FROM block WHERE epoch = (SELECT id FROM epoch ORDER BY from_ns DESC LIMIT 1)",
            )?
            .query_row([], |row| row.get(0))?;
        let Some(newest) = newest else { return Ok(false) };
        // A collector with a wrong clock must not have everything deleted, nor may this host's.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = time(now.as_nanos() as u64).min(newest);
        if let Some(gone) = retain::retain(&mut self.conn, &self.options, now)? {
            self.epochs.remove(&gone);
            return Ok(true);
        }
        roll::roll(&mut self.conn, &self.options, now)
    }
}

/// The epoch that begins then, in memory.
fn loaded<'e>(
    tx: &Transaction<'_>,
    epochs: &'e mut BTreeMap<i64, Epoch>,
    from: i64,
) -> rusqlite::Result<&'e mut Epoch> {
    if !epochs.contains_key(&from)
        && epochs.len() >= MAX_LOADED
        && let Some(oldest) = epochs.iter().min_by_key(|(_, epoch)| epoch.used).map(|(from, _)| *from)
    {
        epochs.remove(&oldest);
    }
    let epoch = match epochs.entry(from) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) => new.insert(Epoch::open(tx, from)?),
    };
    epoch.used = Instant::now();
    Ok(epoch)
}

fn write_block(
    tx: &Transaction<'_>,
    host: &str,
    block: &Block,
    epochs: &mut BTreeMap<i64, Epoch>,
    max_nodes: usize,
) -> rusqlite::Result<()> {
    let from = Epoch::start_of(tx, block.from.0)?;
    let mut epoch = loaded(tx, epochs, from)?;
    let mut counts = epoch.counts(block, max_nodes);
    if counts.cut != [0; 2] && Epoch::may_begin(tx, block.from.0)? {
        // It is full, and takes as much memory as it can. Blocks that come late read it again.
        epochs.remove(&from);
        epoch = loaded(tx, epochs, time(block.from.0))?;
        counts = epoch.counts(block, max_nodes);
    }
    epoch.save(tx)?;
    let mut counters = block.counters.clone();
    for (name, cut) in [profile::block::CUT_SAMPLES, profile::block::CUT_WAITS].into_iter().zip(counts.cut) {
        if cut > 0 {
            *counters.entry(name.to_owned()).or_default() += cut;
            count_deleted(tx, name, cut)?;
        }
    }
    let samples: u64 = counts.cpu.iter().chain(&counts.waits).map(|entry| entry.samples).sum();
    let row = Row {
        epoch: epoch.id,
        host,
        from: time(block.from.0),
        column: time(block.column.0),
        columns: block.columns,
        rate_hz: block.rate_hz,
        samples: time(samples),
        counters: serde_json::to_string(&counters).unwrap_or_default(),
        body: body::encode(&counts.cpu, &counts.waits)?,
    };
    row.insert(tx)
}

/// A row of `block`.
pub(super) struct Row<'a> {
    pub(super) epoch: i64,
    pub(super) host: &'a str,
    pub(super) from: i64,
    pub(super) column: i64,
    pub(super) columns: u32,
    pub(super) rate_hz: u32,
    pub(super) samples: i64,
    pub(super) counters: String,
    pub(super) body: Vec<u8>,
}

impl Row<'_> {
    pub(super) fn insert(self, tx: &Transaction<'_>) -> rusqlite::Result<()> {
        let to = self.from.saturating_add(self.column.saturating_mul(i64::from(self.columns)));
        tx.prepare_cached(
            "INSERT INTO block(epoch, host, from_ns, to_ns, column_ns, columns, rate_hz, samples, counters, body)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute((
            self.epoch,
            self.host,
            self.from,
            to,
            self.column,
            self.columns,
            self.rate_hz,
            self.samples,
            self.counters,
            self.body,
        ))?;
        Ok(())
    }
}

/// Writes evidence in place of what there was of the same alerts: the collector sends it first as it is, then with all names.
fn write_evidence(tx: &Transaction<'_>, host: &str, block: &Block, keep: Duration) -> rusqlite::Result<()> {
    let at = block.to().0;
    for alert in &block.alerts {
        let mut replaced =
            tx.prepare_cached("DELETE FROM evidence_of WHERE host = ? AND alert = ? RETURNING evidence")?;
        let replaced: Vec<i64> =
            replaced.query_map((host, alert), |row| row.get(0))?.collect::<Result<_, _>>()?;
        for id in replaced {
            tx.prepare_cached(
                "DELETE FROM evidence WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM evidence_of WHERE evidence = ?1)",
            )?
            .execute([id])?;
        }
    }
    let packed = body::pack(&block.encode())?;
    let id: i64 = tx
        .prepare_cached("INSERT INTO evidence(host, until_ns, body) VALUES (?, ?, ?) RETURNING id")?
        .query_row((host, until(at, keep), packed), |row| row.get(0))?;
    for alert in &block.alerts {
        tx.prepare_cached("INSERT OR IGNORE INTO evidence_of(host, alert, evidence) VALUES (?, ?, ?)")?
            .execute((host, alert, id))?;
        pin(tx, host, alert, at, keep)?;
    }
    Ok(())
}

fn pin(conn: &Connection, host: &str, alert: &str, at_ns: u64, keep: Duration) -> rusqlite::Result<()> {
    let from = at_ns.saturating_sub(PIN_BEFORE.as_nanos() as u64);
    let to = at_ns.saturating_add(PIN_AFTER.as_nanos() as u64);
    conn.prepare_cached(
        "INSERT OR IGNORE INTO pin(host, alert, from_ns, to_ns, until_ns) VALUES (?, ?, ?, ?, ?)",
    )?
    .execute((host, alert, time(from), time(to), until(at_ns, keep)))?;
    Ok(())
}

fn until(at_ns: u64, keep: Duration) -> i64 {
    time(at_ns.saturating_add(keep.as_nanos() as u64))
}
