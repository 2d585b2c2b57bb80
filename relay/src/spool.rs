//! Windows, or blocks of profiles, on disk until the store has them. In what follows both are windows.
//!
//! A directory of append-only [`segment`] files. Each window comes with its number in a *stream* of windows (16
//! hexadecimal digits), and stays until [`Spool::ack`] names it, or until a limit pushes it out, oldest first, counted by
//! reason. A window whose number was taken before is a duplicate and is left out.
//!
//! **What survives what.** A window is in the page cache when [`Spool::append`] returns, so killing the process
//! (SIGKILL, OOM) loses nothing; a record cut in the middle is removed. Power loss may lose what was not yet synced
//! ([`Fsync`]).
//!
//! **Which numbers come next.** [`Spool::next`] says where the collector's numbers go on after a start: in the stream of
//! the last file where it is certain which numbers were given out. It is not after an unclean power-off (the boot id is
//! another and there was no clean close), when the end of the last file is unreadable, and when windows were kept in
//! memory alone: numbers that were lost that way may have been sent and must not be used for other windows. Then a new
//! stream begins.
//!
//! **Full disk.** The window is kept in memory (up to [`MEMORY_BYTES`]), so that delivery goes on while the broker can be
//! reached.

mod error;
mod notes;
mod open;
mod segment;
mod write;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use agent_common::pair::NewWindow;
use agent_common::pair::SpoolFigures;
use agent_common::units::UnixNs;

pub use self::error::SpoolError;
use self::error::refused;
use self::notes::{CLEAN, CleanClose, write_json};
use self::segment::RecordHead;
pub use self::write::Taken;

/// Largest segment file. Disk use of a healthy spool is at most two of these, since a file goes when all its
/// windows are acknowledged and it is no longer written to.
const SEGMENT_BYTES_MAX: u64 = 8 << 20;
/// Smallest: a small spool still drops its oldest windows in eighths.
const SEGMENT_BYTES_MIN: u64 = 64 << 10;
/// Unsynced bytes at which the spool syncs before its time: the collector keeps what is not synced, in 8 MiB.
pub const SYNC_BYTES: u64 = 1 << 20;
/// Memory for windows that a full disk refused: about two minutes of a host with 300 processes.
pub const MEMORY_BYTES: usize = 8 << 20;

/// What bounds the spool.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of all files together. Oldest windows go first, a file at a time.
    pub max_bytes: u64,
    /// Age against the newest window's end (so a stopped agent does not lose its windows to the clock).
    pub max_age: Duration,
    /// Age of written windows that were not yet forced to the disk. This bounds what a power loss costs; a killed process
    /// loses nothing. So much as [`SYNC_BYTES`] is not left unsynced either.
    pub sync_every: Duration,
}

impl Default for Limits {
    /// 256 MiB (1.5 hours of a host with 300 processes), a day, a sync every 10 s.
    fn default() -> Self {
        Self { max_bytes: 256 << 20, max_age: Duration::from_hours(24), sync_every: Duration::from_secs(10) }
    }
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
    Memory(Box<[u8]>),
}

#[derive(Debug)]
struct Kept {
    head: RecordHead,
    place: Place,
}

/// A stream of windows, as far as this spool knows it.
#[derive(Debug)]
struct Known {
    name: String,
    /// Number after the highest that was taken.
    next_seq: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    limits: Limits,
    segment_bytes: u64,
    streams: Vec<Known>,
    /// The stream of the files being written.
    stream: u32,
    segments: BTreeMap<u64, Segment>,
    /// The segment that is written to.
    active: Option<u64>,
    kept: BTreeMap<WindowId, Kept>,
    /// The disk had no room for the last window.
    in_memory: bool,
    memory_bytes: usize,
    /// Numbers of windows that were in memory and are no longer kept, whatever the reason.
    released: Vec<u64>,
    newest: UnixNs,
    unsynced_bytes: u64,
    last_sync: Instant,
    stats: SpoolFigures,
    _lock: File,
}

fn segment_bytes(limits: &Limits) -> u64 {
    (limits.max_bytes / 8).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX)
}

impl Spool {
    /// Other limits, in force with the next window.
    pub fn set_limits(&mut self, limits: Limits) {
        self.segment_bytes = segment_bytes(&limits);
        self.limits = limits;
    }

    fn ordinal(&mut self, stream: &str) -> u32 {
        if let Some(i) = self.streams.iter().position(|known| known.name == stream) {
            return i as u32;
        }
        self.streams.push(Known { name: stream.to_owned(), next_seq: 1 });
        self.streams.len() as u32 - 1
    }

    fn segment_path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:016x}.seg"))
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
        self.in_memory
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
        let body = match &kept.place {
            Place::Memory(body) => Some(body.to_vec()),
            Place::Disk { segment, at } => {
                let segment = self.segments.get(segment)?;
                segment::read_body(&segment.file, *at, &head).unwrap_or_else(|e| {
                    tracing::warn!(path = %segment.path.display(), error = %e, "cannot read a spooled window");
                    None
                })
            }
        };
        let Some(body) = body else {
            self.stats.dropped.corrupt += 1;
            self.forget(id);
            return None;
        };
        Some(Stored {
            stream: self.streams[id.stream as usize].name.clone(),
            seq: id.seq,
            window: NewWindow { end: head.end, span: head.span, points: head.points, body },
        })
    }

    /// Drops the acknowledged windows of `stream` in these ranges (inclusive). Returns those that were still in the spool.
    pub fn ack(&mut self, stream: &str, ranges: &[(u64, u64)]) -> Vec<WindowId> {
        let Some(ordinal) = self.streams.iter().position(|known| known.name == stream) else {
            return Vec::new();
        };
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

    /// Drops one acknowledged window.
    pub fn ack_one(&mut self, id: WindowId) {
        if self.kept.contains_key(&id) {
            self.forget(id);
            self.stats.acked += 1;
            self.remove_finished();
        }
    }

    /// Numbers of windows that were in memory only, and were acknowledged or dropped since the last call.
    pub fn take_released(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.released)
    }

    /// The file to sync, if it is time or shall be done `now`. The caller syncs it without holding a lock on the spool: a slow disk may take
    /// seconds.
    pub fn sync_due(&mut self, now: bool) -> Option<Arc<File>> {
        let due =
            now || self.unsynced_bytes >= SYNC_BYTES || self.last_sync.elapsed() >= self.limits.sync_every;
        if !due {
            return None;
        }
        self.unsynced_bytes = 0;
        self.last_sync = Instant::now();
        Some(Arc::clone(&self.segments.get(&self.active?)?.file))
    }

    /// Stream and number that the collector's windows go on with after a start.
    #[must_use]
    pub fn next(&self) -> (&str, u64) {
        let known = &self.streams[self.stream as usize];
        (&known.name, known.next_seq)
    }

    /// Figures.
    #[must_use]
    pub fn stats(&self) -> SpoolFigures {
        let (stream, next_seq) = self.next();
        SpoolFigures {
            stream: stream.to_owned(),
            next_seq,
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
            let ranges = kept.entry(self.streams[id.stream as usize].name.clone()).or_default();
            match ranges.last_mut() {
                Some((_, to)) if *to + 1 == id.seq => *to = id.seq,
                _ => ranges.push((id.seq, id.seq)),
            }
        }
        let (stream, next_seq) = self.next();
        write_json(&self.dir, CLEAN, &CleanClose { stream: stream.to_owned(), next_seq, kept })
    }
}
