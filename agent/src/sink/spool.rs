//! Windows on disk until the store has them.
//!
//! A directory of append-only [`segment`] files. Each window gets the next number of the *stream* (16 hexadecimal
//! digits, made with the directory) when it is appended, and stays until [`Spool::ack`] names its number, or until
//! a limit pushes it out, oldest first, counted by reason.
//!
//! **What survives what.** A window is in the page cache when [`Spool::append`] returns, so killing the process
//! (SIGKILL, OOM) loses nothing; a record cut in the middle is removed and its number, which nobody has seen, is
//! given out again. Power loss may lose what was not yet synced ([`Fsync`], default every 10 s). Numbers that were
//! lost that way may have been sent already and must not be reused, so after an unclean power-off (the boot id is
//! another and there was no clean close) a new stream begins; so it does when the end of the last file is
//! unreadable.
//!
//! **Full disk.** The window is kept in memory (up to [`MEMORY_BYTES`]) under a stream of its own, whose random id
//! can never be reused, so that delivery goes on while the broker can be reached.

mod segment;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_common::units::{DurNs, UnixNs};
use serde::{Deserialize, Serialize};

use segment::RecordHead;

/// Largest segment file. Disk use of a healthy spool is at most two of these, since a file goes when all its
/// windows are acknowledged and it is no longer written to.
const SEGMENT_BYTES_MAX: u64 = 8 << 20;
/// Smallest: a small spool still drops its oldest windows in eighths.
const SEGMENT_BYTES_MIN: u64 = 64 << 10;
/// Memory for windows that a full disk refused: about two minutes of a host with 300 processes.
pub const MEMORY_BYTES: usize = 8 << 20;

/// When written windows are forced to the disk. This bounds what a power loss costs; a killed process loses
/// nothing with any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// After each window.
    Always,
    /// When the last sync is this old.
    Every(Duration),
    /// Left to the kernel (about 30 s).
    Never,
}

/// What bounds the spool.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of all files together. Oldest windows go first, a file at a time.
    pub max_bytes: u64,
    /// Age against the newest window's end (so a stopped agent does not lose its windows to the clock).
    pub max_age: Duration,
    /// Sync policy.
    pub fsync: Fsync,
}

impl Default for Limits {
    /// 256 MiB (1.5 hours of a host with 300 processes), a day, a sync every 10 s.
    fn default() -> Self {
        Self {
            max_bytes: 256 << 20,
            max_age: Duration::from_hours(24),
            fsync: Fsync::Every(Duration::from_secs(10)),
        }
    }
}

/// A window to keep: everything of a metrics payload but its head line, which carries the number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWindow {
    /// End of the window.
    pub end: UnixNs,
    /// Its length.
    pub span: DurNs,
    /// Lines in `lines`.
    pub points: u64,
    /// Line protocol.
    pub lines: String,
}

/// Names a window in this process. The order is the order in which windows are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowId {
    /// Ordinal of the stream in this process, older streams first.
    stream: u32,
    /// Number in the stream.
    pub seq: u64,
}

/// A window read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its stream.
    pub stream: String,
    /// Its number.
    pub seq: u64,
    /// The window.
    pub window: NewWindow,
}

/// Windows that fell out, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// Pushed out by [`Limits::max_bytes`].
    pub bytes: u64,
    /// Older than [`Limits::max_age`].
    pub age: u64,
    /// The disk was full and so was the memory kept for that case.
    pub disk_full: u64,
    /// The disk refused for another reason.
    pub io: u64,
    /// Unreadable on disk.
    pub corrupt: u64,
    /// Cut short by a crash while being written.
    pub torn: u64,
    /// Larger than a window may be.
    pub too_large: u64,
}

impl Dropped {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.bytes + self.age + self.disk_full + self.io + self.corrupt + self.torn + self.too_large
    }
}

/// Figures of a spool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SpoolStats {
    /// Stream that numbers are given out in.
    pub stream: String,
    /// Number that the next window gets.
    pub next_seq: u64,
    /// Windows kept.
    pub windows: u64,
    /// Of these, in memory because the disk is full.
    pub in_memory: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// End of the oldest window kept.
    pub oldest_end: Option<UnixNs>,
    /// Windows taken since the spool was opened.
    pub appended: u64,
    /// Windows acknowledged since then.
    pub acked: u64,
    /// Windows that fell out since then.
    pub dropped: Dropped,
}

