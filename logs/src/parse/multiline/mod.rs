//! Joins the lines that belong together: stack traces of Python, Java, Go, Rust, Node, reports of sanitizers, keys, and lines that
//! begin with a blank.
//!
//! Fed with records of one line each, it gives records in the order in which they are done. Nothing is lost: what does not
//! fit goes out as it is. Trailing empty lines of a trace are dropped.

mod rules;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::Hash;

use agent_common::units::UnixNs;

use crate::{Record, Severity};
use rules::State;

/// Lines of one record: a deep recursion has 1,000 frames of two lines in Python.
pub const MAX_JOINED_LINES: usize = 2048;
/// Bytes of one record.
pub const MAX_JOINED_BYTES: usize = 256 << 10;
/// Streams with an open record at a time; with the bounds above some 1 GiB if all of them were full, in practice a line each.
pub const MAX_OPEN_STREAMS: usize = 4096;
/// Bytes of all open records together.
pub const MAX_OPEN_BYTES: usize = 32 << 20;
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
        if let Some(open) = self.open.get_mut(&key) {
            let before = open.record.message.len();
            match open.join(line, is_headed, now_ns) {
                Joined::Taken => {
                    self.counts.joined += 1;
                    self.bytes += open.record.message.len() - before;
                }
                Joined::Last => {
                    self.counts.joined += 1;
                    self.bytes += open.record.message.len() - before;
                    self.close(&key, &mut out);
                }
                Joined::Not { line, is_full } => {
                    self.counts.full += u64::from(is_full);
                    self.close(&key, &mut out);
                    self.begin(key, line, is_headed, now_ns, &mut out);
                }
            }
            return;
        }
        self.begin(key, line, is_headed, now_ns, &mut out);
    }

    fn begin(&mut self, key: K, line: Record, is_headed: bool, now_ns: u64, out: &mut impl FnMut(K, Record)) {
        if self.open.len() >= MAX_OPEN_STREAMS || self.bytes + line.message.len() > MAX_OPEN_BYTES {
            self.counts.crowded += 1;
            return out(key, line);
        }
        self.bytes += line.message.len();
        let (state, last_at) = (State::begin(&line.message), line.at);
        self.open.insert(
            key,
            Open { record: line, state, lines: 1, last_at, touched_ns: now_ns, is_headed, empty: 0 },
        );
    }

    fn close(&mut self, key: &K, out: &mut impl FnMut(K, Record)) {
        if let Some((key, open)) = self.open.remove_entry(key) {
            self.bytes -= open.record.message.len();
            out(key, open.done());
        }
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
            *bytes -= open.record.message.len();
            out(key, open.done());
        }
    }

    /// Gives all open records.
    pub fn finish(&mut self, mut out: impl FnMut(K, Record)) {
        self.bytes = 0;
        for (key, open) in self.open.drain() {
            out(key, open.done());
        }
    }
}

enum Joined {
    Taken,
    /// Taken, and nothing can follow.
    Last,
    Not {
        line: Record,
        is_full: bool,
    },
}

impl Open {
    fn hold_ns(&self) -> u64 {
        if self.state.is_trace() { TRACE_HOLD_NS } else { LINE_HOLD_NS }
    }

    fn join(&mut self, line: Record, is_headed: bool, now_ns: u64) -> Joined {
        let near = line.at.0.abs_diff(self.last_at.0) < MAX_INDENTED_GAP_NS;
        let next = if is_headed { None } else { self.state.next(&line.message, near, self.is_headed) };
        let Some(next) = next else { return Joined::Not { line, is_full: false } };
        let whole = self.record.message.len() + 1 + line.message.len();
        if self.lines >= MAX_JOINED_LINES || whole > MAX_JOINED_BYTES {
            return Joined::Not { line, is_full: true };
        }
        self.empty = if line.message.is_empty() { self.empty + 1 } else { 0 };
        self.record.message.push('\n');
        self.record.message.push_str(&line.message);
        self.record.severity = self.record.severity.min(line.severity);
        self.record.fields.extend(line.fields);
        self.lines += 1;
        self.last_at = line.at;
        self.touched_ns = now_ns;
        self.state = next;
        if self.state == State::End { Joined::Last } else { Joined::Taken }
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
