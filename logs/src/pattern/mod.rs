//! Line patterns: lines that one log statement wrote, found by what stays the same in them, with counts over time.
//!
//! ```text
//! line  →  mask (numbers, paths, quotes, lists, fields)  →  text known?  →  pattern, counts, news
//!                                                            └ no: template that fits, else a new one,
//!                                                              merged with those that are the same statement
//! ```
//!
//! A pattern's id is the hash of its text, so it is the same on every host and after a restart. Where many variants show that
//! a word is a parameter, their patterns become one with a more general text, and thus with another id. The old ids lead to
//! it: [`Patterns::current`]. Such a pattern is not new: it has the counts of all that it was made of.

mod arrange;
mod bytes;
mod chunk;
mod counts;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod hash;
mod mask;
mod merge;
mod set;
mod snapshot;
mod template;
mod trace;
mod words;

use std::collections::{HashMap, VecDeque};
use std::fmt;

use agent_common::units::{DurNs, UnixNs};
use serde::{Deserialize, Serialize};

use crate::{Severity, Stream};
use mask::Masked;
use set::PatternSet;

pub use set::MAX_PATTERNS;
pub use snapshot::Snapshot;

/// Streams whose patterns are kept; a host has some hundred units and containers.
pub const MAX_STREAMS: usize = 1_024;
/// Finished minutes that wait for [`Patterns::take_minutes`]; 40 B each.
const MAX_MINUTES: usize = 65_536;

/// Names a pattern: hash of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PatternId(pub u64);

impl PatternId {
    /// Of lines that found no room: too many new patterns within a minute.
    pub const OTHER: Self = Self(0);

    fn of(text: &str) -> Self {
        Self(hash::hash(text.as_bytes()).max(1))
    }
}

impl fmt::Display for PatternId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A line whose pattern is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// Its text; several lines have `\n` between them.
    pub message: &'a str,
    /// How grave.
    pub severity: Severity,
    /// When.
    pub at: UnixNs,
    /// The process that wrote it is in trouble: a new pattern of any severity is news.
    pub failing: bool,
}

/// The pattern of a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// The pattern.
    pub id: PatternId,
    /// No line of it was seen before.
    pub born: bool,
    /// What is worth a look, if anything.
    pub news: Option<News>,
}

/// Why a pattern is worth a look.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum News {
    /// First seen after 10 min of learning, and at least a warning, or of a failing process.
    New,
    /// More than 10 × (mean + 5) lines in the running minute. Said once until it is over.
    Exploding {
        /// Lines in the running minute so far.
        lines: u32,
        /// Lines a minute, mean of the hour before.
        mean: f64,
    },
    /// It was periodic, and five periods have passed without it. Said once.
    Vanished {
        /// Its period.
        period_ns: DurNs,
        /// When it was last seen.
        last: UnixNs,
    },
}

/// Lines of a pattern in one minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Minute {
    /// The stream.
    pub stream: Stream,
    /// The pattern.
    pub id: PatternId,
    /// Minutes since the Unix epoch.
    pub minute: u64,
    /// Lines.
    pub lines: u32,
}

/// What is known of a pattern.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    /// The pattern.
    pub id: PatternId,
    /// Its text: `<*>` is a parameter, `<**>` some words, `<fields>` some `key=value`.
    pub text: String,
    /// Its first line, without those that follow.
    pub example: String,
    /// The gravest that a line of it was.
    pub severity: Severity,
    /// Lines so far.
    pub lines: u64,
    /// Lines in the running minute.
    pub lines_in_minute: u32,
    /// Lines a minute, mean of the hour before.
    pub mean_per_minute: f64,
    /// First seen.
    pub first: UnixNs,
    /// Last seen.
    pub last: UnixNs,
}

/// What was left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// Lines that were given [`PatternId::OTHER`].
    pub overflow: u64,
    /// Patterns that made room for others.
    pub evicted: u64,
    /// Streams that made room for others.
    pub streams: u64,
    /// Finished minutes that nobody took in time.
    pub minutes: u64,
}

/// The patterns of all streams.
#[derive(Debug, Default)]
pub struct Patterns {
    sets: Vec<(Stream, PatternSet)>,
    by_stream: HashMap<Stream, usize>,
    /// By a fast hash of the labels; whether it is the stream is compared.
    fast: HashMap<u64, usize, hash::AsIs>,
    last: usize,
    masked: Masked,
    minutes: VecDeque<(usize, PatternId, u64, u32)>,
    uses: Vec<u64>,
    used: u64,
    losses: Losses,
}

impl Patterns {
    /// None known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The pattern of a line; counts it.
    pub fn of(&mut self, stream: &Stream, line: &Line<'_>) -> Seen {
        let nth = self.stream(stream);
        self.used += 1;
        self.masked.mask(line.message);
        let (minutes, losses) = (&mut self.minutes, &mut self.losses);
        let mut finish = |id, minute, lines| keep_minute(minutes, losses, (nth, id, minute, lines));
        self.uses[nth] = self.used;
        self.sets[nth].1.of(&self.masked, line, &mut finish)
    }

