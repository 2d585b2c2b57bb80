//! What is stored of a source: a line that comes again is known by its position.

use agent_common::wire::head::WindowHead;
use agent_common::wire::stored::RangeSet;
use rusqlite::{Connection, OptionalExtension as _};

use super::retain::now;
use super::schema::{read_ranges, write_ranges};

/// Ranges kept of a source: one is the rule, each further one is a message that did not come yet.
const MAX_RANGES: usize = 64;

/// See the module. The lines of a source come in the order of their positions, but a message may come after those sent behind it.
#[derive(Debug, Default)]
pub(super) struct Mark {
    /// From the first to the last line of messages between which none is missing, as positions plus one.
    stored: RangeSet,
    /// The collector's spool that the highest of them came from …
    stream: String,
    /// … and the number of its message.
    seq: u64,
}

/// How much of some positions is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    Nothing,
    /// Each line is to be looked at.
    Some,
    All,
}

impl Mark {
    pub(super) fn load(conn: &Connection, (host, source): (&str, u64)) -> rusqlite::Result<Self> {
        let row = conn
            .prepare_cached("SELECT stored, stream, seq FROM mark WHERE host = ? AND source = ?")?
            .query_row((host, source.cast_signed()), |row| {
                Ok((row.get::<_, String>(0)?, row.get(1)?, row.get::<_, i64>(2)?.cast_unsigned()))
            })
            .optional()?;
        let Some((ranges, stream, seq)) = row else { return Ok(Self::default()) };
        Ok(Self { stored: read_ranges(&ranges, "the positions of stored lines")?, stream, seq })
    }

    pub(super) fn has(&self, position: u64) -> bool {
        self.stored.contains(position.saturating_add(1))
    }

    /// How much of the positions from one line to another is stored.
    pub(super) fn share(&self, (first, last): (u64, u64)) -> Share {
        let (first, last) = (first.saturating_add(1), last.saturating_add(1));
        let mut touched = self.stored.ranges().iter().filter(|(lo, hi)| *lo <= last && first <= *hi);
        match touched.next() {
            None => Share::Nothing,
            Some((lo, hi)) if *lo <= first && last <= *hi => Share::All,
            Some(_) => Share::Some,
        }
    }

    /// Adds the lines of a message. `messages`: those that are stored of its spool, with this one.
    pub(super) fn add(&mut self, head: &WindowHead, messages: &RangeSet, (first, last): (u64, u64)) {
        let (first, last) = (first.saturating_add(1), last.saturating_add(1));
        let highest = self.stored.highest();
        let before = if self.stream == head.stream { self.seq } else { 0 };
        let is_next = first > highest && messages.contains_range(before + 1, head.seq);
        self.stored.insert_range(if is_next { highest + 1 } else { first }, last);
        if last > highest {
            self.stream.clone_from(&head.stream);
            self.seq = head.seq;
        }
        if messages.contiguous() == messages.highest() {
            // Nothing is missing any more.
            self.stored.insert_range(1, self.stored.highest());
        }
    }

    pub(super) fn save(self, conn: &Connection, (host, source): (&str, u64)) -> rusqlite::Result<()> {
        let ranges = write_ranges(self.stored, MAX_RANGES);
        conn.prepare_cached(
            "INSERT INTO mark(host, source, stored, stream, seq, at_ns) VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT(host, source) DO UPDATE SET
                 stored = excluded.stored, stream = excluded.stream, seq = excluded.seq, at_ns = excluded.at_ns",
        )?
        .execute((host, source.cast_signed(), ranges, &self.stream, self.seq.cast_signed(), now()))?;
        Ok(())
    }
}
