//! Lost time: the one measure of all rules that judge by states, and the suspicion made of it.
//!
//! A unit (processes of one name and parent) loses time in a state. Enter: [`SHARE_ENTER`] of its non-idle thread time
//! and [`LOST_ENTER`] seconds a second; stay: [`SHARE_LEAVE`] and [`LOST_LEAVE`]; and in four of five windows at least
//! what it takes to stay.

use agent_common::abi::sched::State;
use agent_common::wire::finding::{Alternative, Culprit, Evidence, Finding, Subject};

use super::{Class, Level, Suspicion, evidence, level};
use crate::facts::{Facts, Unit, lasts};

/// Share of the non-idle time of a unit.
pub(super) const SHARE_ENTER: f64 = 0.20;
/// The same, to stay.
pub(super) const SHARE_LEAVE: f64 = 0.12;
/// Seconds a second.
pub(super) const LOST_ENTER: f64 = 0.10;
/// The same, to stay, and in single windows.
pub(super) const LOST_LEAVE: f64 = 0.06;

/// Typical wait for another one, ns, below which that one is not slow: it is asked often.
pub(super) const PROMPT_NS: u64 = 1_000_000;

/// How much a unit loses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loss {
    /// Over the span.
    pub(super) ns: u64,
    /// Seconds a second.
    pub(super) rate: f64,
    /// Of its non-idle time, 0..=1.
    pub(super) share: f64,
    pub(super) level: Level,
}

/// What a unit loses in these states; `None` below the thresholds.
pub(super) fn loss(facts: &Facts, unit: &Unit, states: &[State]) -> Option<Loss> {
    loss_with(facts, unit, states, 0)
}

/// The same with time of these states that other accounts say more of (they were on a CPU then).
pub(super) fn loss_with(facts: &Facts, unit: &Unit, states: &[State], more: u64) -> Option<Loss> {
    let blocked = unit.times.sum(states);
    let ns = blocked + more;
    let loss = measure(facts, unit, ns)?;
    let mut series = vec![0; facts.windows.len()];
    for process in facts.members(unit) {
        process.by_window(states, &mut series);
    }
    // What comes on top is known over the span only.
    let on_top = facts.per_second(more) / 1e9;
    let rates: Vec<f64> = series
        .iter()
        .zip(facts.windows)
        .map(|(ns, window)| *ns as f64 / window.span().0.max(1) as f64 + on_top)
        .collect();
    lasts(&rates, LOST_LEAVE).then_some(loss)
}

/// Level of an amount, whenever in the span it was lost.
pub(super) fn measure(facts: &Facts, unit: &Unit, ns: u64) -> Option<Loss> {
    if unit.kernel {
        return None;
    }
    let rate = facts.per_second(ns) / 1e9;
    let share = (ns as f64 / unit.times.non_idle().max(1) as f64).min(1.0);
    let level = level(share, SHARE_ENTER, SHARE_LEAVE)?.min(level(rate, LOST_ENTER, LOST_LEAVE)?);
    Some(Loss { ns, rate, share, level })
}

/// The suspicion that a unit loses this, with the numbers that all have.
pub(super) fn suspect(rule: &'static str, class: Class, unit: &Unit, loss: Loss) -> Suspicion {
    let mut numbers = vec![
        evidence(format!("lost to {class}"), loss.rate * 1e3, "ms/s", Some(LOST_ENTER * 1e3)),
        evidence("of its non-idle thread time", loss.share * 100.0, "%", Some(SHARE_ENTER * 100.0)),
    ];
    if unit.members.len() > 1 {
        numbers.push(evidence("processes of this name", unit.members.len() as f64, "count", None));
    }
    let key = format!("{class}/{}", unit.key());
    let mut suspicion = suspect_other(rule, class, subject(unit), loss.level, numbers);
    suspicion.key = key;
    suspicion.unit = Some(unit.at);
    let finding = &mut suspicion.finding;
    finding.lost_ns_per_s = (loss.rate * 1e9) as u64;
    finding.share_pct = loss.share * 100.0;
    finding.confidence = (0.6 + 0.3 * (loss.share / 0.6)).min(0.9);
    suspicion
}

/// Below [`super::ALERT_CONFIDENCE`].
const DOUBT: f64 = 0.4;

/// It may as well be as it should: no alert, and in reports behind what is sure.
pub(crate) fn doubt(finding: &mut Finding) {
    finding.confidence = finding.confidence.min(DOUBT);
}

