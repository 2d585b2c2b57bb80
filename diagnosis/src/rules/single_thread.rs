//! # `single_thread`: one thread is the bottleneck of many
//!
//! **Class** `single-thread`; the culprit is the process, the evidence names the thread.
//!
//! **What.** In a process with at least [`MIN_THREADS`] threads, one is runnable at least [`BUSY_ENTER`] of the time (to stay:
//! [`BUSY_LEAVE`]), and all others together use at most [`MAX_OTHERS_CORES`] of a core. It opens an alert when the others wait
//! for that thread: it ends at least half of their waits (those for a timer left out).
//!
//! **Why.** More CPUs or more workers change nothing: all work goes through one thread (a dispatcher, an event loop, a
//! global interpreter lock).
//!
//! **Cure.** Take work out of that thread; several dispatchers; see what it does: `agent flamegraph --pid …`.

use agent_common::abi::sched::State;

use super::lost::{Loss, not, process_culprit, suspect};
use super::{Class, Need, Rule, Trend, Verdict, evidence, evidence_below, level, verdict};
use crate::facts::Facts;

/// Least threads of a process: fewer could not share the work.
const MIN_THREADS: usize = 3;
/// Share of the time that the busy thread is runnable, to enter.
const BUSY_ENTER: f64 = 0.90;
/// The same, to stay.
const BUSY_LEAVE: f64 = 0.75;
/// Most CPU time of all other threads together, cores.
const MAX_OTHERS_CORES: f64 = 0.4;
/// Least share of the others' waits that the busy thread ends, to open an alert.
const MIN_ENDED_SHARE: f64 = 0.5;

pub(super) const RULE: Rule =
    Rule { name: "single_thread", classes: &[Class::SingleThread], needs: Need::States, judge };

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut suspicions = Vec::new();
    for unit in facts.units.iter().filter(|unit| !unit.kernel) {
        for process in facts.members(unit) {
            let threads = process.usage.map_or(process.threads.len(), |at| facts.usage[at].threads as usize);
            let Some((tid, comm, oncpu)) = process.busiest_thread().filter(|_| threads >= MIN_THREADS) else {
                continue;
            };
            let runq = process.threads[&tid].1.sum(&super::runq::STATES);
            let busy = facts.per_second(oncpu + runq) / 1e9;
            let others = facts.per_second(process.times.of(State::Oncpu).saturating_sub(oncpu)) / 1e9;
            let Some(level) =
                level(busy, BUSY_ENTER, BUSY_LEAVE).filter(|_| others <= MAX_OTHERS_CORES && oncpu > runq)
            else {
                continue;
            };
            let (mut ended, mut all) = (0, 0);
            // A timer ends by itself.
            let others_waits = process.waits.iter().filter(|(state, _)| *state != State::Sleep);
            for (_, wait) in others_waits.filter(|(_, wait)| wait.tid != tid) {
                all += wait.weight.0;
                ended += wait.waker.as_ref().filter(|waker| waker.tid == tid).map_or(0, |_| wait.weight.0);
            }
            let ends = ended as f64 / all.max(1) as f64;
            let share = (oncpu + runq) as f64 / process.times.non_idle().max(1) as f64;
            let loss = Loss { ns: oncpu, rate: facts.per_second(oncpu) / 1e9, share: share.min(1.0), level };
            let mut suspicion = suspect(RULE.name, Class::SingleThread, unit, loss);
            suspicion.culprit_unit = Some(unit.at);
            let finding = &mut suspicion.finding;
            finding.culprit = Some(process_culprit(unit));
            finding.confidence = if ends >= MIN_ENDED_SHARE { 0.8 } else { 0.4 };
            finding.evidence = vec![
                evidence(
                    format!("share of the time that thread {comm} ({tid}) is runnable"),
                    busy * 100.0,
                    "%",
                    Some(BUSY_ENTER * 100.0),
                ),
                evidence_below(
                    "CPU time of all other threads",
                    others * 100.0,
                    "% of a core",
                    MAX_OTHERS_CORES * 100.0,
                ),
                evidence("threads", threads as f64, "count", Some(MIN_THREADS as f64)),
                evidence(
                    "share of the other threads' waits that this thread ends",
                    ends * 100.0,
                    "%",
                    Some(MIN_ENDED_SHARE * 100.0),
                ),
                evidence("idle CPUs, mean", facts.idle_cpus(), "count", None),
            ];
            finding.alternatives.push(not(&Class::CpuUser, "only one of its threads is bound by the CPU"));
            if ends < MIN_ENDED_SHARE {
                let why_not = "not ruled out: the other threads hardly wait for this one";
                finding.alternatives.push(not("healthy", why_not));
            }
            finding.advice = format!(
                "all work of {} goes through its thread {comm} ({tid}): take work out of it, or use several such threads; \
                 `agent flamegraph --pid {}` shows what it does",
                unit.comm, process.tgid
            );
            suspicions.push(suspicion);
            break;
        }
    }
    verdict(suspicions)
}
