//! Findings with a lifetime: open, update, resolved. Pure: time is an argument.
//!
//! An alert opens on a suspicion above its threshold to enter, stays open while it is above the threshold to stay, and is resolved
//! when the suspicion has been gone for [`AlertOptions::resolve_after`]. One cause is one alert, however often it is found. An
//! update is sent when its figures have changed and [`AlertOptions::update_every`] has passed. At most [`AlertOptions::burst`] alerts
//! open at once, then one each [`AlertOptions::refill`]. An alert that must wait is counted, and opens later if its cause lasts.
//!
//! A suspicion that a root explains ([`Suspicion::explained`]) opens no alert while the root's alert is open, nor for
//! [`AlertOptions::resolve_after`] after that: at the edge of a threshold the root may be missing for a second, and its symptoms
//! must not open in its place.

use std::collections::HashMap;
use std::sync::Arc;

use agent_common::units::{DurNs, UnixNs};
use agent_common::wire::finding::{Alert, AlertState, Finding};

use crate::window::Window;
use crate::{Level, Suspicion, Trend, recent, suspicions};

/// How alerts behave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AlertOptions {
    /// Least confidence that opens an alert; below it a finding is in reports only.
    pub min_confidence: f64,
    /// How long a cause must be gone before its alert is resolved.
    pub resolve_after: DurNs,
    /// Least time between two messages of one alert with changed figures.
    pub update_every: DurNs,
    /// Change of the lost time that is worth an update, as a share.
    pub update_change: f64,
    /// Alerts that may open at once.
    pub burst: u32,
    /// Time after which one more may open.
    pub refill: DurNs,
}

impl Default for AlertOptions {
    /// Opens with the first finding (a rule has seen it for 5 s by then), resolves after 10 s, updates twice a minute,
    /// at most 10 at once and 6 a minute after that.
    fn default() -> Self {
        Self {
            min_confidence: crate::ALERT_CONFIDENCE,
            resolve_after: DurNs(10_000_000_000),
            update_every: DurNs(30_000_000_000),
            update_change: 0.2,
            burst: 10,
            refill: DurNs(10_000_000_000),
        }
    }
}

/// An alert that is open.
#[derive(Debug, Clone)]
struct Open {
    id: String,
    opened: UnixNs,
    /// When its cause was last found.
    seen: UnixNs,
    /// When it was last sent, and the lost time in that message.
    sent: UnixNs,
    sent_lost: u64,
    finding: Finding,
}

/// The alerts of these windows as a daemon sends them that judges once a window: first those that are open at their beginning,
/// with the figures of then, and then each message. The windows `before` are judged, too, and not shown.
#[must_use]
pub fn replay(host: &str, before: &[Arc<Window>], windows: &[Arc<Window>]) -> Vec<Alert> {
    let all: Vec<Arc<Window>> = before.iter().chain(windows).cloned().collect();
    let mut trend = Trend::default();
    let mut alerts = Alerts::new(host, AlertOptions::default());
    let mut messages = Vec::new();
    for (at, window) in all.iter().enumerate() {
        if at == before.len() && at > 0 {
            messages = alerts.open(all[at - 1].end_unix);
        }
        trend.push(window);
        let sent = alerts.update(window.end_unix, &suspicions(recent(&all[..=at]), &trend));
        if at >= before.len() {
            messages.extend(sent);
        }
    }
    messages
}

/// All open alerts of a host.
#[derive(Debug)]
pub struct Alerts {
    host: String,
    options: AlertOptions,
    open: HashMap<String, Open>,
    tokens: u32,
    refilled: Option<UnixNs>,
    held_back: u64,
    /// Keys that an open alert explains, and when it last explained them.
    explained: HashMap<String, UnixNs>,
}

impl Alerts {
    /// No alerts yet.
    #[must_use]
    pub fn new(host: impl Into<String>, options: AlertOptions) -> Self {
        let tokens = options.burst;
        Self {
            host: host.into(),
            options,
            open: HashMap::new(),
            tokens,
            refilled: None,
            held_back: 0,
            explained: HashMap::new(),
        }
    }

