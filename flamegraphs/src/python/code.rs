//! Code objects in the memory of a process: the name of a function, its file, its lines.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use profile::Source;

pub(super) use super::lines::Table;
use crate::elf::{u32_at, u64_at};

/// Bytes of a code object that are read: all of what is asked for lies in them.
const CODE_BYTES: usize = 160;
/// Text of a name and of a path at most, bytes; longer ones are cut.
const MAX_TEXT: usize = 1024;
/// Line tables are cut here: that of 20,000 lines of code.
const MAX_TABLE: usize = 128 << 10;
/// A line beyond it is none.
const MAX_LINE: u32 = 10_000_000;

/// Memory of a process.
pub(crate) trait Memory {
    /// Reads as much of `bytes` as there is from `addr` on.
    fn read(&self, addr: u64, bytes: &mut [u8]) -> usize;
}

/// `/proc/PID/mem`
impl Memory for File {
    fn read(&self, addr: u64, bytes: &mut [u8]) -> usize {
        self.read_at(bytes, addr).unwrap_or(0)
    }
}

/// Bytes as the memory of a process, from [`BASE`] on.
#[cfg(any(test, feature = "fuzz"))]
pub(super) struct Fake<B>(pub(super) B);

#[cfg(any(test, feature = "fuzz"))]
pub(super) const BASE: u64 = 0x1000;

#[cfg(any(test, feature = "fuzz"))]
impl<B: AsRef<[u8]>> Memory for Fake<B> {
    fn read(&self, addr: u64, bytes: &mut [u8]) -> usize {
        let Some(rest) = addr.checked_sub(BASE).and_then(|at| self.0.as_ref().get(at as usize..)) else {
            return 0;
        };
        let count = rest.len().min(bytes.len());
        bytes[..count].copy_from_slice(&rest[..count]);
        count
    }
}

/// Where objects of a version have what is read, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// `PyCodeObject.co_qualname`, `.co_name` before 3.11
    pub(super) name: u32,
    /// `.co_filename`
    pub(super) file: u32,
    /// `.co_firstlineno`
    pub(super) line: u32,
    /// `.co_linetable`, `.co_lnotab` in 3.9
    pub(super) table: u32,
    /// What is in there.
    pub(super) kind: Table,
    /// `sizeof(PyASCIIObject)`, behind which its text is.
    pub(super) ascii: u32,
    /// `sizeof(PyCompactUnicodeObject)`, behind which other text is.
    pub(super) wide: u32,
    /// `PyBytesObject.ob_sval`
    pub(super) bytes: u32,
}

/// `ob_size`, `PyASCIIObject.length`, `.state`: the same in all builds with a GIL, and, by what follows the object's head,
/// in the others.
const HEAD: usize = 16;

/// Distinguishes a code object from another one at the same address: the addresses of its parts, and its line.
pub(crate) type Fingerprint = [u64; 4];

/// What a code object says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Code {
    /// `Worker.run (worker.py:12)`: the line is that of its first.
    pub(crate) text: Arc<str>,
    pub(crate) file: Arc<str>,
    line: u32,
    table: Box<[u8]>,
    kind: Table,
}

impl Code {
    /// The line of an instruction; the function's first where it has none.
    pub(crate) fn source(&self, instr: Option<u32>) -> Source {
        let line = instr.and_then(|instr| self.kind.line(&self.table, self.line, instr));
        Source { file: Arc::clone(&self.file), line: line.unwrap_or(self.line) }
    }

    /// Memory.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.text.len() + self.file.len() + self.table.len()
    }
}

impl Layout {
    pub(super) fn fingerprint(&self, memory: &impl Memory, addr: u64) -> Option<Fingerprint> {
        let mut code = [0; CODE_BYTES];
        if memory.read(addr, &mut code) < CODE_BYTES {
            return None;
        }
        let word = |at: u32| u64_at(&code, at as usize);
        Some([
            word(self.name)?,
            word(self.file)?,
            word(self.table)?,
            u32_at(&code, self.line as usize)?.into(),
        ])
    }

    pub(super) fn read(&self, memory: &impl Memory, addr: u64) -> Option<(Fingerprint, Code)> {
        let print = self.fingerprint(memory, addr)?;
        let [name, file, table, line] = print;
        let line = u32::try_from(line).ok().filter(|line| *line < MAX_LINE)?;
        let name = self.text(memory, name).filter(|name| !name.is_empty())?;
        let file = self.text(memory, file)?;
        let text = format!("{name} ({}:{line})", short(&file)).into();
        let table = self.table(memory, table).unwrap_or_default();
        Some((print, Code { text, file: file.into(), line, table, kind: self.kind }))
    }

