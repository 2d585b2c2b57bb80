//! Why a query has no answer.

use crate::reader::ReadError;

/// Whose fault it is, as the HTTP API of Prometheus tells it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request cannot be right: status 400.
    BadData,
    /// The query is well formed, and these series do not allow it: status 422.
    Execution,
    /// The time is over: status 503.
    Timeout,
}

/// The text is no query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// It is longer than any query needs to be.
    #[error("the query has {bytes} bytes; {limit} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// [`crate::MAX_QUERY_BYTES`].
        limit: usize,
    },
    /// Its parentheses and operators lie too deep in each other.
    #[error("the query nests deeper than {limit} levels")]
    TooDeep {
        /// [`crate::MAX_DEPTH`].
        limit: usize,
    },
    /// The grammar does not know it, or types do not fit.
    #[error("{0}")]
    Syntax(String),
    /// A call of a function of the user's own is wrong.
    #[error(transparent)]
    Macro(MacroError),
    /// A function or a modifier that is not there; the text says why.
    #[error("{what} is not supported: {reason}")]
    Unsupported {
        /// Its name.
        what: String,
        /// Why not.
        reason: &'static str,
    },
}

/// A definition or a call of a [`crate::Macro`] is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MacroError {
    /// The text does not define a function.
    #[error("expected `name(parameter, …) = expression`, got {0:?}")]
    Malformed(String),
    /// The language has a function, or a keyword, of that name.
    #[error("{0} is a name of the language")]
    Taken(String),
    /// Two parameters have the same name.
    #[error("{name} has the parameter {parameter} twice")]
    SameParameters {
        /// The function.
        name: String,
        /// The parameter.
        parameter: String,
    },
    /// A call has more or fewer arguments than there are parameters.
    #[error("{name}({}) has {wanted} arguments; this call has {given}", .parameters.join(", "))]
    Arguments {
        /// The function.
        name: String,
        /// Its parameters.
        parameters: Vec<String>,
        /// How many they are.
        wanted: usize,
        /// How many the call has.
        given: usize,
    },
    /// A call has no closing parenthesis.
    #[error("the call of {0} does not end")]
    Open(String),
    /// A body calls itself, perhaps through others.
    #[error("{0} calls itself")]
    Recursion(String),
    /// The expanded query is too long, or makes too many calls.
    #[error("expanded, the query is longer than {bytes} bytes or makes more than {calls} calls")]
    TooLarge {
        /// [`crate::MAX_QUERY_BYTES`].
        bytes: usize,
        /// [`crate::MAX_CALLS`].
        calls: usize,
    },
}

/// A query was not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The range has more steps than a series may have points.
    #[error("{points} points a series; at most {limit} are allowed: use a longer step")]
    TooManyPoints {
        /// Steps of the range.
        points: u64,
        /// [`crate::Options::max_points`].
        limit: usize,
    },
    /// The range ends before it begins, or has no step.
    #[error("{0}")]
    BadRange(&'static str),
    /// Such a query has no values over a range.
    #[error("a range query needs a scalar or an instant vector, not a {0}")]
    NotForRange(&'static str),
    /// More series were read than allowed.
    #[error("the query reads more than {limit} series")]
    TooManySeries {
        /// [`crate::Options::max_series`].
        limit: usize,
    },
    /// The values would take more memory than allowed.
    #[error("the query needs more than {limit} bytes of memory")]
    TooMuchMemory {
        /// [`crate::Options::max_bytes`].
        limit: usize,
    },
    /// The caller's time is over.
    #[error("the query took too long")]
    Timeout,
    /// Two series of a result have the same labels.
    #[error("vector cannot contain metrics with the same labelset: {0}")]
    SameLabels(String),
    /// A series of one side has more than one partner.
    #[error("{0}")]
    Matching(String),
    /// An argument has a value for which the function is not defined.
    #[error("{0}")]
    Argument(String),
    /// The store failed.
    #[error("the store did not answer")]
    Read(#[from] ReadError),
}

impl QueryError {
    /// Whose fault it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::TooManyPoints { .. } | Self::BadRange(_) | Self::NotForRange(_) => ErrorKind::BadData,
            Self::Timeout => ErrorKind::Timeout,
            Self::TooManySeries { .. }
            | Self::TooMuchMemory { .. }
            | Self::SameLabels(_)
            | Self::Matching(_)
            | Self::Argument(_)
            | Self::Read(_) => ErrorKind::Execution,
        }
    }
}

pub(crate) type Result<T, E = QueryError> = std::result::Result<T, E>;
