//! InfluxDB line protocol: points, writer, parser.
//!
//! The subset that InfluxDB 1, 2 and 3, VictoriaMetrics and Telegraf all read alike:
//! `measurement,tag=value,… field=value,… time`, one point a line, time in nanoseconds and always there, integers
//! with `i` (never `u`: InfluxDB 1 refuses it).

mod encode;
mod loose;
mod parse;
mod problem;
mod scan;
mod template;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

pub use encode::{Skipped, encode, encode_into};
pub use loose::{Loose, LooseLine, loose};
pub use parse::{Line, Lines, Value, lines, parse};
pub use problem::{LineError, MAX_FIELDS, MAX_LINE_BYTES, MAX_TAGS, Problem, text};
pub use template::Template;

use crate::units::UnixNs;

/// Value of a field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FieldValue {
    /// `1i`
    Int(i64),
    /// `1.0`. NaN and infinities have no form in the protocol: the writer leaves them out and counts them.
    Float(f64),
    /// `true`
    Bool(bool),
    /// `"…"`
    Text(String),
}

impl From<i64> for FieldValue {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u64> for FieldValue {
    /// Above `i64::MAX` (292 years of nanoseconds) the value stays at `i64::MAX`.
    fn from(value: u64) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<u32> for FieldValue {
    fn from(value: u32) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<f64> for FieldValue {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<bool> for FieldValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for FieldValue {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for FieldValue {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

/// One point: one line.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// What was measured, e.g. `s7mpa_process`.
    pub measurement: Cow<'static, str>,
    /// Who it belongs to. A tag with an empty value is left out by the writer: the protocol has no form for it.
    pub tags: Vec<(Cow<'static, str>, String)>,
    /// The values. A point without any is left out.
    pub fields: Vec<(Cow<'static, str>, FieldValue)>,
    /// When.
    pub time: UnixNs,
}

impl Point {
    /// A point without tags and fields.
    pub fn new(measurement: impl Into<Cow<'static, str>>, time: UnixNs) -> Self {
        Self { measurement: measurement.into(), tags: Vec::new(), fields: Vec::new(), time }
    }

    /// Adds a tag.
    #[must_use]
    pub fn tag(mut self, key: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.tags.push((key.into(), value.into()));
        self
    }

    /// Adds a field.
    #[must_use]
    pub fn field(mut self, key: impl Into<Cow<'static, str>>, value: impl Into<FieldValue>) -> Self {
        self.fields.push((key.into(), value.into()));
        self
    }

    /// The tag's value.
    pub fn tag_value(&self, key: &str) -> Option<&str> {
        self.tags.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// The field's value.
    pub fn field_value(&self, key: &str) -> Option<&FieldValue> {
        self.fields.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }
}

#[cfg(test)]
mod tests;