/// Why the spool cannot do something.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another process has it.
    #[error("spool {dir}: in use by another agent")]
    Locked {
        /// The spool directory.
        dir: PathBuf,
    },
    /// No room.
    #[error("spool {path}: the disk is full")]
    DiskFull {
        /// File or directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Another refusal.
    #[error("spool: cannot {what} {path}")]
    Io {
        /// The operation.
        what: &'static str,
        /// File or directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// More than a window may have.
    #[error("spool: a window of {bytes} bytes is more than the {} that are taken", segment::MAX_BODY_BYTES)]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

/// `ENOSPC`, `EDQUOT`, and `EFBIG` of a file size limit: there is no room, whatever the reason.
fn is_full(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

fn refused(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SpoolError {
    let path = path.to_owned();
    move |source| {
        if is_full(&source) {
            SpoolError::DiskFull { path, source }
        } else {
            SpoolError::Io { what, path, source }
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Meta {
    stream: String,
    boot_id: String,
}

/// Left by a clean close, gone while the spool is open.
#[derive(Debug, Serialize, Deserialize)]
struct CleanClose {
    stream: String,
    next_seq: u64,
    /// Windows that were still kept, per stream: all others in the files are acknowledged.
    kept: BTreeMap<String, Vec<(u64, u64)>>,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    file: Arc<File>,
    stream: u32,
    len: u64,
    /// Windows in it that are still kept.
    live: u64,
}

#[derive(Debug)]
enum Place {
    Disk { segment: u64, at: u64 },
    Memory(Box<str>),
}

#[derive(Debug)]
struct Kept {
    head: RecordHead,
    place: Place,
}

/// See the module.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    limits: Limits,
    segment_bytes: u64,
    streams: Vec<String>,
    /// The stream of the files being written.
    stream: u32,
    next_seq: u64,
    segments: BTreeMap<u64, Segment>,
    /// The segment that is written to.
    active: Option<u64>,
    kept: BTreeMap<WindowId, Kept>,
    /// Stream and next number of the current spell without room on the disk.
    memory: Option<(u32, u64)>,
    memory_bytes: usize,
    newest: UnixNs,
    unsynced: bool,
    last_sync: Instant,
    stats: SpoolStats,
    _lock: File,
}

fn segment_bytes(limits: &Limits) -> u64 {
    (limits.max_bytes / 8).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX)
}

impl Spool {
    /// Opens or makes the spool in `dir` (mode 0700).
    pub fn open(dir: &Path, limits: Limits) -> Result<Self, SpoolError> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(refused("make", dir))?;
        let lock_path = dir.join("lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(refused("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SpoolError::Locked { dir: dir.to_owned() }),
            Err(TryLockError::Error(e)) => return Err(refused("lock", &lock_path)(e)),
        }
        let mut spool = Self {
            dir: dir.to_owned(),
            segment_bytes: segment_bytes(&limits),
            limits,
            streams: Vec::new(),
            stream: 0,
            next_seq: 1,
            segments: BTreeMap::new(),
            active: None,
            kept: BTreeMap::new(),
            memory: None,
            memory_bytes: 0,
            newest: UnixNs(0),
            unsynced: false,
            last_sync: Instant::now(),
            stats: SpoolStats::default(),
            _lock: lock,
        };
        spool.load()?;
        Ok(spool)
    }

    /// Other limits, in force with the next window.
    pub fn set_limits(&mut self, limits: Limits) {
        self.segment_bytes = segment_bytes(&limits);
        self.limits = limits;
    }

    fn load(&mut self) -> Result<(), SpoolError> {
        let meta: Option<Meta> = read_json(&self.dir.join("meta"));
        let clean: Option<CleanClose> = read_json(&self.dir.join("clean"));
        let boot_id = boot_id();

        let mut numbers: Vec<u64> = fs::read_dir(&self.dir)
            .map_err(refused("read", &self.dir))?
            .filter_map(|e| u64::from_str_radix(e.ok()?.file_name().to_str()?.strip_suffix(".seg")?, 16).ok())
            .collect();
        numbers.sort_unstable();
        // Of the last file that could be read: its stream, its next number, whether its end is known.
        let mut last: Option<(String, u64, bool)> = None;
        for number in numbers {
            if let Some(end) = self.load_segment(number)? {
                last = Some(end);
            }
        }
        if let Some(clean) = &clean {
            let kept: BTreeMap<u32, &Vec<(u64, u64)>> = clean
                .kept
                .iter()
                .filter_map(|(s, r)| Some((self.streams.iter().position(|x| x == s)? as u32, r)))
                .collect();
            let gone: Vec<WindowId> = self
                .kept
                .keys()
                .filter(|id| !kept.get(&id.stream).is_some_and(|r| covers(r, id.seq)))
                .copied()
                .collect();
            for id in gone {
                self.forget(id);
            }
        }

        // Numbers go on only where it is certain which were given out.
        let goes_on = match (&meta, &last) {
            (Some(meta), Some((stream, next, known))) if meta.stream == *stream => match &clean {
                Some(clean) if clean.stream == *stream => Some(clean.next_seq.max(*next)),
                _ if meta.boot_id == boot_id && *known => Some(*next),
                _ => None,
            },
            _ => None,
        };
        if let (Some(next), Some((stream, ..))) = (goes_on, last) {
            self.stream = self.ordinal(&stream);
            self.next_seq = next;
            let newest = self.segments.iter().next_back().map(|(n, s)| (*n, s.stream));
            self.active = newest.and_then(|(n, s)| (s == self.stream).then_some(n));
        } else {
            let stream = random_id().map_err(refused("read", Path::new("/dev/urandom")))?;
            self.stream = self.ordinal(&stream);
            self.next_seq = 1;
        }
        let stream = self.streams[self.stream as usize].clone();
        go_on_if_full(write_json(&self.dir, "meta", &Meta { stream, boot_id }))?;
        let clean_path = self.dir.join("clean");
        match fs::remove_file(&clean_path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(refused("remove", &clean_path)(e)),
            _ => {}
        }
        if self.active.is_none() {
            go_on_if_full(self.rotate())?;
        }
        self.remove_finished();
        Ok(())
    }

    /// Takes in one file; says where its numbers end.
    fn load_segment(&mut self, number: u64) -> Result<Option<(String, u64, bool)>, SpoolError> {
        let path = self.segment_path(number);
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(refused("open", &path))?;
        let Some(scan) = segment::scan(&file).map_err(refused("read", &path))? else {
            // A crash between making the file and writing its header leaves a short one. Anything else is damage:
            // put aside, not deleted, so that somebody can look at it; its bytes count no more.
            let short = file.metadata().is_ok_and(|m| m.len() < segment::HEADER_BYTES);
            if short {
                drop(fs::remove_file(&path));
            } else {
                self.stats.dropped.corrupt += 1;
                drop(fs::rename(&path, path.with_extension("damaged")));
            }
            return Ok(None);
        };
        if file.metadata().map_err(refused("read", &path))?.len() != scan.good_len {
            file.set_len(scan.good_len).map_err(refused("cut", &path))?;
        }
        self.stats.dropped.torn += u64::from(scan.torn);
        self.stats.dropped.corrupt += scan.corrupt;
        let stream = self.ordinal(&scan.stream);
        let mut live = 0;
        let mut next = scan.first_seq;
        for (head, at) in scan.records {
            next = next.max(head.seq + 1);
            self.newest = self.newest.max(head.end);
            if let Entry::Vacant(entry) = self.kept.entry(WindowId { stream, seq: head.seq }) {
                entry.insert(Kept { head, place: Place::Disk { segment: number, at } });
                live += 1;
            }
        }
        self.segments
            .insert(number, Segment { path, file: Arc::new(file), stream, len: scan.good_len, live });
        Ok(Some((scan.stream, next, !scan.tail_unknown)))
    }

    fn ordinal(&mut self, stream: &str) -> u32 {
        if let Some(i) = self.streams.iter().position(|s| s == stream) {
            return i as u32;
        }
        self.streams.push(stream.to_owned());
        self.streams.len() as u32 - 1
    }

    fn segment_path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:016x}.seg"))
    }

    /// Begins a new file.
    fn rotate(&mut self) -> Result<(), SpoolError> {
        if let Some(old) = self.active.and_then(|n| self.segments.get(&n))
            && self.limits.fsync != Fsync::Never
        {
            old.file.sync_data().map_err(refused("sync", &old.path))?;
            self.unsynced = false;
        }
        let number = self.segments.keys().next_back().map_or(1, |n| n + 1);
        let path = self.segment_path(number);
        let file = segment::create(&path, &self.streams[self.stream as usize], self.next_seq)
            .map_err(refused("make", &path))?;
        self.segments.insert(
            number,
            Segment { path, file: Arc::new(file), stream: self.stream, len: segment::HEADER_BYTES, live: 0 },
        );
        self.active = Some(number);
        self.remove_finished();
        Ok(())
    }

    /// Keeps a window and gives it its number.
    ///
    /// With a full disk the window is kept in memory and the answer is still `Ok`; [`SpoolStats::in_memory`] says
    /// so. An `Err` means that this window is lost, and counted.
    pub fn append(&mut self, window: &NewWindow) -> Result<WindowId, SpoolError> {
        if window.lines.len() > segment::MAX_BODY_BYTES {
            self.stats.dropped.too_large += 1;
            return Err(SpoolError::TooLarge { bytes: window.lines.len() });
        }
        self.newest = self.newest.max(window.end);
        self.make_room(segment::RECORD_BYTES + window.lines.len() as u64);
        let result = match self.append_to_disk(window) {
            Err(e @ SpoolError::DiskFull { .. }) => self.append_to_memory(window).ok_or(e),
            Err(e) => {
                self.stats.dropped.io += 1;
                Err(e)
            }
            Ok(id) => {
                self.memory = None;
                Ok(id)
            }
        };
        if result.is_ok() {
            self.stats.appended += 1;
        }
        result
    }

    fn head(window: &NewWindow, seq: u64) -> RecordHead {
        RecordHead {
            seq,
            end: window.end,
            span: window.span,
            points: window.points,
            body_len: window.lines.len() as u32,
            body_crc: crc32fast::hash(window.lines.as_bytes()),
        }
    }

    fn append_to_disk(&mut self, window: &NewWindow) -> Result<WindowId, SpoolError> {
        let full =
            self.active.and_then(|n| self.segments.get(&n)).is_none_or(|s| s.len >= self.segment_bytes);
        if full {
            self.rotate()?;
        }
        let head = Self::head(window, self.next_seq);
        // SANITY: `rotate` has just set it, or it was there.
        let number = self.active.expect("there is an active segment");
        let segment = self.segments.get_mut(&number).expect("the active segment is in the map");
        let written = segment::write(&segment.file, segment.len, &head, window.lines.as_bytes())
            .map_err(refused("write", &segment.path))?;
        let at = segment.len;
        segment.len += written;
        segment.live += 1;
        self.next_seq += 1;
        let id = WindowId { stream: self.stream, seq: head.seq };
        self.kept.insert(id, Kept { head, place: Place::Disk { segment: number, at } });
        self.unsynced = true;
        Ok(id)
    }

    fn append_to_memory(&mut self, window: &NewWindow) -> Option<WindowId> {
        while self.memory_bytes + window.lines.len() > MEMORY_BYTES {
            let oldest =
                self.kept.iter().find(|(_, k)| matches!(k.place, Place::Memory(_))).map(|(id, _)| *id);
            self.stats.dropped.disk_full += 1;
            // None: this window alone is too large.
            self.forget(oldest?);
        }
        let (stream, seq) = if let Some(spell) = self.memory {
            spell
        } else {
            let id = random_id().ok()?;
            (self.ordinal(&id), 1)
        };
        self.memory = Some((stream, seq + 1));
        self.memory_bytes += window.lines.len();
        let id = WindowId { stream, seq };
        let place = Place::Memory(window.lines.clone().into());
        self.kept.insert(id, Kept { head: Self::head(window, seq), place });
        Some(id)
    }

    /// Drops what the limits do not allow, oldest first.
    fn make_room(&mut self, more: u64) {
        let oldest_allowed = self.newest.0.saturating_sub(self.limits.max_age.as_nanos() as u64);
        while let Some((&id, kept)) = self.kept.first_key_value() {
            if kept.head.end.0 >= oldest_allowed {
                break;
            }
            self.forget(id);
            self.stats.dropped.age += 1;
        }
        self.remove_finished();
        while self.segments.values().map(|s| s.len).sum::<u64>() + more > self.limits.max_bytes {
            let Some((&number, _)) = self.segments.first_key_value() else { break };
            if Some(number) == self.active {
                // Everything is in one file. It can only go when there is another to go on with.
                if self.segments[&number].len == segment::HEADER_BYTES || self.rotate().is_err() {
                    break;
                }
                continue;
            }
            let inside: Vec<WindowId> = self
                .kept
                .iter()
                .filter(|(_, k)| matches!(k.place, Place::Disk { segment, .. } if segment == number))
                .map(|(id, _)| *id)
                .collect();
            self.stats.dropped.bytes += inside.len() as u64;
            for id in inside {
                self.forget(id);
            }
            self.remove_finished();
        }
    }

    fn forget(&mut self, id: WindowId) {
        let Some(kept) = self.kept.remove(&id) else { return };
        match kept.place {
            Place::Memory(lines) => self.memory_bytes -= lines.len(),
            Place::Disk { segment, .. } => {
                if let Some(segment) = self.segments.get_mut(&segment) {
                    segment.live -= 1;
                }
            }
        }
    }

    /// Deletes files in which nothing is kept, but never the one that is written to: it holds the next number.
    fn remove_finished(&mut self) {
        let active = self.active;
        self.segments.retain(|number, segment| {
            segment.live > 0 || Some(*number) == active || {
                if let Err(e) = fs::remove_file(&segment.path) {
                    tracing::warn!(path = %segment.path.display(), error = %e, "cannot remove a finished spool file");
                }
                false
            }
        });
    }

    /// The oldest window that is not a key of `sent`, which is expected to hold the oldest ones.
    #[must_use]
    pub fn next_not_in<T>(&self, sent: &BTreeMap<WindowId, T>) -> Option<WindowId> {
        self.kept.keys().find(|id| !sent.contains_key(id)).copied()
    }

    /// Whether no window is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Where it is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.dir
    }

    /// Whether the disk had no room for the last window.
    #[must_use]
    pub const fn is_in_memory(&self) -> bool {
        self.memory.is_some()
    }

    /// Whether the window is still kept.
    #[must_use]
    pub fn contains(&self, id: WindowId) -> bool {
        self.kept.contains_key(&id)
    }

    /// Reads a window back. `None`: it is no longer kept, or turned out unreadable (then it is dropped and counted).
    pub fn read(&mut self, id: WindowId) -> Option<Stored> {
        let kept = self.kept.get(&id)?;
        let head = kept.head;
        let lines = match &kept.place {
            Place::Memory(lines) => Some(lines.to_string()),
            Place::Disk { segment, at } => {
                let segment = self.segments.get(segment)?;
                segment::read_body(&segment.file, *at, &head).unwrap_or_else(|e| {
                    tracing::warn!(path = %segment.path.display(), error = %e, "cannot read a spooled window");
                    None
                })
            }
        };
        let Some(lines) = lines else {
            self.stats.dropped.corrupt += 1;
            self.forget(id);
            return None;
        };
        Some(Stored {
            stream: self.streams[id.stream as usize].clone(),
            seq: id.seq,
            window: NewWindow { end: head.end, span: head.span, points: head.points, lines },
        })
    }

    /// Lets go of the windows of `stream` in these ranges (inclusive). Gives back those that were still kept.
    pub fn ack(&mut self, stream: &str, ranges: &[(u64, u64)]) -> Vec<WindowId> {
        let Some(ordinal) = self.streams.iter().position(|s| s == stream) else { return Vec::new() };
        let stream = ordinal as u32;
        let mut acked = Vec::new();
        for &(from, to) in ranges.iter().filter(|(from, to)| from <= to) {
            let ids = WindowId { stream, seq: from }..=WindowId { stream, seq: to };
            acked.extend(self.kept.range(ids).map(|(id, _)| *id));
        }
        for &id in &acked {
            self.forget(id);
        }
        self.stats.acked += acked.len() as u64;
        self.remove_finished();
        acked
    }

    /// Lets go of one window.
    pub fn ack_one(&mut self, id: WindowId) {
        if self.kept.contains_key(&id) {
            self.forget(id);
            self.stats.acked += 1;
            self.remove_finished();
        }
    }

    /// The file to sync now, if the policy asks for it. The caller syncs it without holding a lock on the spool: a
    /// slow disk may take seconds.
    pub fn sync_due(&mut self) -> Option<Arc<File>> {
        let due = match self.limits.fsync {
            Fsync::Always => true,
            Fsync::Every(every) => self.last_sync.elapsed() >= every,
            Fsync::Never => false,
        };
        if !due || !self.unsynced {
            return None;
        }
        self.unsynced = false;
        self.last_sync = Instant::now();
        Some(Arc::clone(&self.segments.get(&self.active?)?.file))
    }

    /// Figures.
    #[must_use]
    pub fn stats(&self) -> SpoolStats {
        SpoolStats {
            stream: self.streams[self.stream as usize].clone(),
            next_seq: self.next_seq,
            windows: self.kept.len() as u64,
            in_memory: self.kept.values().filter(|k| matches!(k.place, Place::Memory(_))).count() as u64,
            bytes: self.segments.values().map(|s| s.len).sum(),
            oldest_end: self.kept.values().map(|k| k.head.end).min(),
            ..self.stats.clone()
        }
    }

    /// Syncs and notes what is still kept, so that the next start neither sends what is acknowledged nor begins a
    /// new stream.
    pub fn close(&mut self) -> Result<(), SpoolError> {
        if let Some(active) = self.active.and_then(|n| self.segments.get(&n)) {
            active.file.sync_data().map_err(refused("sync", &active.path))?;
        }
        let mut kept: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
        for (id, _) in self.kept.iter().filter(|(_, k)| matches!(k.place, Place::Disk { .. })) {
            let ranges = kept.entry(self.streams[id.stream as usize].clone()).or_default();
            match ranges.last_mut() {
                Some((_, to)) if *to + 1 == id.seq => *to = id.seq,
                _ => ranges.push((id.seq, id.seq)),
            }
        }
        let stream = self.streams[self.stream as usize].clone();
        write_json(&self.dir, "clean", &CleanClose { stream, next_seq: self.next_seq, kept })
    }
}

