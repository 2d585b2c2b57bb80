//! systemd's journal files: entries with all their fields, seeks, and following a file that grows.
//!
//! ```text
//! ReadAt → pages → header, chain (index → offset) → reader → Entry → line: Stream and Record
//! ```
//!
//! The format is `JOURNAL_FILE_FORMAT.md` of systemd. journald writes the file while this reads it, so nothing is mapped and
//! every offset is checked. A damaged object costs its field or its entry, and is counted.

mod chain;
mod entry;
mod file;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod header;
mod line;
mod pages;
mod reader;
#[cfg(test)]
mod tests;
mod unpack;

use std::io;

pub use entry::{Entry, MAX_ENTRY_BYTES, MAX_FIELD_BYTES, MAX_FIELDS};
pub use header::{Header, State};
pub use line::{Line, MAX_RECORD_FIELD_BYTES, SKIPPED, line};
pub use reader::{Counts, Cursor, Journal, Sought, Step};

/// Bytes at an offset; several reads do not disturb each other.
pub trait ReadAt {
    /// Reads some bytes from `offset` on; 0: nothing is there.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;
}

impl ReadAt for std::fs::File {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, into, offset)
    }
}

impl ReadAt for &[u8] {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        let count = into.len().min(self.len() - from);
        into[..count].copy_from_slice(&self[from..from + count]);
        Ok(count)
    }
}

/// Why a journal file is not read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system did not give the bytes.
    #[error("read the journal file at offset {offset}")]
    Read {
        /// Where.
        offset: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It does not begin as a journal file.
    #[error("not a journal file: its signature is wrong, or it ends before its header does")]
    NotAJournal,
    /// It uses what this reader does not know.
    #[error("the journal file needs features that this reader does not have (incompatible flags {flags:#x})")]
    Unsupported {
        /// Those flags that are not known.
        flags: u32,
    },
    /// Its header contradicts itself.
    #[error("the journal file's header is damaged: {what}")]
    Header {
        /// What is wrong.
        what: &'static str,
    },
    /// Another file has taken the place of this one: its file id changed.
    #[error("the journal file was replaced by another one")]
    Replaced,
}

/// Why an object is not read.
#[derive(Debug)]
enum Fault {
    /// The file is not as it must be.
    Damaged,
    /// Compressed in a way that this reader does not have: XZ, which journald wrote until 2019 and few builds write since.
    Xz,
    Read(JournalError),
}
