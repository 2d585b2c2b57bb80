//! The store on this host: one SQLite file.
//!
//! A window is first one row at the *head* (`row.rs`). Every minute the head is *rolled* (`roll.rs`) into compressed columns,
//! and these every ten minutes into a *slot* (`chunk.rs`). Reading puts all together in one snapshot, so a sample is seen
//! once: `read.rs` as it was written, `view.rs` as PromQL wants it.
//! SQLite brings the crash safety: an acknowledged window survives SIGKILL and a power cut.

mod builder;
mod bundle;
mod catalogue;
mod check;
mod chunk;
mod clocks;
mod column;
mod compact;
mod export;
mod forget;
mod info;
mod notes;
mod push;
mod read;
mod retain;
mod roll;
mod row;
mod schema;
mod slot;
mod step;
mod stream;
mod summary;
mod thin;
mod times;
mod total;
mod upkeep;
mod varint;
mod view;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_common::wire::stored::Stored;
use link::Backoff;
use rusqlite::{Connection, Transaction, TransactionBehavior};

pub use check::Checked;
pub use compact::{Compacted, Compaction};
pub use export::{Export, ExportError, Exported};
pub use forget::{Forgetting, Host};
pub use info::{Held, Info};
pub use notes::StoredReport;
pub use read::{Counts, Reader, Sample, Selection, Series, Step, Tags};
pub(in crate::store) use schema::{damaged, error as sqlite_error, pragma};
pub use view::View;

use self::catalogue::{Catalogue, Counted};
use self::row::RowWriter;
use self::stream::{MAX_RANGES, Stream, find_stream, load_stream, pack_ranges};
use super::writer::{Shared, Upkeep};
use super::{Batch, Health, Note, PushLimits, Pushed, Store, StoreError, Window, Written};

/// Name of the file in the directory given to [`EmbeddedStore::open`].
pub const FILE: &str = "metrics.db";

/// How much is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// Points are kept as they were written until they are so old.
    pub written_age: Duration,
    /// Then one in ten seconds until it is so old, and then one in a minute.
    pub ten_seconds_age: Duration,
    /// What is older goes.
    pub max_age: Duration,
    /// When the file holds more than this, the oldest goes. The file itself may be larger by what is free in it, by the
    /// WAL (8 MiB) and by one hour of data.
    pub max_bytes: u64,
    /// Hard limit on the file in SQLite pages of 4 KiB; [`StoreError::Full`] above it. `None`: the disk is the limit.
    pub max_pages: Option<u32>,
    /// What a host wrote last is rolled when it was silent for so long.
    pub silent: Duration,
    /// What is taken of programs that push.
    pub push: PushLimits,
}

