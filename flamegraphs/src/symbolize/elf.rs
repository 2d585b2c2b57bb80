//! The little of ELF that is needed before a symbol table is: where segments lie, the build ID, and where
//! the symbol tables are. Reads with `pread`, trusts nothing.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use nix::sys::memfd::{MFdFlags, memfd_create};

/// Program or section headers looked at; a core dump may have 65,535, a program has some dozen.
const MAX_HEADERS: u16 = 512;
/// Notes larger than this are not read for a build ID.
const MAX_NOTE: u64 = 4096;

/// Larger compressed symbol tables are not read; libxul's is 2 MiB.
const MAX_DEBUGDATA: u64 = 4 << 20;
/// Symbol tables larger than this are not read: the largest programs (browsers with all symbols) have 100 MiB,
/// and this is memory that whoever runs a program makes us take.
const MAX_TABLES: u64 = 128 << 20;

const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const SHT_SYMTAB: u32 = 2;
const SHT_STRTAB: u32 = 3;
const SHT_DYNSYM: u32 = 11;
const NT_GNU_BUILD_ID: u32 = 3;

/// A loadable segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Load {
    offset: u64,
    vaddr: u64,
    filesz: u64,
}

/// What we know of an ELF file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    loads: Box<[Load]>,
    /// `NT_GNU_BUILD_ID`, if any.
    pub(crate) build_id: Option<Box<[u8]>>,
    /// Has a full symbol table, not only the dynamic one.
    pub(crate) has_symtab: bool,
    /// Where headers, symbol and string tables lie: offset, size.
    parts: Box<[(u64, u64)]>,
    /// Where the section header lies that a snapshot must not show: without its section's content it is a
    /// broken one, for which blazesym gives up on the file.
    hidden: Option<u64>,
}

impl Image {
    /// Reads the headers of `file`; `None` if it is not a little-endian ELF file.
    pub(crate) fn read(file: &File) -> Option<Self> {
        let mut header = [0; 64];
        // A 32-bit header is 52 bytes; a file of 52..64 bytes has no code worth a name.
        file.read_exact_at(&mut header, 0).ok()?;
        if !header.starts_with(b"\x7fELF") || header[5] != 1 {
            return None;
        }
        let class64 = header[4] == 2;
        let (phoff, shoff, counts) = if class64 {
            (u64_at(&header, 32)?, u64_at(&header, 40)?, 54)
        } else {
            (u32_at(&header, 28)?.into(), u32_at(&header, 32)?.into(), 42)
        };
        let (phentsize, phnum) = (u16_at(&header, counts)?, u16_at(&header, counts + 2)?);
        let (shentsize, shnum) = (u16_at(&header, counts + 4)?, u16_at(&header, counts + 6)?);
        let mut image = Self {
            loads: Box::default(),
            build_id: None,
            has_symtab: false,
            parts: Box::default(),
            hidden: None,
        };
        image.read_segments(file, class64, &table(file, phoff, phentsize, phnum)?, phentsize.into());
        // No sections (stripped by sstrip) is fine.
        if let Some(sections) = table(file, shoff, shentsize, shnum) {
            let mut parts = vec![(0, header.len() as u64), (shoff, sections.len() as u64)];
            image.read_sections(class64, &sections, shentsize.into(), &mut parts);
            if !image.has_symtab {
                let names = u16_at(&header, counts + 8)?;
                if let Some((at, part)) = debugdata(file, class64, &sections, shentsize.into(), names.into())
                {
                    // A compressed symbol table can blow up; the distribution's are not made to.
                    if file.metadata().ok()?.uid() == 0 && part.1 <= MAX_DEBUGDATA {
                        parts.push(part);
                    } else {
                        image.hidden = shoff.checked_add(at);
                    }
                }
            }
            image.parts = parts.into();
        }
        Some(image)
    }

    fn read_segments(&mut self, file: &File, class64: bool, table: &[u8], entsize: usize) {
        let mut loads = Vec::new();
        for entry in table.chunks_exact(entsize.max(1)) {
            let segment = (|| {
                let kind = u32_at(entry, 0)?;
                Some(if class64 {
                    (kind, u64_at(entry, 8)?, u64_at(entry, 16)?, u64_at(entry, 32)?)
                } else {
                    let word = |at| u32_at(entry, at).map(u64::from);
                    (kind, word(4)?, word(8)?, word(16)?)
                })
            })();
            match segment {
                Some((PT_LOAD, offset, vaddr, filesz)) => loads.push(Load { offset, vaddr, filesz }),
                Some((PT_NOTE, offset, _, filesz)) if self.build_id.is_none() && filesz <= MAX_NOTE => {
                    let mut notes = vec![0; filesz as usize];
                    if file.read_exact_at(&mut notes, offset).is_ok() {
                        self.build_id = build_id(&notes);
                    }
                }
                _ => {}
            }
        }
        self.loads = loads.into();
    }