/// Waits for an answer that are many and short: whoever asks in turns loses that time, and nobody is slow.
pub(super) fn doubt_if_prompt(facts: &Facts, unit: &Unit, states: &'static [State], finding: &mut Finding) {
    if facts.waits(unit, states).all(|wait| wait.open) {
        return;
    }
    let Some(typical) = facts.typical_wait(unit, states) else { return };
    let limit = Some(PROMPT_NS as f64 / 1e6);
    finding.evidence.push(evidence("half of it in waits up to", typical as f64 / 1e6, "ms", limit));
    if typical < PROMPT_NS {
        doubt(finding);
        finding.alternatives.push(not("healthy", "not ruled out: each answer comes at once, it asks often"));
    }
}

/// The oldest wait of a unit in these states that had not ended, for evidence.
pub(super) fn oldest(facts: &Facts, unit: &Unit, states: &'static [State]) -> Option<Evidence> {
    let open = facts.waits(unit, states).filter(|wait| wait.open);
    let oldest = open.max_by_key(|wait| (wait.waited, wait.tid))?;
    let what = format!("thread {} ({}) still waits, since", oldest.tid, oldest.comm);
    Some(evidence(what, oldest.waited.as_secs_f64(), "s", None))
}

/// Share of its threads' time from which a process waits for events and does nothing else.
const AT_REST: f64 = 0.95;

/// Share of the waiting that has ended, or delivers something, from which the rest is as real: who hears now and then that the other
/// end is there has waited a moment for that.
const SURE: f64 = 0.2;

/// Waits for an answer of which hardly any has ended: one that gives it only when something has happened (a queue that is empty,
/// say) is not slow. A peer of this host that is stopped, sleeps or works is no such one; of others nobody can say.
pub(super) fn doubt_if_awaited(
    facts: &Facts,
    unit: &Unit,
    states: &'static [State],
    peer: Option<&Unit>,
    finding: &mut Finding,
) {
    let sends = |wait: &crate::window::Wait| {
        let call = wait.syscall.and_then(|(abi, nr)| crate::syscall_names::name(abi, nr));
        call.is_some_and(|name| crate::syscall_names::sends(name) || name.starts_with("open"))
    };
    let (mut sure, mut all) = (0, 0);
    for wait in facts.waits(unit, states) {
        all += wait.weight.0;
        sure += if !wait.open || sends(wait) { wait.weight.0 } else { 0 };
    }
    if sure as f64 >= SURE * all as f64 {
        return;
    }
    if peer.is_some_and(|peer| facts.members(peer).any(|process| facts.frozen.contains_key(&process.tgid))) {
        return;
    }
    let rests = peer.is_none_or(|peer| {
        let idle = [State::Poll, State::NetAccept, State::FutexWait];
        peer.times.sum(&idle) as f64 >= AT_REST * peer.times.all().max(1) as f64
    });
    if rests {
        doubt(finding);
        let why_not = "not ruled out: the other end may have nothing to tell yet";
        finding.alternatives.push(not("healthy", why_not));
    }
}

/// A suspicion about something that is no process, or that is not measured by states.
pub(super) fn suspect_other(
    rule: &'static str,
    class: Class,
    subject: Subject,
    level: Level,
    numbers: Vec<Evidence>,
) -> Suspicion {
    let name = match (subject.pid, &subject.comm) {
        (Some(pid), _) => pid.to_string(),
        (None, Some(comm)) => comm.clone(),
        (None, None) => subject.kind.clone(),
    };
    let key = format!("{class}/{name}");
    let finding = Finding {
        rule: rule.to_owned(),
        class,
        subject,
        culprit: None,
        lost_ns_per_s: 0,
        share_pct: 0.0,
        confidence: 0.5,
        evidence: numbers,
        stacks: Vec::new(),
        alternatives: Vec::new(),
        caused: Vec::new(),
        headline: None,
        advice: String::new(),
    };
    Suspicion::new(key, level, finding)
}

/// The host as a subject.
pub(super) fn host() -> Subject {
    Subject { kind: "host".into(), pid: None, comm: None }
}

/// A unit as the subject of a finding.
pub(super) fn subject(unit: &Unit) -> Subject {
    Subject { kind: "process".into(), pid: Some(unit.tgid.0), comm: Some(unit.comm.as_ref().into()) }
}

/// A unit as the culprit.
pub(super) fn process_culprit(unit: &Unit) -> Culprit {
    Culprit { kind: "process".into(), pid: Some(unit.tgid.0), comm: Some(unit.comm.as_ref().into()) }
}

/// A culprit that is no process.
pub(super) fn culprit(kind: &str, name: impl Into<String>) -> Culprit {
    Culprit { kind: kind.into(), pid: None, comm: Some(name.into()) }
}

/// A class that was considered.
pub(super) fn not(class: &str, why_not: impl Into<String>) -> Alternative {
    Alternative { class: class.to_owned(), why_not: why_not.into() }
}
