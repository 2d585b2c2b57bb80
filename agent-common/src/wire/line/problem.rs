//! What can be wrong with a payload, and its bounds.

/// Longest line, bytes. A point with 60 fields is below 2 KiB; the bound keeps a garbage payload from being copied.
pub const MAX_LINE_BYTES: usize = 64 * 1024;
/// Most tags a point has. InfluxDB has no bound; each one is part of the series' identity.
pub const MAX_TAGS: usize = 64;
/// Most fields a point has.
pub const MAX_FIELDS: usize = 1024;

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The payload is not text.
    #[error("not UTF-8")]
    NotUtf8,
    /// See [`MAX_LINE_BYTES`].
    #[error("line longer than {MAX_LINE_BYTES} bytes")]
    TooLong,
    /// See [`MAX_TAGS`].
    #[error("more than {MAX_TAGS} tags")]
    TooManyTags,
    /// See [`MAX_FIELDS`].
    #[error("more than {MAX_FIELDS} fields")]
    TooManyFields,
    /// The line begins with `,` or a space.
    #[error("measurement missing")]
    NoMeasurement,
    /// `,=v` or `,k=`, or a tag without `=`.
    #[error("tag without name or value")]
    BadTag,
    /// No space after the tags, or nothing after it.
    #[error("fields missing")]
    NoFields,
    /// A field without a name or `=`.
    #[error("field without name or value")]
    BadField,
    /// Not a number, integer, boolean or quoted string.
    #[error("value is not a float, an integer with `i`, a boolean or a quoted string")]
    BadValue,
    /// `1u`: InfluxDB 1 refuses it, so it never goes on the wire.
    #[error("unsigned integer; use `i`")]
    Unsigned,
    /// An integer outside i64.
    #[error("integer out of range")]
    IntRange,
    /// NaN or infinite, or a literal that overflows to it.
    #[error("number is not finite")]
    NotFinite,
    /// The quote is never closed.
    #[error("string without closing quote")]
    OpenString,
    /// A control character in a name, tag or value.
    #[error("control character")]
    Control,
    /// No time at the end.
    #[error("time missing")]
    NoTime,
    /// Not a decimal number of nanoseconds from 0 to `i64::MAX`.
    #[error("time is not a number of nanoseconds since 1970")]
    BadTime,
    /// Something follows the time.
    #[error("text after the time")]
    Trailing,
}

/// Where a payload is wrong, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct LineError {
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// What is wrong.
    pub problem: Problem,
}

/// The payload as text, or the place of its first byte that is none.
pub fn text(payload: &[u8]) -> Result<&str, LineError> {
    std::str::from_utf8(payload).map_err(|error| {
        let good = &payload[..error.valid_up_to()];
        let start = good.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1);
        LineError {
            line: good.split(|&b| b == b'\n').count() as u32,
            column: 1 + String::from_utf8_lossy(&good[start..]).chars().count() as u32,
            problem: Problem::NotUtf8,
        }
    })
}
