//! Which parts of an array are in use.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Time after which a freed part may be reused: BPF programs that read it have ended by then.
const REUSE_AFTER: Duration = Duration::from_millis(500);

/// Free parts of an array, first fit.
#[derive(Debug)]
pub(super) struct Extents {
    /// Start → length; no two touch.
    free: BTreeMap<u32, u32>,
    limbo: Vec<(Instant, u32, u32)>,
    used: u32,
}

impl Extents {
    pub(super) fn new(len: u32) -> Self {
        Self { free: BTreeMap::from([(0, len)]), limbo: Vec::new(), used: 0 }
    }

    /// A free part of `len`.
    pub(super) fn take(&mut self, len: u32, now: Instant) -> Option<u32> {
        self.settle(now);
        if len == 0 {
            return Some(0);
        }
        let (&start, &room) = self.free.iter().find(|(_, room)| **room >= len)?;
        self.free.remove(&start);
        if room > len {
            self.free.insert(start + len, room - len);
        }
        self.used += len;
        Some(start)
    }

    /// Gives a part back.
    pub(super) fn give(&mut self, start: u32, len: u32, now: Instant) {
        if len > 0 {
            self.used -= len;
            self.limbo.push((now, start, len));
        }
    }

    /// In use.
    pub(super) const fn used(&self) -> u32 {
        self.used
    }

    /// No part is in use, and no BPF program can still be reading a freed one.
    pub(super) fn is_idle(&mut self, now: Instant) -> bool {
        self.settle(now);
        self.used == 0 && self.limbo.is_empty()
    }

    fn settle(&mut self, now: Instant) {
        let settled =
            self.limbo.partition_point(|(at, ..)| now.saturating_duration_since(*at) >= REUSE_AFTER);
        for (_, start, len) in self.limbo.drain(..settled).collect::<Vec<_>>() {
            self.free(start, len);
        }
    }

    fn free(&mut self, mut start: u32, mut len: u32) {
        if let Some((&before, &room)) = self.free.range(..start).next_back()
            && before + room == start
        {
            self.free.remove(&before);
            (start, len) = (before, len + room);
        }
        if let Some(room) = self.free.remove(&(start + len)) {
            len += room;
        }
        self.free.insert(start, len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_one_piece_again_once_it_has_settled() {
        let now = Instant::now();
        let mut extents = Extents::new(10);
        let parts: Vec<u32> = (0..5).filter_map(|_| extents.take(2, now)).collect();
        assert_eq!(parts, [0, 2, 4, 6, 8]);
        for start in [2, 6, 4, 0, 8] {
            extents.give(start, 2, now);
        }
        assert_eq!((extents.used(), extents.take(1, now)), (0, None));
        let later = now + REUSE_AFTER;
        assert!(extents.is_idle(later));
        assert_eq!(extents.take(10, later), Some(0));
        assert_eq!(extents.take(0, later), Some(0));
    }
}
