//! Host events: what the kernel and systemd say about the host, as class, severity, subject and text on one time line.
//!
//! ```text
//! record of the kernel (facility 0)  →  literals?  →  patterns  →  class, subject  ─┬→  event
//! entry of the journal (trusted unit) ──────────→  message id  →                    │   (same class and subject
//! lines of one trace  ────────────────────────────────────────→  one trace  ────────┘    within 60 s: one, counted)
//! ```
//!
//! Only who can be trusted makes events. User space can write to the kernel's log, but not with facility 0. Any process can send
//! a message id to the journal, but not with PID 1's `_PID` or a system unit's `_SYSTEMD_UNIT`. Lines of files make none.
//!
//! A caller that reads both `/dev/kmsg` and the journal gives the kernel's lines of only one of them.
//!
//! To add a class, add it to a table in `classes/`: its rules, its text for the reference page, examples and near misses, which
//! the tests read. A group's name in a pattern says what its match is: `(?P<device>…)`, `(?P<pid>…)`.

mod class;
mod classes;
mod finder;
mod reference;
mod subject;
mod trace;

use std::collections::{HashMap, VecDeque};

use agent_common::text::clean;
use agent_common::units::UnixNs;
use serde::{Deserialize, Serialize};

use crate::{Record, Severity};
use finder::{Found, MAX_LINE_BYTES, OOM_CONSTRAINT, field};
use trace::{Ended, Traces};

pub use class::Class;
pub use reference::reference;
pub use subject::{Subject, SubjectKind};

/// Within this time the same class and subject are one event.
const SAME_EVENT_NS: u64 = 60_000_000_000;
/// Events that may come again; about 1 KiB each.
const MAX_RECENT: usize = 1_024;
/// Units whose restarts are counted.
const MAX_UNITS: usize = 256;
/// Restarts within the time that are a loop.
const LOOP_RESTARTS: usize = 3;
const LOOP_NS: u64 = 600_000_000_000;
/// Bytes of an event's text.
const MAX_TEXT_BYTES: usize = 2_048;

/// Who wrote a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Read from `/dev/kmsg`, with the facility that is in its priority.
    Kernel {
        /// 0: the kernel itself.
        facility: u8,
    },
    /// An entry of the journal; its fields are the record's fields.
    Journal,
    /// A file, a container, a process: anybody.
    Other,
}

/// Something that happened on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Name of its class: see [`class()`].
    pub class: String,
    /// How grave.
    pub severity: Severity,
    /// What it is about.
    pub subject: Subject,
    /// The line, or the first lines of a trace with `\n` between them. Made harmless.
    pub text: String,
    /// Of a trace: the innermost function that tells something.
    pub function: Option<String>,
    /// The first line's time.
    pub at: UnixNs,
    /// The last line's time.
    pub last: UnixNs,
    /// How often it was seen within 60 s. Class, subject and `at` are the same when it is reported again with a higher count.
    pub count: u64,
    /// Position of its first record in its source.
    pub position: u64,
}

/// The class of this name.
#[must_use]
pub fn class(name: &str) -> Option<&'static Class> {
    finder::all().find(|class| class.name == name)
}

/// All classes.
pub fn classes() -> impl Iterator<Item = &'static Class> {
    finder::all()
}

