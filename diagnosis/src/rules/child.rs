//! # `child`: waiting for children that do not get on
//!
//! **Class** `child`; the culprit is the kind of child that is waited for.
//!
//! **What.** Processes of one name and parent lose at least 20 % of their non-idle thread time, and 0.1 s a second (to
//! stay: 12 %, 0.06 s/s), to `wait` calls that return (child after child: work goes through them), and the children, and what they start, are on
//! a CPU for at most [`COMPUTES`] of that time. Children that compute do the parent's work: a compiler driver, a shell
//! script. One wait that lasts is a supervisor's. Nor is the time lost that the children spend waiting for a timer or for
//! work of their own: a script that looks after something, with a `sleep` between.
//!
//! **Whose fault.** The child. Where its own wait is found (`disk-read`, …) that is the root, and this hangs below it.
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

/// CPU time of the children, share of the waiting.
const COMPUTES: f64 = 0.5;
/// Steps from a process up to those who made it that are followed.
const GENERATIONS: usize = 4;
/// Of the children's time, what they rest for.
const RESTS: f64 = 0.5;
/// Children that must have ended in the span.
const CHILDREN: u64 = 3;

pub(super) const RULE: Rule = Rule { name: "child", classes: &[Class::Child], needs: Need::Waits, judge };

const STATES: &[State] = &[State::Child];

/// On a CPU, or ready for one.
const BUSY: [State; 4] = [State::Oncpu, State::RunqWoken, State::RunqPreempted, State::RunqThrottled];

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
        if count < CHILDREN || computes > COMPUTES || resting > RESTS {
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
            "of the waiting they, or what they started, were on a CPU or ready for one",
            computes * 100.0,
            "%",
            COMPUTES * 100.0,
        ));
        finding.evidence.push(evidence_below(
            "of their time the children wait for a timer or for work",
            resting * 100.0,
            "%",
            RESTS * 100.0,
        ));
        finding.alternatives.push(not("healthy", "children that do the parent's work would be on a CPU"));
        finding.advice =
            format!("{} waits for {comm} after {comm}, which waits itself: look at what for", unit.comm);
        suspicions.push(suspicion);
    }
    verdict(suspicions)
}

/// Whether a process was started by one of a unit, or by what that started.
fn is_below(facts: &Facts, unit: &Unit, parents: &HashMap<Tgid, Tgid>, tgid: Tgid) -> bool {
    let above = std::iter::successors(parents.get(&tgid).copied(), |tgid| parents.get(tgid).copied());
    above.take(GENERATIONS).any(|above| facts.members(unit).any(|process| process.tgid == above))
}

/// Time of the children, and of what they started, on a CPU or ready for one: a compiler's driver waits for the compiler.
/// That others run in their place is said of them.
fn computed(facts: &Facts, unit: &Unit, parents: &HashMap<Tgid, Tgid>) -> u64 {
    let below = |tgid| is_below(facts, unit, parents, tgid);
    let ours = facts.processes.iter().filter(|process| below(process.tgid));
    let observed: u64 = ours.map(|process| process.times.sum(&BUSY)).sum();
    // One that came and went between two readings may have left no more than this.
    let ended = facts.windows.iter().flat_map(|window| &window.exits).filter(|exit| below(exit.tgid));
    observed.max(ended.map(|exit| exit.cpu.0).sum())
}

/// Who made whom, as far as it was seen.
fn parents(facts: &Facts) -> HashMap<Tgid, Tgid> {
    let alive = facts.processes.iter().map(|process| (process.tgid, process.parent));
    let ended = facts.windows.iter().flat_map(|window| &window.exits).map(|exit| (exit.tgid, exit.parent));
    alive.chain(ended).filter(|(_, parent)| parent.0 > 1).collect()
}

/// Share of the time of the children, and of what they started, in which they wait for a timer or for work. That some
/// of them wait for others of them is no time of its own.
fn resting(facts: &Facts, unit: &Unit, parents: &HashMap<Tgid, Tgid>) -> f64 {
    let (mut rest, mut all) = (0, 0);
    for child in facts.processes.iter().filter(|process| is_below(facts, unit, parents, process.tgid)) {
        rest += child.resting();
        all += child.resting() + child.times.non_idle() - child.times.of(State::Child);
    }
    rest as f64 / f64::max(all as f64, 1.0)
}
