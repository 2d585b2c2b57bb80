//! ELF files: headers, segments, sections and the build ID. The one reader of them; whatever the bytes are, it does not
//! panic, and what it reads is bounded.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt;

pub(crate) use agent_common::le::{i32_at, u16_at, u32_at, u64_at};

/// Program or section headers looked at; a core dump may have 65,535, a program has some dozen.
const MAX_HEADERS: u16 = 1024;
/// Names of sections, bytes.
const MAX_NAMES: u64 = 1 << 20;
/// Notes larger than this are not read for a build ID.
const MAX_NOTE: u64 = 4096;

pub(crate) const EM_X86_64: u16 = 62;
pub(crate) const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
pub(crate) const PT_GNU_EH_FRAME: u32 = 0x6474_e550;
pub(crate) const PF_X: u32 = 1;
pub(crate) const SHT_SYMTAB: u32 = 2;
pub(crate) const SHT_STRTAB: u32 = 3;
const SHT_NOTE: u32 = 7;
pub(crate) const SHT_NOBITS: u32 = 8;
pub(crate) const SHT_DYNSYM: u32 = 11;
pub(crate) const SHF_COMPRESSED: u64 = 1 << 11;
const NT_GNU_BUILD_ID: u32 = 3;

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
        self.read_exact_at(&mut bytes, offset).ok().map(|()| bytes)
    }
}

/// Where a segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where it is in the file.
    pub offset: u64,
    /// Where it is in the file's own address space.
    pub vaddr: u64,
    /// Bytes in the file.
    pub size: u64,
}

impl Segment {
    /// The address of what lies at `offset` in the file.
    pub(crate) fn vaddr_of(&self, offset: u64) -> Option<u64> {
        let into = offset.checked_sub(self.offset).filter(|into| *into < self.size)?;
        Some(self.vaddr.wrapping_add(into))
    }

    /// The place in the file of what lies at address `vaddr`.
    pub(crate) fn offset_of(&self, vaddr: u64) -> Option<u64> {
        let into = vaddr.checked_sub(self.vaddr).filter(|into| *into < self.size)?;
        self.offset.checked_add(into)
    }
}

/// A program header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Program {
    /// One of the `PT_*`.
    pub(crate) kind: u32,
    /// `PF_*`
    pub(crate) flags: u32,
    pub(crate) segment: Segment,
}

/// A section header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Section {
    /// Where its name begins, in the names of sections.
    name: u32,
    /// One of the `SHT_*`.
    pub(crate) kind: u32,
    /// `SHF_*`
    pub(crate) flags: u64,
    /// Address in the file's own address space.
    pub(crate) addr: u64,
    pub(crate) offset: u64,
    /// Bytes in the file.
    pub(crate) size: u64,
    /// Number of the section that it refers to.
    pub(crate) link: u32,
    /// Where this header lies in the file.
    pub(crate) header: u64,
}

impl Section {
    /// Offset and size in the file.
    pub(crate) const fn part(&self) -> (u64, u64) {
        (self.offset, self.size)
    }

    /// Its content, unpacked where it is compressed; `None` where that is more than `most` bytes.
    pub(crate) fn content(&self, file: &(impl Bytes + ?Sized), most: u64) -> Option<Vec<u8>> {
        let bytes = (self.size <= most).then(|| file.bytes(self.offset, self.size))??;
        if self.flags & SHF_COMPRESSED == 0 { Some(bytes) } else { inflate(&bytes, most) }
    }

    /// Has bytes in the file.
    pub(crate) const fn has_bytes(&self) -> bool {
        self.kind != SHT_NOBITS && self.size > 0
    }
}

/// Offset and size of the notes that hold a build ID, and the ID.
pub(crate) type BuildId = ((u64, u64), Box<[u8]>);

/// The headers of a little-endian ELF file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Elf {
    /// Of 64 bits, not of 32.
    pub(crate) class64: bool,
    /// One of the `EM_*`.
    pub(crate) machine: u16,
    /// Where the program begins; 0: it is none.
    pub(crate) entry: u64,
    pub(crate) programs: Vec<Program>,
    pub(crate) sections: Vec<Section>,
    /// The table of section headers: offset and size in the file.
    pub(crate) section_table: (u64, u64),
    names: Vec<u8>,
}

