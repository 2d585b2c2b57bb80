//! What a rule answers: suspicions, each a finding and how firm it is.

use agent_common::wire::finding::{Class, Culprit, Evidence, Finding, Side};

use crate::window::SyscallAbi;

/// Confidence from which a finding opens an alert; what is below it is in reports only: it holds nobody back, or may be
/// as it should be.
pub const ALERT_CONFIDENCE: f64 = 0.5;

/// What a rule says.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Nothing to report.
    Ok,
    /// These are.
    Suspect(Vec<Suspicion>),
    /// The rule cannot tell.
    NotEnoughData {
        /// What is missing.
        why: String,
    },
}

/// Which of its two thresholds a suspicion is above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The one to stay: keeps an open alert open, opens none.
    Hold,
    /// The one to enter.
    Enter,
}

/// A finding and how firm it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Suspicion {
    /// What is the same while the cause is the same: class and subject.
    pub key: String,
    /// Above which threshold.
    pub level: Level,
    /// The syscall it is about, where it is about one.
    pub call: Option<(SyscallAbi, u16)>,
    /// The finding.
    pub finding: Finding,
    /// Keys of what it explains: their alerts are held back.
    pub explained: Vec<String>,
    /// Place of the subject among the facts' units.
    pub(crate) unit: Option<usize>,
    /// Place of the culprit, where it is a process.
    pub(crate) culprit_unit: Option<usize>,
    /// How its waits lead to something else.
    pub(crate) chain: Vec<Link>,
}

/// A step from a wait to what the one waited for did meanwhile.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Link {
    pub(crate) unit: usize,
    pub(crate) class: Class,
    pub(crate) culprit: Option<Culprit>,
    pub(crate) culprit_unit: Option<usize>,
    pub(crate) advice: String,
}

impl Suspicion {
    /// It would open an alert, and its own numbers speak against it: it is not shown. A doubtful one says in its alternatives why
    /// it may be none.
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
    // Percentages are computed: no digits that are none.
    let round = |value: f64| (value * 1e6).round() / 1e6;
    Evidence {
        what: what.into(),
        value: round(value),
        unit: unit.to_owned(),
        threshold: threshold.map(round),
        side: Side::Above,
    }
}

/// A number that speaks for a finding at its threshold or below.
pub(crate) fn evidence_below(what: impl Into<String>, value: f64, unit: &str, threshold: f64) -> Evidence {
    Evidence { side: Side::Below, ..evidence(what, value, unit, Some(threshold)) }
}

/// Value above the threshold to enter, above the one to stay, or below both.
pub(crate) fn level(value: f64, enter: f64, leave: f64) -> Option<Level> {
    if value >= enter {
        Some(Level::Enter)
    } else if value >= leave {
        Some(Level::Hold)
    } else {
        None
    }
}

/// The verdict of what was found.
pub(crate) fn verdict(suspicions: Vec<Suspicion>) -> Verdict {
    if suspicions.is_empty() { Verdict::Ok } else { Verdict::Suspect(suspicions) }
}
