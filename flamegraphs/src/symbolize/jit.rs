//! Names of code that is compiled at run time: functions by address, from a perf map or a jitdump.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use opener::file::{self, Mapped, Root};
use opener::{Held, Refused, Stamp};
use profile::{Code, FrameName, Source};

use super::asker::Asker;
use super::jitdump::Dump;
use super::name::readable;
use super::perf_map;

/// Overlapping functions looked at: JITs reuse memory and append the new function.
const MAX_OVERLAP: usize = 16;
/// Memory of one process' functions, beyond which no more are taken: some 250,000.
const MAX_BYTES: usize = 24 << 20;

/// Functions by address.
#[derive(Debug, Default)]
pub(super) struct Functions {
    /// In the order in which they came.
    list: Vec<Function>,
    /// Places in `list`, by address and then by place, as far as `list` had been filled then.
    order: Vec<u32>,
    text: String,
    lines: Vec<Line>,
    files: Vec<Arc<str>>,
    file_bytes: usize,
    /// The newest function that begins at an address, once one has been moved: a dump may move each many times.
    newest: Option<HashMap<u64, u32>>,
}

#[derive(Debug, Clone, Copy)]
struct Function {
    start: u64,
    size: u64,
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

/// Memory of an entry of `newest`, with its share of empty slots.
const NEWEST_BYTES: usize = 32;
/// The same of an entry of `files`, beside its text.
const FILE_BYTES: usize = 32;

impl Functions {
    /// Adds a function; `lines` by address.
    pub(super) fn add(&mut self, start: u64, size: u64, name: &str, lines: &[Line]) {
        if self.is_full() {
            return;
        }
        let (text, line) = (self.text.len() as u32, self.lines.len() as u32);
        self.text.push_str(name);
        self.lines.extend_from_slice(lines);
        let name = (text, self.text.len() as u32);
        self.push(Function { start, size, name, lines: (line, self.lines.len() as u32) });
    }

    /// A function is at another address from now on.
    pub(super) fn moved(&mut self, from: u64, to: u64) {
        let list = &self.list;
        let all = || list.iter().zip(0..).map(|(function, place)| (function.start, place)).collect();
        let newest = self.newest.get_or_insert_with(all);
        let old = newest.get(&from).and_then(|place| list.get(*place as usize)).copied();
        if let Some(old) = old.filter(|_| !self.is_full()) {
            self.push(Function { start: to, lines: (0, 0), ..old });
        }
    }

    fn push(&mut self, function: Function) {
        if let Some(newest) = &mut self.newest {
            newest.insert(function.start, self.list.len() as u32);
        }
        self.list.push(function);
    }

    /// The number of a source file; `None` if no more are taken.
    pub(super) fn file(&mut self, path: &str) -> Option<u32> {
        if self.files.last().is_none_or(|last| **last != *path) {
            if self.is_full() {
                return None;
            }
            self.file_bytes += path.len() + FILE_BYTES;
            self.files.push(path.into());
        }
        Some((self.files.len() - 1) as u32)
    }

    /// The function that covers `addr`: name and line. Of all that do the one that came last counts.
    pub(super) fn find(&mut self, addr: u64) -> Option<(&str, Option<Source>)> {
        let list = &self.list;
        if self.order.len() < list.len() {
            self.order.extend(self.order.len() as u32..list.len() as u32);
            self.order.sort_unstable_by_key(|place| (list[*place as usize].start, *place));
        }
        let next = self.order.partition_point(|place| list[*place as usize].start <= addr);
        let near = self.order[..next].iter().rev().take(MAX_OVERLAP);
        let covers = |place: &&u32| {
            let function = list[**place as usize];
            addr - function.start < function.size
        };
        let function = list[*near.filter(covers).max()? as usize];
        let lines = &self.lines[function.lines.0 as usize..function.lines.1 as usize];
        let line = lines.partition_point(|line| line.addr <= addr).checked_sub(1).map(|at| lines[at]);
        let source = line.and_then(|line| {
            Some(Source { file: Arc::clone(self.files.get(line.file as usize)?), line: line.number })
        });
        Some((&self.text[function.name.0 as usize..function.name.1 as usize], source))
    }

    /// No more functions are taken.
    pub(super) fn is_full(&self) -> bool {
        self.bytes() >= MAX_BYTES
    }

