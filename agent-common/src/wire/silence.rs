//! Silences: which alerts no notifier is told of, for a time. They stay in the store and in all lists.

use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use super::finding::Alert;

/// Most silences at the same time.
pub const MAX_SILENCES: usize = 1_000;

/// Longest name in one, characters.
pub const MAX_NAME_CHARS: usize = 255;
/// Longest life of a silence, seconds: what nobody remembers must not hide alerts for ever.
pub const MAX_SILENCE_S: i64 = 30 * 86_400;

/// Which alerts: those that have all of what is said here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// Of this host.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub host: Option<String>,
    /// Of this class.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub class: Option<String>,
    /// Whose subject has this name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub comm: Option<String>,
}

impl Match {
    /// It says nothing: it would be all alerts.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.host.is_none() && self.class.is_none() && self.comm.is_none()
    }

    /// Whether an alert is one of them.
    #[must_use]
    pub fn covers(&self, alert: &Alert) -> bool {
        let is = |wanted: &Option<String>, own: &str| wanted.as_ref().is_none_or(|wanted| wanted == own);
        is(&self.host, &alert.host)
            && is(&self.class, &alert.finding.class.to_string())
            && is(&self.comm, alert.finding.subject.comm.as_deref().unwrap_or_default())
    }
}

/// One silence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Its number.
    pub id: i64,
    /// Which alerts.
    #[serde(rename = "match")]
    pub which: Match,
    /// When it began, seconds since 1970.
    pub from: i64,
    /// When it ends.
    pub until: i64,
    /// Who made it.
    pub by: String,
    /// Why.
    pub note: String,
}

/// The silences that are in force. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Silences(Arc<RwLock<Vec<Silence>>>);

impl Silences {
    /// These are in force from now on.
    pub fn set(&self, mut all: Vec<Silence>) {
        all.truncate(MAX_SILENCES);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = all;
    }

    /// Those of somebody who may not silence everything, nor for ever: as a process that is attacked may want.
    pub fn set_foreign(&self, mut all: Vec<Silence>, now: i64) {
        all.retain(|silence| !silence.which.is_empty());
        for silence in &mut all {
            silence.until = silence.until.min(now.saturating_add(MAX_SILENCE_S));
        }
        self.set(all);
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<Silence> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The number of the one that an alert falls under at this time, seconds since 1970.
    #[must_use]
    pub fn of(&self, alert: &Alert, now: i64) -> Option<i64> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let holds = |silence: &&Silence| (silence.from..silence.until).contains(&now);
        all.iter().filter(holds).find(|silence| silence.which.covers(alert)).map(|silence| silence.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::finding::{AlertState, testing};

    #[test]
    fn a_silence_covers_what_has_all_that_it_says_while_it_lasts() {
        let silences = Silences::default();
        let which = Match { class: Some("cpu-user".to_owned()), comm: Some("worker".to_owned()), host: None };
        let (by, note) = (String::new(), String::new());
        silences.set(vec![Silence { id: 7, which, from: 100, until: 200, by, note }]);
        let mut alert = testing::alert("a", AlertState::Open);
        assert_eq!(silences.of(&alert, 100), Some(7));
        assert_eq!(silences.of(&alert, 200), None, "it is over");
        assert_eq!(silences.of(&alert, 99), None, "it has not begun");
        alert.finding.subject.comm = Some("web".to_owned());
        assert_eq!(silences.of(&alert, 150), None);
        alert.finding.subject.comm = None;
        assert_eq!(silences.of(&alert, 150), None, "it has no name");
        assert!(Match::default().is_empty() && serde_json::from_str::<Match>(r#"{"pid":1}"#).is_err());
    }
}
