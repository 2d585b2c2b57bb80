//! What becomes of an alert: pending → firing → resolved.

use std::collections::{BTreeMap, BTreeSet};

use super::{ALERTS, ALERTS_FOR_STATE, Alerting, Context, Subject, Template, labels};
use crate::error::QueryError;
use crate::labels::{Labels, NAME};
use crate::reader::Sample;
use crate::value::Element;

/// How long a resolved alert is still listed, ms: so that its end reaches whoever was notified of its beginning.
const RESOLVED_KEPT_MS: i64 = 15 * 60 * 1000;

/// What an alert is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertState {
    /// Its series is there, for less than `for`.
    Pending,
    /// Its series is there, or was until less than `keep_firing_for` ago.
    Firing,
    /// It fired, and its series is gone.
    Resolved,
}

/// An alert.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// Labels of the series and of the rule, with `alertname`; without the metric's name.
    pub labels: Labels,
    /// Texts for people, by name.
    pub annotations: Labels,
    /// The newest value of the series.
    pub value: f64,
    /// What it is in.
    pub state: AlertState,
    /// When its series came, Unix time in ms.
    pub active_at_ms: i64,
    /// When it began to fire.
    pub fired_at_ms: Option<i64>,
    /// When it was resolved.
    pub resolved_at_ms: Option<i64>,
    /// Since when it fires without its series.
    pub kept_since_ms: Option<i64>,
}

/// The alerts of one rule.
#[derive(Debug, Clone, Default)]
pub struct Alerts {
    by_labels: BTreeMap<Labels, Alert>,
}

impl Alerts {
    /// All of them, sorted by labels; resolved ones for 15 minutes.
    pub fn iter(&self) -> impl Iterator<Item = &Alert> {
        self.by_labels.values()
    }

    /// Evaluates the rule at one moment, Unix time in ms, which is later than the one before. Returns the alerts that changed
    /// their state. A query that fails changes nothing.
    pub fn evaluate(
        &mut self,
        rule: &Alerting,
        context: &Context<'_>,
        at_ms: i64,
    ) -> Result<Vec<Alert>, QueryError> {
        let found = found(rule, context, at_ms)?;
        let recovered = self.recovered(rule, context, &found, at_ms)?;
        let mut changed = Vec::new();
        for (labels, (value, annotations)) in &found {
            let alert = self.by_labels.get(labels).filter(|alert| alert.state != AlertState::Resolved);
            let alert = alert.cloned().unwrap_or_else(|| Alert {
                labels: labels.clone(),
                annotations: Labels::default(),
                value: *value,
                state: AlertState::Resolved,
                active_at_ms: at_ms,
                fired_at_ms: None,
                resolved_at_ms: None,
                kept_since_ms: None,
            });
            let alert =
                Alert { value: *value, annotations: annotations.clone(), kept_since_ms: None, ..alert };
            self.store(alert.seen(rule, at_ms), &mut changed, alert.state);
        }
        for (labels, alert) in std::mem::take(&mut self.by_labels) {
            if found.contains_key(&labels) {
                self.by_labels.insert(labels, alert);
                continue;
            }
            let before = alert.state;
            let over = rule.recovery.is_none() || recovered.contains(&labels);
            if let Some(alert) = alert.missed(rule, at_ms, over) {
                self.store(alert, &mut changed, before);
            }
        }
        Ok(changed)
    }

    /// Those that fire without their series and whose recovery query has an answer.
    fn recovered(
        &self,
        rule: &Alerting,
        context: &Context<'_>,
        found: &BTreeMap<Labels, (f64, Labels)>,
        at_ms: i64,
    ) -> Result<BTreeSet<Labels>, QueryError> {
        let mut recovered = BTreeSet::new();
        let Some(template) = &rule.recovery else { return Ok(recovered) };
        for alert in self.iter().filter(|alert| alert.state == AlertState::Firing) {
            if !found.contains_key(&alert.labels) && alert.has_recovered(template, context, at_ms)? {
                recovered.insert(alert.labels.clone());
            }
        }
        Ok(recovered)
    }

    /// Goes on with an alert that an earlier program knew.
    pub fn restore(&mut self, alert: Alert) {
        self.by_labels.insert(alert.labels.clone(), alert);
    }

