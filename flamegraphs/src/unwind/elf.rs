//! Where an ELF file has its code and its unwind information.

use super::Error;
pub use crate::elf::Segment;
use crate::elf::{Bytes, EM_X86_64, Elf, PF_X, PT_GNU_EH_FRAME, Section, i32_at};

/// Most code of one file: the pages for more would leave no room for other files.
pub const MAX_CODE: u64 = 256 << 20;
/// Unwind information of one file at most. Chromium's is 20 MiB.
pub const MAX_FRAME_BYTES: u64 = 64 << 20;

/// Unwind information: its bytes, and where they are in the file's own address space.
#[derive(Debug)]
pub(super) enum Frames {
    /// `.eh_frame`
    Eh { bytes: Vec<u8>, vaddr: u64 },
    /// `.debug_frame`
    Debug { bytes: Vec<u8> },
}

#[derive(Debug)]
pub(super) struct Image {
    pub(super) segments: Vec<Segment>,
    /// Where the program begins; 0: it is none.
    pub(super) entry: u64,
    /// Where two describe a function, the first has it. None: nothing is described.
    pub(super) frames: Vec<Frames>,
}

/// The headers of a file of x86-64.
pub(super) fn headers(file: &(impl Bytes + ?Sized)) -> Option<Elf> {
    Elf::read(file).filter(|elf| elf.class64 && elf.machine == EM_X86_64)
}

/// All loadable segments.
pub(super) fn loads(file: &(impl Bytes + ?Sized)) -> Option<Vec<Segment>> {
    Some(headers(file)?.loads().map(|program| program.segment).collect())
}

pub(super) fn read(file: &(impl Bytes + ?Sized)) -> Result<Image, Error> {
    let elf = headers(file).ok_or(Error::NotElf)?;
    if elf.programs.is_empty() {
        return Err(Error::Malformed);
    }
    let code = elf.loads().filter(|program| program.flags & PF_X != 0);
    let segments: Vec<Segment> = code.map(|program| program.segment).collect();
    check(&segments)?;
    let mut frames = by_section(file, &elf);
    if frames.is_empty() {
        frames.extend(by_index(file, &elf));
    }
    Ok(Image { segments, entry: elf.entry, frames })
}

/// Addresses add up, and there is not more code than fits.
fn check(segments: &[Segment]) -> Result<(), Error> {
    let (mut low, mut high) = (u64::MAX, 0);
    for segment in segments {
        low = low.min(segment.vaddr);
        high = high.max(segment.vaddr.checked_add(segment.size).ok_or(Error::Malformed)?);
        segment.offset.checked_add(segment.size).ok_or(Error::Malformed)?;
    }
    match high.checked_sub(low) {
        Some(span) if span <= MAX_CODE => Ok(()),
        Some(_) => Err(Error::Malformed),
        None => Err(Error::Bare),
    }
}

/// `.eh_frame` and `.debug_frame`: a program may have one, its C library the other. Go has the latter alone, compressed.
fn by_section(file: &(impl Bytes + ?Sized), elf: &Elf) -> Vec<Frames> {
    let read = |section: &Section| Some((section.content(file, MAX_FRAME_BYTES)?, section.addr));
    let eh = elf.section(b".eh_frame").and_then(read).map(|(bytes, vaddr)| Frames::Eh { bytes, vaddr });
    let debug = elf.section(b".debug_frame").and_then(read).map(|(bytes, _)| Frames::Debug { bytes });
    eh.into_iter().chain(debug).collect()
}

/// Without sections: the index (`.eh_frame_hdr`) says where `.eh_frame` begins, and a terminator or its segment where it
/// ends.
fn by_index(file: &(impl Bytes + ?Sized), elf: &Elf) -> Option<Frames> {
    let index = elf.programs.iter().find(|program| program.kind == PT_GNU_EH_FRAME)?.segment;
    let header = file.bytes(index.offset, 8)?;
    // Version 1, and the pointer relative to itself, signed, 4 bytes: what every linker writes.
    if header[0] != 1 || header[1] != 0x1b {
        return None;
    }
    let relative = i32_at(&header, 4)?;
    let vaddr = index.vaddr.wrapping_add(4).wrapping_add_signed(relative.into());
    let load = elf.loads().map(|program| program.segment).find(|load| load.offset_of(vaddr).is_some())?;
    let size = (load.size - (vaddr - load.vaddr)).min(MAX_FRAME_BYTES);
    Some(Frames::Eh { bytes: file.bytes(load.offset_of(vaddr)?, size)?, vaddr })
}
