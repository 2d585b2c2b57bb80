//! The profiles on this host: one SQLite file beside the metrics', so that either goes on without the other.
//!
//! Time is divided into *epochs* of six hours, or less: one whose dictionary is full is followed by another. An epoch has
//! every frame, stack and process once (its *dictionary*, `epoch.rs`), and rows of counts that refer to them (`body.rs`). Retention drops an epoch as a whole (`retain.rs`): nothing in
//! it is referred to from elsewhere. Counts have columns of 10 s at first, of a minute after a day, and of ten minutes
//! after a week (`roll.rs`). What an alert has as evidence is kept by itself, and pins the time around it.
//! `read.rs` merges any interval into one graph.

mod body;
mod epoch;
mod forget;
mod message;
mod read;
mod retain;
mod roll;
mod schema;
mod selection;
mod write;

use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_common::wire::finding::Alert;
use agent_common::wire::stored::Stored;

pub use forget::forget;
pub use message::Message;
pub use read::{Evidence, Merged, Reader, Total};
pub use selection::{By, Selection};

use self::write::Writer;
use super::embedded::sqlite_error;
use super::writer::Shared;
use super::{Health, StoreError};

/// Name of the file in the directory given to [`ProfileStore::open`].
pub const FILE: &str = "profiles.db";

/// How much is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// Counts older than this have columns of a minute …
    pub minutes_after: Duration,
    /// … and older than this, of ten minutes.
    pub ten_minutes_after: Duration,
    /// Epochs older than this go.
    pub max_age: Duration,
    /// When the file holds more than this, the oldest epoch goes.
    pub max_bytes: u64,
    /// Evidence of an alert, and what is pinned around it, stay this long.
    pub pinned: Duration,
    /// Most stacks of an epoch, those included on which others stand. Then another one begins; where too many have begun, new stacks
    /// are cut to what is known of them.
    pub max_nodes: usize,
}

impl Default for Options {
    /// A day of 10 s, a week in all, 1 GiB, thirty days of evidence; 400,000 nodes are some 200,000 stacks, in 20 MiB of memory.
    fn default() -> Self {
        Self {
            minutes_after: Duration::from_hours(24),
            ten_minutes_after: Duration::from_hours(7 * 24),
            max_age: Duration::from_hours(7 * 24),
            max_bytes: 1 << 30,
            pinned: Duration::from_hours(30 * 24),
            max_nodes: 400_000,
        }
    }
}

/// What a write did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Blocks that are new in the store, evidence among them.
    pub blocks: u64,
    /// Blocks that were there already.
    pub duplicates: u64,
}

/// See the module.
#[derive(Debug)]
pub struct ProfileStore {
    path: PathBuf,
    writer: Shared<Writer>,
}

impl ProfileStore {
    /// Opens the store in a directory that is there.
    pub fn open(dir: &Path, options: Options) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        let conn = schema::PROFILES.open(&path)?;
        Ok(Self { path, writer: Shared::new(Writer::new(conn, options)) })
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A connection for questions, independent of the writer.
    pub fn reader(&self) -> Result<Reader, StoreError> {
        Reader::open(&self.path)
    }

    /// Writes blocks, all or none. What is there already is counted and left out. When this returns `Ok`, they are
    /// durable and may be acknowledged.
    pub fn write(&self, messages: &[Message]) -> Result<Written, StoreError> {
        self.with(|writer| {
            let written = writer.write(messages)?;
            writer.do_upkeep(&self.path);
            Ok(written)
        })
    }

    /// Keeps the time around an alert that opens beyond the retention.
    pub fn pin(&self, alert: &Alert) -> Result<(), StoreError> {
        self.with(|writer| writer.pin(alert))
    }

    /// Which blocks of a stream are in the store.
    pub fn stored(&self, host: &str, stream: &str) -> Result<Stored, StoreError> {
        self.with(|writer| writer.stored(host, stream))
    }

    /// How it is.
    pub fn health(&self) -> Result<Health, StoreError> {
        let (counts, dropped, warnings) = self.with(|writer| {
            let counts = schema::counts(&writer.conn)?;
            Ok((counts, schema::deleted(&writer.conn)?, writer.upkeep.warnings()))
        })?;
        let summary = format!("profiles in {}", self.path.display());
        Ok(Health { summary, dropped, counts, warnings })
    }

    /// Rolls and deletes until nothing is left to do. For tests and examples: what is written does it bit by bit.
    pub fn settle(&self) -> Result<(), StoreError> {
        self.with(Writer::settle)
    }

    /// Finishes what is open.
    pub fn close(&self) -> Result<(), StoreError> {
        let Some(writer) = self.writer.lock().take() else { return Ok(()) };
        writer.conn.close().map_err(|(_, source)| sqlite_error("cannot close", &self.path, source))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Writer) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        self.writer.with(|writer| {
            work(writer).map_err(|source| {
                writer.forget();
                sqlite_error("cannot use", &self.path, source)
            })
        })
    }
}
