//! Rules as in Prometheus's files: queries whose results are recorded, or alerts. Pure: the caller reads the file, keeps the
//! time, and stores what is recorded.

mod alert;
mod template;
mod yaml;

pub use alert::{Alert, AlertState, Alerts};
pub use template::Template;

use std::collections::HashSet;
use std::sync::Arc;

use crate::error::QueryError;
use crate::labels::{Labels, NAME};
use crate::macros::Macros;
use crate::options::Options;
use crate::query::Query;
use crate::reader::Reader;
use crate::value::{Element, Value};

/// Longest rule file, bytes.
const MAX_FILE_BYTES: usize = 1 << 20;

/// A rule file is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct RuleError {
    /// Where, from 1.
    pub line: usize,
    /// What.
    pub message: String,
}

fn fault(line: usize, message: impl Into<String>) -> RuleError {
    RuleError { line, message: message.into() }
}

/// Rules that are evaluated together, one after the other, at the same time.
#[derive(Debug)]
pub struct Group {
    /// Its name, which no other group of the file has.
    pub name: String,
    /// How often, ms; nothing: as often as the caller does.
    pub interval_ms: Option<i64>,
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
    /// Labels that are added.
    pub labels: Vec<(String, Template)>,
    /// Texts for people.
    pub annotations: Vec<(String, Template)>,
}

impl Group {
    /// The groups of a file; the queries may call these functions.
    pub fn parse(text: &str, macros: &Macros) -> Result<Vec<Self>, RuleError> {
        if text.len() > MAX_FILE_BYTES {
            return Err(fault(1, format!("a rule file has at most {MAX_FILE_BYTES} bytes")));
        }
        let Some(file) = yaml::parse(text)? else { return Ok(Vec::new()) };
        let mut file = file.map("a rule file", &["groups"])?;
        let Some(groups) = file.take("groups") else { return Ok(Vec::new()) };
        let mut names = HashSet::new();
        groups
            .list("groups")?
            .into_iter()
            .map(|item| {
                let line = item.line;
                let group = group(item, macros)?;
                if names.insert(group.name.clone()) {
                    Ok(group)
                } else {
                    Err(fault(line, format!("there is a group {} before this one", group.name)))
                }
            })
            .collect()
    }
}

fn group(item: yaml::Item, macros: &Macros) -> Result<Group, RuleError> {
    let mut fields = item.map("a group", &["name", "interval", "rules"])?;
    let name = fields.take_text("name")?.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| fault(fields.line, "a group has a name"))?;
    let interval_ms = duration(&mut fields, "interval")?;
    let rules = fields.take("rules").map(|rules| rules.list("rules")).transpose()?.unwrap_or_default();
    let rules = rules.into_iter().map(|rule| self::rule(rule, macros)).collect::<Result<_, _>>()?;
    Ok(Group { name, interval_ms, rules })
}

fn rule(item: yaml::Item, macros: &Macros) -> Result<Rule, RuleError> {
    const KEYS: [&str; 7] = ["record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"];
    let mut fields = item.map("a rule", &KEYS)?;
    let line = fields.line;
    let (record, alert) = (fields.take_text("record")?, fields.take_text("alert")?);
    let text = fields.take_text("expr")?.ok_or_else(|| fault(line, "a rule has an expr"))?;
    let query = Query::parse_with(&text, macros).map_err(|error| fault(line, error.to_string()))?;
    let for_ms = duration(&mut fields, "for")?;
    let keep_firing_for_ms = duration(&mut fields, "keep_firing_for")?;
    let labels = fields.take("labels").map(|labels| labels.texts("labels")).transpose()?.unwrap_or_default();
    let annotations = fields.take("annotations").map(|texts| texts.texts("annotations")).transpose()?;
    if let Some((name, _)) = labels.iter().find(|(name, _)| name == NAME || !is_label(name)) {
        return Err(fault(line, format!("{name:?} is not the name of a label")));
    }
    let is_named = |name: &Option<String>| name.as_ref().is_some_and(|name| !name.is_empty());
    match (is_named(&record), is_named(&alert)) {
        (true, false) => {
            if for_ms.is_some() || keep_firing_for_ms.is_some() || annotations.is_some() {
                return Err(fault(line, "for, keep_firing_for and annotations are of alerts"));
            }
            let name = record.unwrap_or_default();
            if !is_metric(&name) {
                return Err(fault(line, format!("{name:?} is not the name of a metric")));
            }
            Ok(Rule::Record(Recording { name, text, query, labels }))
        }
        (false, true) => Ok(Rule::Alert(Alerting {
            name: alert.unwrap_or_default(),
            text,
            query,
            for_ms: for_ms.unwrap_or(0),
            keep_firing_for_ms: keep_firing_for_ms.unwrap_or(0),
            labels: templates(labels, line)?,
            annotations: templates(annotations.unwrap_or_default(), line)?,
        })),
        _ => Err(fault(line, "a rule has either a record or an alert")),
    }
}

fn templates(texts: Vec<(String, String)>, line: usize) -> Result<Vec<(String, Template)>, RuleError> {
    let template = |(name, text): (String, String)| match Template::parse(&text) {
        Ok(template) => Ok((name, template)),
        Err(error) => Err(fault(line, format!("{name}: {error}"))),
    };
    texts.into_iter().map(template).collect()
}

fn is_label(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(is_label_character)
}

fn is_label_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_metric(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(|c| is_label_character(c) || c == ':')
}

fn duration(fields: &mut yaml::Fields, key: &str) -> Result<Option<i64>, RuleError> {
    let line = fields.line;
    let Some(text) = fields.take_text(key)? else { return Ok(None) };
    crate::duration::milliseconds(&text)
        .map(Some)
        .ok_or_else(|| fault(line, format!("{key}: {text:?} is no duration such as 1h30m")))
}

impl Recording {
    /// The series at one moment, Unix time in ms. Fails where the query does, or where two have the same labels.
    pub fn evaluate(
        &self,
        reader: &dyn Reader,
        at_ms: i64,
        options: &Options<'_>,
    ) -> Result<Vec<Element>, QueryError> {
        let mut elements = vector(&self.query, reader, at_ms, options)?;
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

/// The vector of a query at one moment; a scalar is one series without labels.
fn vector(
    query: &Query,
    reader: &dyn Reader,
    at_ms: i64,
    options: &Options<'_>,
) -> Result<Vec<Element>, QueryError> {
    match query.instant(reader, at_ms, options)?.value {
        Value::Vector(vector) => Ok(vector),
        Value::Scalar(sample) => Ok(vec![Element { labels: Labels::default(), sample }]),
        Value::String { .. } | Value::Matrix(_) => {
            Err(QueryError::Argument("a rule needs an instant vector or a scalar".to_owned()))
        }
    }
}

/// Labels of these pairs.
fn labels(pairs: impl IntoIterator<Item = (String, String)>) -> Labels {
    Labels::new(pairs.into_iter().map(|(name, value)| (Arc::from(name), Arc::from(value))))
}