    fn read_sections(&mut self, class64: bool, table: &[u8], entsize: usize, parts: &mut Vec<(u64, u64)>) {
        for entry in table.chunks_exact(entsize.max(1)) {
            match section(class64, entry) {
                Some((SHT_SYMTAB, offset, size)) => {
                    self.has_symtab |= size > 0;
                    parts.push((offset, size));
                }
                Some((SHT_DYNSYM | SHT_STRTAB, offset, size)) => parts.push((offset, size)),
                _ => {}
            }
        }
    }

    /// Bytes of all symbol and string tables: what a [`Self::snapshot`] takes.
    pub(crate) fn symbol_bytes(&self) -> u64 {
        self.parts.iter().fold(0, |sum, (_, size)| sum.saturating_add(*size))
    }

    /// Copies headers and symbol tables of `file` into memory, at the offsets where they are in the file.
    ///
    /// blazesym maps what it reads, and a mapped file that is truncated by its owner kills whoever looks at
    /// the mapping (SIGBUS). Nobody can truncate the copy, and its size is its memory: the holes are free.
    pub(crate) fn snapshot(&self, file: &File) -> io::Result<File> {
        if self.symbol_bytes() > MAX_TABLES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "symbol tables larger than 128 MiB"));
        }
        let copy = File::from(memfd_create(c"symbols", MFdFlags::MFD_CLOEXEC)?);
        let mut buffer = vec![0; 64 * 1024];
        for &(start, size) in &self.parts {
            let mut done = 0;
            while done < size {
                let want = (size - done).min(buffer.len() as u64) as usize;
                let Some(at) = start.checked_add(done) else { break };
                // Short where the file ends early.
                let got = file.read_at(&mut buffer[..want], at)?;
                if got == 0 {
                    break;
                }
                copy.write_all_at(&buffer[..got], at)?;
                done += got as u64;
            }
        }
        if let Some(header) = self.hidden {
            // Its name becomes the empty one.
            copy.write_all_at(&[0; 4], header)?;
        }
        Ok(copy)
    }

    /// The address inside the file's own address space of what lies at `offset` in the file.
    pub(crate) fn vaddr(&self, offset: u64) -> Option<u64> {
        self.loads
            .iter()
            .find(|load| offset >= load.offset && offset - load.offset < load.filesz)
            .map(|load| load.vaddr.wrapping_add(offset - load.offset))
    }
}

/// Type, offset and size of a section.
fn section(class64: bool, entry: &[u8]) -> Option<(u32, u64, u64)> {
    let word = |at| u32_at(entry, at).map(u64::from);
    let kind = u32_at(entry, 4)?;
    Some(if class64 { (kind, u64_at(entry, 24)?, u64_at(entry, 32)?) } else { (kind, word(16)?, word(20)?) })
}

/// The compressed symbol table of a stripped file (Fedora's "mini debug info"): where its section header lies
/// in `table`, and its offset and size.
fn debugdata(
    file: &File,
    class64: bool,
    table: &[u8],
    entsize: usize,
    names: usize,
) -> Option<(u64, (u64, u64))> {
    let (_, offset, size) = section(class64, table.chunks_exact(entsize.max(1)).nth(names)?)?;
    let mut text = vec![0; size.min(64 * 1024) as usize];
    file.read_exact_at(&mut text, offset).ok()?;
    let (index, entry) = table.chunks_exact(entsize.max(1)).enumerate().find(|(_, entry)| {
        let name = u32_at(entry, 0).and_then(|at| text.get(at as usize..));
        name.is_some_and(|name| name.starts_with(b".gnu_debugdata\0"))
    })?;
    let (_, offset, size) = section(class64, entry)?;
    Some(((index * entsize) as u64, (offset, size)))
}

/// A header table, cut to [`MAX_HEADERS`] entries.
fn table(file: &File, offset: u64, entsize: u16, count: u16) -> Option<Vec<u8>> {
    let mut table = vec![0; usize::from(entsize) * usize::from(count.min(MAX_HEADERS))];
    if table.is_empty() || entsize > 256 {
        return None;
    }
    file.read_exact_at(&mut table, offset).ok()?;
    Some(table)
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

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_test_program_itself_has_segments_and_symbols() {
        let image = Image::read(&File::open("/proc/self/exe").unwrap()).unwrap();
        assert!(!image.loads.is_empty());
        assert!(image.has_symtab && image.symbol_bytes() > 0);
        let load = image.loads[0];
        assert_eq!(image.vaddr(load.offset), Some(load.vaddr));
        assert_eq!(image.vaddr(u64::MAX), None);
    }

    #[test]
    fn a_cut_or_scrambled_file_gives_none_or_less_but_no_panic() {
        let whole = std::fs::read("/proc/self/exe").unwrap();
        let mut seed = 1_u64;
        for round in 0..300 {
            let mut bytes = whole[..4096.min(whole.len())].to_vec();
            for _ in 0..8 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = 5 + (seed >> 33) as usize % 700;
                bytes[at] = (seed >> 24) as u8;
            }
            bytes.truncate(64 + round * 10);
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            if let Some(image) = Image::read(&file) {
                let _ = (image.vaddr(seed), image.snapshot(&file));
            }
        }
        let mut text = tempfile::tempfile().unwrap();
        text.write_all(&[b'x'; 100]).unwrap();
        assert_eq!(Image::read(&text), None);
    }
}
