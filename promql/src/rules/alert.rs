//! What becomes of an alert: pending → firing → resolved.

use std::collections::BTreeMap;

use super::{Alerting, labels, vector};
use crate::error::QueryError;
use crate::labels::Labels;
use crate::options::Options;
use crate::reader::Reader;

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
        reader: &dyn Reader,
        at_ms: i64,
        options: &Options<'_>,
    ) -> Result<Vec<Alert>, QueryError> {
        let found = found(rule, reader, at_ms, options)?;
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
            if let Some(alert) = alert.missed(rule, at_ms) {
                self.store(alert, &mut changed, before);
            }
        }
        Ok(changed)
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

    /// The alert where its series is not there; nothing where it is forgotten.
    fn missed(self, rule: &Alerting, at_ms: i64) -> Option<Self> {
        match self.state {
            AlertState::Pending => None,
            AlertState::Firing => {
                let since_ms = self.kept_since_ms.unwrap_or(at_ms);
                let kept = rule.keep_firing_for_ms > 0 && at_ms - since_ms < rule.keep_firing_for_ms;
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
    reader: &dyn Reader,
    at_ms: i64,
    options: &Options<'_>,
) -> Result<BTreeMap<Labels, (f64, Labels)>, QueryError> {
    let mut found = BTreeMap::new();
    for element in vector(&rule.query, reader, at_ms, options)? {
        let value = element.sample.value;
        let filled = |template: &super::Template| template.fill(value, &element.labels);
        let mut own = element.labels.clone().nameless();
        for (name, template) in &rule.labels {
            own.set(name.as_str(), filled(template));
        }
        own.set("alertname", rule.name.as_str());
        let annotations =
            labels(rule.annotations.iter().map(|(name, template)| (name.clone(), filled(template))));
        if found.insert(own.clone(), (value, annotations)).is_some() {
            return Err(QueryError::SameLabels(own.to_string()));
        }
    }
    Ok(found)
}
