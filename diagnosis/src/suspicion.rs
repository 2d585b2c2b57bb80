//! Suspicions: a rule's result, each a finding with its level.

use agent_common::wire::finding::{Class, Culprit, Evidence, Finding, Side};

use crate::window::SyscallAbi;

/// Confidence from which a finding opens an alert. Below it, it is in reports only: it keeps no process waiting, or may be normal
/// operation.
pub const ALERT_CONFIDENCE: f64 = 0.5;

/// A rule's answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Nothing to report.
    Ok,
    /// These suspicions.
    Suspect(Vec<Suspicion>),
    /// The rule cannot judge.
    NotEnoughData {
        /// What is missing.
        why: String,
    },
}

/// The higher of the two thresholds that a suspicion reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The threshold to stay: keeps an open alert open, opens none.
    Hold,
    /// The threshold to enter: opens an alert.
    Enter,
}

/// A finding with its level.
#[derive(Debug, Clone, PartialEq)]
pub struct Suspicion {
    /// Identity from span to span: class and subject.
    pub key: String,
    /// The threshold that it reaches.
    pub level: Level,
    /// The syscall it is about, where it is about one.
    pub call: Option<(SyscallAbi, u16)>,
    /// The finding.
    pub finding: Finding,
    /// Keys of the suspicions that it explains: their alerts are held back.
    pub explained: Vec<String>,
    /// Index of the subject in the facts' units.
    pub(crate) unit: Option<usize>,
    /// The same of the culprit, where it is a process.
    pub(crate) culprit_unit: Option<usize>,
    /// The chain from its wait to the wait behind it.
    pub(crate) chain: Vec<Link>,
}

/// A step of a wait chain: what the process does that others wait for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Link {
    pub(crate) unit: usize,
    pub(crate) class: Class,
    pub(crate) culprit: Option<Culprit>,
    pub(crate) culprit_unit: Option<usize>,
    pub(crate) advice: String,
}

impl Suspicion {
    /// True if it would open an alert although one of its numbers is on the wrong side of its threshold: then it is not shown. (A
    /// doubtful finding gives the reason for doubt in its alternatives.)
    pub(crate) fn contradicts_itself(&self) -> bool {
        self.level == Level::Enter
            && self.finding.confidence >= ALERT_CONFIDENCE
            && !self.finding.evidence.iter().all(Evidence::holds)
    }

    /// A suspicion without relations to others.
    #[must_use]
    pub fn new(key: String, level: Level, finding: Finding) -> Self {
        Self {
            key,
            level,
            call: None,
            finding,
            explained: Vec::new(),
            unit: None,
            culprit_unit: None,
            chain: Vec::new(),
        }
    }
}

/// A number behind a finding.
pub(crate) fn evidence(what: impl Into<String>, value: f64, unit: &str, threshold: Option<f64>) -> Evidence {
    // Percentages are computed: rounding removes meaningless digits.
    let round = |value: f64| (value * 1e6).round() / 1e6;
    Evidence {
        what: what.into(),
        value: round(value),
        unit: unit.to_owned(),
        threshold: threshold.map(round),
        side: Side::Above,
    }
}

/// A number behind a finding that supports it at or below the threshold.
pub(crate) fn evidence_below(what: impl Into<String>, value: f64, unit: &str, threshold: f64) -> Evidence {
    Evidence { side: Side::Below, ..evidence(what, value, unit, Some(threshold)) }
}

/// The level of a value; `None` below both thresholds.
pub(crate) fn level(value: f64, enter: f64, leave: f64) -> Option<Level> {
    if value >= enter {
        Some(Level::Enter)
    } else if value >= leave {
        Some(Level::Hold)
    } else {
        None
    }
}

/// The verdict of these suspicions.
pub(crate) fn verdict(suspicions: Vec<Suspicion>) -> Verdict {
    if suspicions.is_empty() { Verdict::Ok } else { Verdict::Suspect(suspicions) }
}
