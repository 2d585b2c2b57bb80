//! Searching blocks: what a query says, which blocks can have an answer, and which of their lines are one.
//!
//! ```text
//! text → Expr ──→ on headers and filters: which blocks          ──→ on columns: which lines ──→ newest first
//!                 (all lines, none, or it has to be looked at)
//! ```
//!
//! # The language
//!
//! | written | a line matches if |
//! |---|---|
//! | `timeout` | its message or a field's value has this word, in any case |
//! | `10.0.0.1`, `"connection refused"` | has these words next to each other, with what is between them |
//! | `time*` | has a word that begins so |
//! | `=Timeout`, `="Connection Refused"` | as above, in this case alone |
//! | `~time.?out`, `~"a \| b"` | the regular expression matches within its message or a field's value |
//! | `status=500`, `path="/a b"`, `status!=500` | has (has not) a field of this name and value |
//! | `path~^/api/`, `path!~^/api/` | has (has not) a field whose value the expression matches |
//! | `trace=*` | has a field of this name |
//! | `unit=nginx.service`, `comm~^kworker` … | the label of its stream: `source file unit container pod namespace comm stream`, `host` |
//! | `field.unit=x`, `label.x=y` | a field that is called as a label; a label of another name |
//! | `severity>=warning`, `severity=error` | is at least so grave; has this severity |
//! | `pid=4711` | is of this process |
//! | `time>=2026-11-30T18:00:00Z`, `time<1796061600` | was written then: RFC 3339, or seconds since 1970; not within `OR`, `NOT` |
//! | `a b`, `a AND b` | both match |
//! | `a OR b` | one does; binds less than `AND` |
//! | `-a`, `NOT a` | does not match |
//! | `(a OR b) c` | groups |
//!
//! A word is a run of letters, digits, `_` and all that is not ASCII. Regular expressions are those of Rust's `regex`, not anchored,
//! and do mind case unless they begin with `(?i)`.

mod bits;
mod engine;
mod error;
mod expr;
mod histogram;
mod needs;
mod parse;
mod pattern;
mod phrase;
mod possible;
mod record;
mod scan;
mod search;
mod time;

use agent_common::units::UnixNs;

pub use engine::{Blocks, Candidate, Effort, Limits, MAX_THREADS, Stop};
pub use error::{QueryError, SearchError};
pub use expr::{Expr, LABELS, Test};
pub use histogram::{Counts, Histogram, MAX_STEPS, histogram};
pub use pattern::Pattern;
pub use phrase::Phrase;
pub use possible::{Possible, possible};
pub use scan::Scanner;
pub use search::{Answer, Hit, MAX_LINES_OF_ANSWER, search};

/// Text of a query at most.
pub const MAX_QUERY_BYTES: usize = 16 << 10;
/// Terms of a query at most; each may take a pass over all text.
pub const MAX_TERMS: usize = 256;
/// Groups within groups at most: each is a call on the stack.
pub const MAX_DEPTH: usize = 32;
/// Regular expressions of a query at most.
pub const MAX_PATTERNS: usize = 16;
/// Text of a regular expression at most.
pub const MAX_PATTERN_BYTES: usize = 4 << 10;
/// A compiled regular expression at most: a fifth of what the `regex` crate allows by itself, as there may be 16 of them.
pub const MAX_REGEX_BYTES: usize = 2 << 20;

/// What is searched for, and when.
#[derive(Debug, Clone)]
pub struct Query {
    /// The oldest time that a line may have.
    pub from: UnixNs,
    /// Lines are older than this.
    pub to: UnixNs,
    /// What lines match.
    pub expr: Expr,
}

impl Default for Query {
    fn default() -> Self {
        Self { from: UnixNs(0), to: UnixNs(u64::MAX), expr: Expr::All(Vec::new()) }
    }
}

impl Query {
    /// What the text says; an empty one matches every line.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        parse::parse(text)
    }

    /// The lines that match this and `expr`.
    #[must_use]
    pub fn and(mut self, expr: Expr) -> Self {
        self.expr = self.expr.and(expr);
        self.expr.cheap_first();
        self
    }

    /// Only what was written in this time, the beginning included, the end not.
    #[must_use]
    pub fn within(mut self, from: UnixNs, to: UnixNs) -> Self {
        self.from = self.from.max(from);
        self.to = self.to.min(to);
        self
    }
}

/// What a fuzz target runs: no block does harm, to searches neither.
///
/// # Panics
///
/// If that is not so.
#[cfg(feature = "fuzz")]
pub fn fuzz_search(bytes: &[u8]) {
    let queries = ["error ended", "n1=2 ~7.q", "-n3~5 pid=1", "n70=*", "~[0-9]+x"];
    let queries = queries.map(|text| Query::parse(text).expect("a query"));
    crate::block::fuzz(bytes, |block, codec| {
        // All of them, whatever the first says.
        queries.iter().filter(|query| query.lines(block, codec).is_err()).count() == 0
    });
}

/// What a fuzz target runs: no text makes the parser or the matcher fail.
///
/// # Panics
///
/// If that is not so.
#[cfg(feature = "fuzz")]
pub fn fuzz(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (query, line) = text.split_once('\n').unwrap_or((&text, ""));
    let Ok(query) = Query::parse(query) else { return };
    let record = crate::Record {
        at: UnixNs(1),
        severity: crate::Severity::Error,
        pid: 1,
        start_ns: 1,
        position: 1,
        message: line.to_owned(),
        fields: vec![("name".to_owned(), line.to_owned())],
    };
    let stream = crate::Stream::new([("unit", "x")]);
    let matches = query.matches(&stream, &record);
    let mut codec = crate::block::Codec::new();
    let mut builder = crate::block::Builder::new(stream).expect("a short label");
    if builder.push(&record).is_err() {
        return;
    }
    let (bytes, filter) = builder.finish_with_filter(&mut codec).expect("compresses").expect("a line");
    let block = crate::block::Block::open(&bytes).expect("a sound block");
    let hits = query.lines(&block, &mut codec).expect("a sound block");
    assert_eq!(hits.len(), usize::from(matches));
    if matches {
        assert!(
            possible(&query, block.header(), &mut |token| crate::block::filter::may_have_in(token, &filter))
                .some
        );
    }
}
