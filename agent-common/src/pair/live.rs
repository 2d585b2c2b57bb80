//! Questions about this moment that the API asks the collector by way of the relay, and their answers.

use serde::{Deserialize, Serialize};

/// Longest past that is asked for, seconds: what the collector remembers.
pub const MAX_PAST_S: u32 = 300;
/// Longest time that is waited for, seconds.
pub const MAX_AHEAD_S: u32 = 60;
/// Largest answer.
pub const MAX_LIVE_ANSWER: usize = 4 << 20;

/// What is asked. All of it is read-only, about one process, and of numbers alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Live {
    /// Its stacks, on the CPU and waiting: a packed block of a profile.
    Stacks {
        /// The process.
        pid: u32,
        /// When.
        span: LiveSpan,
    },
    /// What it does: threads, waits, findings: a report as JSON.
    Report {
        /// The process.
        pid: u32,
        /// When.
        span: LiveSpan,
    },
}

/// Which seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LiveSpan {
    /// The last ones.
    Past(u32),
    /// Those that begin now.
    Ahead(u32),
}

impl LiveSpan {
    /// How many.
    pub const fn seconds(self) -> u32 {
        match self {
            Self::Past(seconds) | Self::Ahead(seconds) => seconds,
        }
    }

    /// Whether they are as few as they may be.
    pub const fn is_bounded(self) -> bool {
        match self {
            Self::Past(seconds) => seconds >= 1 && seconds <= MAX_PAST_S,
            Self::Ahead(seconds) => seconds >= 1 && seconds <= MAX_AHEAD_S,
        }
    }
}

impl Live {
    /// Which process.
    pub const fn pid(self) -> u32 {
        match self {
            Self::Stacks { pid, .. } | Self::Report { pid, .. } => pid,
        }
    }

    /// Which seconds.
    pub const fn span(self) -> LiveSpan {
        match self {
            Self::Stacks { span, .. } | Self::Report { span, .. } => span,
        }
    }

    /// Whether it asks for no more than may be asked for.
    pub const fn is_bounded(self) -> bool {
        self.pid() != 0 && self.span().is_bounded()
    }
}

/// A question on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveQuestion {
    /// The relay's number of it.
    pub id: u64,
    /// What is asked.
    pub live: Live,
}

/// What is answered: what [`Live`] says, or why not.
pub type LiveResult = Result<Vec<u8>, LiveFailure>;

/// An answer on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveAnswer {
    /// The number of the question.
    pub id: u64,
    /// The answer.
    pub result: LiveResult,
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{why}")]
pub struct LiveFailure {
    /// What kind.
    pub kind: LiveFailureKind,
    /// For people.
    pub why: String,
}

/// Kinds of [`LiveFailure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LiveFailureKind {
    /// There is no such process.
    NoProcess,
    /// Nothing was observed in that time.
    NoData,
    /// Too many questions.
    Busy,
    /// It asks for more than may be asked for.
    Refused,
    /// It should have worked.
    Broken,
}

impl LiveFailure {
    /// A failure of this kind.
    pub fn new(kind: LiveFailureKind, why: impl Into<String>) -> Self {
        Self { kind, why: why.into() }
    }
}
