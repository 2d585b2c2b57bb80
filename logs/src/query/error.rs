//! What is wrong with a query, and why a search ended.

/// What is wrong with a query's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("query, at byte {at}: {what}")]
pub struct QueryError {
    /// Byte of the text at which it is.
    pub at: usize,
    /// What, and what would be right.
    pub what: String,
}

impl QueryError {
    pub(super) fn new(at: usize, what: impl Into<String>) -> Self {
        Self { at, what: what.into() }
    }
}

/// Why a search has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SearchError<E: std::error::Error + 'static> {
    /// The store cannot say what it has.
    #[error("cannot read the store of log lines")]
    Store(#[source] E),
    /// A histogram has too many steps, or none.
    #[error("a histogram of {steps} steps; at least 1, at most {max}")]
    Steps {
        /// Steps that were asked for.
        steps: u64,
        /// Steps at most.
        max: u64,
    },
}