    /// Takes the newest suspicions ([`crate::suspicions`], most lost time first) and returns the messages to send: resolved alerts,
    /// then updates, then newly open alerts.
    pub fn update(&mut self, now: UnixNs, suspicions: &[Suspicion]) -> Vec<Alert> {
        self.refill(now);
        let forget = self.options.resolve_after.0;
        self.explained.retain(|_, then| since(now, *then) < forget);
        let mut updates = Vec::new();
        let mut opened = Vec::new();
        for suspicion in suspicions {
            if let Some(open) = self.open.get_mut(&suspicion.key) {
                open.seen = now;
                open.finding = suspicion.finding.clone();
                self.explained.extend(suspicion.explained.iter().map(|key| (key.clone(), now)));
                let due = since(now, open.sent) >= self.options.update_every.0;
                if due && changed(open, self.options.update_change) {
                    (open.sent, open.sent_lost) = (now, open.finding.lost_ns_per_s);
                    updates.push(message(&self.host, open, AlertState::Update, now));
                }
            } else if suspicion.level == Level::Enter
                && suspicion.finding.confidence >= self.options.min_confidence
                && !self.explained.contains_key(&suspicion.key)
            {
                if self.tokens == 0 {
                    self.held_back += 1;
                    continue;
                }
                self.tokens -= 1;
                self.explained.extend(suspicion.explained.iter().map(|key| (key.clone(), now)));
                let open = open(suspicion, now);
                opened.push(message(&self.host, &open, AlertState::Open, now));
                self.open.insert(suspicion.key.clone(), open);
            }
        }
        let mut messages = self.resolve(now);
        messages.append(&mut updates);
        messages.append(&mut opened);
        messages
    }

    /// Open alerts, oldest first, as messages with the newest figures: for followers that connect later.
    #[must_use]
    pub fn open(&self, now: UnixNs) -> Vec<Alert> {
        let mut open: Vec<_> =
            self.open.values().map(|open| message(&self.host, open, AlertState::Update, now)).collect();
        open.sort_by(|a, b| (a.opened_unix_ns, &a.id).cmp(&(b.opened_unix_ns, &b.id)));
        open
    }

    /// Number of times that a suspicion would have opened an alert but had to wait.
    #[must_use]
    pub const fn held_back(&self) -> u64 {
        self.held_back
    }

    fn resolve(&mut self, now: UnixNs) -> Vec<Alert> {
        let gone = |open: &Open| since(now, open.seen) >= self.options.resolve_after.0;
        let keys: Vec<String> =
            self.open.iter().filter(|(_, open)| gone(open)).map(|(key, _)| key.clone()).collect();
        let mut resolved: Vec<Alert> = keys
            .iter()
            .filter_map(|key| self.open.remove(key))
            .map(|open| message(&self.host, &open, AlertState::Resolved, now))
            .collect();
        resolved.sort_by(|a, b| a.id.cmp(&b.id));
        resolved
    }

    fn refill(&mut self, now: UnixNs) {
        let last = *self.refilled.get_or_insert(now);
        if now.0 < last.0 {
            // The clock was set back: the wait starts anew.
            self.refilled = Some(now);
            return;
        }
        let step = self.options.refill.0.max(1);
        let more = (now.0 - last.0) / step;
        self.tokens =
            u32::try_from(u64::from(self.tokens) + more).unwrap_or(u32::MAX).min(self.options.burst);
        self.refilled = Some(UnixNs(last.0 + more * step));
    }
}

/// Time since then; 0 when the clock was set back, so that nothing is resolved by it.
const fn since(now: UnixNs, then: UnixNs) -> u64 {
    now.0.saturating_sub(then.0)
}

fn changed(open: &Open, share: f64) -> bool {
    let (now, sent) = (open.finding.lost_ns_per_s as f64, open.sent_lost as f64);
    (now - sent).abs() >= share * sent.max(1.0)
}