    /// Memory.
    pub(super) fn bytes(&self) -> usize {
        self.list.len() * (size_of::<Function>() + size_of::<u32>())
            + self.lines.len() * size_of::<Line>()
            + self.text.len()
            + self.file_bytes
            + self.newest.as_ref().map_or(0, |newest| newest.len() * NEWEST_BYTES)
    }
}

/// What is known of the run-time compiled code of one process. Kept between questions: what has not changed is not read
/// again, and a dump that has grown from where it ended.
#[derive(Debug, Default)]
pub(super) struct Jit {
    map: Functions,
    /// The perf map's stamp when it was read.
    stamp: Option<Stamp>,
    dump: Option<(Held, Dump)>,
}

/// Where the perf map and the jitdump of a process may be.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) asker: Asker,
    /// Jitdumps that it has mapped.
    pub(super) dumps: Vec<Mapped>,
}

impl Places {
    /// Opens the map, or the dump, where programs put it. It must belong to root or to the process' user: every user can write
    /// to `/tmp`, so the file may be a pipe without end, or another user's forgery.
    fn open_usual(&self, name: &str) -> Result<(Held, PathBuf), Refused> {
        let path = PathBuf::from(name);
        let Asker { tgid, uid, .. } = self.asker;
        // A container's /tmp is its own; it is out of reach when the process is gone.
        let held = file::owned(Root::Of(tgid), &path, uid).or_else(|_| file::owned(Root::Own, &path, uid));
        held.inspect_err(|error| tracing::debug!(path = name, %error, "ignored")).map(|held| (held, path))
    }

    fn open_map(&self) -> Result<Held, Refused> {
        Ok(self.open_usual(&format!("/tmp/perf-{}.map", self.asker.ns_tgid))?.0)
    }

    /// The jitdump that the process has mapped, or that lies where it usually does. May wait for file systems.
    pub(super) fn open_dump(&self) -> Option<(Held, PathBuf)> {
        let mapped = self.dumps.iter().find_map(|mapped| Some((mapped.open().ok()?, mapped.path.clone())));
        mapped.or_else(|| self.open_usual(&format!("/tmp/jit-{}.dump", self.asker.ns_tgid)).ok())
    }
}

impl Jit {
    /// Reads what is new. May wait for file systems.
    pub(super) fn refresh(&mut self, places: &Places) {
        if let Ok(held) = places.open_map() {
            let stamp = held.stamp();
            if stamp != self.stamp {
                self.map = held.reader().map(perf_map::read).unwrap_or_default();
                self.stamp = stamp;
            }
        }
        if self.dump.is_none() {
            self.attach(places.open_dump());
        }
        if let Some((held, dump)) = &mut self.dump
            && let Ok(file) = held.reader()
        {
            dump.read_on(&file);
        }
    }

    /// It has more functions than are taken.
    pub(super) fn is_full(&self) -> bool {
        self.map.is_full() || self.dump.as_ref().is_some_and(|(_, dump)| dump.is_full())
    }

    /// Its jitdump is open.
    pub(super) fn has_dump(&self) -> bool {
        self.dump.is_some()
    }

    /// Takes an open jitdump, to be read when its names are asked for.
    pub(super) fn attach(&mut self, dump: Option<(Held, PathBuf)>) {
        self.dump = dump.map(|(held, path)| (held, Dump::new(&path)));
    }

    /// The name of what is at `addr`.
    pub(super) fn find(&mut self, addr: u64) -> Option<FrameName> {
        let dumped = self.dump.as_mut().and_then(|(_, dump)| dump.find(addr));
        let (name, source, module) = if let Some(found) = dumped {
            found
        } else {
            let (name, source) = self.map.find(addr)?;
            (name, source, None)
        };
        let code = source.is_some().then(|| Arc::new(Code { module, source, ..Code::default() }));
        Some(FrameName { jit: true, code, ..FrameName::named(readable(name).into()) })
    }

    /// Memory.
    pub(super) fn bytes(&self) -> usize {
        self.map.bytes() + self.dump.as_ref().map_or(0, |(_, dump)| dump.bytes())
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
        let (a, b) = (functions.file("a.js").unwrap(), functions.file("b.js").unwrap());
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

    #[test]
    fn a_million_moves_and_long_paths_cost_their_owner_names_and_no_more() {
        let mut functions = Functions::default();
        functions.add(0, 16, "f", &[]);
        for number in 0..1_000_000 {
            functions.moved(number * 16, (number + 1) * 16);
        }
        assert!(functions.is_full());
        assert_eq!(functions.find(16 * 1000).unwrap().0, "f");
        let mut functions = Functions::default();
        let path = "x".repeat(1 << 20);
        let taken = (0..1000).filter(|n| functions.file(&format!("{n}{path}")).is_some()).count();
        assert!(taken <= MAX_BYTES / path.len());
        assert!(functions.bytes() < MAX_BYTES + 2 * path.len());
    }
}
