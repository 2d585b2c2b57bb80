//! CPython: where an interpreter keeps its frames, what their code objects say, and how Python's frames and the
//! interpreter's own make one stack. For CPython 3.9 to 3.13 on x86-64, without any flag or cooperation.

mod build;
mod code;
mod lines;

use std::ops::Range;
use std::path::Path;

use agent_common::abi::python::PythonLayout;

use crate::elf::{Bytes, Segment};
use crate::maps::Mapping;

pub(crate) use code::{Code, Fingerprint, Memory};

/// What every frame of the interpreter's loop is called.
pub(crate) const LOOP: &str = "_PyEval_EvalFrameDefault";

/// A file with an interpreter in it: `python3.11`, `libpython3.12.so.1.0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    /// Minor version: 3.9 to 3.13.
    pub minor: u8,
    /// What the kernel side follows.
    pub layout: PythonLayout,
    /// Address of the list of interpreters in the file's own address space.
    interpreters: u64,
    code: code::Layout,
    /// Code of the loop, by offset in the file.
    loops: Vec<Range<u64>>,
    segments: Vec<Segment>,
}

impl Interpreter {
    /// Whether a file of this name may have one in it: others are not searched.
    #[must_use]
    pub fn may_be_in(path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("python") || name.starts_with("libpython")
    }

    /// The interpreter in the ELF file called `path`; `None` if there is none that is known. Takes some 10 ms.
    #[must_use]
    pub fn read(file: &(impl Bytes + ?Sized), path: &Path) -> Option<Self> {
        build::read(file, path)
    }

    /// Address of the list of interpreters in a process that has the file mapped there, by any mapping of code.
    #[must_use]
    pub fn list_in(&self, mapping: &Mapping) -> Option<u64> {
        const PAGE: u64 = 4096;
        // Segments are mapped by whole pages.
        let segment = self.segments.iter().find(|segment| {
            let from = segment.offset & !(PAGE - 1);
            from <= mapping.offset && mapping.offset < segment.offset.saturating_add(segment.size)
        })?;
        let vaddr = segment.vaddr.wrapping_sub(segment.offset).wrapping_add(mapping.offset);
        Some(mapping.start.wrapping_sub(vaddr).wrapping_add(self.interpreters))
    }

    /// Of how many pieces of code the interpreter's loop consists: two where a compiler split it by profile.
    #[must_use]
    pub fn loop_parts(&self) -> usize {
        self.loops.len()
    }

    /// Whether the code at `offset` of the file is the interpreter's loop.
    pub(crate) fn is_loop(&self, offset: u64) -> bool {
        self.loops.iter().any(|range| range.contains(&offset))
    }

    /// Reads the code object at `addr`; `None` if there is none.
    pub(crate) fn code(&self, memory: &impl Memory, addr: u64) -> Option<(Fingerprint, Code)> {
        self.code.read(memory, addr)
    }

    /// Distinguishes the code object at `addr` from another one at that address.
    pub(crate) fn fingerprint(&self, memory: &impl Memory, addr: u64) -> Option<Fingerprint> {
        self.code.fingerprint(memory, addr)
    }
}

/// For [`crate::fuzz`]: a file that may have an interpreter in it, or a version, and memory in which the first bytes are a
/// code object.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn fuzz(bytes: &[u8]) {
    let _ = Interpreter::read(bytes, Path::new("python3.11"));
    let Some((layout, memory)) = build::any(bytes) else { return };
    if let Some((_, code)) = layout.read(&code::Fake(memory), code::BASE) {
        for instr in [0, 1, 100, u32::MAX] {
            let _ = code.source(Some(instr));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps::Backing;

    #[test]
    fn only_files_called_python_are_searched() {
        for (path, may) in [
            ("/usr/bin/python3.11", true),
            ("/usr/lib/x86_64-linux-gnu/libpython3.12.so.1.0", true),
            ("/usr/lib/libc.so.6", false),
            ("/", false),
        ] {
            assert_eq!(Interpreter::may_be_in(Path::new(path)), may, "{path}");
        }
    }

    #[test]
    fn the_list_lies_where_the_file_is_mapped() {
        let interpreter = Interpreter {
            minor: 11,
            layout: PythonLayout::default(),
            interpreters: 0xa5_6248,
            code: code::Layout::default(),
            loops: vec![0x1000..0x2000, 0x3000..0x3008],
            segments: vec![Segment { offset: 0x1f040, vaddr: 0x41_f040, size: 0x1000 }],
        };
        let mapping = |offset| Mapping {
            start: 0x7f00_0001_f000,
            end: 0x7f00_0002_0000,
            offset,
            backing: Backing::Anonymous,
        };
        assert_eq!(interpreter.list_in(&mapping(0x1f000)), Some(0x7f00_0000_0000 - 0x40_0000 + 0xa5_6248));
        assert_eq!(interpreter.list_in(&mapping(0x5_0000)), None);
        assert!(interpreter.is_loop(0x3007) && !interpreter.is_loop(0x3008));
    }
}
