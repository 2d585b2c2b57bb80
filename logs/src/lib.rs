//! Log lines, from the bytes of a source to an answer. Pure: no clock, no file is opened here.
//!
//! ```text
//! journal, parse  →  record  →  pattern, event
//!                       └────→  block  →  search
//! ```

pub mod block;
pub mod event;
pub mod journal;
pub mod message;
pub mod parse;
pub mod pattern;
pub mod query;
pub mod record;

pub use block::filter;
pub use record::{Record, Severity, Stream};
