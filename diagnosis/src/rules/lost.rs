//! Lost time: the one measure of all rules that judge by thread states, and the suspicion made of it.
//!
//! A unit (processes of one name, parent and cgroup) loses time in a state. To enter: [`SHARE_ENTER`] of its non-idle thread time
//! and [`LOST_ENTER`] seconds a second. To stay: [`SHARE_LEAVE`] and [`LOST_LEAVE`]. Four of five windows must reach
//! [`LOST_LEAVE`].

use agent_common::abi::sched::State;
use agent_common::wire::finding::{Alternative, Culprit, Evidence, Finding, Subject};

use super::{Class, Level, Suspicion, evidence, level};
use crate::facts::{Facts, Unit, lasts};

/// Share of a unit's non-idle thread time, to enter.
pub(super) const SHARE_ENTER: f64 = 0.20;
/// The same share, to stay.
pub(super) const SHARE_LEAVE: f64 = 0.12;
/// Lost thread time, seconds a second, to enter.
pub(super) const LOST_ENTER: f64 = 0.10;
/// The same rate, to stay, and in each single window.
pub(super) const LOST_LEAVE: f64 = 0.06;

/// Median wait for a peer, ns, below which the peer is not slow: the waiting process sends it many requests.
pub(super) const PROMPT_WAIT_NS: u64 = 1_000_000;

/// Thread time that a unit loses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loss {
    /// Over the span, ns.
    pub(super) ns: u64,
    /// Seconds a second.
    pub(super) rate: f64,
    /// Of its non-idle time, 0..=1.
    pub(super) share: f64,
    pub(super) level: Level,
}

/// Thread time that a unit loses in these states; `None` below the thresholds.
pub(super) fn loss(facts: &Facts, unit: &Unit, states: &[State]) -> Option<Loss> {
    loss_with(facts, unit, states, 0)
}

/// As [`loss`], with `more` ns that belong to these states but were spent on a CPU.
pub(super) fn loss_with(facts: &Facts, unit: &Unit, states: &[State], more: u64) -> Option<Loss> {
    let blocked = unit.times.sum(states);
    let ns = blocked + more;
    let loss = measure(facts, unit, ns)?;
    let mut series = vec![0; facts.windows.len()];
    for process in facts.members(unit) {
        process.by_window(states, &mut series);
    }
    // `more` is known for the whole span only, not by window.
    let on_top = facts.per_second(more) / 1e9;
    let rates: Vec<f64> = series
        .iter()
        .zip(facts.windows)
        .map(|(ns, window)| *ns as f64 / window.span().0.max(1) as f64 + on_top)
        .collect();
    lasts(&rates, LOST_LEAVE).then_some(loss)
}

/// The loss of `ns` over the span, wherever in the span it was; `None` below the thresholds.
pub(super) fn measure(facts: &Facts, unit: &Unit, ns: u64) -> Option<Loss> {
    if unit.kernel {
        return None;
    }
    let rate = facts.per_second(ns) / 1e9;
    let share = (ns as f64 / unit.times.non_idle().max(1) as f64).min(1.0);
    let level = level(share, SHARE_ENTER, SHARE_LEAVE)?.min(level(rate, LOST_ENTER, LOST_LEAVE)?);
    Some(Loss { ns, rate, share, level })
}

/// The suspicion that a unit loses this time, with the evidence that all such suspicions have.
pub(super) fn suspect(rule: &'static str, class: Class, unit: &Unit, loss: Loss) -> Suspicion {
    let mut numbers = vec![
        evidence(format!("thread time lost to {class}"), loss.rate * 1e3, "ms/s", Some(LOST_ENTER * 1e3)),
        evidence("share of its non-idle thread time", loss.share * 100.0, "%", Some(SHARE_ENTER * 100.0)),
    ];
    if unit.members.len() > 1 {
        numbers.push(evidence("processes with this name", unit.members.len() as f64, "count", None));
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

/// Confidence of a doubtful finding: below [`super::ALERT_CONFIDENCE`].
const DOUBTFUL_CONFIDENCE: f64 = 0.4;

/// Marks a finding as doubtful (it may be normal operation): it opens no alert, and reports list it after the firm ones.
pub(crate) fn doubt(finding: &mut Finding) {
    finding.confidence = finding.confidence.min(DOUBTFUL_CONFIDENCE);
}

/// Doubts a finding whose waits for answers are many and short: the peer is not slow, the process sends many requests in turn.
pub(super) fn doubt_if_prompt(facts: &Facts, unit: &Unit, states: &'static [State], finding: &mut Finding) {
    if facts.waits(unit, states).all(|wait| wait.open) {
        return;
    }
    let Some(typical) = facts.typical_wait(unit, states) else { return };
    let limit = Some(PROMPT_WAIT_NS as f64 / 1e6);
    finding.evidence.push(evidence(
        "half of the waiting time is in waits up to",
        typical as f64 / 1e6,
        "ms",
        limit,
    ));
    if typical < PROMPT_WAIT_NS {
        doubt(finding);
        finding
            .alternatives
            .push(not("healthy", "not ruled out: each answer comes at once, it sends many requests"));
    }
}

/// The oldest open wait of a unit in these states, as evidence.
pub(super) fn oldest(facts: &Facts, unit: &Unit, states: &'static [State]) -> Option<Evidence> {
    let open = facts.waits(unit, states).filter(|wait| wait.open);
    let oldest = open.max_by_key(|wait| (wait.waited, wait.tid))?;
    let what = format!("oldest wait still open, thread {} ({})", oldest.tid, oldest.comm);
    Some(evidence(what, oldest.waited.as_secs_f64(), "s", None))
}

/// Share of a process' thread time in idle states, from which it only waits for events.
const MIN_IDLE_SHARE: f64 = 0.95;

/// Share of the waiting time in waits that ended, or that send data, from which the open waits are believed, too: a process that
/// gets answers now and then does wait for answers.
const MIN_ENDED_SHARE: f64 = 0.2;

/// Doubts a finding whose waits for answers hardly ever end: a peer that answers only on an event (an empty queue, say) is not
/// slow. A peer on this host that is stopped, frozen, asleep or at work is no such peer; about a remote peer nothing is known.
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
    if sure as f64 >= MIN_ENDED_SHARE * all as f64 {
        return;
    }
    if peer.is_some_and(|peer| facts.members(peer).any(|process| facts.frozen.contains_key(&process.tgid))) {
        return;
    }
    let rests = peer.is_none_or(|peer| {
        let idle = [State::Poll, State::NetAccept, State::FutexWait];
        peer.times.sum(&idle) as f64 >= MIN_IDLE_SHARE * peer.times.all().max(1) as f64
    });
    if rests {
        doubt(finding);
        let why_not = "not ruled out: the other end may have nothing to send yet";
        finding.alternatives.push(not("healthy", why_not));
    }
}

/// A suspicion about a subject that is no process, or that is not measured by thread states.
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
        places: Vec::new(),
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