fn open(suspicion: &Suspicion, now: UnixNs) -> Open {
    let finding = suspicion.finding.clone();
    let subject = &finding.subject;
    let name = match (subject.pid, &subject.comm) {
        (Some(pid), _) => pid.to_string(),
        (None, Some(comm)) => comm.clone(),
        (None, None) => "-".to_owned(),
    };
    // One process can have two causes of one class (storms of two calls): the call distinguishes them.
    let call = suspicion.call.map(|(abi, nr)| format!(":{}", crate::syscall_names::display(abi, nr)));
    let id = format!(
        "{}/{}/{name}{}/{}",
        finding.class,
        subject.kind,
        call.unwrap_or_default(),
        now.0 / 1_000_000_000
    );
    Open { id, opened: now, seen: now, sent: now, sent_lost: finding.lost_ns_per_s, finding }
}

fn message(host: &str, open: &Open, state: AlertState, now: UnixNs) -> Alert {
    Alert {
        id: open.id.clone(),
        host: host.to_owned(),
        state,
        opened_unix_ns: open.opened.0,
        at_unix_ns: now.0,
        finding: open.finding.clone(),
        of_rule: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_common::wire::finding::Subject;

    const T0: u64 = 1_700_000_000;

    fn at(second: u64) -> UnixNs {
        UnixNs((T0 + second) * 1_000_000_000)
    }

    fn suspicion(pid: u32, lost: u64, level: Level) -> Suspicion {
        let finding = Finding {
            rule: "cpu_hog".into(),
            class: "cpu-user".into(),
            subject: Subject { kind: "process".into(), pid: Some(pid), comm: Some("burn".into()) },
            culprit: None,
            lost_ns_per_s: lost,
            share_pct: 50.0,
            confidence: 0.9,
            evidence: Vec::new(),
            stacks: Vec::new(),
            alternatives: Vec::new(),
            caused: Vec::new(),
            headline: None,
            advice: "x".into(),
            places: Vec::new(),
        };
        Suspicion::new(format!("cpu-user/{pid}"), level, finding)
    }

    fn alerts() -> Alerts {
        Alerts::new("h", AlertOptions::default())
    }

    fn states(messages: &[Alert]) -> Vec<AlertState> {
        messages.iter().map(|message| message.state).collect()
    }

    #[test]
    fn one_cause_opens_once_and_is_resolved_when_it_has_been_gone() {
        let mut alerts = alerts();
        let there = [suspicion(7, 100, Level::Enter)];
        let opened = alerts.update(at(0), &there);
        assert_eq!(states(&opened), [AlertState::Open]);
        assert_eq!(opened[0].id, format!("cpu-user/process/7/{T0}"));
        for second in 1..=20 {
            assert_eq!(alerts.update(at(second), &there), [], "found again: the same alert");
        }
        for second in 21..30 {
            assert_eq!(alerts.update(at(second), &[]), [], "not gone for long enough");
        }
        let resolved = alerts.update(at(30), &[]);
        assert_eq!(states(&resolved), [AlertState::Resolved]);
        assert_eq!((&resolved[0].id, resolved[0].opened_unix_ns), (&opened[0].id, at(0).0));
        assert_eq!(alerts.open(at(30)), []);
    }

    #[test]
    fn between_the_thresholds_it_stays_as_it_is() {
        let mut alerts = alerts();
        let weak = [suspicion(7, 100, Level::Hold)];
        assert_eq!(alerts.update(at(0), &weak), []);
        alerts.update(at(1), &[suspicion(7, 100, Level::Enter)]);
        for second in 2..60 {
            assert_eq!(alerts.update(at(second), &weak), [], "stays open, says nothing new");
        }
        assert_eq!(alerts.open(at(60)).len(), 1);
    }

    #[test]
    fn changed_figures_are_sent_now_and_then() {
        let mut alerts = alerts();
        alerts.update(at(0), &[suspicion(7, 100, Level::Enter)]);
        assert_eq!(alerts.update(at(29), &[suspicion(7, 200, Level::Enter)]), [], "too soon");
        let update = alerts.update(at(30), &[suspicion(7, 200, Level::Enter)]);
        assert_eq!(states(&update), [AlertState::Update]);
        assert_eq!((update[0].finding.lost_ns_per_s, update[0].at_unix_ns), (200, at(30).0));
        assert_eq!(alerts.update(at(60), &[suspicion(7, 210, Level::Enter)]), [], "5 % are no news");
        assert_eq!(alerts.open(at(60))[0].finding.lost_ns_per_s, 210, "but whoever asks gets the newest");
    }

    #[test]
    fn a_flood_of_alerts_is_held_back_and_opens_one_by_one() {
        let mut alerts = alerts();
        let flood: Vec<_> = (1..=15).map(|pid| suspicion(pid, 100, Level::Enter)).collect();
        assert_eq!(alerts.update(at(0), &flood).len(), 10);
        assert_eq!(alerts.held_back(), 5);
        assert_eq!(alerts.update(at(9), &flood), []);
        assert_eq!(alerts.update(at(10), &flood).len(), 1);
        assert_eq!(alerts.update(at(40), &flood).len(), 3);
    }

    #[test]
    fn a_doubtful_finding_opens_nothing() {
        let mut alerts = alerts();
        let mut doubtful = suspicion(7, 100, Level::Enter);
        doubtful.finding.confidence = 0.4;
        assert_eq!(alerts.update(at(0), &[doubtful]), []);
    }

    #[test]
    fn a_clock_set_back_resolves_nothing_and_opens_no_flood() {
        let mut alerts = alerts();
        let there = [suspicion(7, 100, Level::Enter)];
        alerts.update(at(1_000), &there);
        assert_eq!(alerts.update(at(0), &there), []);
        assert_eq!(alerts.update(at(5), &[]), []);
        assert_eq!(states(&alerts.update(at(10), &[])), [AlertState::Resolved], "10 s by the new clock");
    }

    #[test]
    fn a_symptom_does_not_open_while_its_root_is_open_or_was_just_there() {
        let mut alerts = alerts();
        let mut root = suspicion(7, 100, Level::Enter);
        root.explained = vec!["cpu-user/8".to_owned()];
        let symptom = suspicion(8, 100, Level::Enter);
        assert_eq!(alerts.update(at(0), std::slice::from_ref(&root)).len(), 1);
        for second in 1..10 {
            assert_eq!(alerts.update(at(second), std::slice::from_ref(&symptom)), [], "the root flickers");
        }
        assert_eq!(states(&alerts.update(at(10), &[symptom])), [AlertState::Resolved, AlertState::Open]);
    }

    #[test]
    fn two_calls_of_one_process_are_two_alerts() {
        use crate::window::SyscallAbi;
        let mut alerts = alerts();
        let storm = |nr, name: &str| {
            let mut storm = suspicion(7, 100, Level::Enter);
            (storm.key, storm.call) = (format!("syscall-storm/7/{name}"), Some((SyscallAbi::Native, nr)));
            storm
        };
        let opened = alerts.update(at(0), &[storm(0, "read"), storm(1, "write")]);
        let ids: Vec<_> = opened.iter().map(|alert| alert.id.clone()).collect();
        assert_eq!(ids, [format!("cpu-user/process/7:read/{T0}"), format!("cpu-user/process/7:write/{T0}")]);
    }

    #[test]
    fn the_json_has_the_documented_shape() {
        let mut alerts = alerts();
        let json =
            serde_json::to_value(&alerts.update(at(0), &[suspicion(7, 100, Level::Enter)])[0]).unwrap();
        assert_eq!(json["state"], "open");
        assert_eq!(json["host"], "h");
        assert_eq!(json["finding"]["class"], "cpu-user");
        assert_eq!(json["finding"]["subject"]["pid"], 7);
        assert_eq!(json["opened_unix_ns"], at(0).0);
    }
}