    /// The series `ALERTS` and `ALERTS_FOR_STATE` of those that are pending or fire.
    pub fn series(&self, at_ms: i64) -> Vec<Element> {
        let mut series = Vec::new();
        for alert in self.iter() {
            let state = match alert.state {
                AlertState::Pending => "pending",
                AlertState::Firing => "firing",
                AlertState::Resolved => continue,
            };
            let mut of_state = alert.labels.clone();
            of_state.set(NAME, ALERTS);
            of_state.set("alertstate", state);
            series.push(Element { labels: of_state, sample: Sample { at_ms, value: 1.0 } });
            let mut since = alert.labels.clone();
            since.set(NAME, ALERTS_FOR_STATE);
            let value = alert.active_at_ms.div_euclid(1000) as f64;
            series.push(Element { labels: since, sample: Sample { at_ms, value } });
        }
        series
    }

    fn store(&mut self, alert: Alert, changed: &mut Vec<Alert>, before: AlertState) {
        if alert.state != before {
            changed.push(alert.clone());
        }
        self.by_labels.insert(alert.labels.clone(), alert);
    }
}

impl Alert {
    /// The alert where its series is there.
    fn seen(&self, rule: &Alerting, at_ms: i64) -> Self {
        let fires = self.state == AlertState::Firing || at_ms - self.active_at_ms >= rule.for_ms;
        Self {
            state: if fires { AlertState::Firing } else { AlertState::Pending },
            fired_at_ms: self.fired_at_ms.or(fires.then_some(at_ms)),
            ..self.clone()
        }
    }

    /// Whether a recovery query has an answer.
    fn has_recovered(&self, query: &Template, context: &Context<'_>, at_ms: i64) -> Result<bool, QueryError> {
        // A value stands between quotes there.
        let escaped = self.labels.iter().map(|(name, value)| {
            (name.to_string(), value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
        });
        let escaped = labels(escaped);
        let text = query.try_fill(&Subject::new(self.value, &escaped, context.external_labels));
        let answer = text.and_then(|query| context.ask(&query, at_ms));
        answer.map(|elements| !elements.is_empty()).map_err(QueryError::Argument)
    }

    /// The alert where its series is not there; nothing where it is forgotten. `over`: nothing else keeps it.
    fn missed(self, rule: &Alerting, at_ms: i64, over: bool) -> Option<Self> {
        match self.state {
            AlertState::Pending => None,
            AlertState::Firing => {
                let since_ms = self.kept_since_ms.unwrap_or(at_ms);
                let kept =
                    !over || (rule.keep_firing_for_ms > 0 && at_ms - since_ms < rule.keep_firing_for_ms);
                Some(if kept {
                    Self { kept_since_ms: Some(since_ms), ..self }
                } else {
                    Self {
                        state: AlertState::Resolved,
                        resolved_at_ms: Some(at_ms),
                        kept_since_ms: None,
                        ..self
                    }
                })
            }
            AlertState::Resolved => self
                .resolved_at_ms
                .is_some_and(|resolved_ms| at_ms - resolved_ms <= RESOLVED_KEPT_MS)
                .then_some(self),
        }
    }
}

/// Values and annotations of the series of a rule's query, by the labels of their alerts.
fn found(
    rule: &Alerting,
    context: &Context<'_>,
    at_ms: i64,
) -> Result<BTreeMap<Labels, (f64, Labels)>, QueryError> {
    let ask = |query: &str| context.ask(query, at_ms);
    let mut found = BTreeMap::new();
    for element in context.vector(&rule.query, at_ms)? {
        let value = element.sample.value;
        let subject = Subject {
            value,
            labels: &element.labels,
            external_labels: context.external_labels,
            external_url: context.external_url,
            ask: Some(&ask),
        };
        let mut own = element.labels.clone().nameless();
        for (name, template, _) in &rule.labels {
            own.set(name.as_str(), template.fill(&subject));
        }
        own.set("alertname", rule.name.as_str());
        let annotations = labels(
            rule.annotations.iter().map(|(name, template, _)| (name.clone(), template.fill(&subject))),
        );
        if found.insert(own.clone(), (value, annotations)).is_some() {
            return Err(QueryError::SameLabels(own.to_string()));
        }
    }
    Ok(found)
}