impl Default for Options {
    /// A day, a week, ninety days, 5 GiB: 300 processes with 8 fields each fill about 70 MB on the first day.
    fn default() -> Self {
        Self {
            written_age: Duration::from_hours(24),
            ten_seconds_age: Duration::from_hours(7 * 24),
            max_age: Duration::from_hours(90 * 24),
            max_bytes: 5 << 30,
            max_pages: None,
            silent: Duration::from_mins(10),
            push: PushLimits::default(),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct EmbeddedStore {
    path: PathBuf,
    options: Options,
    writer: Shared<Writer>,
}

/// The one connection that writes, and what it remembers.
#[derive(Debug)]
struct Writer {
    conn: Connection,
    catalogue: Catalogue,
    pushed: push::Known,
    allowance: push::Allowance,
    streams: HashMap<(String, String), Stream>,
    /// Whether `streams` has all of which something waits to be rolled.
    complete: bool,
    /// Whether something may be due beside that.
    tidy: bool,
    /// Number of the next window at the head.
    next: i64,
    row: RowWriter,
    backoff: Backoff,
    upkeep: Upkeep,
}

impl EmbeddedStore {
    /// Opens the store in a directory, which is made when it is not there.
    pub fn open(dir: &Path, options: Options) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir).map_err(|source| StoreError::Misconfigured {
            what: format!("cannot make the store's directory {}", dir.display()),
            retry_after: Duration::from_secs(1),
            source: Some(source.into()),
        })?;
        let path = dir.join(FILE);
        let conn = schema::open(&path, options.max_pages)?;
        let next = roll::next_number(&conn).map_err(|e| schema::error("cannot read", &path, e))?;
        let writer = Writer {
            conn,
            next,
            catalogue: Catalogue::default(),
            pushed: push::Known::default(),
            allowance: push::Allowance::new(options.push),
            streams: HashMap::new(),
            complete: false,
            tidy: true,
            row: RowWriter::default(),
            backoff: Backoff::new(Duration::from_millis(250), Duration::from_secs(10)),
            upkeep: Upkeep::default(),
        };
        Ok(Self { path, options, writer: Shared::new(writer) })
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A connection for queries, independent of the writer.
    pub fn reader(&self) -> Result<Reader, StoreError> {
        Reader::open(&self.path)
    }

    /// Rolls, deletes and puts together all that is due. [`Store::write`] does it piece by piece.
    pub fn settle(&self) -> Result<(), StoreError> {
        let mut guard = self.writer.lock();
        let writer = guard.as_mut().ok_or(StoreError::Closed)?;
        writer.tidy = true;
        writer.do_upkeep(&self.path, &self.options, Duration::MAX);
        Ok(())
    }

    /// After a write: what is due beside it, or what is to be done about its failure.
    fn written<T>(&self, writer: &mut Writer, result: rusqlite::Result<T>) -> Result<T, StoreError> {
        match result {
            Ok(written) => {
                writer.backoff.succeeded();
                writer.do_upkeep(&self.path, &self.options, upkeep::TIME);
                Ok(written)
            }
            Err(source) => {
                writer.forget();
                let error =
                    schema::error("cannot write to", &self.path, source).after(writer.backoff.failed());
                if let StoreError::Full { .. } = error {
                    writer.make_room(&self.path, &self.options);
                }
                Err(error)
            }
        }
    }

    fn error(&self, operation: &str) -> impl FnOnce(rusqlite::Error) -> StoreError {
        let operation = operation.to_owned();
        let path = self.path.clone();
        move |source| schema::error(&operation, &path, source)
    }
}

impl Store for EmbeddedStore {
    fn write(&self, windows: &[Window]) -> Result<Written, StoreError> {
        let mut guard = self.writer.lock();
        let writer = guard.as_mut().ok_or(StoreError::Closed)?;
        let result = writer.write(windows);
        self.written(writer, result)
    }

    fn push(&self, batches: &[Batch]) -> Result<Vec<Pushed>, StoreError> {
        let mut guard = self.writer.lock();
        let writer = guard.as_mut().ok_or(StoreError::Closed)?;
        let result = writer.push(batches, self.options.push);
        self.written(writer, result)
    }

    fn keep(&self, notes: &[Note]) -> Result<u64, StoreError> {
        let mut guard = self.writer.lock();
        let writer = guard.as_mut().ok_or(StoreError::Closed)?;
        notes::write(&mut writer.conn, notes, &self.options).map_err(|source| {
            schema::error("cannot write to", &self.path, source).after(writer.backoff.failed())
        })
    }

    fn stored(&self, host: &str, stream: &str) -> Result<Stored, StoreError> {
        let guard = self.writer.lock();
        let writer = guard.as_ref().ok_or(StoreError::Closed)?;
        if let Some(known) = writer.streams.get(&(host.to_owned(), stream.to_owned())) {
            return Ok(Stored::new(stream, &known.stored));
        }
        let found = load_stream(&writer.conn, host, stream).map_err(self.error("cannot read"))?;
        Ok(Stored::new(stream, &found.map(|found| found.stored).unwrap_or_default()))
    }

    fn streams(&self) -> Result<Vec<(String, String)>, StoreError> {
        let guard = self.writer.lock();
        let writer = guard.as_ref().ok_or(StoreError::Closed)?;
        let read = || -> rusqlite::Result<_> {
            let mut statement =
                writer.conn.prepare_cached("SELECT host, name FROM stream ORDER BY host, name")?;
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        read().map_err(self.error("cannot read"))
    }

    fn health(&self) -> Result<Health, StoreError> {
        let guard = self.writer.lock();
        let writer = guard.as_ref().ok_or(StoreError::Closed)?;
        let read = || -> rusqlite::Result<_> {
            let file = retain::page_count(&writer.conn, "page_count")?
                * retain::page_count(&writer.conn, "page_size")?;
            Ok((
                info::counts(&writer.conn)?,
                file,
                retain::used_bytes(&writer.conn)?,
                retain::deleted(&writer.conn)?,
            ))
        };
        let (counts, file, used, deleted) = read().map_err(self.error("cannot read"))?;
        Ok(Health {
            summary: format!("embedded store in {}", self.path.display()),
            dropped: deleted,
            counts: vec![
                ("windows", counts.windows),
                ("head_windows", counts.head_windows),
                ("points", counts.points),
                ("samples", counts.samples),
                ("file_bytes", file),
                ("used_bytes", used),
                ("max_bytes", self.options.max_bytes),
            ],
            warnings: writer.upkeep.warnings(),
        })
    }

    fn close(&self) -> Result<(), StoreError> {
        let Some(writer) = self.writer.lock().take() else { return Ok(()) };
        writer.conn.close().map_err(|(_, source)| schema::error("cannot close", &self.path, source))
    }
}

impl Writer {
    fn write(&mut self, windows: &[Window]) -> rusqlite::Result<Written> {
        let mut written = Written::default();
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut touched: Vec<i64> = Vec::new();
        for window in windows {
            let head = &window.head;
            let key = (head.host.clone(), head.stream.clone());
            if !self.streams.contains_key(&key) {
                let stream = find_stream(&tx, &head.host, &head.stream)?;
                self.streams.insert(key.clone(), stream);
            }
            // SANITY: it is there, or was put there above.
            let stream = self.streams.get_mut(&key).expect("a known stream");
            if !stream.stored.insert(head.seq) {
                written.duplicates += 1;
                continue;
            }
            stream.stored.cut(MAX_RANGES);
            stream.arrived(time(head.end.0));
            if !touched.contains(&stream.id) {
                touched.push(stream.id);
            }
            let id = roll::head_ids(stream.id).0 + self.next;
            self.next += 1;
            let at = (stream.id, id);
            let (points, samples) = write_head(&tx, &mut self.catalogue, &mut self.row, at, window)?;
            written.windows += 1;
            written.points += points;
            written.samples += samples;
        }
        for stream in self.streams.values().filter(|stream| touched.contains(&stream.id)) {
            tx.prepare_cached("UPDATE stream SET stored = ? WHERE id = ?")?
                .execute((pack_ranges(&stream.stored), stream.id))?;
        }
        tx.commit()?;
        Ok(written)
    }

    /// Ids and ranges made in a transaction that was rolled back are wrong: all are read again.
    fn forget(&mut self) {
        self.catalogue.clear();
        self.pushed = push::Known::default();
        self.streams.clear();
        self.complete = false;
    }
}

/// Writes one window as a row of the head; returns its points and samples.
fn write_head(
    tx: &Transaction<'_>,
    catalogue: &mut Catalogue,
    row: &mut RowWriter,
    (stream, id): (i64, i64),
    window: &Window,
) -> rusqlite::Result<(u64, u64)> {
    let end_ns = time(window.head.end.0);
    let Counted { points, samples, times } = catalogue.write(tx, row, &window.lines, end_ns)?;
    let body = row.finish().map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
    tx.prepare_cached(
        "INSERT INTO head(id, stream, seq, end_ns, first_ns, last_ns, points, samples, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute((
        id,
        stream,
        seq_bits(window.head.seq),
        end_ns,
        times.0,
        times.1,
        points as i64,
        samples as i64,
        body,
    ))?;
    Ok((points, samples))
}

/// A time as SQLite has it; the protocol's parser lets none above `i64::MAX` through, a head made by hand may have one.
fn time(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}

/// SQLite has no unsigned integers: the bits are kept.
fn seq_bits(seq: u64) -> i64 {
    seq.cast_signed()
}
