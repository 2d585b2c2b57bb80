//! Lines are written, rotated and read, with restarts in between: each is there once.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::*;

mod restart;
mod rotation;
mod source;

/// Takes chunks as the server does: what is below a source's mark is there already.
#[derive(Default)]
struct Reader {
    marks: HashMap<SourceId, u64>,
    /// The end of a line that is not whole yet.
    open: HashMap<SourceId, Vec<u8>>,
    lines: Vec<String>,
    /// Sources of which it was said that they end.
    ends: usize,
}

impl Reader {
    fn take(&mut self, chunk: &Chunk<'_>) {
        // A file that was there before the first start is read from somewhere on.
        let mark = self.marks.entry(chunk.source).or_insert(chunk.offset);
        let end = chunk.offset + chunk.bytes.len() as u64;
        if end > *mark {
            assert!(chunk.offset <= *mark, "a gap of {} bytes", chunk.offset - *mark);
            let open = self.open.entry(chunk.source).or_default();
            open.extend_from_slice(&chunk.bytes[(*mark - chunk.offset) as usize..]);
            *mark = end;
            while let Some(length) = open.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = open.drain(..=length).collect();
                self.lines.push(String::from_utf8(line[..length].to_vec()).expect("text"));
            }
        }
        self.ends += usize::from(chunk.end);
        assert!(!chunk.end || self.open.get(&chunk.source).is_none_or(Vec::is_empty), "half a line is left");
    }

    fn sorted(&self) -> Vec<String> {
        let mut lines = self.lines.clone();
        lines.sort();
        lines
    }
}

struct Host {
    dir: tempfile::TempDir,
    files: Option<Files>,
    reader: Reader,
    now: Instant,
    written: Vec<String>,
    /// The program's open file.
    open: File,
    rotations: u32,
}

fn append(path: &Path) -> File {
    OpenOptions::new().append(true).create(true).open(path).expect("a file")
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let open = append(&dir.path().join("app.log"));
        let mut host = Self {
            dir,
            files: None,
            reader: Reader::default(),
            now: Instant::now(),
            written: Vec::new(),
            open,
            rotations: 0,
        };
        host.files = Some(Files::new(host.options(), None));
        host
    }

    fn options(&self) -> Options {
        Options { patterns: vec![format!("{}/*.log", self.dir.path().display())], except: Vec::new() }
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("app.log")
    }

    fn write(&mut self, lines: u32) {
        for _ in 0..lines {
            let line = format!("line {:08} of the program, which says something", self.written.len());
            writeln!(self.open, "{line}").expect("written");
            self.written.push(line);
        }
    }

    /// Reads all that is there.
    fn poll(&mut self) {
        self.now += Duration::from_secs(2);
        let (files, reader) = (self.files.as_mut().expect("files"), &mut self.reader);
        while files.poll(self.now, 10_000, &mut |chunk| reader.take(chunk)) {}
    }

    /// Says that all that was read is safe.
    fn commit(&mut self) {
        let files = self.files.as_mut().expect("files");
        files.commit(&self.reader.marks.iter().map(|(source, mark)| (*source, *mark)).collect());
    }

    fn restart(&mut self) {
        let saved = self.files.take().expect("files").saved();
        self.files = Some(Files::new(self.options(), Some(saved)));
    }

    fn away(&mut self) -> Vec<Saved> {
        self.files.take().expect("files").saved()
    }

    fn back(&mut self, saved: Vec<Saved>) {
        self.files = Some(Files::new(self.options(), Some(saved)));
    }

    fn rotate(&mut self) {
        self.rotations += 1;
        fs::rename(self.log(), self.dir.path().join(format!("app.log.{}", self.rotations))).expect("renamed");
        self.open = append(&self.log());
    }

    fn copy_and_truncate(&mut self) {
        self.rotations += 1;
        fs::copy(self.log(), self.dir.path().join(format!("app.log.{}", self.rotations))).expect("copied");
        self.open.set_len(0).expect("cut");
    }

    fn compress(&mut self) {
        let path = self.dir.path().join(format!("app.log.{}", self.rotations));
        let Ok(bytes) = fs::read(&path) else { return };
        let mut gzip = flate2::write::GzEncoder::new(
            File::create(path.with_extension(format!("{}.gz", self.rotations))).expect("a file"),
            flate2::Compression::fast(),
        );
        gzip.write_all(&bytes).expect("written");
        gzip.finish().expect("finished");
        fs::remove_file(path).expect("removed");
    }

    fn all_is_there_once(&mut self) {
        self.poll();
        self.compare("");
    }

    fn compare(&self, what: &str) {
        let read = self.reader.sorted();
        let missing: Vec<&String> =
            self.written.iter().filter(|line| read.binary_search(line).is_err()).collect();
        assert!(
            read == self.written,
            "{what}: {} of {} lines, missing {:?}",
            read.len(),
            self.written.len(),
            missing.iter().take(5).collect::<Vec<_>>()
        );
    }
}
