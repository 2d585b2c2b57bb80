//! Parser of the line protocol: strict, bounded, and it goes on after a bad line.

use std::borrow::Cow;

use super::problem::LineError;
use super::scan::{Scanner, find_unescaped, unescape};
use super::{FieldValue, Point};
use crate::units::UnixNs;

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
            return Some(Scanner::new(line).line().map_err(|(at, problem)| LineError {
                line: self.number,
                column: 1 + String::from_utf8_lossy(&line.as_bytes()[..at.min(line.len())]).chars().count()
                    as u32,
                problem,
            }));
        }
    }
}