/// Finds events in records, one after the other.
#[derive(Debug, Default)]
pub struct Events {
    traces: Traces,
    recent: HashMap<(&'static str, Subject), Recent>,
    order: VecDeque<(&'static str, Subject)>,
    restarts: HashMap<String, VecDeque<UnixNs>>,
    /// PID that will be killed, and the cgroup whose limit was reached.
    limited: Option<(u32, String)>,
    ended: Vec<Ended>,
}

#[derive(Debug)]
struct Recent {
    event: Event,
    reported: u64,
}

impl Events {
    /// None seen.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a record; adds the events that begin with it, and those that are over.
    pub fn feed(&mut self, record: &Record, origin: Origin, events: &mut Vec<Event>) {
        let text = &record.message[..record.message.floor_char_boundary(MAX_LINE_BYTES)];
        match origin {
            Origin::Kernel { facility: 0 } => self.kernel(record, text, events),
            Origin::Journal if field(record, "_TRANSPORT") == Some("kernel") => {
                if field(record, "SYSLOG_FACILITY") == Some("0") {
                    self.kernel(record, text, events);
                }
            }
            Origin::Journal => {
                if let Some(found) = finder::of_journal(record, text)
                    && self.is_told(&found, record.at)
                {
                    self.report(&found, record, text, events);
                }
            }
            Origin::Kernel { .. } | Origin::Other => {}
        }
    }

    /// Adds traces that have paused, and events that came again and whose 60 s are over. To be called every second.
    pub fn sweep(&mut self, now: UnixNs, events: &mut Vec<Event>) {
        self.traces.sweep(now, &mut self.ended);
        self.report_ended(events);
        while let Some(oldest) = self.order.front() {
            let is_over =
                self.recent.get(oldest).is_none_or(|recent| now.since(recent.event.at).0 >= SAME_EVENT_NS);
            if !is_over {
                break;
            }
            self.forget_oldest(events);
        }
    }

    fn kernel(&mut self, record: &Record, text: &str, events: &mut Vec<Event>) {
        let may_be = finder::may_be(text);
        if self.traces.is_empty() && !may_be {
            return;
        }
        self.traces.sweep(record.at, &mut self.ended);
        let found = if may_be { finder::of_kernel(text) } else { None };
        match &found {
            Some(found) if found.source == class::Source::Kernel => {
                self.report_ended(events);
                self.report(found, record, text, events);
                return;
            }
            None if text.starts_with(OOM_CONSTRAINT) => self.limited = limit_of(text),
            _ => self.traces.feed(record, text, found.as_ref(), &mut self.ended),
        }
        self.report_ended(events);
    }

    /// Whether an entry is an event: of restarts only the third within ten minutes.
    fn is_told(&mut self, found: &Found, at: UnixNs) -> bool {
        if found.source != class::Source::Init(classes::RESTART_SCHEDULED) {
            return true;
        }
        if self.restarts.len() >= MAX_UNITS && !self.restarts.contains_key(&found.subject.name) {
            self.restarts.retain(|_, times| times.back().is_some_and(|last| at.since(*last).0 < LOOP_NS));
            if self.restarts.len() >= MAX_UNITS {
                self.restarts.clear();
            }
        }
        let times = self.restarts.entry(found.subject.name.clone()).or_default();
        times.push_back(at);
        while times.len() > LOOP_RESTARTS || times.front().is_some_and(|first| at.since(*first).0 > LOOP_NS) {
            times.pop_front();
        }
        times.len() >= LOOP_RESTARTS
    }

    fn report(&mut self, found: &Found, record: &Record, text: &str, events: &mut Vec<Event>) {
        let mut shown = clean_text([text]);
        if found.class.name == "oom-kill-cgroup"
            && let Some((pid, cgroup)) = self.limited.take()
            && pid == found.subject.pid
        {
            shown.push_str(" (limit of ");
            shown.push_str(&cgroup);
            shown.push(')');
        }
        self.add(
            found.class,
            Event {
                class: found.class.name.to_owned(),
                severity: found.class.severity,
                subject: found.subject.clone(),
                text: shown,
                function: None,
                at: record.at,
                last: record.at,
                count: 1,
                position: record.position,
            },
            events,
        );
    }

    fn report_ended(&mut self, events: &mut Vec<Event>) {
        for ended in std::mem::take(&mut self.ended) {
            let event = Event {
                class: ended.class.name.to_owned(),
                severity: ended.class.severity,
                text: clean_text(ended.lines.iter().map(String::as_str)),
                subject: ended.subject,
                function: ended.function,
                at: ended.at,
                last: ended.at,
                count: 1,
                position: ended.position,
            };
            self.add(ended.class, event, events);
        }
    }

    /// Reports an event, or counts it to one of the last 60 s.
    fn add(&mut self, class: &'static Class, event: Event, events: &mut Vec<Event>) {
        let key = (class.name, event.subject.clone());
        if let Some(recent) = self.recent.get_mut(&key) {
            if event.at.since(recent.event.at).0 < SAME_EVENT_NS {
                recent.event.count += 1;
                recent.event.last = recent.event.last.max(event.last);
                return;
            }
            self.forget(&key, events);
            self.order.retain(|other| *other != key);
        }
        if self.recent.len() >= MAX_RECENT {
            self.forget_oldest(events);
        }
        events.push(event.clone());
        self.order.push_back(key.clone());
        self.recent.insert(key, Recent { event, reported: 1 });
    }

    fn forget_oldest(&mut self, events: &mut Vec<Event>) {
        if let Some(oldest) = self.order.pop_front() {
            self.forget(&oldest, events);
        }
    }

    fn forget(&mut self, key: &(&'static str, Subject), events: &mut Vec<Event>) {
        if let Some(recent) = self.recent.remove(key)
            && recent.event.count > recent.reported
        {
            events.push(recent.event);
        }
    }
}

/// The first lines, harmless, cut.
fn clean_text<'a>(lines: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for line in lines {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&clean(&line[..line.floor_char_boundary(MAX_TEXT_BYTES)]));
        if text.len() > MAX_TEXT_BYTES {
            text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
            break;
        }
    }
    text
}

/// PID and cgroup of `oom-kill:constraint=CONSTRAINT_MEMCG,…,oom_memcg=/a,task_memcg=/a/b,task=c,pid=1,uid=0`.
fn limit_of(text: &str) -> Option<(u32, String)> {
    let (_, rest) = text.split_once(",oom_memcg=")?;
    let (cgroup, rest) = rest.split_once(",task_memcg=")?;
    let pid = rest.rsplit_once(",pid=")?.1.split(',').next()?.parse().ok()?;
    Some((pid, clean(&cgroup[..cgroup.floor_char_boundary(256)])))
}

#[cfg(test)]
mod tests;
