//! One group at one moment.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use agent_common::text;
use agent_common::wire::finding::{self, AlertState};
use promql::rules::Context;
use promql::{Alert, AlertState as State, Alerting, Alerts, Group, Labels, Options, ReadError, Rule};

use super::message::{host_of, message};
use super::overlay::Overlay;
use super::record::Stream;
use super::{MAX_GROUP_TIME, Work};
use crate::clock::now_ms;
use crate::node::NodeNames;
use crate::store::Note;
use crate::store::embedded::Reader;

/// A group, its alerts, and when it is due.
#[derive(Debug)]
pub(super) struct Evaluated {
    pub(super) group: Group,
    pub(super) interval_ms: i64,
    pub(super) due_ms: i64,
    stream: Stream,
    /// One for each rule.
    pub(super) known: Vec<Known>,
    /// The last failure of writing that was logged.
    said: Option<String>,
}

/// The alerts of one rule, of which some were passed on.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) alerts: Alerts,
    /// Alerts that fire and of which the receivers know.
    pub(super) passed: BTreeSet<Labels>,
    /// Of them, those of which an earlier program told.
    pub(super) restored: BTreeSet<Labels>,
}

/// What an evaluation of a rule came to.
struct Outcome {
    error: Option<String>,
    took: Duration,
}

impl Evaluated {
    pub(super) fn new(file: &str, group: Group, interval_ms: i64) -> Self {
        let known = group.rules.iter().map(|_| Known::default()).collect();
        let interval_ms = super::interval_ms(&group, interval_ms);
        let stream = Stream::new(file, &group.name);
        Self { group, interval_ms, due_ms: 0, stream, known, said: None }
    }

    /// The next multiple of the interval after `now_ms`.
    pub(super) fn schedule(&mut self, now_ms: i64) {
        self.due_ms = (now_ms.div_euclid(self.interval_ms) + 1).saturating_mul(self.interval_ms);
    }
}

/// The store as it is now, open. It is opened again after a failure.
pub(super) fn open<'r>(
    reader: &'r mut Option<Reader>,
    path: &std::path::Path,
) -> Result<&'r Reader, ReadError> {
    if reader.is_none() {
        *reader = Some(Reader::open(path).map_err(|error| ReadError { message: text::chain(&error) })?);
    }
    reader.as_ref().ok_or_else(|| ReadError { message: "the store is not open".to_owned() })
}

impl Work {
    /// Calls with the store as it is now. Reading gives up when it has expired.
    pub(super) fn read<T>(
        path: &std::path::Path,
        reader: &mut Option<Reader>,
        expired: &dyn Fn() -> bool,
        with: impl FnOnce(&dyn promql::Reader) -> T,
    ) -> Result<T, ReadError> {
        let opened = open(reader, path)?;
        let viewed = opened.view().map_err(|error| ReadError { message: text::chain(&error) });
        let result = viewed.map(|view| with(&NodeNames(view.until(expired))));
        if result.is_err() {
            *reader = None;
        }
        result
    }

    /// Evaluates a group at the time at which it is due, writes what it recorded, and passes its alerts on.
    pub(super) fn evaluate(&mut self, place: usize, reader: &mut Option<Reader>) {
        let begun = Instant::now();
        let (macros, path) = (&self.macros, &self.path);
        let group = &mut self.groups[place];
        let at_ms = group.due_ms;
        let late = (now_ms() - at_ms).div_euclid(group.interval_ms).max(0).unsigned_abs();
        let most = MAX_GROUP_TIME.min(Duration::from_millis(group.interval_ms.unsigned_abs()));
        let expired = || begun.elapsed() > most;
        let read = Self::read(path, reader, &expired, |below| {
            let mut overlay = Overlay::new(below);
            let outcomes = group.rules(&mut overlay, macros, at_ms, &expired);
            (outcomes, overlay.into_recorded())
        });
        let (outcomes, recorded) = read.unwrap_or_else(|error| {
            let failed = || Outcome { error: Some(error.to_string()), took: Duration::ZERO };
            // Alerts stay what they are: so do their series.
            let kept = group.known.iter().flat_map(|known| known.alerts.series(at_ms));
            let kept = kept.map(|one| (one.labels, one.sample)).collect();
            (group.group.rules.iter().map(|_| failed()).collect(), kept)
        });
        let written = group.stream.write(&*self.store, &self.host, at_ms, group.interval_ms, &recorded);
        group.say(written.map_err(|error| text::chain(&error)));
        let alerts: Vec<Vec<Alert>> =
            group.known.iter().map(|known| known.alerts.iter().cloned().collect()).collect();
        self.board.update(place, |status| {
            (status.evaluated_ms, status.took) = (Some(at_ms), begun.elapsed());
            status.missed += late;
            for ((rule, outcome), alerts) in status.rules.iter_mut().zip(outcomes).zip(alerts) {
                if outcome.error.is_some() && outcome.error != rule.error {
                    let error = outcome.error.as_deref().unwrap_or_default();
                    tracing::warn!(group = status.name, rule = rule.name, error, "a rule failed");
                }
                (rule.error, rule.took, rule.evaluated_ms) = (outcome.error, outcome.took, Some(at_ms));
                if let Some(alerting) = &mut rule.alerting {
                    alerting.alerts = alerts;
                }
            }
        });
        self.pass_on(place, at_ms);
    }