    /// A `str`, unless it is one of the old kind in two pieces, which names never are.
    fn text(&self, memory: &impl Memory, addr: u64) -> Option<String> {
        let mut bytes = [0; 96 + MAX_TEXT];
        let read = memory.read(addr, &mut bytes);
        let bytes = bytes.get(..read)?;
        let head = self.head();
        let (length, state) = (u64_at(bytes, head)?, u32_at(bytes, head + 16)?);
        let (width, compact, ascii) = (state >> 2 & 7, state >> 5 & 1, state >> 6 & 1);
        if compact == 0 || addr == 0 {
            return None;
        }
        let from = if ascii == 1 { self.ascii } else { self.wide } as usize;
        let length = usize::try_from(length).ok()?.min(MAX_TEXT / width.max(1) as usize);
        let text = bytes.get(from..from.checked_add(length * width as usize)?)?;
        Some(match width {
            1 => text.iter().map(|byte| char::from(*byte)).collect(),
            2 => {
                let units = text.as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit));
                char::decode_utf16(units).map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
            }
            4 => {
                let units = text.as_chunks().0.iter().map(|unit| u32::from_le_bytes(*unit));
                units.map(|unit| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
            }
            _ => return None,
        })
    }

    /// A `bytes`.
    fn table(&self, memory: &impl Memory, addr: u64) -> Option<Box<[u8]>> {
        let mut head = [0; 64];
        memory.read(addr, &mut head);
        let size = u64_at(&head, (self.bytes as usize).checked_sub(16)?)?;
        let size = usize::try_from(size).ok()?.min(MAX_TABLE);
        let mut table = vec![0; size];
        let read = memory.read(addr.checked_add(self.bytes.into())?, &mut table);
        table.truncate(read);
        Some(table.into())
    }

    /// Size of an object's head: larger where there is no GIL.
    fn head(&self) -> usize {
        // `ob_size` and `ob_shash` lie between.
        (self.bytes as usize).saturating_sub(16).max(HEAD)
    }
}

/// The part of a path that shows where a function comes from: from the packages' directory on, or the file's name alone.
fn short(path: &str) -> &str {
    for root in ["/site-packages/", "/dist-packages/"] {
        if let Some((_, rest)) = path.rsplit_once(root) {
            return rest;
        }
    }
    if let Some((_, rest)) = path.rsplit_once("/lib/python3")
        && let Some((version, rest)) = rest.split_once('/')
        && version.starts_with('.')
    {
        return rest;
    }
    if path.starts_with('<') {
        return path;
    }
    let mut parts = path.rsplitn(3, '/');
    let (Some(name), parent) = (parts.next(), parts.next()) else { return path };
    // All packages have files of this name.
    let keep = if name.starts_with("__") { name.len() + 1 + parent.map_or(0, str::len) } else { name.len() };
    path.get(path.len().saturating_sub(keep)..).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout = Layout {
        name: 128,
        file: 112,
        line: 72,
        table: 136,
        kind: Table::Locations,
        ascii: 48,
        wide: 72,
        bytes: 32,
    };

    impl Fake<Vec<u8>> {
        fn put(&mut self, at: usize, bytes: &[u8]) {
            self.0[at..at + bytes.len()].copy_from_slice(bytes);
        }

        /// A `str` of `width` bytes a character.
        fn text(&mut self, at: usize, text: &str, width: u32) {
            let ascii = u32::from(text.is_ascii());
            self.put(at + 16, &(text.chars().count() as u64).to_le_bytes());
            self.put(at + 32, &(width << 2 | 1 << 5 | ascii << 6).to_le_bytes());
            let from = at + if ascii == 1 { 48 } else { 72 };
            for (place, char) in text.chars().enumerate() {
                self.put(from + place * width as usize, &u32::from(char).to_le_bytes()[..width as usize]);
            }
        }
    }

    fn memory() -> Fake<Vec<u8>> {
        let mut fake = Fake(vec![0; 4096]);
        for (field, target) in [(128, 0x400), (112, 0x600), (136, 0x800_u64)] {
            fake.put(field, &(BASE + target).to_le_bytes());
        }
        fake.put(72, &12_u32.to_le_bytes());
        fake.text(0x400, "Wörker.run", 1);
        fake.text(0x600, "/srv/app/worker.py", 1);
        // Two instructions on line 13, then one without.
        fake.put(0x810, &4_u64.to_le_bytes());
        fake.put(0x820, &[0x80 | 11 << 3 | 1, 0, 0, 0x80 | 15 << 3]);
        fake
    }

    #[test]
    fn a_code_object_says_name_file_and_line() {
        let (print, code) = LAYOUT.read(&memory(), BASE).expect("a code object");
        assert_eq!(&*code.text, "Wörker.run (worker.py:12)");
        assert_eq!(code.source(Some(1)), Source { file: "/srv/app/worker.py".into(), line: 13 });
        assert_eq!((code.source(Some(2)).line, code.source(None).line), (12, 12));
        assert_eq!(LAYOUT.fingerprint(&memory(), BASE), Some(print));
    }

    #[test]
    fn wide_names_are_read() {
        for (name, width) in [("функция", 2), ("𝔣", 4)] {
            let mut fake = memory();
            fake.text(0x400, name, width);
            let (_, code) = LAYOUT.read(&fake, BASE).expect("a code object");
            assert_eq!(&*code.text, format!("{name} (worker.py:12)"));
        }
    }

    #[test]
    fn what_is_no_code_object_is_none() {
        assert_eq!(LAYOUT.read(&memory(), 0x40_0000), None);
        assert_eq!(LAYOUT.read(&memory(), BASE + 0x900), None);
        let mut seed = 7_u64;
        for _ in 0..3000 {
            let mut fake = memory();
            for _ in 0..6 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                fake.0[(seed >> 33) as usize % 0x900] = (seed >> 24) as u8;
            }
            let _ = LAYOUT.read(&fake, BASE);
        }
    }

    #[test]
    fn a_path_is_as_long_as_it_need_be() {
        for (path, shown) in [
            ("/usr/lib/python3.11/json/encoder.py", "json/encoder.py"),
            ("/srv/venv/lib/python3.12/site-packages/flask/app.py", "flask/app.py"),
            ("/usr/lib/python3/dist-packages/apt/cache.py", "apt/cache.py"),
            ("/srv/app/worker.py", "worker.py"),
            ("/srv/app/__init__.py", "app/__init__.py"),
            ("__main__.py", "__main__.py"),
            ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap>"),
            ("<string>", "<string>"),
            ("", ""),
        ] {
            assert_eq!(short(path), shown);
        }
    }
}
