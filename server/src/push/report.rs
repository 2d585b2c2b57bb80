//! What became of a request.

use std::fmt::Write as _;

use crate::store::{Batch, Pushed};

/// Refusals that are told with their cause; more are counted.
const MAX_TOLD: usize = 5;
/// Longest cause, characters: names come from senders.
const MAX_CAUSE_CHARS: usize = 300;

/// Why a sample is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Its line or message is malformed.
    Malformed,
    /// Its time is out of range.
    Time,
    /// Too many, too long or wrong labels.
    Labels,
    /// Its name is one of the agents'.
    Name,
    /// It is above [`MAX_SAMPLES`](super::MAX_SAMPLES).
    TooMany,
    /// The store has as many series as it may.
    Series,
    /// Too many series are new in this minute.
    NewSeries,
}

impl Reason {
    /// All.
    pub const ALL: [Self; 7] =
        [Self::Malformed, Self::Time, Self::Labels, Self::Name, Self::TooMany, Self::Series, Self::NewSeries];

    /// Its word in `/metrics`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Time => "time",
            Self::Labels => "labels",
            Self::Name => "name",
            Self::TooMany => "request_size",
            Self::Series => "series",
            Self::NewSeries => "new_series",
        }
    }
}

/// A request that was read.
#[derive(Debug, Default)]
pub struct Parsed {
    /// Its good samples.
    pub batch: Batch,
    /// What was refused.
    pub report: Report,
}

/// What was refused and left out. Samples are counted; of what is malformed, lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    refused: [u64; Reason::ALL.len()],
    told: Vec<String>,
    /// Texts and native histograms: nothing here can be asked for them.
    pub left_out: u64,
    /// When a part of the refused would be taken, seconds.
    pub retry_after_s: Option<u64>,
    /// Line of the first that was refused, if there are lines.
    pub line: Option<u32>,
}

impl Report {
    /// Counts one that is refused: where it stands, and why.
    pub(super) fn refuse(&mut self, line: Option<u32>, (reason, why): (Reason, String)) {
        self.refuse_all(reason, 1, line, &why);
    }

    fn refuse_all(&mut self, reason: Reason, count: u64, line: Option<u32>, why: &str) {
        self.refused[reason as usize] += count;
        if self.told.is_empty() {
            self.line = line;
        }
        if self.told.len() < MAX_TOLD {
            let why = agent_common::text::clean(why).chars().take(MAX_CAUSE_CHARS).collect::<String>();
            self.told.push(line.map_or_else(|| why.clone(), |line| format!("line {line}: {why}")));
        }
    }

    /// Adds what the store did.
    pub(super) fn add(&mut self, done: &Pushed) {
        let first = |overflow: &Option<String>| overflow.clone().unwrap_or_default();
        if done.too_many.samples > 0 {
            let why = format!(
                "{}: the store has as many pushed series as it may (server.push.max_series): push fewer, or raise it",
                first(&done.too_many.first)
            );
            self.refuse_all(Reason::Series, done.too_many.samples, None, &why);
        }
        if done.too_fast.samples > 0 {
            let why = format!(
                "{}: too many series are new in this minute (server.push.new_series_per_minute): send them again",
                first(&done.too_fast.first)
            );
            self.refuse_all(Reason::NewSeries, done.too_fast.samples, None, &why);
            self.retry_after_s = Some(done.retry_after_s);
        }
    }

    /// How many were refused for a reason.
    pub fn refused(&self, reason: Reason) -> u64 {
        self.refused[reason as usize]
    }

    /// How many in all.
    pub fn all(&self) -> u64 {
        self.refused.iter().sum()
    }

    /// What was wrong, for people; nothing: all is well.
    pub fn message(&self) -> Option<String> {
        let all = self.all();
        if all == 0 {
            return None;
        }
        let mut text = self.told.join("; ");
        if all > self.told.len() as u64 {
            // SANITY: writing to a String cannot fail.
            write!(text, "; and more").expect("write to a String");
        }
        Some(format!("partial write: {text} dropped={all}"))
    }
}