    /// Tells the receivers which alerts began and ended. One that depends on another which fires waits.
    fn pass_on(&mut self, place: usize, at_ms: i64) {
        let depends_on_any = |rule: &Rule| matches!(rule, Rule::Alert(rule) if !rule.depends_on.is_empty());
        let any = self.groups[place].group.rules.iter().any(depends_on_any);
        let firing = if any { self.firing() } else { Vec::new() };
        let group = &mut self.groups[place];
        let mut messages = Vec::new();
        for (rule, known) in group.group.rules.iter().zip(&mut group.known) {
            let Rule::Alert(rule) = rule else { continue };
            for alert in known.alerts.iter() {
                let waits = alert.state == State::Firing && depends(rule, alert, &firing);
                let is_restored = known.restored.remove(&alert.labels);
                if is_restored && waits {
                    // It waited in the program before, too.
                    known.passed.remove(&alert.labels);
                }
                let state = match (alert.state, known.passed.contains(&alert.labels)) {
                    (State::Firing, false) if !waits => {
                        known.passed.insert(alert.labels.clone());
                        AlertState::Open
                    }
                    // The receivers that were started with this program learn of it.
                    (State::Firing, true) if is_restored => AlertState::Update,
                    (State::Resolved, true) => {
                        known.passed.remove(&alert.labels);
                        AlertState::Resolved
                    }
                    _ => continue,
                };
                messages.push(message(&self.host, rule, alert, state, at_ms));
            }
        }
        self.send(&messages);
    }

    /// Keeps changes of alerts in the store, and posts them.
    pub(super) fn send(&mut self, messages: &[finding::Alert]) {
        if messages.is_empty() {
            return;
        }
        let note = |alert: &finding::Alert| {
            let json = serde_json::to_string(alert).ok()?;
            Some(Note::Alert { alert: Box::new(alert.clone()), json })
        };
        let notes: Vec<Note> = messages.iter().filter_map(note).collect();
        if let Err(error) = self.store.keep(&notes) {
            tracing::error!(
                error = text::chain(&error),
                alerts = notes.len(),
                "alerts of rules are not in the store"
            );
        }
        for alert in messages {
            (self.post)(alert);
        }
    }

    /// Names and labels of all alerts that fire.
    fn firing(&self) -> Vec<(String, Labels)> {
        let all = self.groups.iter().flat_map(|group| group.group.rules.iter().zip(&group.known));
        let firing = all.flat_map(|(rule, known)| {
            let firing = known.alerts.iter().filter(|alert| alert.state == State::Firing);
            firing.map(|alert| (rule.name().to_owned(), alert.labels.clone()))
        });
        firing.collect()
    }
}

/// Whether an alert that this one depends on fires for the same host.
fn depends(rule: &Alerting, alert: &Alert, firing: &[(String, Labels)]) -> bool {
    let same_host = |labels: &Labels| match (host_of(labels), host_of(&alert.labels)) {
        (Some(theirs), Some(own)) => theirs == own,
        // What names no host concerns all of them.
        _ => true,
    };
    firing.iter().any(|(name, labels)| rule.depends_on.contains(name) && same_host(labels))
}

impl Evaluated {
    /// Evaluates the rules one after the other.
    fn rules(
        &mut self,
        overlay: &mut Overlay<'_>,
        macros: &promql::Macros,
        at_ms: i64,
        expired: &dyn Fn() -> bool,
    ) -> Vec<Outcome> {
        let options = Options { expired: Some(expired), ..Options::default() };
        let nothing = Labels::default();
        let mut outcomes = Vec::new();
        for (rule, known) in self.group.rules.iter().zip(&mut self.known) {
            let own = Instant::now();
            let context = Context {
                reader: overlay,
                options: &options,
                macros,
                external_labels: &nothing,
                external_url: "",
                query_offset_ms: self.group.query_offset_ms,
                limit: self.group.limit,
            };
            // Alerts stay what they are when their query fails: so do their series.
            let (elements, error) = match rule {
                Rule::Record(rule) => match rule.evaluate(&context, at_ms) {
                    Ok(elements) => (elements, None),
                    Err(error) => (Vec::new(), Some(error)),
                },
                Rule::Alert(rule) => {
                    let error = known.alerts.evaluate(rule, &context, at_ms).err();
                    (known.alerts.series(at_ms), error)
                }
            };
            overlay.record(elements);
            outcomes.push(Outcome { error: error.map(|error| text::chain(&error)), took: own.elapsed() });
        }
        outcomes
    }

    /// Logs why what was recorded could not be written, each reason once.
    fn say(&mut self, written: Result<(), String>) {
        let why = written.err();
        if let Some(why) = why.as_ref().filter(|why| self.said.as_ref() != Some(why)) {
            tracing::error!(group = self.group.name, why, "what the rules recorded is not in the store");
        }
        self.said = why;
    }
}
