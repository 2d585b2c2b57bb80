//! Rules: windows → findings. Pure: no I/O, no clock.
//!
//! One rule a file; its doc comment is its reference (what, why, thresholds with units, cure). A rule judges the
//! whole span it is given, once, and answers [`Verdict::Ok`], [`Verdict::Suspect`] or [`Verdict::NotEnoughData`].
//! Each threshold has two values: one to enter, a lower one to stay ([`Level`]), so that an alert at the edge does not
//! flap. What one finding explains is not reported beside it: it stands in its `caused`.

mod cpu_hog;
mod error_storm;
mod facts;
mod syscall_storm;

use std::sync::Arc;

use agent_common::units::DurNs;
use agent_common::wire::finding::{Evidence, Finding};

use crate::window::{SyscallAbi, Window};
use facts::Facts;

/// Span of the newest windows that a daemon has judged, once a second: short enough to tell within 10 s, long enough
/// that a start-up or a build step does not count.
pub const SPAN: DurNs = DurNs(5_000_000_000);

/// Shortest span that a rule judges: below it one busy moment is all there is.
pub const MIN_SPAN: DurNs = DurNs(1_900_000_000);

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
}

/// A rule.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Its file name.
    pub name: &'static str,
    /// The classes of its findings.
    pub classes: &'static [&'static str],
    judge: fn(&Facts) -> Verdict,
}

/// All rules.
pub static RULES: [Rule; 3] = [cpu_hog::RULE, syscall_storm::RULE, error_storm::RULE];

/// The newest windows, as many as [`SPAN`] takes.
#[must_use]
pub fn recent(windows: &[Arc<Window>]) -> &[Arc<Window>] {
    let mut span = 0;
    let from = windows.iter().rposition(|window| {
        span += window.span().0;
        span >= SPAN.0
    });
    &windows[from.unwrap_or(0)..]
}

/// What each rule says about these windows.
#[must_use]
pub fn verdicts(windows: &[Arc<Window>]) -> Vec<(&'static str, Verdict)> {
    let facts = Facts::new(windows);
    RULES.iter().map(|rule| (rule.name, judge(rule, &facts))).collect()
}

fn judge(rule: &Rule, facts: &Facts) -> Verdict {
    if facts.span.0 < MIN_SPAN.0 {
        let why =
            format!("{:.1} s observed, {:.1} s needed", facts.span.as_secs_f64(), MIN_SPAN.as_secs_f64());
        return Verdict::NotEnoughData { why };
    }
    (rule.judge)(facts)
}

/// All suspicions, most lost time first, without those that another one explains.
#[must_use]
pub fn suspicions(windows: &[Arc<Window>]) -> Vec<Suspicion> {
    let all = verdicts(windows).into_iter().flat_map(|(_, verdict)| match verdict {
        Verdict::Suspect(suspicions) => suspicions,
        Verdict::Ok | Verdict::NotEnoughData { .. } => Vec::new(),
    });
    let mut suspicions = explain(all.collect());
    suspicions.sort_by(|a, b| {
        b.finding.lost_ns_per_s.cmp(&a.finding.lost_ns_per_s).then_with(|| a.key.cmp(&b.key))
    });
    suspicions
}

/// What the rules find in these windows (all of them: for a daemon pass [`recent`]), most lost time first.
#[must_use]
pub fn findings(windows: &[Arc<Window>]) -> Vec<Finding> {
    let firm = suspicions(windows).into_iter().filter(|suspicion| suspicion.level == Level::Enter);
    firm.map(|suspicion| suspicion.finding).collect()
}

/// Classes that a class explains when they are about the same process (and the same call, where both name one).
const EXPLAINS: [(&str, &[&str]); 2] =
    [("error-storm", &["syscall-storm", "cpu-kernel"]), ("syscall-storm", &["cpu-kernel"])];

/// Moves what is explained into the explanation's `caused`. The explanation is as firm and costs as much as the worst
/// of what it explains.
fn explain(mut suspicions: Vec<Suspicion>) -> Vec<Suspicion> {
    for (class, caused) in EXPLAINS {
        let causes: Vec<usize> =
            (0..suspicions.len()).filter(|at| suspicions[*at].finding.class == class).collect();
        let mut explained = Vec::new();
        for cause in causes {
            for (effect, other) in suspicions.iter().enumerate() {
                let same_call = other.call.is_none() || other.call == suspicions[cause].call;
                let same = other.finding.subject == suspicions[cause].finding.subject && same_call;
                if same && caused.contains(&&*other.finding.class) && other.level <= suspicions[cause].level {
                    explained.push((cause, effect));
                }
            }
        }
        for (cause, effect) in &explained {
            let finding = suspicions[*effect].finding.clone();
            let into = &mut suspicions[*cause].finding;
            into.lost_ns_per_s = into.lost_ns_per_s.max(finding.lost_ns_per_s);
            into.caused.push(finding.class);
            into.caused.extend(finding.caused);
        }
        let mut at = 0;
        suspicions.retain(|_| {
            at += 1;
            !explained.iter().any(|(_, effect)| *effect == at - 1)
        });
    }
    suspicions
}

/// A number behind a finding.
fn evidence(what: impl Into<String>, value: f64, unit: &str, threshold: Option<f64>) -> Evidence {
    Evidence { what: what.into(), value, unit: unit.to_owned(), threshold }
}

/// Value above the threshold to enter, above the one to stay, or below both.
fn level(value: f64, enter: f64, leave: f64) -> Option<Level> {
    if value >= enter {
        Some(Level::Enter)
    } else if value >= leave {
        Some(Level::Hold)
    } else {
        None
    }
}

/// The verdict of what was found.
fn verdict(suspicions: Vec<Suspicion>) -> Verdict {
    if suspicions.is_empty() { Verdict::Ok } else { Verdict::Suspect(suspicions) }
}

#[cfg(test)]
mod tests;
