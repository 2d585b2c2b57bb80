//! Alerts that are open, and everyone who follows them.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use agent_common::wire::finding::{Alert, AlertState};
use tokio::sync::broadcast;

/// Most alert messages by which a follower may lag behind.
const MAX_FOLLOWER_ALERTS: usize = 256;

/// Most open alerts of rules: they come from the process without privileges.
const MAX_OF_RULES: usize = 1_000;

/// Open alerts. Shared between the rules and the control socket.
#[derive(Debug)]
pub struct AlertBoard {
    open: Mutex<BTreeMap<String, Alert>>,
    changes: broadcast::Sender<Alert>,
}

impl Default for AlertBoard {
    fn default() -> Self {
        Self { open: Mutex::default(), changes: broadcast::Sender::new(MAX_FOLLOWER_ALERTS) }
    }
}

impl AlertBoard {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Alert>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a change and sends it to the followers. False: there is no room for one more alert of a rule, or it names one of
    /// ours, which whoever evaluates rules has no say in.
    pub fn post(&self, alert: &Alert) -> bool {
        // The lock is held over the send, so that `follow` sees each change once: as open or as a message.
        let mut open = self.lock();
        if open.get(&alert.id).is_some_and(|known| known.of_rule.is_some() != alert.of_rule.is_some()) {
            tracing::warn!(
                id = agent_common::text::clean(&alert.id),
                "an alert of a rule has the id of another: it is not shown"
            );
            return false;
        }
        if alert.state == AlertState::Resolved {
            open.remove(&alert.id);
        } else {
            let of_rules = || open.values().filter(|own| own.of_rule.is_some()).count();
            if alert.of_rule.is_some() && !open.contains_key(&alert.id) && of_rules() >= MAX_OF_RULES {
                tracing::warn!("more than {MAX_OF_RULES} alerts of rules are open: one is not shown");
                return false;
            }
            open.insert(alert.id.clone(), alert.clone());
        }
        // No follower is no error.
        let _ = self.changes.send(alert.clone());
        true
    }

    /// How many are open.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Whether this one is open.
    #[must_use]
    pub fn is_open(&self, id: &str) -> bool {
        self.lock().contains_key(id)
    }

    /// Processes that open alerts are about, and those that cause them. Alerts of rules name none: they come from the process
    /// without privileges, which does not choose whose files are read.
    #[must_use]
    pub fn processes(&self) -> HashSet<u32> {
        let open = self.lock();
        let own = open.values().filter(|alert| alert.of_rule.is_none()).map(|alert| &alert.finding);
        own.flat_map(|finding| {
            let culprit = finding.culprit.as_ref().and_then(|culprit| culprit.pid);
            finding.subject.pid.into_iter().chain(culprit)
        })
        .collect()
    }

    /// What is open, oldest first.
    #[must_use]
    pub fn open(&self) -> Vec<Alert> {
        self.follow().0
    }

    /// What is open, and every change after it.
    #[must_use]
    pub fn follow(&self) -> (Vec<Alert>, broadcast::Receiver<Alert>) {
        let open = self.lock();
        let mut alerts: Vec<Alert> = open.values().cloned().collect();
        alerts.sort_by_key(|alert| alert.opened_unix_ns);
        (alerts, self.changes.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use agent_common::wire::finding::testing::alert;

    use super::*;

    #[test]
    fn resolved_alerts_leave_the_board_and_followers_hear_of_it() {
        let board = AlertBoard::default();
        board.post(&alert("a", AlertState::Open));
        let (open, mut changes) = board.follow();
        assert_eq!(open.len(), 1);
        board.post(&alert("a", AlertState::Resolved));
        assert_eq!(changes.try_recv().unwrap().state, AlertState::Resolved);
        assert!(board.open().is_empty());
    }

    #[test]
    fn alerts_of_rules_have_a_bound() {
        let board = AlertBoard::default();
        let of_rule =
            |nth: usize| Alert { of_rule: Some(Box::default()), ..alert(&nth.to_string(), AlertState::Open) };
        assert!((0..MAX_OF_RULES).all(|nth| board.post(&of_rule(nth))));
        assert!(!board.post(&of_rule(MAX_OF_RULES)) && board.post(&of_rule(0)), "a known one may change");
        assert!(board.post(&alert("ours", AlertState::Open)));
        assert_eq!(board.count(), MAX_OF_RULES + 1);
    }

    #[test]
    fn an_alert_of_a_rule_does_not_end_or_replace_one_of_ours() {
        let board = AlertBoard::default();
        let ours = alert("ours", AlertState::Open);
        board.post(&ours);
        for state in [AlertState::Open, AlertState::Resolved] {
            assert!(!board.post(&Alert { of_rule: Some(Box::default()), ..alert("ours", state) }));
        }
        assert_eq!(board.open(), std::slice::from_ref(&ours));
        let own = board.processes();
        assert!(ours.finding.subject.pid.is_some_and(|pid| own.contains(&pid)));
        let mut rule = Alert { of_rule: Some(Box::default()), ..alert("rule", AlertState::Open) };
        rule.finding.subject.pid = Some(4_194_303);
        board.post(&rule);
        assert_eq!(board.processes(), own, "the relay does not choose whose files are read");
        assert!(board.is_open("rule") && board.is_open("ours") && !board.is_open("other"));
    }
}
