//! Lines of text: from the bytes of a file, a container, the kernel to records.
//!
//! ```text
//! bytes → split → (container: whole lines of pieces) → line: time, severity, fields → multiline → Record
//!         kmsg  ──────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Nothing here asks for the time: it is an argument. Each bound is a constant, and what is over it goes out as it is.

mod container;
mod fields;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod json;
mod kmsg;
mod line;
mod logfmt;
pub mod multiline;
mod redact;
mod severity;
mod split;
mod syslog;
mod time;

pub use container::{Joined, MAX_JOINED_BYTES, Partials, Piece, Pipe, cri, docker};
pub use fields::{Fields, MAX_FIELD_NAME_BYTES, MAX_FIELD_VALUE_BYTES, MAX_LINE_FIELDS};
pub use json::object;
pub use kmsg::{Gaps, Kmsg, MAX_KMSG_FIELDS, kmsg};
pub use line::{Parsed, line};
pub use logfmt::logfmt;
pub use redact::{OpenKeys, REDACTED, redact, redact_field, secrets};
pub use severity::{of_level, of_word, of_words};
pub use split::{MAX_LINE_BYTES, RawLine, Splitter, UNENDED_HOLD_NS, text};
pub use time::{Clock, Stamp, leading};
