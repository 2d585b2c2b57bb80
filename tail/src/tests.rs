//! Lines are written, rotated and read, with restarts in between: each is there once.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::*;

/// Takes chunks as the server does: what is below a source's mark is there already.
#[derive(Default)]
struct Reader {
    marks: HashMap<SourceId, u64>,
    /// The end of a line that is not whole yet.
    open: HashMap<SourceId, Vec<u8>>,
    lines: Vec<String>,
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

#[test]
fn what_is_written_is_read_once_and_again_what_was_not_safe() {
    let mut host = Host::new();
    host.write(100);
    host.poll();
    host.commit();
    host.write(100);
    host.poll();
    // Not committed: read again, and known by its offset.
    host.restart();
    host.write(10);
    host.all_is_there_once();
}

#[test]
fn a_renamed_file_is_read_to_its_end_and_ends() {
    let mut host = Host::new();
    host.write(10);
    host.poll();
    host.rotate();
    // The program writes to the old file for a while.
    let mut old = append(&host.dir.path().join("app.log.1"));
    writeln!(old, "line 00000010 of the program, which says something").expect("written");
    host.written.push("line 00000010 of the program, which says something".to_owned());
    host.write(10);
    host.all_is_there_once();
    assert_eq!(host.files.as_ref().expect("files").figures().files, 2);
    host.now += Duration::from_mins(1);
    host.poll();
    host.commit();
    host.poll();
    assert_eq!(host.files.as_ref().expect("files").figures().files, 1, "the old one is forgotten");
}

#[test]
fn the_rest_of_a_copied_file_is_read_from_the_copy() {
    let mut host = Host::new();
    host.write(10);
    host.poll();
    host.write(10);
    host.copy_and_truncate();
    host.write(30);
    host.all_is_there_once();
    // Cut and grown beyond what was read before: the bytes tell.
    host.write(5);
    host.copy_and_truncate();
    host.write(500);
    host.all_is_there_once();
    assert_eq!(host.files.as_ref().expect("files").figures().rests_lost, 0);
}

#[test]
fn files_that_were_rotated_while_nobody_looked_are_found() {
    for compressed in [false, true] {
        for by_copy in [false, true] {
            let mut host = Host::new();
            host.write(20);
            host.poll();
            host.commit();
            let saved = host.away();
            host.write(20);
            if by_copy {
                host.copy_and_truncate();
            } else {
                host.rotate();
            }
            if compressed {
                host.compress();
            }
            host.write(7);
            host.back(saved);
            host.all_is_there_once();
            let figures = host.files.as_ref().expect("files").figures();
            assert_eq!(figures.rests_lost, 0, "compressed: {compressed}, by copy: {by_copy}");
        }
    }
}

#[test]
fn a_cut_before_all_was_safe_is_made_good_from_the_copy_after_a_restart() {
    let mut host = Host::new();
    host.write(20);
    host.poll();
    host.commit();
    host.write(20);
    host.poll();
    host.copy_and_truncate();
    host.write(3);
    host.poll();
    // Nothing after the first twenty lines is safe: a new reader, which knows only those, gets the rest.
    let saved = host.away();
    let safe: HashMap<SourceId, u64> =
        saved.iter().map(|one| (file::source(&one.file, one.begun), one.offset)).collect();
    host.reader.lines.truncate(20);
    host.reader.marks = safe;
    host.reader.open.clear();
    host.back(saved);
    host.all_is_there_once();
}

#[test]
fn a_file_that_is_new_after_a_restart_is_read_from_its_start() {
    let mut host = Host::new();
    host.write(10);
    host.poll();
    host.commit();
    let saved = host.away();
    let mut new = append(&host.dir.path().join("new.log"));
    for _ in 0..5_000 {
        let line = format!("line {:08} of the program, which says something", host.written.len());
        writeln!(new, "{line}").expect("written");
        host.written.push(line);
    }
    host.back(saved);
    host.all_is_there_once();
}

#[test]
fn what_a_source_is_known_by_is_to_be_saved_before_its_first_bytes_go() {
    let mut host = Host::new();
    host.write(10);
    host.poll();
    let files = host.files.as_mut().expect("files");
    assert!(files.must_be_saved() && !files.must_be_saved());
    let first = files.saved();
    assert!(first.len() == 1 && first[0].first.is_some());
    host.write(10);
    host.poll();
    assert!(!host.files.as_mut().expect("files").must_be_saved(), "it is known");
    host.copy_and_truncate();
    host.write(3);
    host.poll();
    let files = host.files.as_mut().expect("files");
    assert!(files.must_be_saved() && !files.must_be_saved());
    let saved = files.saved();
    assert!(saved.iter().any(|new| new.begun != first[0].begun && new.first.is_some()), "{saved:?}");
}

#[test]
fn a_young_file_that_was_cut_while_nobody_looked_is_another_source() {
    for reads_between in [false, true] {
        let mut host = Host::new();
        host.write(10);
        host.poll();
        // Nothing is committed: the spool is written to the disk each ten seconds.
        let mut saved = host.away();
        if reads_between {
            host.back(saved);
            saved = host.away();
        }
        host.copy_and_truncate();
        host.write(20);
        host.back(saved);
        host.all_is_there_once();
        assert_eq!(host.files.as_ref().expect("files").figures().rests_lost, 0);
    }
}

#[test]
fn what_was_read_of_a_young_file_and_reached_nobody_is_read_from_the_copy() {
    let mut host = Host::new();
    host.write(10);
    host.poll();
    let saved = host.away();
    host.reader = Reader::default();
    host.copy_and_truncate();
    host.write(20);
    host.back(saved);
    host.all_is_there_once();
}

#[test]
fn a_program_that_begins_with_the_same_line_is_known_by_more_than_that() {
    let mut host = Host::new();
    writeln!(host.open, "program starts").expect("written");
    host.poll();
    host.write(10);
    host.poll();
    let saved = host.away();
    host.open.set_len(0).expect("cut");
    writeln!(host.open, "program starts").expect("written");
    host.write(20);
    host.back(saved);
    host.poll();
    assert_eq!(host.reader.lines.iter().filter(|line| *line == "program starts").count(), 2);
    host.reader.lines.retain(|line| line != "program starts");
    host.all_is_there_once();
}

#[test]
fn a_cut_between_a_restart_and_the_first_read_shows() {
    let mut host = Host::new();
    host.write(10);
    host.poll();
    host.restart();
    // Found again, and not read yet.
    assert!(host.files.as_mut().expect("files").poll(host.now, 0, &mut |_| panic!("there is no budget")));
    host.copy_and_truncate();
    host.write(20);
    host.all_is_there_once();
}

#[test]
fn a_file_whose_place_is_not_known_any_more_is_never_taken_for_what_was_read_before() {
    let mut host = Host::new();
    host.write(10);
    host.poll();
    // Saved before this file was there, or lost since.
    drop(host.away());
    host.copy_and_truncate();
    host.write(20);
    host.back(Vec::new());
    host.all_is_there_once();
}

#[test]
fn an_inode_that_is_used_again_is_another_file() {
    let mut host = Host::new();
    host.write(30);
    host.poll();
    host.commit();
    let saved = host.away();
    fs::remove_file(host.log()).expect("removed");
    host.open = append(&host.log());
    // The same first lines as before, in a file that may have the same inode.
    let lines = host.written.clone();
    for line in &lines {
        writeln!(host.open, "{line}").expect("written");
    }
    host.back(saved);
    host.poll();
    assert_eq!(host.reader.lines.len(), 60);
}

#[test]
fn of_a_file_that_was_there_before_the_first_start_the_last_lines_are_read() {
    let mut host = Host::new();
    host.write(10_000);
    host.poll();
    let read = host.reader.lines.len();
    assert!((500..2_000).contains(&read), "{read}");
    assert_eq!(host.reader.lines.last(), host.written.last());
    // One that appears later is read from its start.
    let mut new = append(&host.dir.path().join("new.log"));
    for nth in 0..5_000 {
        writeln!(new, "new {nth}").expect("written");
    }
    host.poll();
    assert_eq!(host.reader.lines.len(), read + 5_000);
}

#[test]
fn what_is_no_regular_file_is_left_alone() {
    let host = Host::new();
    nix::unistd::mkfifo(&host.dir.path().join("pipe.log"), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    std::os::unix::fs::symlink("/dev/zero", host.dir.path().join("zero.log")).expect("a link");
    fs::create_dir(host.dir.path().join("dir.log")).expect("a directory");
    let mut files = Files::new(host.options(), None);
    files.poll(Instant::now(), 1 << 20, &mut |_| panic!("nothing is in the one file"));
    assert_eq!(files.figures().files, 1);
}

#[test]
fn lines_survive_any_order_of_writing_rotating_reading_and_restarts() {
    for seed in 1..40_u64 {
        let mut host = Host::new();
        host.poll();
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut next = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        for _ in 0..60 {
            match next(9) {
                0..=2 => host.write(1 + next(200) as u32),
                3 | 4 => host.poll(),
                5 => host.commit(),
                6 => {
                    // A file that nobody has read any of cannot be told from its copy.
                    host.write(1);
                    host.poll();
                    host.write(next(50) as u32);
                    if next(2) == 0 {
                        host.rotate();
                    } else {
                        host.copy_and_truncate();
                    }
                    if next(3) == 0 {
                        host.write(1);
                        host.poll();
                        host.compress();
                    }
                }
                7 => host.restart(),
                _ => {
                    let saved = host.away();
                    host.write(next(100) as u32);
                    host.back(saved);
                }
            }
        }
        host.poll();
        host.compare(&format!("seed {seed}"));
    }
}
