//! Opening a spool: its files, and the stream to continue.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, DirBuilder, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use agent_common::pair::SpoolFigures;
use agent_common::units::UnixNs;

use super::error::{SpoolError, refused};
use super::notes::{
    CLEAN, CleanClose, META, Meta, boot_id, covers, go_on_if_full, random_id, read_json, write_json,
};
use super::{Kept, Limits, Place, Segment, Spool, WindowId, segment, segment_bytes};

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
            segments: BTreeMap::new(),
            active: None,
            kept: BTreeMap::new(),
            in_memory: false,
            memory_bytes: 0,
            released: Vec::new(),
            newest: UnixNs(0),
            unsynced_bytes: 0,
            last_sync: Instant::now(),
            stats: SpoolFigures::default(),
            _lock: lock,
        };
        spool.load()?;
        Ok(spool)
    }

    fn load(&mut self) -> Result<(), SpoolError> {
        let meta: Option<Meta> = read_json(&self.dir.join(META));
        let clean: Option<CleanClose> = read_json(&self.dir.join(CLEAN));
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
                .filter_map(|(s, r)| {
                    Some((self.streams.iter().position(|known| known.name == *s)? as u32, r))
                })
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
            self.streams[self.stream as usize].next_seq = next;
            let newest = self.segments.iter().next_back().map(|(n, s)| (*n, s.stream));
            self.active = newest.and_then(|(n, s)| (s == self.stream).then_some(n));
        } else {
            let stream = random_id().map_err(refused("read", Path::new("/dev/urandom")))?;
            self.stream = self.ordinal(&stream);
        }
        self.write_meta()?;
        let clean_path = self.dir.join(CLEAN);
        match fs::remove_file(&clean_path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(refused("remove", &clean_path)(e)),
            _ => {}
        }
        if self.active.is_none() {
            go_on_if_full(self.rotate(self.streams[self.stream as usize].next_seq))?;
        }
        self.remove_finished();
        Ok(())
    }

    /// Notes which stream is written. A full disk is no reason not to: without the note the next start begins a new one.
    pub(super) fn write_meta(&self) -> Result<(), SpoolError> {
        let stream = self.streams[self.stream as usize].name.clone();
        go_on_if_full(write_json(&self.dir, META, &Meta { stream, boot_id: boot_id() }))
    }

    /// Takes in one file; says where its numbers end.
    fn load_segment(&mut self, number: u64) -> Result<Option<(String, u64, bool)>, SpoolError> {
        let path = self.segment_path(number);
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(refused("open", &path))?;
        let Some(scan) = segment::scan(&file).map_err(refused("read", &path))? else {
            // A crash between making the file and writing its header leaves a short one. Anything else is damage:
            // renamed, not deleted, so that a person can inspect it; its bytes no longer count.
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
        let known = &mut self.streams[stream as usize];
        known.next_seq = known.next_seq.max(next);
        self.segments
            .insert(number, Segment { path, file: Arc::new(file), stream, len: scan.good_len, live });
        Ok(Some((scan.stream, next, !scan.tail_unknown)))
    }
}
