//! The sections that names come from.

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use crate::elf::{
    Bytes as _, Elf, SHF_COMPRESSED, SHT_DYNSYM, SHT_STRTAB, SHT_SYMTAB, Section, u32_at, u64_at,
};

/// Larger compressed symbol tables are not read; libxul's is 2 MiB.
const MAX_DEBUGDATA: u64 = 4 << 20;
/// A `.gnu_debuglink` is a file name and a number.
const MAX_LINK: u64 = 4096;

/// Sections of debug info that names, inlined functions and lines are read from.
const DEBUG: [&[u8]; 11] = [
    b".debug_abbrev",
    b".debug_addr",
    b".debug_aranges",
    b".debug_info",
    b".debug_line",
    b".debug_line_str",
    b".debug_ranges",
    b".debug_rnglists",
    b".debug_str",
    b".debug_str_offsets",
    b".debug_types",
];

/// The file that has the debug info, by name alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::symbolize) struct DebugLink {
    pub(in crate::symbolize) name: String,
    /// CRC-32 of the whole file.
    pub(in crate::symbolize) crc: u32,
}

/// Offset and size in the file.
pub(super) type Part = (u64, u64);

/// Where symbols and debug info are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sections {
    pub(super) has_symtab: bool,
    pub(super) has_debug_info: bool,
    pub(super) link: Option<DebugLink>,
    pub(super) pclntab: Option<Part>,
    pub(super) text_addr: u64,
    /// Headers, symbol and string tables.
    pub(super) symbols: Vec<Part>,
    /// Those of `symbols` that are text: names, each with a zero behind it.
    pub(super) texts: Vec<Part>,
    /// The notes with the build ID.
    pub(super) notes: Option<Part>,
    /// Bytes of debug info, unpacked.
    pub(super) debug_bytes: u64,
    /// Where the headers lie of sections that are not copied, yet looked for by name: without its content such a
    /// section is a broken one, for which blazesym gives up on the file.
    pub(super) hidden: Vec<u64>,
    /// `.gnu_debugdata`, Fedora's compressed symbol table of a stripped file, and where its header lies.
    mini: Option<(Part, u64)>,
}

impl Sections {
    /// Picks them out of the section headers of `elf`, which is what `file` is.
    pub(super) fn read(file: &File, elf: &Elf) -> Self {
        let mut found = Self::default();
        found.symbols.extend([(0, 64), elf.section_table]);
        // What compresses can be made to blow up; the distribution's files are not.
        let trusted = file.metadata().is_ok_and(|meta| meta.uid() == 0);
        for section in &elf.sections {
            found.take(file, trusted, section, elf.name(section));
        }
        // Compressed symbols are for those who have no others.
        if let Some((part, header)) = found.mini {
            if found.has_symtab {
                found.hidden.push(header);
            } else {
                found.symbols.push(part);
            }
        }
        found
    }

    fn take(&mut self, file: &File, trusted: bool, section: &Section, name: &[u8]) {
        let empty = !section.has_bytes();
        match (section.kind, name) {
            (SHT_SYMTAB, _) => {
                self.has_symtab |= !empty;
                self.symbols.push(section.part());
            }
            (SHT_DYNSYM, _) => self.symbols.push(section.part()),
            (SHT_STRTAB, _) => {
                self.symbols.push(section.part());
                self.texts.push(section.part());
            }
            (_, b".gnu_debugdata") if trusted && section.size <= MAX_DEBUGDATA => {
                self.mini = Some((section.part(), section.header));
            }
            (_, b".gnu_debugdata") => self.hidden.push(section.header),
            (_, b".gnu_debuglink") => {
                self.hidden.push(section.header);
                self.link = contents(file, section.part(), MAX_LINK).and_then(|bytes| link(&bytes));
            }
            // Not for blazesym, which would open whatever path is in it.
            (_, b".gnu_debugaltlink" | b".debug_sup") => {
                self.hidden.push(section.header);
            }
            (_, b".text") => self.text_addr = section.addr,
            (_, b".gopclntab" | b".data.rel.ro.gopclntab") if !empty => self.pclntab = Some(section.part()),
            (_, name) if !empty && DEBUG.contains(&name) => {
                self.hidden.push(section.header);
                let packed = section.flags & SHF_COMPRESSED != 0;
                let size = if packed { unpacked(file, section.part()) } else { Some(section.size) };
                if let Some(size) = size.filter(|_| trusted || !packed) {
                    self.has_debug_info |= name == b".debug_info";
                    self.debug_bytes = self.debug_bytes.saturating_add(size);
                }
            }
            (_, name) if name.starts_with(b".debug_") || name.starts_with(b".zdebug_") => {
                self.hidden.push(section.header);
            }
            _ => {}
        }
    }
}

fn contents(file: &File, (offset, size): Part, most: u64) -> Option<Vec<u8>> {
    file.bytes(offset, size.min(most))
}

/// Size of a compressed section's content, as its header says (`Elf64_Chdr`; of 32-bit files none is read).
fn unpacked(file: &File, part: Part) -> Option<u64> {
    u64_at(&contents(file, part, 24)?, 8)
}

/// Name, padding to four bytes, checksum.
fn link(bytes: &[u8]) -> Option<DebugLink> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let name =
        std::str::from_utf8(&bytes[..end]).ok().filter(|name| !name.is_empty() && !name.contains('/'))?;
    let crc = u32_at(bytes, (end + 1).next_multiple_of(4))?;
    Some(DebugLink { name: name.to_owned(), crc })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_a_name_and_a_checksum() {
        let link_to = |bytes: &[u8]| link(bytes).map(|link| (link.name, link.crc));
        assert_eq!(link_to(b"a.debug\0\x01\0\0\0"), Some(("a.debug".to_owned(), 1)));
        assert_eq!(link_to(b"abc.debug\0\0\0\x02\0\0\0"), Some(("abc.debug".to_owned(), 2)));
        for bad in [&b""[..], b"a.debug", b"a\0\0\0\x01\0", b"\0\0\0\0\x01\0\0\0", b"../x\0\0\0\0\x01\0\0\0"]
        {
            assert_eq!(link_to(bad), None);
        }
    }
}
