//! After a start: alerts that were pending or fired when the program before ended, from the series that it recorded.

use std::collections::BTreeMap;

use agent_common::text;
use promql::rules::{ALERTS, ALERTS_FOR_STATE, Subject};
use promql::{
    Alert, AlertState, Alerting, Labels, Matcher, NAME, Operator, ReadError, Reader, Rule, Sample, Span,
    is_stale,
};

use super::Work;
use super::evaluate::open;
use super::message::orphaned;
use crate::clock::now_ms;
use crate::store::embedded;

/// How long the program may have been away, as Prometheus's `rules.alert.for-outage-tolerance`.
const MAX_AWAY_MS: i64 = 3_600_000;

/// What was known of an alert.
struct Before {
    /// Since when its series was there, Unix ms.
    active_at_ms: i64,
    /// When that was recorded last.
    at_ms: i64,
    fired: bool,
}

impl Work {
    /// Goes on with the alerts of the program before. Those of which there is no rule any longer end now.
    pub(super) fn restore(&mut self, reader: &mut Option<embedded::Reader>) {
        let now = now_ms();
        // A Prometheus that pushes sends alerts of its own under the same names.
        let read = open(reader, &self.path).and_then(|opened| {
            let view = opened.view().map_err(|error| ReadError { message: text::chain(&error) })?;
            before(&view.without_pushed(), now)
        });
        if read.is_err() {
            *reader = None;
        }
        let mut all = match read {
            Ok(all) => all,
            Err(error) => {
                tracing::warn!(%error, "alerts of rules begin anew: the store cannot be read");
                return;
            }
        };
        for group in &mut self.groups {
            for (rule, known) in group.group.rules.iter().zip(&mut group.known) {
                let Rule::Alert(rule) = rule else { continue };
                let own: Vec<Labels> = all.keys().filter(|labels| is_of(rule, labels)).cloned().collect();
                for labels in own {
                    let Some(before) = all.remove(&labels) else { continue };
                    if before.fired {
                        known.passed.insert(labels.clone());
                        known.restored.insert(labels.clone());
                    }
                    known.alerts.restore(restored(rule, labels, &before, now));
                }
            }
        }
        let orphans = all.iter().filter(|(_, before)| before.fired);
        let ended = orphans.map(|(labels, before)| orphaned(&self.host, labels, before.active_at_ms, now));
        let ended: Vec<_> = ended.collect();
        self.send(&ended);
    }
}

/// The alerts whose series had not ended, by labels.
fn before(store: &dyn Reader, now: i64) -> Result<BTreeMap<Labels, Before>, ReadError> {
    let span = Span { from_ms: now - MAX_AWAY_MS, to_ms: now };
    let mut all = BTreeMap::new();
    each(store, ALERTS_FOR_STATE, None, span, |labels, sample| {
        let active_at_ms = (sample.value as i64).saturating_mul(1000);
        all.insert(labels, Before { active_at_ms, at_ms: sample.at_ms, fired: false });
    })?;
    each(store, ALERTS, Some("firing"), span, |mut labels, _| {
        labels.remove("alertstate");
        if let Some(before) = all.get_mut(&labels) {
            before.fired = true;
        }
    })?;
    Ok(all)
}

/// Calls with the last sample of each series of a name that has not ended.
fn each(
    store: &dyn Reader,
    name: &str,
    state: Option<&str>,
    span: Span,
    mut with: impl FnMut(Labels, Sample),
) -> Result<(), ReadError> {
    let equal = |label: &str, value: &str| Matcher::new(label, Operator::Equal, value).ok();
    let state = state.and_then(|state| equal("alertstate", state));
    let matchers: Vec<Matcher> = equal(NAME, name).into_iter().chain(state).collect();
    for series in store.select(&matchers, span)? {
        let series = series?;
        let mut labels = series.labels;
        labels.remove(NAME);
        if let Some(last) = series.samples.last().filter(|last| !is_stale(last.value)) {
            with(labels, *last);
        }
    }
    Ok(())
}

/// Whether an alert of these labels is of this rule: its name, and the labels that are the same for each series.
fn is_of(rule: &Alerting, labels: &Labels) -> bool {
    let constant = |text: &str| !text.contains("{{");
    labels.get("alertname") == rule.name
        && rule
            .labels
            .iter()
            .filter(|(.., text)| constant(text))
            .all(|(name, _, text)| labels.get(name) == text)
}

fn restored(rule: &Alerting, labels: Labels, before: &Before, now: i64) -> Alert {
    // The time without this program does not count for one that is pending.
    let away_ms = if before.fired { 0 } else { now - before.at_ms };
    let active_at_ms = before.active_at_ms + away_ms;
    let nothing = Labels::default();
    let subject = Subject::new(f64::NAN, &labels, &nothing);
    let texts = rule.annotations.iter().map(|(name, template, _)| {
        (name.as_str().into(), template.try_fill(&subject).unwrap_or_default().into())
    });
    Alert {
        annotations: Labels::new(texts),
        value: f64::NAN,
        state: if before.fired { AlertState::Firing } else { AlertState::Pending },
        active_at_ms,
        fired_at_ms: before.fired.then(|| active_at_ms + rule.for_ms),
        resolved_at_ms: None,
        kept_since_ms: None,
        labels,
    }
}
