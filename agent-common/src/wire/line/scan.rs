//! One line of the protocol, byte by byte.

use std::borrow::Cow;

use super::parse::{Line, Value};
use super::problem::{MAX_FIELDS, MAX_LINE_BYTES, MAX_TAGS, Problem};
use crate::units::UnixNs;

/// Offset and problem.
pub(super) type Refused = (usize, Problem);

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

pub(super) struct Scanner<'a> {
    pub(super) line: &'a str,
    pub(super) at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) const fn new(line: &'a str) -> Self {
        Self { line, at: 0 }
    }

    pub(super) fn line(mut self) -> Result<Line<'a>, Refused> {
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

    pub(super) fn peek(&self) -> Option<u8> {
        self.line.as_bytes().get(self.at).copied()
    }

    pub(super) fn fail<T>(&self, problem: Problem) -> Result<T, Refused> {
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

    pub(super) fn key(&mut self) -> Result<&'a str, Refused> {
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
            let name = self.field_name()?;
            let value = self.value()?;
            fields.push((name, value));
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

    /// The name of a field, and the `=` after it.
    #[inline]
    pub(super) fn field_name(&mut self) -> Result<Cow<'a, str>, Refused> {
        let (name, escaped) = self.name(SEPARATOR | EQUALS);
        if name.is_empty() || self.peek() != Some(b'=') {
            return self.fail(Problem::BadField);
        }
        self.at += 1;
        Ok(if escaped { unescape(name) } else { name.into() })
    }

    pub(super) fn value(&mut self) -> Result<Value<'a>, Refused> {
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
pub(super) fn find_unescaped(text: &str, ends: impl Fn(u8) -> bool) -> usize {
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

pub(super) fn unescape(text: &str) -> Cow<'_, str> {
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