impl Elf {
    /// Reads the headers of `file`; `None` if it is no little-endian ELF file. Tables that cannot be read are empty.
    pub(crate) fn read(file: &(impl Bytes + ?Sized)) -> Option<Self> {
        // A 32-bit header is 52 bytes; a file of 52..64 bytes has no code worth a name.
        let header = file.bytes(0, 64)?;
        if !header.starts_with(b"\x7fELF") || header[5] != 1 {
            return None;
        }
        let class64 = header[4] == 2;
        let word = |at64, at32| word(class64, &header, (at64, at32));
        let (entry, phoff, shoff) = (word(24, 24)?, word(32, 28)?, word(40, 32)?);
        let counts = if class64 { 54 } else { 42 };
        let half = |nth: usize| u16_at(&header, counts + 2 * nth);
        let (phentsize, phnum, shentsize, shnum, names) = (half(0)?, half(1)?, half(2)?, half(3)?, half(4)?);
        let (least_program, least_section) = if class64 { (56, 64) } else { (32, 40) };
        let programs = table(file, phoff, (phentsize, least_program), phnum);
        let sections = table(file, shoff, (shentsize, least_section), shnum);
        let mut elf = Self {
            class64,
            machine: u16_at(&header, 18)?,
            entry,
            programs: programs
                .chunks_exact(phentsize.max(1).into())
                .filter_map(|e| program(class64, e))
                .collect(),
            sections: Vec::new(),
            section_table: (shoff, sections.len() as u64),
            names: Vec::new(),
        };
        let entries = (0..).zip(sections.chunks_exact(shentsize.max(1).into()));
        elf.sections = entries
            .filter_map(|(number, entry)| {
                section(class64, entry, shoff.checked_add(number * u64::from(shentsize))?)
            })
            .collect();
        let texts = elf.sections.get(usize::from(names)).map(Section::part);
        elf.names = texts.and_then(|(at, size)| file.bytes(at, size.min(MAX_NAMES))).unwrap_or_default();
        Some(elf)
    }

    /// All loadable segments.
    pub(crate) fn loads(&self) -> impl Iterator<Item = &Program> {
        self.programs.iter().filter(|program| program.kind == PT_LOAD)
    }

