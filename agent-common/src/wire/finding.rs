//! A finding: a rule's result with its evidence. An alert: a finding with a lifetime.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use super::class::Class;
pub use super::place::{FoundPlace, Place};

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// `process`, `device`, `cgroup` or `host`.
    pub kind: String,
    /// The process, where it is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pid: Option<u32>,
    /// Task name, device name, cgroup path or host name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub comm: Option<String>,
}

/// Who causes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Culprit {
    /// `process`, `thread`, `lock`, `device`, `cgroup`, `peer` or `host`.
    pub kind: String,
    /// The process, or thread, where it is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pid: Option<u32>,
    /// Task name, device name, cgroup path, peer address.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub comm: Option<String>,
}

/// One number behind a finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// What was measured.
    pub what: String,
    /// The measured value.
    pub value: f64,
    /// Its unit.
    pub unit: String,
    /// The threshold to alert, in the same unit, where the number is a condition of the finding.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub threshold: Option<f64>,
    /// On which side of the threshold it is one.
    #[serde(skip_serializing_if = "Side::is_above", default)]
    pub side: Side,
}

/// On which side of its threshold a number is a reason to alert.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// At it or above.
    #[default]
    Above,
    /// At it or below.
    Below,
}

impl Side {
    /// It is the usual one, which is not written.
    #[must_use]
    pub fn is_above(&self) -> bool {
        *self == Self::Above
    }

    /// As in "alert above 5".
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Above => "above",
            Self::Below => "below",
        }
    }
}

impl Evidence {
    /// The unit as text for people shows it: nothing for a plain count.
    #[must_use]
    pub fn shown_unit(&self) -> &str {
        if self.unit == "count" { "" } else { &self.unit }
    }

    /// The number is on the side of its threshold that speaks for the finding; without a threshold it speaks for none.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.threshold.is_none_or(|threshold| match self.side {
            Side::Above => self.value >= threshold,
            Side::Below => self.value <= threshold,
        })
    }
}

/// A class that was considered and lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alternative {
    /// Class name.
    pub class: String,
    /// Why it is not the verdict.
    pub why_not: String,
}

/// A rule's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule's file name.
    pub rule: String,
    /// What kind of trouble it is, e.g. `cpu-user`, `syscall-storm`.
    pub class: Class,
    /// What it is about.
    pub subject: Subject,
    /// Who causes it, where that is known.
    pub culprit: Option<Culprit>,
    /// Time lost per second of wall, ns (may exceed 1e9: it adds up over threads).
    pub lost_ns_per_s: u64,
    /// Share of the subject's time, percent.
    pub share_pct: f64,
    /// 0..=1.
    pub confidence: f64,
    /// The numbers.
    pub evidence: Vec<Evidence>,
    /// Folded stacks that show it, heaviest first.
    #[serde(default)]
    pub stacks: Vec<String>,
    /// What else was considered.
    #[serde(default)]
    pub alternatives: Vec<Alternative>,
    /// Classes of findings that this one explains.
    #[serde(default)]
    pub caused: Vec<Class>,
    /// What its first line says besides the class: another wait that is as much to blame.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub headline: Option<String>,
    /// What to do about it.
    pub advice: String,
    /// What subject and culprit belong to, where it is a container or a service.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub places: Vec<FoundPlace>,
}

impl Finding {
    /// What a process belongs to, in words, where that is known.
    #[must_use]
    pub fn place(&self, pid: Option<u32>) -> Option<String> {
        self.places.iter().find(|found| Some(found.pid) == pid)?.place.in_words()
    }
}

/// State of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// Newly open.
    Open,
    /// Still open, figures changed.
    Update,
    /// Over.
    Resolved,
}

/// Payload of `s7mpa/v1/<host>/alert`, one JSON object a message; also one line of `agent alerts --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Stable while open: `<class>/<kind>/<pid or name>/<opened_unix_s>`.
    pub id: String,
    /// Host name.
    pub host: String,
    /// Its state.
    pub state: AlertState,
    /// When it opened, RFC 3339 seconds are derived from this; ns since the epoch.
    pub opened_unix_ns: u64,
    /// When this message was made, ns since the epoch.
    pub at_unix_ns: u64,
    /// The finding behind it.
    pub finding: Finding,
    /// An alert of a rule file: what the rule made of its series.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub of_rule: Option<Box<OfRule>>,
}

/// Labels and texts of an alert of a rule file, as Alertmanager takes them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfRule {
    /// Labels, `alertname` among them.
    pub labels: BTreeMap<String, String>,
    /// Texts for people.
    pub annotations: BTreeMap<String, String>,
}

/// For tests of whatever takes alerts.
#[doc(hidden)]
pub mod testing {
    use super::{Alert, AlertState, Finding, Subject};

    /// An alert of this id and state.
    pub fn alert(id: &str, state: AlertState) -> Alert {
        Alert {
            id: id.to_owned(),
            host: "here".to_owned(),
            state,
            opened_unix_ns: 1_700_000_000_000_000_000,
            at_unix_ns: 1_700_000_001_000_000_000,
            finding: Finding {
                rule: "cpu_hog".to_owned(),
                class: "cpu-user".into(),
                subject: Subject {
                    kind: "process".to_owned(),
                    pid: Some(42),
                    comm: Some("worker".to_owned()),
                },
                culprit: None,
                lost_ns_per_s: 900_000_000,
                share_pct: 90.0,
                confidence: 0.9,
                evidence: Vec::new(),
                stacks: Vec::new(),
                alternatives: Vec::new(),
                caused: Vec::new(),
                headline: None,
                advice: "look at its flame graph".to_owned(),
                places: Vec::new(),
            },
            of_rule: None,
        }
    }
}
