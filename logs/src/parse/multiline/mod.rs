//! Joins the lines that belong together: stack traces of Python, Java, Go, Rust, Node, reports of sanitizers, keys, and lines that
//! begin with a blank.
//!
//! Fed with records of one line each, it gives records in the order in which they are done. Nothing is lost: what does not
//! fit goes out as it is. Only empty lines are dropped, alone or at the end of a record.

#[cfg(test)]
mod bounds;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::Hash;

use agent_common::units::UnixNs;

use super::MAX_LINE_FIELDS;
use crate::{Record, Severity};
use rules::State;

/// Lines of one record: a deep recursion has 1,000 frames of two lines in Python.
pub const MAX_JOINED_LINES: usize = 2048;
/// Bytes of one record.
pub const MAX_JOINED_BYTES: usize = 256 << 10;
/// Streams with an open record at a time, some 300 bytes each and their text.
pub const MAX_OPEN_STREAMS: usize = 4096;
/// Bytes of the text of all open records together.
pub const MAX_OPEN_BYTES: usize = 32 << 20;
/// Lines of any kind that a record may hold back while it waits for what would make them its own: the frames below a message of
/// several lines.
pub const MAX_HELD_LINES: usize = 16;
/// How long a trace waits for its next line.
pub const TRACE_HOLD_NS: u64 = 4_000_000_000;
/// The same for any other line. It is short, as each line waits so long: it shall be seen within a second of its writing.
pub const LINE_HOLD_NS: u64 = 200_000_000;
/// How far apart, by their own times, a line and one that begins with a blank may be.
pub const MAX_INDENTED_GAP_NS: u64 = 1_000_000_000;

/// What happened so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Lines joined to the one before.
    pub joined: u64,
    /// Records that went out because they were full; what follows is a record of its own.
    pub full: u64,
    /// Lines not joined because too many streams, or bytes, were open.
    pub crowded: u64,
    /// Fields of joined lines that were left out: a record has [`MAX_LINE_FIELDS`].
    pub fields: u64,
    /// Empty lines that belong to no record, dropped.
    pub empty: u64,
}

/// Joins lines. A stream is what the caller says, for example a file and a process in it.
#[derive(Debug)]
pub struct Joiner<K> {
    open: HashMap<K, Open>,
    bytes: usize,
    counts: Counts,
}

#[derive(Debug)]
struct Open {
    record: Record,
    state: State,
    lines: usize,
    last_at: UnixNs,
    touched_ns: u64,
    is_headed: bool,
    /// Empty lines at the end, which are joined only if the trace goes on behind them.
    empty: usize,
    /// Fields left out, not counted yet.
    omitted: u64,
    /// Lines that belong to it if what it waits for comes.
    held: Vec<Record>,
}

impl<K: Hash + Eq + Clone> Default for Joiner<K> {
    fn default() -> Self {
        Self { open: HashMap::new(), bytes: 0, counts: Counts::default() }
    }
}

impl<K: Hash + Eq + Clone> Joiner<K> {
    /// What happened since it was made.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes a line of a stream, read at `now_ns` of any clock that does not go back. `is_headed`: it begins with a time or a
    /// priority of its own, so it begins a record.
    pub fn feed(
        &mut self,
        key: K,
        line: Record,
        is_headed: bool,
        now_ns: u64,
        mut out: impl FnMut(K, Record),
    ) {
        let Some(mut open) = self.open.remove(&key) else {
            return self.begin(key, line, is_headed, now_ns, &mut out);
        };
        self.bytes -= open.bytes();
        let Joined::Not { line, is_full } = open.join(line, is_headed, now_ns) else {
            self.counts.joined += 1;
            self.counts.fields += std::mem::take(&mut open.omitted);
            if open.state == State::End {
                return out(key, open.done());
            }
            if self.bytes + open.bytes() > MAX_OPEN_BYTES {
                self.counts.crowded += 1;
                return open.all(|record| out(key.clone(), record));
            }
            return self.keep(key, open);
        };
        self.counts.full += u64::from(is_full);
        let Some(mut last) = open.settle(|record| out(key.clone(), record)) else {
            return self.begin(key, line, is_headed, now_ns, &mut out);
        };
        match last.join(line, is_headed, now_ns) {
            Joined::Taken => self.keep(key, last),
            Joined::Not { line, .. } => {
                out(key.clone(), last.done());
                self.begin(key, line, is_headed, now_ns, &mut out);
            }
        }
    }

    fn keep(&mut self, key: K, open: Open) {
        self.bytes += open.bytes();
        self.open.insert(key, open);
    }

    fn begin(&mut self, key: K, line: Record, is_headed: bool, now_ns: u64, out: &mut impl FnMut(K, Record)) {
        if line.message.is_empty() && line.fields.is_empty() {
            self.counts.empty += 1;
            return;
        }
        if self.open.len() >= MAX_OPEN_STREAMS || self.bytes + line.message.len() > MAX_OPEN_BYTES {
            self.counts.crowded += 1;
            return out(key, line);
        }
        self.keep(key, Open::new(line, is_headed, now_ns));
    }

