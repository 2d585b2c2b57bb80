//! # `child`: waiting for children that make no progress
//!
//! **Class** `child`; the culprit is the kind of child that is waited for.
//!
//! **What.** Processes of one name and parent lose at least 20 % of their non-idle thread time, and 0.1 s a second (to
//! stay: 12 %, 0.06 s/s), to `wait` calls that return, child after child. The children, and the processes they start, are
//! runnable for at most [`MAX_CHILD_CPU_SHARE`] of that time: children that compute do the parent's work (a compiler driver, a
//! shell script). A single long wait is a supervisor's, and no finding. Time in which the children wait for a timer or for work
//! of their own is not lost either: a monitoring script with a `sleep` in its loop.
//!
//! **Whose fault.** The child. When a rule finds the child's own wait (`disk-read`, …), that is the root, and this hangs below it.
//!
//! **Cure.** See what the child does: `agent report`; run children side by side.

use std::collections::HashMap;
use std::sync::Arc;

use agent_common::abi::sched::State;
use agent_common::units::Tgid;
use agent_common::wire::finding::Culprit;

use super::lost::{loss, not, suspect};
use super::{Class, Need, Rule, Trend, Verdict, evidence, evidence_below, verdict};
use crate::facts::{Facts, Unit};

/// Most runnable time of the children, as a share of the waiting; above it they compute.
const MAX_CHILD_CPU_SHARE: f64 = 0.5;
/// Ancestors of a process that are searched, parent first.
const MAX_GENERATIONS: usize = 4;
/// Most share of the children's time in waits for a timer or for work.
const MAX_CHILD_IDLE_SHARE: f64 = 0.5;
/// Least number of children that ended in the span.
const MIN_CHILDREN: u64 = 3;

pub(super) const RULE: Rule = Rule { name: "child", classes: &[Class::Child], needs: Need::Waits, judge };

const STATES: &[State] = &[State::Child];

/// On a CPU, or waiting for one.
const RUNNABLE_STATES: [State; 4] =
    [State::Oncpu, State::RunqWoken, State::RunqPreempted, State::RunqThrottled];

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut suspicions = Vec::new();
    let parents = parents(facts);
    for unit in &facts.units {
        let Some(lost) = loss(facts, unit, STATES) else { continue };
        let mut children: HashMap<Arc<str>, (u64, Tgid)> = HashMap::new();
        for exit in facts.windows.iter().flat_map(|window| &window.exits) {
            if facts.members(unit).any(|process| process.tgid == exit.parent) {
                let of = children.entry(Arc::clone(&exit.comm)).or_insert((0, exit.tgid));
                of.0 += 1;
            }
        }
        let resting = resting(facts, unit, &parents);
        let count: u64 = children.values().map(|(count, ..)| count).sum();
        let computes = computed(facts, unit, &parents) as f64 / lost.ns.max(1) as f64;
        let Some((comm, (_, tgid))) =
            children.into_iter().max_by_key(|(comm, (count, ..))| (*count, Arc::clone(comm)))
        else {
            continue;
        };
        if count < MIN_CHILDREN || computes > MAX_CHILD_CPU_SHARE || resting > MAX_CHILD_IDLE_SHARE {
            continue;
        }
        let mut suspicion = suspect(RULE.name, Class::Child, unit, lost);
        suspicion.culprit_unit = facts.by_tgid.get(&tgid).map(|at| facts.processes[*at].unit);
        let finding = &mut suspicion.finding;
        finding.culprit =
            Some(Culprit { kind: "process".into(), pid: Some(tgid.0), comm: Some(comm.as_ref().into()) });
        finding.confidence = finding.confidence.min(0.7);
        finding.evidence.push(evidence("children that ended", facts.per_second(count), "1/s", None));
        finding.evidence.push(evidence_below(
            "share of the waiting with the children, or processes they started, runnable",
            computes * 100.0,
            "%",
            MAX_CHILD_CPU_SHARE * 100.0,
        ));
        finding.evidence.push(evidence_below(
            "share of the children's time in waits for a timer or for work",
            resting * 100.0,
            "%",
            MAX_CHILD_IDLE_SHARE * 100.0,
        ));
        finding.alternatives.push(not("healthy", "children that do the parent's work would use a CPU"));
        finding.advice = format!(
            "{} waits for one {comm} after another, and each waits itself: find out for what",
            unit.comm
        );
        suspicions.push(suspicion);
    }
    verdict(suspicions)
}

/// True if a process descends from a process of the unit.
fn is_below(facts: &Facts, unit: &Unit, parents: &HashMap<Tgid, Tgid>, tgid: Tgid) -> bool {
    let above = std::iter::successors(parents.get(&tgid).copied(), |tgid| parents.get(tgid).copied());
    above.take(MAX_GENERATIONS).any(|above| facts.members(unit).any(|process| process.tgid == above))
}

/// Runnable time, ns, of the unit's descendants: a compiler driver waits for the compiler. (Time in which others run in their
/// place is a finding about the children.)
fn computed(facts: &Facts, unit: &Unit, parents: &HashMap<Tgid, Tgid>) -> u64 {
    let below = |tgid| is_below(facts, unit, parents, tgid);
    let ours = facts.processes.iter().filter(|process| below(process.tgid));
    let observed: u64 = ours.map(|process| process.times.sum(&RUNNABLE_STATES)).sum();
    // Of a process that came and went between two readings of `/proc` only this is known.
    let ended = facts.windows.iter().flat_map(|window| &window.exits).filter(|exit| below(exit.tgid));
    observed.max(ended.map(|exit| exit.cpu.0).sum())
}

/// Parent of each process, as far as it was observed.
fn parents(facts: &Facts) -> HashMap<Tgid, Tgid> {
    let alive = facts.processes.iter().map(|process| (process.tgid, process.parent));
    let ended = facts.windows.iter().flat_map(|window| &window.exits).map(|exit| (exit.tgid, exit.parent));
    alive.chain(ended).filter(|(_, parent)| parent.0 > 1).collect()
}

/// Share of the descendants' time in which they wait for a timer or for work. Waits of descendants for each other do not count.
fn resting(facts: &Facts, unit: &Unit, parents: &HashMap<Tgid, Tgid>) -> f64 {
    let (mut rest, mut all) = (0, 0);
    for child in facts.processes.iter().filter(|process| is_below(facts, unit, parents, process.tgid)) {
        rest += child.resting();
        all += child.resting() + child.times.non_idle() - child.times.of(State::Child);
    }
    rest as f64 / f64::max(all as f64, 1.0)
}
