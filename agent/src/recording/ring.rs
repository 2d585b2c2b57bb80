//! The last hours of windows on disk: recordings of some minutes each in one directory, the oldest of which go.
//!
//! Each file is a whole recording, which `agent report --replay` reads, too. A new one begins after [`FILE_SPAN`], when it is large,
//! when somebody has set the clock, and with each start of the daemon. So the times in a file rise, and a file that was cut off, by a crash or a full
//! disk, costs its last window. Nothing is synced: what a power cut costs is what the kernel has not written, some thirty seconds.

mod files;
mod past;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::BufWriter;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_common::units::{MonoNs, UnixNs};
use diagnosis::recording::Head;
use diagnosis::window::Window;
use profile::{Names, Sample};

use self::files::Kept;
use super::{Error, Writer, failed};

pub use past::{Past, Span, past};

/// Longest time in one file. A question reads the files of its time as a whole; a file begins with all names and one whole window.
const FILE_SPAN: Duration = Duration::from_mins(5);
/// Largest file, and the least number of files that fill the ring: the oldest goes as a whole.
const FILE_BYTES: u64 = 32 << 20;
const MIN_FILES: u64 = 16;
/// Most files that are deleted for their age when one begins. At a steady pace it is one; a clock that is ahead for a moment must not cost
/// all of them.
const MAX_AGED: usize = 2;
/// zstd level. A window of 24, 77, 100 and 289 KB (an idle host to a busy one with eight programs in trouble) costs 0.12, 0.36, 0.35 and 0.83 ms of
/// CPU with it, and 2.0, 9.5, 7.0 and 18.2 KB; level 3: 0.16, 0.52, 0.53 and 1.2 ms, and 1.9, 8.1, 5.7 and 15.8 KB.
const LEVEL: i32 = 1;
/// Difference of wall clock and monotonic clock between two windows from which on the clock was set.
const CLOCK_SET_NS: u64 = 1_000_000_000;

/// Bounds of a [`Ring`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all files. Less where the disk is small: as much as is free beside it.
    pub max_bytes: u64,
    /// Age of the oldest file.
    pub max_age: Duration,
}

/// See the module.
#[derive(Debug)]
pub struct Ring {
    dir: PathBuf,
    head: Head,
    limits: Limits,
    /// What the files may have together: the limit, or what the disk allows.
    room: u64,
    /// Oldest first, without the one that is written.
    files: VecDeque<Kept>,
    bytes: u64,
    current: Option<Current>,
    next: u64,
}

/// The file that is written.
#[derive(Debug)]
struct Current {
    kept: Kept,
    writer: Writer,
    began: MonoNs,
    /// Wall clock less monotonic clock.
    clock: u64,
}

