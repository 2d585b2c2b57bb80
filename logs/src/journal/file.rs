//! A journal file's objects, each checked before anything of it is used.

use super::header::{Header, MIN_HEADER_BYTES, u64_at};
use super::pages::{PAGE_BYTES, Pages, fill};
use super::{Fault, JournalError, ReadAt};

/// What all objects begin with: type, flags, 6 unused bytes, size.
pub(super) const OBJECT_HEADER_BYTES: u64 = 16;

/// Kinds of objects that a reader of entries meets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Data = 1,
    Entry = 3,
    EntryArray = 6,
}

pub(super) struct Object {
    /// How its payload is compressed; 0: not.
    pub(super) flags: u8,
    /// With its header.
    pub(super) size: u64,
}

pub(super) struct File<R> {
    source: R,
    pages: Pages,
    pub(super) header: Header,
    /// How often the header was read again.
    epoch: u64,
}

impl<R: ReadAt> File<R> {
    pub(super) fn open(source: R) -> Result<Self, JournalError> {
        let header = read_header(&source)?;
        Ok(Self { source, pages: Pages::new(), header, epoch: 0 })
    }

    /// Reads the header again. The entries that it counts are complete: journald writes the number last.
    pub(super) fn refresh(&mut self) -> Result<(), JournalError> {
        let header = read_header(&self.source)?;
        if header.file_id != self.header.file_id || header.is_compact() != self.header.is_compact() {
            return Err(JournalError::Replaced);
        }
        if header != self.header {
            self.header = header;
            self.epoch += 1;
        }
        Ok(())
    }

    pub(super) fn copy(&mut self, offset: u64, into: &mut [u8]) -> Result<(), Fault> {
        if into.len() > 2 * PAGE_BYTES {
            let len = fill(&self.source, offset, into).map_err(Fault::Read)?;
            return if len == into.len() { Ok(()) } else { Err(Fault::Damaged) };
        }
        self.pages.copy(&self.source, (self.epoch, self.header.tail_object_offset), false, offset, into)
    }

    /// The same of what journald may have changed since the header was read the time before.
    pub(super) fn copy_changing(&mut self, offset: u64, into: &mut [u8]) -> Result<(), Fault> {
        self.pages.copy(&self.source, (self.epoch, self.header.tail_object_offset), true, offset, into)
    }

    /// The object at `offset`, which must be of a kind and have at least `min` bytes.
    pub(super) fn object(&mut self, offset: u64, kind: Kind, min: u64) -> Result<Object, Fault> {
        if offset < self.header.header_bytes || !offset.is_multiple_of(8) {
            return Err(Fault::Damaged);
        }
        let mut bytes = [0; OBJECT_HEADER_BYTES as usize];
        self.copy(offset, &mut bytes)?;
        let size = u64_at(&bytes, 8);
        if bytes[0] != kind as u8 || size < min || offset.checked_add(size).is_none() {
            return Err(Fault::Damaged);
        }
        Ok(Object { flags: bytes[1], size })
    }
}

fn read_header(source: &impl ReadAt) -> Result<Header, JournalError> {
    let mut bytes = [0; MIN_HEADER_BYTES];
    if fill(source, 0, &mut bytes)? < MIN_HEADER_BYTES {
        return Err(JournalError::NotAJournal);
    }
    Header::of(&bytes)
}