    /// The pattern that a line's pattern has become part of, else the id itself.
    #[must_use]
    pub fn current(&self, stream: &Stream, id: PatternId) -> PatternId {
        self.by_stream.get(stream).map_or(id, |nth| self.sets[*nth].1.current(id))
    }

    /// The patterns of a stream, in no order.
    pub fn patterns(&self, stream: &Stream) -> impl Iterator<Item = Pattern> {
        self.by_stream.get(stream).into_iter().flat_map(|nth| self.sets[*nth].1.templates()).map(|template| {
            let (lines_in_minute, mean_per_minute) = template.counts.rate();
            Pattern {
                id: template.id,
                text: template.text.clone(),
                example: template.example.clone(),
                severity: template.severity,
                lines: template.counts.lines,
                lines_in_minute,
                mean_per_minute,
                first: UnixNs(template.counts.first_ns),
                last: UnixNs(template.counts.last_ns),
            }
        })
    }

    /// The text of a stream's pattern.
    #[must_use]
    pub fn text(&self, stream: &Stream, id: PatternId) -> Option<&str> {
        let mut templates = self.sets[*self.by_stream.get(stream)?].1.templates();
        templates.find(|template| template.id == id).map(|template| template.text.as_str())
    }

    /// All streams, in no order.
    pub fn streams(&self) -> impl Iterator<Item = &Stream> {
        self.sets.iter().map(|(stream, _)| stream)
    }

    /// What has not come since it should have; ends the minutes that are over. To be called every few seconds.
    pub fn sweep(&mut self, now: UnixNs) -> Vec<(Stream, PatternId, News)> {
        let mut vanished = Vec::new();
        for (nth, (stream, set)) in self.sets.iter_mut().enumerate() {
            for template in set.templates_mut() {
                if let Some(finished) = template.counts.close(now.0) {
                    let minute = (nth, template.id, finished.minute, finished.lines);
                    keep_minute(&mut self.minutes, &mut self.losses, minute);
                }
                if template.counts.vanishes(now.0) {
                    let period_ns = DurNs(template.counts.period_ns());
                    let last = UnixNs(template.counts.last_ns);
                    vanished.push((stream.clone(), template.id, News::Vanished { period_ns, last }));
                }
            }
        }
        vanished
    }

    /// The minutes that have ended since the last call.
    pub fn take_minutes(&mut self) -> Vec<Minute> {
        let sets = &self.sets;
        self.minutes
            .drain(..)
            .map(|(nth, id, minute, lines)| Minute { stream: sets[nth].0.clone(), id, minute, lines })
            .collect()
    }

    /// Drops the minutes that have ended since the last call, where nobody asks for them.
    pub fn drop_minutes(&mut self) {
        self.minutes.clear();
    }

    /// What was left out.
    #[must_use]
    pub fn losses(&self) -> Losses {
        self.sets.iter().fold(self.losses, |losses, (_, set)| Losses {
            overflow: losses.overflow + set.overflow,
            evicted: losses.evicted + set.evicted,
            ..losses
        })
    }

    /// Where a stream's patterns lie. Lines come in runs of one stream.
    fn stream(&mut self, stream: &Stream) -> usize {
        if self.sets.get(self.last).is_none_or(|(last, _)| last != stream) {
            self.last = self.find(stream);
        }
        self.last
    }

    fn find(&mut self, stream: &Stream) -> usize {
        let mut key = 0_u64;
        for (name, value) in stream.labels() {
            key = key.rotate_left(7)
                ^ hash::hash(name.as_bytes())
                ^ hash::hash(value.as_bytes()).rotate_left(32);
        }
        if let Some(nth) = self.fast.get(&key)
            && self.sets.get(*nth).is_some_and(|(known, _)| known == stream)
        {
            return *nth;
        }
        let nth = match self.by_stream.get(stream) {
            Some(nth) => *nth,
            None => self.add(stream),
        };
        if self.fast.len() >= 2 * MAX_STREAMS {
            self.fast.clear();
        }
        self.fast.insert(key, nth);
        nth
    }

    fn add(&mut self, stream: &Stream) -> usize {
        let nth = if self.sets.len() < MAX_STREAMS {
            self.sets.push((stream.clone(), PatternSet::default()));
            self.uses.push(0);
            self.sets.len() - 1
        } else {
            let nth = self.uses.iter().enumerate().min_by_key(|(_, used)| **used).map_or(0, |(nth, _)| nth);
            let (old, set) = std::mem::replace(&mut self.sets[nth], (stream.clone(), PatternSet::default()));
            self.by_stream.remove(&old);
            self.losses.streams += 1;
            self.losses.overflow += set.overflow;
            self.losses.evicted += set.evicted;
            let before = self.minutes.len();
            self.minutes.retain(|(of, ..)| *of != nth);
            self.losses.minutes += (before - self.minutes.len()) as u64;
            nth
        };
        self.by_stream.insert(stream.clone(), nth);
        nth
    }
}

fn keep_minute(
    minutes: &mut VecDeque<(usize, PatternId, u64, u32)>,
    losses: &mut Losses,
    minute: (usize, PatternId, u64, u32),
) {
    if minutes.len() >= MAX_MINUTES {
        minutes.pop_front();
        losses.minutes += 1;
    }
    minutes.push_back(minute);
}

#[cfg(test)]
mod tests;
