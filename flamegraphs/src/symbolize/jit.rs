//! Names of code that is compiled at run time: functions by address, from a perf map or a jitdump.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::jitdump::Dump;
use super::name::readable;
use super::perf_map;
use crate::frame::Source;
use crate::names::{Code, FrameName};

/// Overlapping functions looked at: JITs reuse memory and append the new function.
const MAX_OVERLAP: usize = 16;
/// Memory of one process' functions, beyond which no more are taken: some 700,000.
pub(super) const MAX_BYTES: usize = 64 << 20;

/// Functions by address.
#[derive(Debug, Default)]
pub(super) struct Functions {
    list: Vec<Function>,
    text: String,
    lines: Vec<Line>,
    files: Vec<Arc<str>>,
    sorted: bool,
}

#[derive(Debug, Clone, Copy)]
struct Function {
    start: u64,
    size: u64,
    /// Of all that cover an address the one that came last counts.
    turn: u32,
    /// Place of the name in `text`.
    name: (u32, u32),
    /// Its lines.
    lines: (u32, u32),
}

/// Code from an address on is of this line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) addr: u64,
    pub(super) file: u32,
    pub(super) number: u32,
}

impl Functions {
    /// Adds a function; `lines` by address.
    pub(super) fn add(&mut self, start: u64, size: u64, name: &str, lines: &[Line]) {
        if self.bytes() >= MAX_BYTES {
            return;
        }
        let (text, line) = (self.text.len() as u32, self.lines.len() as u32);
        self.text.push_str(name);
        self.lines.extend_from_slice(lines);
        self.list.push(Function {
            start,
            size,
            turn: self.list.len() as u32,
            name: (text, self.text.len() as u32),
            lines: (line, self.lines.len() as u32),
        });
        self.sorted = false;
    }

    /// A function is at another address from now on.
    pub(super) fn moved(&mut self, from: u64, to: u64) {
        if let Some(&old) = self.list.iter().rev().find(|function| function.start == from)
            && self.bytes() < MAX_BYTES
        {
            self.list.push(Function { start: to, turn: self.list.len() as u32, lines: (0, 0), ..old });
            self.sorted = false;
        }
    }

    /// The number of a source file.
    pub(super) fn file(&mut self, path: &str) -> u32 {
        if self.files.last().is_none_or(|last| **last != *path) {
            self.files.push(path.into());
        }
        (self.files.len() - 1) as u32
    }

    /// The function that covers `addr`: name and line.
    pub(super) fn find(&mut self, addr: u64) -> Option<(&str, Option<Source>)> {
        if !self.sorted {
            self.list.sort_unstable_by_key(|function| (function.start, function.turn));
            self.sorted = true;
        }
        let next = self.list.partition_point(|function| function.start <= addr);
        let covering = self.list[..next].iter().rev().take(MAX_OVERLAP);
        let function = covering.filter(|one| addr - one.start < one.size).max_by_key(|one| one.turn)?;
        let lines = &self.lines[function.lines.0 as usize..function.lines.1 as usize];
        let line = lines.partition_point(|line| line.addr <= addr).checked_sub(1).map(|at| lines[at]);
        let source = line.and_then(|line| {
            Some(Source { file: Arc::clone(self.files.get(line.file as usize)?), line: line.number })
        });
        Some((&self.text[function.name.0 as usize..function.name.1 as usize], source))
    }

    /// Memory.
    pub(super) fn bytes(&self) -> usize {
        self.list.len() * size_of::<Function>()
            + self.lines.len() * size_of::<Line>()
            + self.text.len()
            + self.files.len() * 64
    }
}

/// What is known of the run-time compiled code of one process. Kept between questions: what has not changed is not read
/// again, and a dump that has grown from where it ended.
#[derive(Debug, Default)]
pub(super) struct Jit {
    map: Functions,
    /// Size, time and inode of the perf map when it was read.
    stamp: Option<(u64, i64, i64, u64)>,
    dump: Option<Dump>,
}

impl Jit {
    /// Reads what is new. `dump` opens the process' jitdump, if it has one.
    pub(super) fn refresh(
        &mut self,
        tgid: u32,
        ns_tgid: u32,
        dump: impl FnOnce() -> Option<(File, PathBuf)>,
    ) {
        if let Some(file) = perf_map::open(tgid, ns_tgid) {
            let stamp =
                file.metadata().ok().map(|meta| (meta.size(), meta.mtime(), meta.mtime_nsec(), meta.ino()));
            if stamp != self.stamp {
                self.map = perf_map::read(file).map(|text| perf_map::parse(&text)).unwrap_or_default();
                self.stamp = stamp;
            }
        }
        if self.dump.is_none() {
            self.attach(dump());
        }
        if let Some(dump) = &mut self.dump {
            dump.read_on();
        }
    }

    /// Its jitdump is open.
    pub(super) fn has_dump(&self) -> bool {
        self.dump.is_some()
    }

    /// Takes an open jitdump, to be read when its names are asked for.
    pub(super) fn attach(&mut self, dump: Option<(File, PathBuf)>) {
        self.dump = dump.map(|(file, path)| Dump::new(file, &path));
    }

    /// The name of what is at `addr`.
    pub(super) fn find(&mut self, addr: u64) -> Option<FrameName> {
        let dumped = self.dump.as_mut().and_then(|dump| dump.find(addr));
        let (name, source, module) = if let Some(found) = dumped {
            found
        } else {
            let (name, source) = self.map.find(addr)?;
            (name, source, None)
        };
        let code = source.is_some().then(|| Arc::new(Code { module, source, inlined: Vec::new() }));
        Some(FrameName { jit: true, code, ..FrameName::named(readable(name).into()) })
    }

    /// Memory.
    pub(super) fn bytes(&self) -> usize {
        self.map.bytes() + self.dump.as_ref().map_or(0, Dump::bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_function_that_came_last_counts() {
        let mut functions = Functions::default();
        functions.add(0x1090, 0x10, "old", &[]);
        functions.add(0x1000, 0x100, "new", &[]);
        functions.add(0x1080, 8, "newest", &[]);
        let mut at = |addr| functions.find(addr).map(|(name, _)| name.to_owned());
        assert_eq!(at(0x1095).as_deref(), Some("new"));
        assert_eq!(at(0x1084).as_deref(), Some("newest"));
        assert_eq!(at(0x1088).as_deref(), Some("new"));
        assert_eq!((at(0x1100), at(0xfff)), (None, None));
    }

    #[test]
    fn a_line_holds_until_the_next() {
        let mut functions = Functions::default();
        let (a, b) = (functions.file("a.js"), functions.file("b.js"));
        let line = |addr, file, number| Line { addr, file, number };
        functions.add(0x100, 0x40, "f", &[line(0x108, a, 3), line(0x120, b, 7)]);
        let mut at =
            |addr| functions.find(addr).unwrap().1.map(|source| format!("{}:{}", source.file, source.line));
        assert_eq!(at(0x100), None);
        assert_eq!(at(0x11f).as_deref(), Some("a.js:3"));
        assert_eq!(at(0x13f).as_deref(), Some("b.js:7"));
        functions.moved(0x100, 0x900);
        assert_eq!(functions.find(0x910).unwrap().0, "f");
    }
}
