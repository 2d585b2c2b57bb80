//! Rules as in Prometheus's files: queries whose results are recorded, or alerts. Pure: the caller reads the file, keeps the
//! time, and stores what is recorded.

mod alert;
mod file;
mod series;
mod template;
mod text;
pub mod unit_test;
mod yaml;

pub use alert::{Alert, AlertState, Alerts};
pub use file::{Parsed, Place, RuleError};
pub use template::{Ask, Subject, Template};

use std::collections::HashSet;
use std::sync::Arc;

use crate::error::QueryError;
use crate::labels::{Labels, NAME};
use crate::macros::Macros;
use crate::options::Options;
use crate::query::Query;
use crate::reader::Reader;
use crate::value::{Element, Value};

/// Annotation with the query that ends an alert: without its series it goes on firing until this query has an answer.
pub const RECOVERY: &str = "s7mpa_recovery";
/// Annotation with the names of alerts, separated by commas. While one of them fires for the same host, this one is not
/// passed on.
pub const DEPENDS_ON: &str = "s7mpa_depends_on";
/// Metric of the alerts that are pending or fire, with their state as label `alertstate`.
pub const ALERTS: &str = "ALERTS";
/// Metric with the time since which the series of an alert is there, Unix seconds.
pub const ALERTS_FOR_STATE: &str = "ALERTS_FOR_STATE";
/// Most series that one rule may give.
pub const MAX_SERIES: usize = 2_000;

/// Rules that are evaluated together, one after the other, at the same time.
#[derive(Debug)]
pub struct Group {
    /// Its name, which no other group of the file has.
    pub name: String,
    /// How often, ms; nothing: as often as the caller does.
    pub interval_ms: Option<i64>,
    /// How long before the moment of the evaluation its queries look, ms.
    pub query_offset_ms: i64,
    /// Most series of a recording, most alerts of a rule.
    pub limit: usize,
    /// In the order of the file.
    pub rules: Vec<Rule>,
}

/// A rule.
#[derive(Debug)]
pub enum Rule {
    /// The result of a query becomes series.
    Record(Recording),
    /// Each series of the result is an alert.
    Alert(Alerting),
}

/// The result of a query becomes series.
#[derive(Debug)]
pub struct Recording {
    /// Name of their metric.
    pub name: String,
    /// The query as the file has it.
    pub text: String,
    /// The query.
    pub query: Query,
    /// Labels that are added; one without value is taken away.
    pub labels: Vec<(String, String)>,
}

/// Each series of a query's result is an alert.
#[derive(Debug)]
pub struct Alerting {
    /// Its name: label `alertname`.
    pub name: String,
    /// The query as the file has it.
    pub text: String,
    /// The query.
    pub query: Query,
    /// How long the series must be there before the alert fires, ms.
    pub for_ms: i64,
    /// How long the alert goes on firing without the series, ms.
    pub keep_firing_for_ms: i64,
    /// Labels that are added, and their texts as the file has them.
    pub labels: Vec<(String, Template, String)>,
    /// Texts for people, likewise.
    pub annotations: Vec<(String, Template, String)>,
    /// The query of [`RECOVERY`].
    pub recovery: Option<Template>,
    /// The names of [`DEPENDS_ON`].
    pub depends_on: Vec<String>,
}

/// What rules are evaluated with.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The series.
    pub reader: &'a dyn Reader,
    /// Bounds of each query.
    pub options: &'a Options<'a>,
    /// Functions that the queries of templates may call.
    pub macros: &'a Macros,
    /// `$externalLabels`
    pub external_labels: &'a Labels,
    /// `$externalURL`
    pub external_url: &'a str,
    /// How long before its moment a query looks, ms.
    pub query_offset_ms: i64,
    /// Most series or alerts of a rule; 0: [`MAX_SERIES`].
    pub limit: usize,
}

impl Context<'_> {
    /// The vector of a query at one moment; a scalar is one series without labels.
    fn vector(&self, query: &Query, at_ms: i64) -> Result<Vec<Element>, QueryError> {
        let asked_ms = at_ms.saturating_sub(self.query_offset_ms);
        let mut vector = match query.instant(self.reader, asked_ms, self.options)?.value {
            Value::Vector(vector) => vector,
            Value::Scalar(sample) => vec![Element { labels: Labels::default(), sample }],
            Value::String { .. } | Value::Matrix(_) => {
                return Err(QueryError::Argument("a rule needs an instant vector or a scalar".to_owned()));
            }
        };
        let limit = if self.limit == 0 { MAX_SERIES } else { self.limit.min(MAX_SERIES) };
        if vector.len() > limit {
            return Err(QueryError::Argument(format!(
                "exceeded limit of {limit} with {} series",
                vector.len()
            )));
        }
        for element in &mut vector {
            element.sample.at_ms = at_ms;
        }
        Ok(vector)
    }

    /// Answers a query that stands in a template.
    fn ask(&self, query: &str, at_ms: i64) -> Result<Vec<Element>, String> {
        let parsed = Query::parse_with(query, self.macros).map_err(|error| error.to_string())?;
        self.vector(&parsed, at_ms).map_err(|error| error.to_string())
    }
}

impl Recording {
    /// The series at one moment, Unix time in ms. Fails where the query does, or where two have the same labels.
    pub fn evaluate(&self, context: &Context<'_>, at_ms: i64) -> Result<Vec<Element>, QueryError> {
        let mut elements = context.vector(&self.query, at_ms)?;
        let mut seen = HashSet::new();
        for element in &mut elements {
            element.labels.set(NAME, self.name.as_str());
            for (name, value) in &self.labels {
                element.labels.set(name.as_str(), value.as_str());
            }
            if !seen.insert(element.labels.clone()) {
                return Err(QueryError::SameLabels(element.labels.to_string()));
            }
        }
        Ok(elements)
    }
}

impl Rule {
    /// What it records, or its alert's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Record(rule) => &rule.name,
            Self::Alert(rule) => &rule.name,
        }
    }

    /// Its query as the file has it.
    pub fn text(&self) -> &str {
        match self {
            Self::Record(rule) => &rule.text,
            Self::Alert(rule) => &rule.text,
        }
    }
}

fn is_label(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(is_label_character)
}

fn is_label_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Labels of these pairs.
fn labels(pairs: impl IntoIterator<Item = (String, String)>) -> Labels {
    Labels::new(pairs.into_iter().map(|(name, value)| (Arc::from(name), Arc::from(value))))
}
