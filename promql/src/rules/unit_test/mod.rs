//! Unit tests of rules, in promtool's format: series and what the rules make of them.

mod file;
mod run;

use super::file::Place;
use crate::labels::Labels;

/// A file of tests.
#[derive(Debug)]
pub struct File {
    /// Rule files, relative to this one; may have wildcards.
    pub rule_files: Vec<String>,
    /// From one evaluation of all groups to the next, ms.
    pub interval_ms: i64,
    /// Names of groups that are evaluated first, in this order.
    pub group_order: Vec<String>,
    /// Whether values may differ by a rounding error.
    pub fuzzy: bool,
    /// The tests.
    pub tests: Vec<Test>,
}

/// One test: series, and what is expected of them.
#[derive(Debug)]
pub struct Test {
    /// Its name, if it has one.
    pub name: String,
    place: Place,
    /// From one value of a series to the next, ms.
    interval_ms: i64,
    series: Vec<(Labels, Vec<Option<f64>>)>,
    alerts: Vec<AlertTest>,
    queries: Vec<QueryTest>,
    external_labels: Labels,
    external_url: String,
}

/// Which alerts of a name fire at a moment.
#[derive(Debug)]
struct AlertTest {
    place: Place,
    at_ms: i64,
    name: String,
    /// Labels and annotations.
    alerts: Vec<(Labels, Labels)>,
}

/// What a query gives at a moment.
#[derive(Debug)]
struct QueryTest {
    place: Place,
    at_ms: i64,
    query: String,
    samples: Vec<(Labels, f64)>,
}

/// An expectation that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Where in the file it is.
    pub place: Place,
    /// What was expected, and what there is.
    pub text: String,
}