/// A full disk at the start is no reason not to start: windows are then kept in memory, and without a note of its
/// stream the next start begins a new one.
fn go_on_if_full(result: Result<(), SpoolError>) -> Result<(), SpoolError> {
    match result {
        Err(e @ SpoolError::DiskFull { .. }) => {
            tracing::warn!(error = %e, "windows are kept in memory until there is room");
            Ok(())
        }
        other => other,
    }
}

fn covers(ranges: &[(u64, u64)], seq: u64) -> bool {
    ranges.iter().any(|&(from, to)| (from..=to).contains(&seq))
}

fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Replaces a small file: temporary file, sync, rename.
fn write_json<T: Serialize>(dir: &Path, name: &str, value: &T) -> Result<(), SpoolError> {
    let path = dir.join(name);
    let tmp = dir.join(format!("{name}.tmp"));
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&tmp)?;
        file.write_all(&serde_json::to_vec(value).map_err(io::Error::other)?)?;
        file.sync_all()?;
        fs::rename(&tmp, &path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(refused("write", &path))
}

/// 16 hexadecimal digits.
fn random_id() -> io::Result<String> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:016x}", u64::from_le_bytes(bytes)))
}

/// Changes with each boot; empty where `/proc` is not mounted.
fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|s| s.trim().to_owned()).unwrap_or_default()
}