    /// Name of a section; empty if it has none.
    pub(crate) fn name(&self, section: &Section) -> &[u8] {
        let tail = self.names.get(section.name as usize..).unwrap_or_default();
        tail.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// The first section of this name that has bytes: in a separate debug file those of the code have none.
    pub(crate) fn section(&self, name: &[u8]) -> Option<&Section> {
        self.sections.iter().find(|section| section.has_bytes() && self.name(section) == name)
    }

    /// Where the note with the build ID is: offset and size of the notes that hold it, and the ID.
    pub(crate) fn build_id(&self, file: &(impl Bytes + ?Sized)) -> Option<BuildId> {
        let segments = self.programs.iter().filter(|program| program.kind == PT_NOTE);
        let segments = segments.map(|program| (program.segment.offset, program.segment.size));
        // What `dwz` writes has no segments.
        let sections = self.sections.iter().filter(|section| section.kind == SHT_NOTE).map(Section::part);
        segments
            .chain(sections)
            .filter(|(_, size)| *size <= MAX_NOTE)
            .find_map(|(offset, size)| Some(((offset, size), build_id(&file.bytes(offset, size)?)?)))
    }
}

/// Contents of a compressed section: an `Elf64_Chdr` (kind, size, alignment), then zlib's format or Zstandard's.
fn inflate(bytes: &[u8], most: u64) -> Option<Vec<u8>> {
    const ZLIB: u32 = 1;
    const ZSTD: u32 = 2;
    let size = u64_at(bytes, 8).filter(|size| *size <= most)?;
    let (packed, mut whole) = (bytes.get(24..)?, Vec::new());
    match u32_at(bytes, 0)? {
        ZLIB => flate2::read::ZlibDecoder::new(packed).take(size).read_to_end(&mut whole).ok()?,
        ZSTD => zstd::Decoder::new(packed).ok()?.take(size).read_to_end(&mut whole).ok()?,
        _ => return None,
    };
    (whole.len() as u64 == size).then_some(whole)
}

/// A number of the word's size, which lies elsewhere in 64 bits than in 32.
fn word(class64: bool, bytes: &[u8], (at64, at32): (usize, usize)) -> Option<u64> {
    if class64 { u64_at(bytes, at64) } else { u32_at(bytes, at32).map(u64::from) }
}

fn program(class64: bool, entry: &[u8]) -> Option<Program> {
    let word = |at64, at32| word(class64, entry, (at64, at32));
    let flags = u32_at(entry, if class64 { 4 } else { 24 })?;
    let segment = Segment { offset: word(8, 4)?, vaddr: word(16, 8)?, size: word(32, 16)? };
    Some(Program { kind: u32_at(entry, 0)?, flags, segment })
}

fn section(class64: bool, entry: &[u8], header: u64) -> Option<Section> {
    let word = |at64, at32| word(class64, entry, (at64, at32));
    Some(Section {
        name: u32_at(entry, 0)?,
        kind: u32_at(entry, 4)?,
        flags: word(8, 8)?,
        addr: word(16, 12)?,
        offset: word(24, 16)?,
        size: word(32, 20)?,
        link: u32_at(entry, if class64 { 40 } else { 24 })?,
        header,
    })
}

/// A table of headers, cut to [`MAX_HEADERS`] entries; empty if there is none, or its entries are too small or too large.
fn table(file: &(impl Bytes + ?Sized), offset: u64, (size, least): (u16, u16), count: u16) -> Vec<u8> {
    if offset == 0 || size < least || size > 256 {
        return Vec::new();
    }
    file.bytes(offset, u64::from(size) * u64::from(count.min(MAX_HEADERS))).unwrap_or_default()
}

fn build_id(mut notes: &[u8]) -> Option<Box<[u8]>> {
    let round = |size: u32| (size as usize).checked_next_multiple_of(4);
    loop {
        let (namesz, descsz, kind) = (u32_at(notes, 0)?, u32_at(notes, 4)?, u32_at(notes, 8)?);
        let name = notes.get(12..)?.get(..namesz as usize)?;
        let desc = notes.get(12..)?.get(round(namesz)?..)?.get(..descsz as usize)?;
        if kind == NT_GNU_BUILD_ID && name == b"GNU\0" && !desc.is_empty() {
            return Some(desc.into());
        }
        notes = notes.get(12_usize.checked_add(round(namesz)?)?.checked_add(round(descsz)?)?..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_program_itself_has_segments_sections_and_an_entry() {
        let file = File::open("/proc/self/exe").unwrap();
        let elf = Elf::read(&file).unwrap();
        assert!(elf.class64 && elf.machine == EM_X86_64 && elf.entry != 0);
        let code = elf.loads().find(|program| program.flags & PF_X != 0).unwrap().segment;
        let text = elf.section(b".text").unwrap();
        assert_eq!(code.vaddr_of(text.offset), Some(text.addr));
        assert_eq!(code.offset_of(text.addr), Some(text.offset));
        assert_eq!((code.vaddr_of(u64::MAX), code.offset_of(0)), (None, None));
        assert!(elf.section(b".no such section").is_none());
    }

    #[test]
    fn a_scrambled_file_gives_none_or_less_but_no_panic() {
        let whole = std::fs::read("/proc/self/exe").unwrap();
        let mut seed = 1_u64;
        for round in 0..500 {
            let mut bytes = whole[..4096.min(whole.len())].to_vec();
            for _ in 0..8 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = 4 + (seed >> 33) as usize % 700;
                bytes[at] = (seed >> 24) as u8;
            }
            bytes.truncate(round * 8);
            if let Some(elf) = Elf::read(bytes.as_slice()) {
                let names = elf.sections.iter().map(|section| elf.name(section).len()).sum::<usize>();
                assert!(names <= elf.sections.len() * bytes.len());
                let _ = elf.build_id(bytes.as_slice());
            }
        }
        assert_eq!(Elf::read([b'x'; 100].as_slice()), None);
    }
}
