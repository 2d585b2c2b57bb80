//! Appending windows, and dropping them.

use std::fs;
use std::sync::Arc;

use super::error::{SpoolError, refused};
use super::notes::META;
use super::segment::{self, RecordHead};
use super::{Kept, MEMORY_BYTES, NewWindow, Place, Segment, Spool, WindowId};

/// Where a window went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Into a file.
    Disk,
    /// Into memory: the disk is full.
    Memory,
    /// Nowhere: its number was taken before.
    Duplicate,
}

impl Spool {
    /// Begins a new file, for windows from `first_seq` on.
    pub(super) fn rotate(&mut self, first_seq: u64) -> Result<(), SpoolError> {
        if let Some(old) = self.active.and_then(|n| self.segments.get(&n)) {
            old.file.sync_data().map_err(refused("sync", &old.path))?;
            self.unsynced_bytes = 0;
        }
        let number = self.segments.keys().next_back().map_or(1, |n| n + 1);
        let path = self.segment_path(number);
        let file = segment::create(&path, &self.streams[self.stream as usize].name, first_seq)
            .map_err(refused("make", &path))?;
        self.segments.insert(
            number,
            Segment { path, file: Arc::new(file), stream: self.stream, len: segment::HEADER_BYTES, live: 0 },
        );
        self.active = Some(number);
        self.remove_finished();
        Ok(())
    }

    /// Takes the window with this number in this stream. Numbers come in ascending order, perhaps with gaps.
    ///
    /// An `Err` means that this window is lost, and counted.
    pub fn append(&mut self, stream: &str, seq: u64, window: &NewWindow) -> Result<Taken, SpoolError> {
        if window.body.len() > segment::MAX_BODY_BYTES {
            self.stats.dropped.too_large += 1;
            return Err(SpoolError::TooLarge { bytes: window.body.len() });
        }
        self.write_to(stream)?;
        if seq < self.streams[self.stream as usize].next_seq {
            self.stats.duplicates += 1;
            return Ok(Taken::Duplicate);
        }
        self.newest = self.newest.max(window.end);
        self.make_room(segment::RECORD_BYTES + window.body.len() as u64);
        let head = RecordHead {
            seq,
            end: window.end,
            span: window.span,
            points: window.points,
            body_len: window.body.len() as u32,
            body_crc: crc32fast::hash(&window.body),
        };
        let taken = match self.append_to_disk(head, window) {
            Ok(()) => Taken::Disk,
            Err(full @ SpoolError::DiskFull { .. }) => {
                if !self.append_to_memory(head, window) {
                    return Err(full);
                }
                Taken::Memory
            }
            Err(error) => {
                self.stats.dropped.io += 1;
                return Err(error);
            }
        };
        self.streams[self.stream as usize].next_seq = seq + 1;
        self.stats.appended += 1;
        Ok(taken)
    }

    /// Makes this stream the one that is written.
    fn write_to(&mut self, stream: &str) -> Result<(), SpoolError> {
        if self.streams[self.stream as usize].name != stream {
            self.stream = self.ordinal(stream);
            // The next window begins a file of its own: a file has one stream.
            self.active = None;
            self.write_meta()?;
        }
        Ok(())
    }

    fn append_to_disk(&mut self, head: RecordHead, window: &NewWindow) -> Result<(), SpoolError> {
        let full =
            self.active.and_then(|n| self.segments.get(&n)).is_none_or(|s| s.len >= self.segment_bytes);
        if full {
            self.rotate(head.seq)?;
        }
        // SANITY: `rotate` has just set it, or it was there.
        let number = self.active.expect("there is an active segment");
        let segment = self.segments.get_mut(&number).expect("the active segment is in the map");
        let written = segment::write(&segment.file, segment.len, &head, &window.body)
            .map_err(refused("write", &segment.path))?;
        let at = segment.len;
        segment.len += written;
        segment.live += 1;
        let id = WindowId { stream: self.stream, seq: head.seq };
        self.kept.insert(id, Kept { head, place: Place::Disk { segment: number, at } });
        self.unsynced_bytes += written;
        if std::mem::take(&mut self.in_memory) {
            // What was in memory alone has numbers below this one: they are certain again.
            self.write_meta()?;
        }
        Ok(())
    }

    /// `false`: it does not fit there either.
    fn append_to_memory(&mut self, head: RecordHead, window: &NewWindow) -> bool {
        while self.memory_bytes + window.body.len() > MEMORY_BYTES {
            let oldest =
                self.kept.iter().find(|(_, k)| matches!(k.place, Place::Memory(_))).map(|(id, _)| *id);
            self.stats.dropped.disk_full += 1;
            // None: this window alone is too large.
            let Some(oldest) = oldest else { return false };
            self.forget(oldest);
        }
        if !std::mem::replace(&mut self.in_memory, true) {
            // Its number may be sent, and will be nowhere on the disk: the next start must not give it out again.
            if let Err(error) = fs::remove_file(self.dir.join(META)) {
                tracing::warn!(%error, "cannot remove the spool's note of its stream");
            }
        }
        self.memory_bytes += window.body.len();
        let id = WindowId { stream: self.stream, seq: head.seq };
        self.kept.insert(id, Kept { head, place: Place::Memory(window.body.clone().into()) });
        true
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
        let next = self.streams[self.stream as usize].next_seq;
        while self.segments.values().map(|s| s.len).sum::<u64>() + more > self.limits.max_bytes {
            let Some((&number, _)) = self.segments.first_key_value() else { break };
            if Some(number) == self.active {
                // Everything is in one file. It can only go when there is another to go on with.
                if self.segments[&number].len == segment::HEADER_BYTES || self.rotate(next).is_err() {
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

    pub(super) fn forget(&mut self, id: WindowId) {
        let Some(kept) = self.kept.remove(&id) else { return };
        match kept.place {
            Place::Memory(body) => {
                self.memory_bytes -= body.len();
                self.released.push(id.seq);
            }
            Place::Disk { segment, .. } => {
                if let Some(segment) = self.segments.get_mut(&segment) {
                    segment.live -= 1;
                }
            }
        }
    }

    /// Deletes files in which nothing is kept, but never the one that is written to: it holds the next number.
    pub(super) fn remove_finished(&mut self) {
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
}
