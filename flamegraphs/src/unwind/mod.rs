//! Unwind tables for the kernel side, from the `.eh_frame` of an ELF file.
//!
//! [`build`] is pure: bytes in, rows out. Whatever the bytes are, it does not panic, and what it makes is bounded by
//! [`MAX_FRAME_BYTES`] and [`MAX_CODE`].

mod elf;
mod frames;
mod rule;
mod table;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::symbolize::maps::{Backing, Mapping};

pub use elf::{MAX_CODE, MAX_FRAME_BYTES, Segment};
pub use table::Table;

/// Why a file has no table.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum Error {
    /// Not a little-endian 64-bit ELF file for x86-64.
    #[error("not an ELF file for x86-64")]
    NotElf,
    /// Neither `.eh_frame` nor `.debug_frame`.
    #[error("no unwind information")]
    Bare,
    /// Headers that point outside of the file, or sizes beyond what is read.
    #[error("its headers make no sense")]
    Malformed,
}

/// What is read of a file: its bytes by offset.
pub trait Bytes {
    /// `len` bytes from `offset` on; `None` where the file ends before.
    fn bytes(&self, offset: u64, len: u64) -> Option<Vec<u8>>;
}

impl Bytes for [u8] {
    fn bytes(&self, offset: u64, len: u64) -> Option<Vec<u8>> {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(usize::try_from(len).ok()?)?;
        Some(self.get(start..end)?.to_vec())
    }
}

impl Bytes for File {
    fn bytes(&self, offset: u64, len: u64) -> Option<Vec<u8>> {
        // What the headers say may be more than there is: that is not a reason to ask for the memory.
        let end = offset.checked_add(len)?;
        if end > self.metadata().ok()?.len() {
            return None;
        }
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        let read: io::Result<()> = self.read_exact_at(&mut bytes, offset);
        read.ok().map(|()| bytes)
    }
}

/// The table of an ELF file.
pub fn build(file: &(impl Bytes + ?Sized)) -> Result<Table, Error> {
    let image = elf::read(file)?;
    let functions = frames::functions(&image.frames);
    Ok(table::pack(functions, image.segments, image.entry))
}

/// All loadable segments of an ELF file.
pub(crate) fn segments(file: &(impl Bytes + ?Sized)) -> Option<Vec<Segment>> {
    elf::loads(file)
}

/// The headers of an ELF file's sections, 64 bytes each.
pub(crate) fn sections(file: &(impl Bytes + ?Sized)) -> Option<Vec<u8>> {
    elf::sections(file)
}

/// Start and end of the functions that a file's unwind information describes, sorted.
pub(crate) fn functions(file: &(impl Bytes + ?Sized)) -> Vec<(u64, u64)> {
    let found = elf::read(file).map(|image| frames::functions(&image.frames).functions).unwrap_or_default();
    let mut ranges: Vec<(u64, u64)> = found.iter().map(|function| (function.start, function.end)).collect();
    ranges.sort_unstable();
    ranges
}

/// The very file behind a mapping of a process, whatever its path leads to by now, to be opened.
#[must_use]
pub fn mapped(tgid: u32, mapping: &Mapping) -> Option<opener::file::Mapped> {
    let Backing::File { ino, path, deleted, .. } = &mapping.backing else { return None };
    let range = (mapping.start, mapping.end);
    Some(opener::file::Mapped { tgid, range, ino: *ino, path: path.into(), deleted: *deleted })
}

/// Identifies the contents of an ELF file: the build ID, where it has one.
pub fn build_id(file: &File) -> Option<Box<[u8]>> {
    crate::symbolize::elf::Image::read(file)?.build_id
}

#[cfg(test)]
mod tests;
