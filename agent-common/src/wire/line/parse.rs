//! Parser of the line protocol: strict, bounded, and it goes on after a bad line.

use std::borrow::Cow;

use super::{FieldValue, Point};
use crate::units::UnixNs;

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

/// The points of a payload, in order. Empty lines and comments (`#`) are passed over.
pub fn parse(text: &str) -> impl Iterator<Item = Result<Point, LineError>> {
    lines(text).map(|line| line.map(|line| line.to_point()))
}

/// Like [`parse`] without copying: the store reads 2,400 values a second and host this way.
pub fn lines(text: &str) -> Lines<'_> {
    Lines { rest: text, number: 0 }
}

/// One well-formed line.
#[derive(Debug, Clone, PartialEq)]
pub struct Line<'a> {
    /// Measurement and tags as they stand in the line: equal text, equal series.
    pub key: &'a str,
    /// Names and values.
    pub fields: Vec<(Cow<'a, str>, Value<'a>)>,
    /// When.
    pub time: UnixNs,
}

/// Value of a field, borrowed from the line.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// `1i`
    Int(i64),
    /// `1.0`
    Float(f64),
    /// `true`
    Bool(bool),
    /// `"…"`, unescaped.
    Text(Cow<'a, str>),
}

impl<'a> Line<'a> {
    /// The measurement, unescaped.
    pub fn measurement(&self) -> Cow<'a, str> {
        let end = find_unescaped(self.key, |b| b == b',');
        unescape(&self.key[..end])
    }

    /// The tags, unescaped, in the order of the line.
    pub fn tags(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + use<'a> {
        let key = self.key;
        let mut at = find_unescaped(key, |b| b == b',');
        std::iter::from_fn(move || {
            let rest = key.get(at + 1..).filter(|rest| !rest.is_empty())?;
            let end = find_unescaped(rest, |b| b == b',');
            let equals = find_unescaped(&rest[..end], |b| b == b'=');
            at += 1 + end;
            let value = rest.get(equals + 1..end).unwrap_or("");
            Some((unescape(&rest[..equals]), unescape(value)))
        })
    }

    /// An owned copy.
    pub fn to_point(&self) -> Point {
        Point {
            measurement: self.measurement().into_owned().into(),
            tags: self.tags().map(|(k, v)| (k.into_owned().into(), v.into_owned())).collect(),
            fields: self
                .fields
                .iter()
                .map(|(k, v)| {
                    let value = match v {
                        Value::Int(v) => FieldValue::Int(*v),
                        Value::Float(v) => FieldValue::Float(*v),
                        Value::Bool(v) => FieldValue::Bool(*v),
                        Value::Text(v) => FieldValue::Text(v.to_string()),
                    };
                    (k.to_string().into(), value)
                })
                .collect(),
            time: self.time,
        }
    }
}

/// Iterator of [`lines`].
#[derive(Debug, Clone)]
pub struct Lines<'a> {
    rest: &'a str,
    number: u32,
}

impl<'a> Lines<'a> {
    /// What has not been read yet.
    pub fn rest(&self) -> &'a str {
        self.rest
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Result<Line<'a>, LineError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            self.number = self.number.saturating_add(1);
            // `find` searches by words, a loop over bytes does not.
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            let line = &self.rest[..end];
            self.rest = self.rest.get(end + 1..).unwrap_or("");
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            return Some(Scanner { line, at: 0 }.line().map_err(|(at, problem)| LineError {
                line: self.number,
                column: 1 + String::from_utf8_lossy(&line.as_bytes()[..at.min(line.len())]).chars().count()
                    as u32,
                problem,
            }));
        }
    }
}

/// Offset and problem.
type Refused = (usize, Problem);

/// `,` and space.
const SEPARATOR: u8 = 1;
/// `=`.
const EQUALS: u8 = 2;
/// `\`.
const BACKSLASH: u8 = 4;
/// What each byte means in a name; most mean nothing.
const CLASS: [u8; 256] = {
    let mut table = [0; 256];
    table[b',' as usize] = SEPARATOR;
    table[b' ' as usize] = SEPARATOR;
    table[b'=' as usize] = EQUALS;
    table[b'\\' as usize] = BACKSLASH;
    table
};

