//! Where an ELF file has its code and its unwind information.

use std::io::Read as _;

use super::{Bytes, Error};
use crate::symbolize::elf::{PT_LOAD, SHF_COMPRESSED, SHT_NOBITS, u16_at, u32_at, u64_at};

/// Code of one file at most: pages for more would crowd out everybody else's.
pub const MAX_CODE: u64 = 256 << 20;
/// Unwind information of one file at most. Chromium's is 20 MiB.
pub const MAX_FRAME_BYTES: u64 = 64 << 20;
/// Program headers, and sections, looked at.
const MAX_HEADERS: u64 = 1024;

const PT_GNU_EH_FRAME: u32 = 0x6474_e550;
const PF_X: u32 = 1;
const EM_X86_64: u16 = 62;

/// A loadable segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where it is in the file.
    pub offset: u64,
    /// Where it is in the file's own address space.
    pub vaddr: u64,
    /// Bytes in the file.
    pub size: u64,
}

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
    /// At least one; where two describe a function, the first has it.
    pub(super) frames: Vec<Frames>,
}

/// The file's header, if it is one for x86-64.
fn header(file: &(impl Bytes + ?Sized)) -> Option<Vec<u8>> {
    let header = file.bytes(0, 64)?;
    let is_ours = header.starts_with(b"\x7fELF\x02\x01") && u16_at(&header, 18) == Some(EM_X86_64);
    is_ours.then_some(header)
}

/// All loadable segments.
pub(super) fn loads(file: &(impl Bytes + ?Sized)) -> Option<Vec<Segment>> {
    let header = header(file)?;
    let count = |at| u16_at(&header, at).map(u64::from);
    let programs = table(file, u64_at(&header, 32)?, count(54)?, count(56)?, 56)?;
    let loads = programs.chunks_exact(56).filter(|entry| u32_at(entry, 0) == Some(PT_LOAD));
    loads
        .map(|entry| {
            let word = |at| u64_at(entry, at);
            Some(Segment { offset: word(8)?, vaddr: word(16)?, size: word(32)? })
        })
        .collect()
}

/// The table of sections.
pub(super) fn sections(file: &(impl Bytes + ?Sized)) -> Option<Vec<u8>> {
    let header = header(file)?;
    let count = |at| u16_at(&header, at).map(u64::from);
    table(file, u64_at(&header, 40)?, count(58)?, count(60)?, 64)
}

pub(super) fn read(file: &(impl Bytes + ?Sized)) -> Result<Image, Error> {
    let header = header(file).ok_or(Error::NotElf)?;
    let field = |at| u64_at(&header, at).ok_or(Error::Malformed);
    let count = |at| u16_at(&header, at).map(u64::from).ok_or(Error::Malformed);
    let programs = table(file, field(32)?, count(54)?, count(56)?, 56).ok_or(Error::Malformed)?;
    let (mut segments, mut loads, mut index) = (Vec::new(), Vec::new(), None);
    for entry in programs.chunks_exact(56) {
        let word = |at| u64_at(entry, at).ok_or(Error::Malformed);
        let kind = (u32_at(entry, 0), u32_at(entry, 4));
        let segment = Segment { offset: word(8)?, vaddr: word(16)?, size: word(32)? };
        match kind {
            (Some(PT_LOAD), Some(flags)) => {
                loads.push(segment);
                if flags & PF_X != 0 {
                    segments.push(segment);
                }
            }
            (Some(PT_GNU_EH_FRAME), _) => index = Some(segment),
            _ => {}
        }
    }
    check(&segments)?;
    let sections = table(file, field(40)?, count(58)?, count(60)?, 64);
    let frames = sections
        .and_then(|sections| by_section(file, &sections, count(62).ok()?))
        .filter(|frames| !frames.is_empty())
        .or_else(|| Some(vec![by_index(file, index?, &loads)?]))
        .ok_or(Error::Bare)?;
    Ok(Image { segments, entry: field(24)?, frames })
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

/// A header table, cut to [`MAX_HEADERS`] entries, each of which must have the size that the format says.
fn table(file: &(impl Bytes + ?Sized), offset: u64, size: u64, count: u64, expected: u64) -> Option<Vec<u8>> {
    if offset == 0 || size != expected {
        return None;
    }
    file.bytes(offset, size * count.min(MAX_HEADERS))
}

/// `.eh_frame` and `.debug_frame`: a program may have one, its C library the other. Go has the latter alone, compressed.
fn by_section(file: &(impl Bytes + ?Sized), sections: &[u8], names: u64) -> Option<Vec<Frames>> {
    let header = |entry: &[u8]| Some((u64_at(entry, 16)?, u64_at(entry, 24)?, u64_at(entry, 32)?));
    let (_, offset, size) = header(sections.chunks_exact(64).nth(names as usize)?)?;
    let names = file.bytes(offset, size.min(1 << 20))?;
    let named = |name: &[u8]| {
        sections.chunks_exact(64).find(|entry| {
            let found = u32_at(entry, 0).and_then(|at| names.get(at as usize..));
            // Without bits: a separate symbol file, whose code is elsewhere.
            found.is_some_and(|found| found.starts_with(name)) && u32_at(entry, 4) != Some(SHT_NOBITS)
        })
    };
    let read = |entry| {
        let (vaddr, offset, size) = header(entry)?;
        let bytes = (size > 0 && size <= MAX_FRAME_BYTES).then(|| file.bytes(offset, size))??;
        let compressed = u64_at(entry, 8)? & SHF_COMPRESSED != 0;
        Some((if compressed { inflate(&bytes)? } else { bytes }, vaddr))
    };
    let eh = named(b".eh_frame\0").and_then(read).map(|(bytes, vaddr)| Frames::Eh { bytes, vaddr });
    let debug = named(b".debug_frame\0").and_then(read).map(|(bytes, _)| Frames::Debug { bytes });
    Some(eh.into_iter().chain(debug).collect())
}

/// Contents of a compressed section: an `Elf64_Chdr` (kind, size, alignment), then zlib's format.
fn inflate(bytes: &[u8]) -> Option<Vec<u8>> {
    const ZLIB: u32 = 1;
    let size = u64_at(bytes, 8)?;
    if u32_at(bytes, 0)? != ZLIB || size > MAX_FRAME_BYTES {
        return None;
    }
    let mut whole = Vec::new();
    flate2::read::ZlibDecoder::new(bytes.get(24..)?).take(size).read_to_end(&mut whole).ok()?;
    (whole.len() as u64 == size).then_some(whole)
}

/// Without sections: the index (`.eh_frame_hdr`) says where `.eh_frame` begins, and a terminator or its segment where it
/// ends.
fn by_index(file: &(impl Bytes + ?Sized), index: Segment, loads: &[Segment]) -> Option<Frames> {
    let header = file.bytes(index.offset, 8)?;
    // Version 1, and the pointer relative to itself, signed, 4 bytes: what every linker writes.
    if header[0] != 1 || header[1] != 0x1b {
        return None;
    }
    let relative = i32::from_le_bytes(header[4..8].try_into().ok()?);
    let vaddr = index.vaddr.wrapping_add(4).wrapping_add_signed(relative.into());
    let load = loads.iter().find(|l| vaddr >= l.vaddr && vaddr - l.vaddr < l.size)?;
    let into = vaddr - load.vaddr;
    let size = (load.size - into).min(MAX_FRAME_BYTES);
    Some(Frames::Eh { bytes: file.bytes(load.offset.checked_add(into)?, size)?, vaddr })
}
