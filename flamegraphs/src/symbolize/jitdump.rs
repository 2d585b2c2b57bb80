//! jitdump: what a JIT writes for `perf inject --jit` (Node `--perf-prof`, the JVM's and .NET's agents, `CPython`'s
//! `-X perf_jit`, Wasmtime, LLVM). The format is in the kernel's
//! tools/perf/Documentation/jitdump-specification.txt.
//!
//! Unlike a perf map it has line numbers, and records when code was moved. The process maps the file as code; the mapping
//! leads to the file.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use profile::Source;

use super::jit::{Functions, Line};
use crate::elf::{u32_at, u64_at};

const MAGIC: u32 = 0x4a69_5444;
const HEADER: u64 = 40;
const RECORD: usize = 16;

const CODE_LOAD: u32 = 0;
const CODE_MOVE: u32 = 1;
const CODE_DEBUG_INFO: u32 = 2;

/// What is read of a record: all of it but the code.
const MAX_NAME: usize = 4096;
/// Debug info of one function is cut here: 100,000 lines.
const MAX_DEBUG: usize = 4 << 20;
/// Most records read in one request: the next requests read the rest. A busy JIT writes some 10,000 in a second.
const MAX_RECORDS: usize = 1 << 20;
/// Longest time for reading in one request, checked every [`RECORDS_A_LOOK`] records: a dump with many records does not delay
/// the names of other processes.
const MAX_TIME: Duration = Duration::from_millis(500);
const RECORDS_A_LOOK: usize = 1024;
/// V8 counts a line's address from the beginning of the ELF file that perf makes of the function, whose header has this
/// size; others count from the code.
const ELF_HEADER: u64 = 64;

/// A function: name, line, module.
pub(super) type Found<'a> = (&'a str, Option<Source>, Option<Arc<str>>);

/// A jitdump, read as far as it is written.
#[derive(Debug)]
pub(super) struct Dump {
    path: Arc<str>,
    /// Read up to here; 0 before the header.
    offset: u64,
    broken: bool,
    functions: Functions,
    /// Lines of the function that comes next, and where it will be.
    pending: Option<(u64, Vec<Line>)>,
    /// A line was seen that is nearer to the code than an ELF header: lines count from the code.
    from_code: bool,
}

impl Dump {
    pub(super) fn new(path: &Path) -> Self {
        let path = path.to_string_lossy().into();
        Self {
            path,
            offset: 0,
            broken: false,
            functions: Functions::default(),
            pending: None,
            from_code: false,
        }
    }