struct Scanner<'a> {
    line: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn line(mut self) -> Result<Line<'a>, Refused> {
        if self.line.len() > MAX_LINE_BYTES {
            return Err((0, Problem::TooLong));
        }
        // A tab is allowed inside strings; everything else below 0x20 is not. The writer makes none. The first pass has
        // no early end, so that it is done sixteen bytes at a time.
        let control = |b: u8| (b < 0x20 && b != b'\t') || b == 0x7f;
        if self.line.bytes().fold(false, |found, b| found | control(b)) {
            return Err((self.line.bytes().position(control).unwrap_or(0), Problem::Control));
        }
        let key = self.key()?;
        let fields = self.fields()?;
        let time = self.time()?;
        Ok(Line { key, fields, time })
    }

    fn peek(&self) -> Option<u8> {
        self.line.as_bytes().get(self.at).copied()
    }

    fn fail<T>(&self, problem: Problem) -> Result<T, Refused> {
        Err((self.at, problem))
    }

    /// Advances to the next unescaped byte that ends a name: `,` or space, and `=` when `ends` has it too. Says
    /// whether there was a backslash.
    fn name(&mut self, ends: u8) -> (&'a str, bool) {
        let bytes = self.line.as_bytes();
        let start = self.at;
        let mut escaped = false;
        while let Some(&b) = bytes.get(self.at) {
            let class = CLASS[b as usize];
            if class == 0 {
                self.at += 1;
            } else if class == BACKSLASH {
                escaped = true;
                self.at += if matches!(bytes.get(self.at + 1), Some(b',' | b'=' | b' ')) { 2 } else { 1 };
            } else if class & ends != 0 {
                break;
            } else {
                self.at += 1;
            }
        }
        (&self.line[start..self.at], escaped)
    }

    fn key(&mut self) -> Result<&'a str, Refused> {
        if self.name(SEPARATOR).0.is_empty() {
            return self.fail(Problem::NoMeasurement);
        }
        let mut tags = 0;
        while self.peek() == Some(b',') {
            self.at += 1;
            tags += 1;
            if tags > MAX_TAGS {
                return self.fail(Problem::TooManyTags);
            }
            if self.name(SEPARATOR | EQUALS).0.is_empty() || self.peek() != Some(b'=') {
                return self.fail(Problem::BadTag);
            }
            self.at += 1;
            if self.name(SEPARATOR | EQUALS).0.is_empty() || self.peek() == Some(b'=') {
                return self.fail(Problem::BadTag);
            }
        }
        if self.peek().is_none() {
            return self.fail(Problem::NoFields);
        }
        let key = &self.line[..self.at];
        self.at += 1;
        Ok(key)
    }

    fn fields(&mut self) -> Result<Vec<(Cow<'a, str>, Value<'a>)>, Refused> {
        let mut fields = Vec::with_capacity(8);
        loop {
            if self.peek().is_none() {
                return self.fail(Problem::NoFields);
            }
            if fields.len() == MAX_FIELDS {
                return self.fail(Problem::TooManyFields);
            }
            let (name, escaped) = self.name(SEPARATOR | EQUALS);
            if name.is_empty() || self.peek() != Some(b'=') {
                return self.fail(Problem::BadField);
            }
            self.at += 1;
            let value = self.value()?;
            fields.push((if escaped { unescape(name) } else { name.into() }, value));
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b' ') => {
                    self.at += 1;
                    return Ok(fields);
                }
                Some(_) => return self.fail(Problem::BadValue),
                None => return self.fail(Problem::NoTime),
            }
        }
    }

    fn value(&mut self) -> Result<Value<'a>, Refused> {
        if self.peek() == Some(b'"') {
            return self.string();
        }
        if let Some(value) = self.short_int() {
            return Ok(Value::Int(value));
        }
        let start = self.at;
        let rest = &self.line[start..];
        let end = rest.bytes().position(|b| b == b',' || b == b' ').unwrap_or(rest.len());
        let text = &rest[..end];
        let refuse = |problem| Err((start, problem));
        let value = match text.as_bytes() {
            [] => return refuse(Problem::BadField),
            [b't' | b'T'] | b"true" | b"True" | b"TRUE" => Value::Bool(true),
            [b'f' | b'F'] | b"false" | b"False" | b"FALSE" => Value::Bool(false),
            [digits @ .., b'i'] if number(digits) => match text[..end - 1].parse() {
                Ok(v) => Value::Int(v),
                Err(_) if integer(digits) => return refuse(Problem::IntRange),
                Err(_) => return refuse(Problem::BadValue),
            },
            [digits @ .., b'u'] if integer(digits) => return refuse(Problem::Unsigned),
            digits if number(digits) => match text.parse::<f64>() {
                Ok(v) if v.is_finite() => Value::Float(v),
                Ok(_) => return refuse(Problem::NotFinite),
                Err(_) => return refuse(Problem::BadValue),
            },
            other => {
                let word = other.strip_prefix(b"-").or(other.strip_prefix(b"+")).unwrap_or(other);
                let not_finite =
                    ["nan", "inf", "infinity"].iter().any(|w| word.eq_ignore_ascii_case(w.as_bytes()));
                return refuse(if not_finite { Problem::NotFinite } else { Problem::BadValue });
            }
        };
        self.at += end;
        Ok(value)
    }

    /// Most values: an integer of up to 18 digits, which cannot overflow.
    fn short_int(&mut self) -> Option<i64> {
        let bytes = &self.line.as_bytes()[self.at..];
        let sign = usize::from(bytes.first() == Some(&b'-'));
        let mut value = 0_i64;
        let mut at = sign;
        while let Some(digit) = bytes.get(at).map(|b| b.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
            if at - sign == 18 {
                return None;
            }
            value = value * 10 + i64::from(digit);
            at += 1;
        }
        let ends = bytes.get(at) == Some(&b'i') && matches!(bytes.get(at + 1), Some(b',' | b' '));
        if at == sign || !ends {
            return None;
        }
        self.at += at + 1;
        Some(if sign == 1 { -value } else { value })
    }

    fn string(&mut self) -> Result<Value<'a>, Refused> {
        let open = self.at;
        let start = open + 1;
        let bytes = self.line.as_bytes();
        let mut at = start;
        let mut escaped = false;
        loop {
            match bytes.get(at) {
                None => return Err((open, Problem::OpenString)),
                Some(b'"') => break,
                Some(b'\\') if matches!(bytes.get(at + 1), Some(b'"' | b'\\')) => {
                    escaped = true;
                    at += 2;
                }
                Some(_) => at += 1,
            }
        }
        self.at = at + 1;
        let raw = &self.line[start..at];
        if !escaped {
            return Ok(Value::Text(raw.into()));
        }
        let mut out = String::with_capacity(raw.len());
        let mut chars = raw.chars().peekable();
        while let Some(c) = chars.next() {
            let c = if c == '\\' { chars.next_if(|n| matches!(n, '"' | '\\')).unwrap_or(c) } else { c };
            out.push(c);
        }
        Ok(Value::Text(out.into()))
    }

    fn time(&mut self) -> Result<UnixNs, Refused> {
        let text = self.line[self.at..].trim_end_matches(' ');
        if text.is_empty() {
            return self.fail(Problem::NoTime);
        }
        if text.contains(' ') {
            self.at += text.find(' ').unwrap_or(0);
            return self.fail(Problem::Trailing);
        }
        if !text.bytes().all(|b| b.is_ascii_digit()) {
            return self.fail(Problem::BadTime);
        }
        match text.parse::<i64>() {
            Ok(ns) => Ok(UnixNs(ns as u64)),
            Err(_) => self.fail(Problem::BadTime),
        }
    }
}

fn integer(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// Only the characters of a decimal number, so that `f64::from_str` never sees `inf` or `nan`.
fn number(text: &[u8]) -> bool {
    !text.is_empty()
        && text.iter().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E'))
}

/// Offset of the first byte for which `ends` holds and no backslash stands before it; the length when there is none.
/// A backslash escapes `,`, `=` and space alone.
fn find_unescaped(text: &str, ends: impl Fn(u8) -> bool) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&b) = bytes.get(at) {
        if b == b'\\' && matches!(bytes.get(at + 1), Some(b',' | b'=' | b' ')) {
            at += 2;
        } else if ends(b) {
            return at;
        } else {
            at += 1;
        }
    }
    bytes.len()
}

fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let c = if c == '\\' { chars.next_if(|n| matches!(n, ',' | '=' | ' ')).unwrap_or(c) } else { c };
        out.push(c);
    }
    out.into()
}
