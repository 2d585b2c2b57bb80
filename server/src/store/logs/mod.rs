//! The log lines on this host: two SQLite files beside the metrics', so that each goes on without the others.
//!
//! ```text
//! message ─ write ─▶ blocks as they came ─ arrange ─▶ full blocks and their filters ─ retain ─▶ gone
//!                              └──────────── read ─────────────┘
//! ```
//!
//! Lines lie in the blocks of the crate `logs`, which say in their header what is in them. What came in a message each fraction of a
//! second is put together into full blocks later (`arrange.rs`). Their filters lie in a file of their own: a search reads some bytes of
//! each, and between the blocks' pages that would be all of the disk. A line that comes again is known by its source and position.

mod arrange;
mod forget;
mod mark;
mod message;
mod read;
mod retain;
mod schema;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_common::wire::stored::Stored;

pub use forget::forget;
pub use message::Message;
pub use read::{Answer, Asked, Histogram, Reader};

use self::write::Writer;
use super::embedded::sqlite_error;
use super::writer::Shared;
use super::{Health, StoreError};

/// Names of the files in the directory given to [`LogStore::open`].
pub const FILE: &str = "logs.db";
/// See [`FILE`].
pub const FILTERS_FILE: &str = "logs-filters.db";

/// How much is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// Blocks whose newest line is older than this go.
    pub max_age: Duration,
    /// Of these sources (label `source`), older than this.
    pub source_age: BTreeMap<String, Duration>,
    /// When both files hold more than this, the oldest blocks go.
    pub max_bytes: u64,
}

impl Default for Options {
    /// Two weeks, 2 GiB: some 10 GB of lines.
    fn default() -> Self {
        Self { max_age: Duration::from_hours(14 * 24), source_age: BTreeMap::new(), max_bytes: 2 << 30 }
    }
}

/// What a write did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Messages that are new in the store.
    pub messages: u64,
    /// Messages that were there already.
    pub duplicates: u64,
    /// New lines.
    pub lines: u64,
    /// Lines that were there already.
    pub known_lines: u64,
    /// Blocks that cannot be read: from a newer version, or hostile.
    pub damaged: u64,
}

/// See the module.
#[derive(Debug)]
pub struct LogStore {
    path: PathBuf,
    writer: Shared<Writer>,
}

impl LogStore {
    /// Opens the store in a directory that is there.
    pub fn open(dir: &Path, options: Options) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        let conn = schema::LINES.open(&path)?;
        let filters = schema::FILTERS.open(&dir.join(FILTERS_FILE))?;
        Ok(Self { path, writer: Shared::new(Writer::new(conn, filters, options)) })
    }

    /// The lines' database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Connections for questions, independent of the writer.
    pub fn reader(&self) -> Result<Reader, StoreError> {
        Reader::open(&self.path)
    }

    /// Writes messages, all or none. What is there already is counted and left out. When this returns `Ok`, they are durable
    /// and may be acknowledged.
    pub fn write(&self, messages: &[Message]) -> Result<Written, StoreError> {
        self.with(|writer| {
            let written = writer.write(messages)?;
            writer.do_upkeep();
            Ok(written)
        })
    }

    /// Which messages of a stream are in the store.
    pub fn stored(&self, host: &str, stream: &str) -> Result<Stored, StoreError> {
        self.with(|writer| writer.stored(host, stream))
    }

    /// How it is.
    pub fn health(&self) -> Result<Health, StoreError> {
        let (counts, dropped, warnings) = self.with(|writer| {
            Ok((schema::counts(&writer.conn)?, schema::deleted(&writer.conn)?, writer.upkeep.warnings()))
        })?;
        let summary = format!("log lines in {}", self.path.display());
        Ok(Health { summary, dropped, counts, warnings })
    }

    /// Puts together and deletes until nothing is left to do. For tests and examples: what is written does it bit by bit.
    pub fn settle(&self) -> Result<(), StoreError> {
        self.with(Writer::settle)
    }

    /// Finishes what is open.
    pub fn close(&self) -> Result<(), StoreError> {
        let Some(writer) = self.writer.lock().take() else { return Ok(()) };
        writer.close().map_err(|source| sqlite_error("cannot close", &self.path, source))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Writer) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        self.writer
            .with(|writer| work(writer).map_err(|source| sqlite_error("cannot use", &self.path, source)))
    }
}