impl Ring {
    /// Opens the directory, which is made when it is not there. `head` is what each file says of itself.
    pub fn open(dir: &Path, limits: Limits, head: Head) -> Result<Self, Error> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|source| failed(dir, "make the directory", source))?;
        let files = files::list(dir)?;
        let bytes = files.iter().map(|file| file.bytes).sum();
        let next = files.back().map_or(1, |last| last.number + 1);
        let (dir, files) = (dir.to_owned(), files);
        Ok(Self { dir, head, limits, room: limits.max_bytes, files, bytes, current: None, next })
    }

    /// Other limits, in force with the next window.
    pub const fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        self.room = limits.max_bytes;
    }

    /// Bytes of all files, and their number.
    #[must_use]
    pub fn size(&self) -> (u64, usize) {
        let current = self.current.as_ref().map_or(0, |current| current.writer.bytes());
        (self.bytes + current, self.files.len() + usize::from(self.current.is_some()))
    }

    /// Stacks of the window for which its file has no names yet; of processes that are not `wanted` those of the kernel alone. A file
    /// begins where it is time for one.
    pub fn unnamed(&mut self, window: &Window, wanted: impl Fn(u32) -> bool) -> Result<Vec<Sample>, Error> {
        Ok(self.file_for(window)?.writer.unnamed_of(window, wanted))
    }

    /// Writes a window with the names of its addresses. After an error the file is given up, and the next window begins another.
    pub fn window(&mut self, window: &Window, names: &Names) -> Result<(), Error> {
        let result = self.file_for(window)?.writer.window(window, names);
        if result.is_err() {
            self.give_up();
            return result;
        }
        self.make_room();
        Ok(())
    }

    /// Ends the file that is written.
    pub fn finish(&mut self) -> Result<(), Error> {
        let Some(Current { kept, writer, .. }) = self.current.take() else { return Ok(()) };
        let by_now = writer.bytes();
        let result = writer.finish().map(|_| ());
        // With its end, if that could be written.
        let bytes = fs::metadata(&kept.path).map_or(by_now, |file| file.len());
        self.bytes += bytes;
        self.files.push_back(Kept { bytes, ..kept });
        result
    }

    /// Removes all files: the ring was switched off.
    pub fn clear(&mut self) {
        self.give_up();
        while self.drop_oldest() {}
    }

    fn file_for(&mut self, window: &Window) -> Result<&mut Current, Error> {
        let clock = window.end_unix.0.saturating_sub(window.end.0);
        let largest = FILE_BYTES.min(self.room / MIN_FILES);
        let is_over = |current: &Current| {
            window.end.since(current.began).0 > FILE_SPAN.as_nanos() as u64
                || current.writer.bytes() >= largest
                || current.clock.abs_diff(clock) > CLOCK_SET_NS
        };
        if self.current.as_ref().is_some_and(is_over) {
            self.finish()?;
        }
        if self.current.is_none() {
            self.begin(window, clock)?;
        }
        // SANITY: made above.
        Ok(self.current.as_mut().expect("a file"))
    }

    fn begin(&mut self, window: &Window, clock: u64) -> Result<(), Error> {
        let began = UnixNs(window.end_unix.0.saturating_sub(window.span().0));
        self.room = self.limits.max_bytes.min(files::room(&self.dir, self.size().0));
        self.drop_aged(began);
        self.make_room();
        let (number, path) = (self.next, self.dir.join(files::name(self.next, began)));
        self.next += 1;
        let head = Head { began, ..self.head.clone() };
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(|source| failed(&path, "make the file", source))?;
        let kept = Kept { number, began, path, bytes: 0 };
        match Writer::new(BufWriter::new(file), &kept.path, &head) {
            Ok(mut writer) => {
                writer.set_level(LEVEL);
                self.current = Some(Current { kept, writer, began: window.start, clock });
                Ok(())
            }
            Err(error) => {
                // Nothing is in it. Best effort: it counts with the next start.
                let _ = fs::remove_file(&kept.path);
                Err(error)
            }
        }
    }

    fn give_up(&mut self) {
        let Some(Current { kept, writer, .. }) = self.current.take() else { return };
        drop(writer);
        let bytes = fs::metadata(&kept.path).map_or(0, |file| file.len());
        self.bytes += bytes;
        self.files.push_back(Kept { bytes, ..kept });
    }

    fn make_room(&mut self) {
        while self.size().0 > self.room && self.drop_oldest() {}
    }

    fn drop_aged(&mut self, now: UnixNs) {
        let oldest = now.0.saturating_sub(self.limits.max_age.as_nanos() as u64);
        for _ in 0..MAX_AGED {
            if self.files.front().is_none_or(|file| file.began.0 >= oldest) {
                return;
            }
            self.drop_oldest();
        }
    }

    /// False when there is none.
    fn drop_oldest(&mut self) -> bool {
        let Some(file) = self.files.pop_front() else { return false };
        if let Err(error) = fs::remove_file(&file.path) {
            tracing::warn!(path = %file.path.display(), %error, "cannot delete a recording");
        }
        self.bytes = self.bytes.saturating_sub(file.bytes);
        true
    }
}
