//! The last lines of processes: what a post-mortem looks at when one of them ends.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use logs::{Record, Severity, Stream};
use postmortem::facts::Line;

/// Processes, and lines of each, that are remembered; with the text below some 4 MiB.
const MAX_PROCESSES: usize = 256;
const MAX_LINES: usize = 24;
const MAX_TEXT_BYTES: usize = 640;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    lines: HashMap<u32, VecDeque<Line>>,
    /// Processes in the order of their first line.
    order: VecDeque<u32>,
}

impl Recent {
    /// Takes a line of a process.
    pub(super) fn add(&self, stream: &Stream, record: &Record, new_pattern: bool) {
        if record.pid == 0 {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = &mut *kept;
        if !kept.lines.contains_key(&record.pid) {
            if kept.order.len() >= MAX_PROCESSES
                && let Some(oldest) = kept.order.pop_front()
            {
                kept.lines.remove(&oldest);
            }
            kept.order.push_back(record.pid);
        }
        let lines = kept.lines.entry(record.pid).or_default();
        if lines.len() >= MAX_LINES {
            // The first error of a burst tells more than what follows it: what is less grave goes first.
            let spare = lines.iter().position(|line| line.severity > Severity::Warning as u8).unwrap_or(0);
            lines.remove(spare);
        }
        let place = stream.get("file").or(stream.get("source")).unwrap_or("log");
        lines.push_back(Line {
            at_ns: record.at.0,
            severity: record.severity as u8,
            text: record.message[..record.message.floor_char_boundary(MAX_TEXT_BYTES)].to_owned(),
            reference: format!("{place}:{}", record.position),
            new_pattern,
        });
    }

    /// The lines of a process, oldest first.
    pub(crate) fn of(&self, pid: u32) -> Vec<Line> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.lines.get(&pid).map(|lines| lines.iter().cloned().collect()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use agent_common::units::UnixNs;

    use super::*;

    fn record(pid: u32, position: u64, severity: Severity) -> Record {
        let message = format!("line {position}");
        Record { at: UnixNs(position), severity, pid, start_ns: 0, position, message, fields: Vec::new() }
    }

    #[test]
    fn what_is_grave_stays_and_so_do_only_so_many() {
        let (recent, stream) = (Recent::default(), Stream::new([("source", "journal")]));
        recent.add(&stream, &record(7, 0, Severity::Error), true);
        for position in 1..100 {
            recent.add(&stream, &record(7, position, Severity::Info), false);
        }
        let lines = recent.of(7);
        assert_eq!(lines.len(), MAX_LINES);
        assert_eq!((lines[0].text.as_str(), lines[0].new_pattern), ("line 0", true));
        assert_eq!(lines.last().map(|line| line.reference.as_str()), Some("journal:99"));
        for pid in 100..100 + MAX_PROCESSES as u32 {
            recent.add(&stream, &record(pid, 1, Severity::Info), false);
        }
        assert!(recent.of(7).is_empty() && recent.of(100).len() == 1);
        recent.add(&stream, &record(0, 1, Severity::Info), false);
        assert!(recent.of(0).is_empty(), "whose it is is not known");
    }
}
