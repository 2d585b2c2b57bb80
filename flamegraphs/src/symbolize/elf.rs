//! What names need of an ELF file before a symbol table is read: where segments lie, the build ID, and where symbols
//! and debug info are.

mod sections;
mod snapshot;

use std::fs::File;

pub(super) use sections::DebugLink;
use sections::Sections;
pub(crate) use snapshot::NOT_TEXT;

use crate::elf::{Elf, Segment};

/// What we know of an ELF file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    loads: Box<[Segment]>,
    /// `NT_GNU_BUILD_ID`, if any.
    pub(crate) build_id: Option<Box<[u8]>>,
    sections: Sections,
}

impl Image {
    /// Reads the headers of `file`; `None` if it is not a little-endian ELF file with anything in it.
    pub(crate) fn read(file: &File) -> Option<Self> {
        let elf = Elf::read(file).filter(|elf| !(elf.programs.is_empty() && elf.sections.is_empty()))?;
        let notes = elf.build_id(file);
        let mut sections = Sections::read(file, &elf);
        sections.notes = notes.as_ref().map(|(part, _)| *part);
        Some(Self {
            loads: elf.loads().map(|program| program.segment).collect(),
            build_id: notes.map(|(_, id)| id),
            sections,
        })
    }

    /// Has a full symbol table, not only the dynamic one.
    pub(crate) fn has_symtab(&self) -> bool {
        self.sections.has_symtab
    }

    /// Bytes of its debug info, unpacked; `None` without.
    pub(crate) fn debug_bytes(&self) -> Option<u64> {
        self.sections.has_debug_info.then_some(self.sections.debug_bytes)
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
        self.loads.iter().find_map(|load| load.vaddr_of(offset))
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
        assert!(image.has_symtab() && image.symbol_bytes() > 0);
        assert!(image.debug_bytes() > Some(image.symbol_bytes()));
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
