//! The little of ELF that is needed before a symbol table is: where segments lie, the build ID, and where
//! symbols and debug info are. Reads with `pread`, trusts nothing.

mod bytes;
mod sections;
mod snapshot;

use std::fs::File;
use std::os::unix::fs::FileExt;

pub(crate) use bytes::{u16_at, u32_at, u64_at};
pub(super) use sections::DebugLink;
use sections::Sections;
pub(crate) use sections::{SHF_COMPRESSED, SHT_NOBITS};
pub(crate) use snapshot::Content;

/// Program or section headers looked at; a core dump may have 65,535, a program has some dozen.
const MAX_HEADERS: u16 = 512;
/// Notes larger than this are not read for a build ID.
const MAX_NOTE: u64 = 4096;

pub(crate) const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
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
    sections: Sections,
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
        let mut image = Self { loads: Box::default(), build_id: None, sections: Sections::default() };
        image.read_segments(file, class64, &table(file, phoff, phentsize, phnum)?, phentsize.into());
        // No sections (stripped by sstrip) is fine.
        if let Some(headers) = table(file, shoff, shentsize, shnum) {
            let names = u16_at(&header, counts + 8)?;
            image.sections = Sections::read(file, class64, shoff, &headers, shentsize.into(), names.into());
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

    /// Has a full symbol table, not only the dynamic one.
    pub(crate) fn has_symtab(&self) -> bool {
        self.sections.has_symtab
    }

    /// Has debug info.
    pub(crate) fn has_debug_info(&self) -> bool {
        self.sections.has_debug_info
    }

    /// What `.gnu_debuglink` says: the name of the file with its debug info, and that file's checksum.
    pub(in crate::symbolize) fn debug_link(&self) -> Option<&DebugLink> {
        self.sections.link.as_ref()
    }

    /// Where `.gopclntab` lies: offset and size.
    pub(crate) fn pclntab(&self) -> Option<(u64, u64)> {
        self.sections.pclntab
    }

    /// Address of `.text`; 0 without.
    pub(crate) fn text_addr(&self) -> u64 {
        self.sections.text_addr
    }

    /// The address inside the file's own address space of what lies at `offset` in the file.
    pub(crate) fn vaddr(&self, offset: u64) -> Option<u64> {
        self.loads
            .iter()
            .find(|load| offset >= load.offset && offset - load.offset < load.filesz)
            .map(|load| load.vaddr.wrapping_add(offset - load.offset))
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_test_program_itself_has_segments_and_symbols() {
        let image = Image::read(&File::open("/proc/self/exe").unwrap()).unwrap();
        assert!(!image.loads.is_empty());
        assert!(image.has_symtab() && image.bytes(Content::Symbols) > 0);
        assert!(image.has_debug_info() && image.bytes(Content::Debug) > image.bytes(Content::Symbols));
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
                let _ = (image.vaddr(seed), image.snapshot(&file, Content::Debug));
            }
        }
        let mut text = tempfile::tempfile().unwrap();
        text.write_all(&[b'x'; 100]).unwrap();
        assert_eq!(Image::read(&text), None);
    }
}