    /// Is this the name of a jitdump?
    pub(super) fn is_name(path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let pid = name.strip_prefix("jit-").and_then(|rest| rest.strip_suffix(".dump"));
        pid.is_some_and(|pid| !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit()))
    }

    /// Reads the whole records that have been added to the dump, which is `file`.
    pub(super) fn read_on(&mut self, file: &File) {
        if self.offset == 0 && !self.broken {
            let mut header = [0; HEADER as usize];
            if file.read_exact_at(&mut header, 0).is_err() {
                return;
            }
            let size = u32_at(&header, 8).map_or(0, u64::from);
            self.broken = u32_at(&header, 0) != Some(MAGIC) || size < HEADER;
            self.offset = size;
        }
        let begin = Instant::now();
        for record in 0..MAX_RECORDS {
            let late = record % RECORDS_A_LOOK == 0 && begin.elapsed() > MAX_TIME;
            if late || self.broken || self.next_record(file).is_none() {
                break;
            }
        }
    }

    /// `None` where no whole record is left.
    fn next_record(&mut self, file: &File) -> Option<()> {
        let mut head = [0; RECORD];
        file.read_exact_at(&mut head, self.offset).ok()?;
        let (kind, size) = (u32_at(&head, 0)?, u32_at(&head, 4)?);
        let end = self.offset.checked_add(u64::from(size))?;
        if (size as usize) < RECORD {
            // Zeros are what is not written yet.
            self.broken = size != 0;
            return None;
        }
        if end > file.metadata().ok()?.len() {
            return None;
        }
        let most = match kind {
            CODE_LOAD | CODE_MOVE => MAX_NAME,
            CODE_DEBUG_INFO => MAX_DEBUG,
            _ => 0,
        };
        let mut body = vec![0; (size as usize - RECORD).min(most)];
        file.read_exact_at(&mut body, self.offset + RECORD as u64).ok()?;
        self.offset = end;
        // A record that makes no sense is left out; its size led past it.
        let _ = match kind {
            CODE_LOAD => self.load(&body),
            CODE_MOVE => self.code_move(&body),
            CODE_DEBUG_INFO => self.debug_info(&body),
            _ => None,
        };
        Some(())
    }

    /// pid, tid, vma, address, size, index, name, code.
    fn load(&mut self, body: &[u8]) -> Option<()> {
        let (start, size) = (u64_at(body, 16)?, u64_at(body, 24)?);
        let name = body.get(40..)?.split(|byte| *byte == 0).next()?;
        let mut lines = match self.pending.take() {
            Some((of, lines)) if of == start => lines,
            _ => Vec::new(),
        };
        self.from_code |= lines.iter().any(|line| line.addr.wrapping_sub(start) < ELF_HEADER);
        if !self.from_code {
            for line in &mut lines {
                line.addr = line.addr.wrapping_sub(ELF_HEADER);
            }
        }
        lines.sort_by_key(|line| line.addr);
        self.functions.add(start, size, &String::from_utf8_lossy(name), &lines);
        Some(())
    }

    /// pid, tid, vma, old address, new address, size, index.
    fn code_move(&mut self, body: &[u8]) -> Option<()> {
        self.functions.moved(u64_at(body, 16)?, u64_at(body, 24)?);
        Some(())
    }

    /// Address of the code, number of entries; each an address, a line, a discriminator and a file name, which is `ff`
    /// where it is the one before.
    fn debug_info(&mut self, body: &[u8]) -> Option<()> {
        let (start, count) = (u64_at(body, 0)?, u64_at(body, 8)?);
        let mut rest = body.get(16..)?;
        let (mut lines, mut file) = (Vec::new(), None);
        for _ in 0..count {
            let Some((addr, number)) = u64_at(rest, 0).zip(u32_at(rest, 8)) else { break };
            let Some(name) = rest.get(16..) else { break };
            let Some(len) = name.iter().position(|byte| *byte == 0) else { break };
            if &name[..len] != b"\xff" {
                file = self.functions.file(&String::from_utf8_lossy(&name[..len]));
            }
            if let Some(file) = file {
                lines.push(Line { addr, file, number });
            }
            rest = &name[len + 1..];
        }
        self.pending = Some((start, lines));
        Some(())
    }

    /// Name, line, and the dump itself as the module.
    pub(super) fn find(&mut self, addr: u64) -> Option<Found<'_>> {
        let (name, source) = self.functions.find(addr)?;
        Some((name, source, Some(Arc::clone(&self.path))))
    }

    /// No more functions are taken.
    pub(super) fn is_full(&self) -> bool {
        self.functions.is_full()
    }

    /// Memory.
    pub(super) fn bytes(&self) -> usize {
        self.functions.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn header() -> Vec<u8> {
        let mut bytes = MAGIC.to_le_bytes().to_vec();
        for word in [1_u32, 40, 62, 0, 4242] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend([0; 16]);
        bytes
    }

    fn record(kind: u32, words: &[u64], tail: &[u8]) -> Vec<u8> {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend((RECORD as u32 + words.len() as u32 * 8 + tail.len() as u32).to_le_bytes());
        bytes.extend(7_u64.to_le_bytes());
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        bytes.extend(tail);
        bytes
    }

    fn load(start: u64, size: u64, name: &str) -> Vec<u8> {
        let tail = [name.as_bytes(), &[0], &vec![0xcc; size as usize]].concat();
        record(CODE_LOAD, &[0, start, start, size, 0], &tail)
    }

    fn lines(start: u64, entries: &[(u64, u32, &[u8])]) -> Vec<u8> {
        let mut tail = Vec::new();
        for (addr, line, file) in entries {
            tail.extend(addr.to_le_bytes());
            tail.extend(line.to_le_bytes());
            tail.extend([0; 4]);
            tail.extend(*file);
            tail.push(0);
        }
        record(CODE_DEBUG_INFO, &[start, entries.len() as u64], &tail)
    }

    fn at(dump: &mut Dump, addr: u64) -> Option<String> {
        let (name, source, _) = dump.find(addr)?;
        let source = source.map(|source| format!(" {}:{}", source.file, source.line)).unwrap_or_default();
        Some(format!("{name}{source}"))
    }

    #[test]
    fn functions_lines_and_moves_are_read_as_they_are_written() {
        let mut file = tempfile::tempfile().unwrap();
        let mut dump = Dump::new(Path::new("/tmp/jit-7.dump"));
        dump.read_on(&file);
        let second = load(0x2000, 64, "second");
        file.write_all(&header()).unwrap();
        file.write_all(&lines(0x1000, &[(0x1000, 3, b"/a.js"), (0x1010, 4, b"\xff"), (0x1018, 1, b"/b.js")]))
            .unwrap();
        file.write_all(&load(0x1000, 32, "JS:~first /a.js:3")).unwrap();
        file.write_all(&second[..50]).unwrap();
        dump.read_on(&file);
        assert_eq!(at(&mut dump, 0x1014).as_deref(), Some("JS:~first /a.js:3 /a.js:4"));
        assert_eq!(at(&mut dump, 0x101f).as_deref(), Some("JS:~first /a.js:3 /b.js:1"));
        assert_eq!(at(&mut dump, 0x2000), None, "half a record");
        file.write_all(&second[50..]).unwrap();
        file.write_all(&record(3, &[], &[])).unwrap();
        file.write_all(&record(CODE_MOVE, &[0, 0x2000, 0x2000, 0x9000, 64, 1], &[])).unwrap();
        dump.read_on(&file);
        assert_eq!(at(&mut dump, 0x2000).as_deref(), Some("second"));
        assert_eq!(at(&mut dump, 0x9030).as_deref(), Some("second"));
        assert!(dump.bytes() > 0);
    }

    #[test]
    fn v8_counts_lines_from_an_elf_header_before_the_code() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&header()).unwrap();
        file.write_all(&lines(0x1000, &[(0x1040, 3, b"/a.js"), (0x1050, 4, b"\xff")])).unwrap();
        file.write_all(&load(0x1000, 32, "f")).unwrap();
        let mut dump = Dump::new(Path::new("x"));
        dump.read_on(&file);
        assert_eq!(at(&mut dump, 0x1001).as_deref(), Some("f /a.js:3"));
        assert_eq!(at(&mut dump, 0x1011).as_deref(), Some("f /a.js:4"));
    }

    #[test]
    fn a_scrambled_dump_gives_less_but_no_panic_and_an_end() {
        let whole =
            [header(), lines(0x10, &[(0x10, 1, b"f")]), load(0x10, 9, "a"), load(0x30, 9, "b")].concat();
        let mut seed = 5_u64;
        for round in 0..2_000 {
            let mut bytes = whole.clone();
            for _ in 0..3 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = (seed >> 33) as usize % bytes.len();
                bytes[at] = (seed >> 20) as u8;
            }
            bytes.truncate(bytes.len() - round % 60);
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            let mut dump = Dump::new(Path::new("x"));
            dump.read_on(&file);
            for addr in [0, 0x10, 0x18, 0x30, u64::MAX] {
                dump.find(addr);
            }
        }
    }

    #[test]
    fn a_dump_is_known_by_its_name() {
        assert!(Dump::is_name(Path::new("/home/u/.debug/jit/x/jit-4242.dump")));
        for other in ["/tmp/jit-.dump", "/tmp/jit-1.dump.old", "/tmp/perf-1.map", "/", "/tmp/jit-x.dump"] {
            assert!(!Dump::is_name(Path::new(other)), "{other}");
        }
    }
}