    /// The least position of an open record: of a source whose lines are to stay in order, those before it can go out.
    #[must_use]
    pub fn oldest(&self) -> Option<u64> {
        self.open.values().map(|open| open.record.position).min()
    }

    /// Gives the records that have waited long enough. To be called some times each second.
    pub fn expire(&mut self, now_ns: u64, mut out: impl FnMut(K, Record)) {
        let Self { open, bytes, .. } = self;
        for (key, open) in open.extract_if(|_, open| now_ns.saturating_sub(open.touched_ns) >= open.hold_ns())
        {
            *bytes -= open.bytes();
            open.all(|record| out(key.clone(), record));
        }
    }

    /// Gives all open records.
    pub fn finish(&mut self, mut out: impl FnMut(K, Record)) {
        self.bytes = 0;
        for (key, open) in self.open.drain() {
            open.all(|record| out(key.clone(), record));
        }
    }
}

enum Joined {
    Taken,
    Not { line: Record, is_full: bool },
}

impl Open {
    fn new(record: Record, is_headed: bool, now_ns: u64) -> Self {
        let (state, last_at) = (State::begin(&record.message), record.at);
        Self {
            record,
            state,
            lines: 1,
            last_at,
            touched_ns: now_ns,
            is_headed,
            empty: 0,
            omitted: 0,
            held: Vec::new(),
        }
    }

    fn bytes(&self) -> usize {
        self.record.message.len() + self.held.iter().map(|held| held.message.len()).sum::<usize>()
    }

    fn hold_ns(&self) -> u64 {
        if self.state.is_trace() { TRACE_HOLD_NS } else { LINE_HOLD_NS }
    }

    fn join(&mut self, line: Record, is_headed: bool, now_ns: u64) -> Joined {
        if is_headed {
            return Joined::Not { line, is_full: false };
        }
        // Below a line with a time of its own stand those that have only that of reading.
        let near = line.at.0.abs_diff(self.last_at.0) < MAX_INDENTED_GAP_NS
            || (self.is_headed && now_ns.saturating_sub(self.touched_ns) < MAX_INDENTED_GAP_NS);
        let is_confirmed = self.state.is_confirmed_by(&line.message);
        let next = if self.held.is_empty() || is_confirmed {
            self.state.next(&line.message, near, self.is_headed)
        } else {
            None
        };
        let Some(next) = next else {
            let is_of_a_message = near && self.state.awaits() && State::begin(&line.message) == State::Plain;
            if is_of_a_message
                && self.held.len() < MAX_HELD_LINES
                && self.bytes() + line.message.len() < MAX_JOINED_BYTES
            {
                self.held.push(line);
                return Joined::Taken;
            }
            return Joined::Not { line, is_full: false };
        };
        let whole = self.bytes() + self.held.len() + 1 + line.message.len();
        if self.lines + self.held.len() >= MAX_JOINED_LINES || whole > MAX_JOINED_BYTES {
            return Joined::Not { line, is_full: true };
        }
        for held in std::mem::take(&mut self.held) {
            self.push(held);
        }
        self.last_at = line.at;
        self.touched_ns = now_ns;
        self.push(line);
        self.state = next;
        Joined::Taken
    }

    fn push(&mut self, line: Record) {
        self.empty = if line.message.is_empty() { self.empty + 1 } else { 0 };
        self.record.message.push('\n');
        self.record.message.push_str(&line.message);
        self.record.severity = self.record.severity.min(line.severity);
        // The journal has the same fields on each line of a process.
        for field in line.fields {
            if self.record.fields.contains(&field) {
                continue;
            }
            if self.record.fields.len() < MAX_LINE_FIELDS {
                self.record.fields.push(field);
            } else {
                self.omitted += 1;
            }
        }
        self.lines += 1;
    }

    /// Gives the record, and of the lines that it held back all but the last record, which may still go on.
    fn settle(mut self, mut out: impl FnMut(Record)) -> Option<Self> {
        let now_ns = self.touched_ns;
        let held = std::mem::take(&mut self.held);
        out(self.done());
        let mut last: Option<Self> = None;
        for line in held.into_iter().filter(|line| !line.message.is_empty()) {
            let line = match last.as_mut().map(|last| last.join(line.clone(), false, now_ns)) {
                Some(Joined::Taken) => continue,
                _ => line,
            };
            if let Some(before) = last.replace(Self::new(line, false, now_ns)) {
                out(before.done());
            }
        }
        last
    }

    fn all(self, mut out: impl FnMut(Record)) {
        if let Some(last) = self.settle(&mut out) {
            out(last.done());
        }
    }

    fn done(mut self) -> Record {
        let end = self.record.message.len() - self.empty;
        self.record.message.truncate(end);
        // A trace is an error, whatever else was said. Where its first line has a level of its own, that stays.
        if self.record.severity == Severity::Unknown && self.lines > 1 && self.state.is_error() {
            self.record.severity = Severity::Error;
        }
        self.record
    }
}
