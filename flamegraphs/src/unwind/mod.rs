//! Unwind tables for the kernel side, from the `.eh_frame` of an ELF file.
//!
//! [`build`] is pure: bytes in, rows out. Whatever the bytes are, it does not panic, and what it makes is bounded by
//! [`MAX_FRAME_BYTES`] and [`MAX_CODE`].

mod elf;
mod frames;
mod rule;
mod table;
mod trampoline;

use std::fs::File;

pub use crate::elf::Bytes;
use crate::elf::Elf;
use crate::maps::{Backing, Mapping};

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

/// The table of an ELF file.
pub fn build(file: &(impl Bytes + ?Sized)) -> Result<Table, Error> {
    let image = elf::read(file)?;
    let mut functions = frames::functions(&image.frames);
    trampoline::add(&mut functions.functions, file, &image.segments);
    if functions.functions.is_empty() {
        return Err(Error::Bare);
    }
    Ok(table::pack(functions, image.segments, image.entry))
}

/// All loadable segments of an ELF file.
pub(crate) fn segments(file: &(impl Bytes + ?Sized)) -> Option<Vec<Segment>> {
    elf::loads(file)
}

/// The headers of an ELF file for x86-64.
pub(crate) fn headers(file: &(impl Bytes + ?Sized)) -> Option<Elf> {
    elf::headers(file)
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
    Some(Elf::read(file)?.build_id(file)?.1)
}

#[cfg(test)]
mod tests;
