//! What can go wrong with a store, and what to do about it.

use std::error::Error;
use std::time::Duration;

/// The cause below a [`StoreError`].
type Cause = Box<dyn Error + Send + Sync>;

/// An error of a store. [`StoreError::retry_after`] says whether and when to try the same windows again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be reached or is overloaded; it may come back by itself.
    #[error("{what}")]
    Unavailable {
        /// One line for people: what was tried, where, what came of it.
        what: String,
        /// When to try again.
        retry_after: Duration,
        /// The cause.
        #[source]
        source: Option<Cause>,
    },
    /// Address, name, token or bucket is wrong: the configuration or the server must change.
    #[error("{what}")]
    Misconfigured {
        /// One line for people: which of them, and the cure.
        what: String,
        /// When to try again.
        retry_after: Duration,
        /// The cause.
        #[source]
        source: Option<Cause>,
    },
    /// No room on the disk, or the store's own limit is reached.
    #[error("no room for the store: {what}")]
    Full {
        /// Which file, which limit.
        what: String,
        /// When to try again.
        retry_after: Duration,
        /// The cause.
        #[source]
        source: Option<Cause>,
    },
    /// The store will never take this batch.
    #[error("{what}")]
    Rejected {
        /// What it said.
        what: String,
    },
    /// Its files are damaged or no database of this program.
    #[error("{what}")]
    Corrupt {
        /// Which file, and what was wrong.
        what: String,
        /// The cause.
        #[source]
        source: Option<Cause>,
    },
    /// A query asks for more than the stated bound.
    #[error("query would return more than {limit} samples; choose a shorter time, fewer series or a step")]
    TooMuch {
        /// The bound.
        limit: usize,
    },
    /// Another kind of store could do it.
    #[error("{what}")]
    Unsupported {
        /// What is not done, and where it is.
        what: &'static str,
    },
    /// [`super::Store::close`] was called.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// How long to wait before the same windows are written again; `None` when that is of no use.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. }
            | Self::Misconfigured { retry_after, .. }
            | Self::Full { retry_after, .. } => Some(*retry_after),
            Self::Rejected { .. }
            | Self::Corrupt { .. }
            | Self::TooMuch { .. }
            | Self::Unsupported { .. }
            | Self::Closed => None,
        }
    }

    /// The same error with another time to wait.
    #[must_use]
    pub(crate) fn after(mut self, wait: Duration) -> Self {
        if let Self::Unavailable { retry_after, .. }
        | Self::Misconfigured { retry_after, .. }
        | Self::Full { retry_after, .. } = &mut self
        {
            *retry_after = wait;
        }
        self
    }
}
