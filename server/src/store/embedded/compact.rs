//! Gives free pages back to the file system, beside a running writer.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::{retain, schema};
use crate::store::StoreError;

/// Pages moved in one transaction: 1 MiB, some milliseconds.
const PAGES: u64 = 256;

/// A connection that shrinks the file.
#[derive(Debug)]
pub struct Compaction {
    path: PathBuf,
    conn: Connection,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// Bytes that are free still.
    pub free_bytes: u64,
    /// Size of the file.
    pub file_bytes: u64,
    /// How long the writer may have had to wait for this step.
    pub held: Duration,
}

impl Compaction {
    /// Opens the file; a store of another version is refused.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { path: path.to_owned(), conn: schema::open_beside(path)? })
    }

    /// What there is to do.
    pub fn begin(&self) -> Result<Compacted, StoreError> {
        self.standing(Duration::ZERO).map_err(|e| self.error(e))
    }

    /// Gives some of it back, then leaves the file alone for as long as that took. `None`: nothing was free any more; the
    /// log of writes has gone into the file.
    pub fn step(&self) -> Result<Option<Compacted>, StoreError> {
        let begun = Instant::now();
        self.conn.execute_batch(&format!("PRAGMA incremental_vacuum({PAGES})")).map_err(|e| self.error(e))?;
        let held = begun.elapsed();
        let standing = self.standing(held).map_err(|e| self.error(e))?;
        if standing.free_bytes == 0 {
            // A reader in the middle of something is no failure: the next checkpoint does it.
            let _ = self.conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
            return Ok(None);
        }
        std::thread::sleep(held.max(Duration::from_millis(1)));
        Ok(Some(standing))
    }

    fn standing(&self, held: Duration) -> rusqlite::Result<Compacted> {
        let size = retain::page_count(&self.conn, "page_size")?;
        let bytes = |name| retain::page_count(&self.conn, name).map(|pages| pages * size);
        Ok(Compacted { free_bytes: bytes("freelist_count")?, file_bytes: bytes("page_count")?, held })
    }

    fn error(&self, source: rusqlite::Error) -> StoreError {
        schema::error("cannot make smaller", &self.path, source)
    }
}
