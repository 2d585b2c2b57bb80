//! What a query answers.

use crate::labels::Labels;
use crate::reader::{Sample, Series};

/// The value of a query.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number, of an instant query.
    Scalar(Sample),
    /// A text, of an instant query.
    String {
        /// When the query was asked for, Unix time, ms.
        at_ms: i64,
        /// The text.
        text: String,
    },
    /// One sample a series, at the same time. Sorted by labels, but where `sort` or `topk` give the order.
    Vector(Vec<Element>),
    /// Samples of series, sorted by labels: of a range query, or of a range selector at an instant.
    Matrix(Vec<Series>),
}

/// A series of an instant vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Element {
    /// Its labels.
    pub labels: Labels,
    /// Its value and the time of the query.
    pub sample: Sample,
}

/// The value of a query, with remarks for its author.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The value.
    pub value: Value,
    /// The value is likely not what was meant: `quantile(2, …)`. Each text once.
    pub warnings: Vec<String>,
    /// The value may not be what was meant: `rate` of what is not called a counter. Each text once.
    pub infos: Vec<String>,
}
