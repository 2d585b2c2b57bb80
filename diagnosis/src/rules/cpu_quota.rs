//! # `cpu_quota`: the CPU quota of its cgroup is used up
//!
//! **Class** `cpu-quota`; the culprit is the cgroup.
//!
//! **What.** Processes of one name and parent lose at least 20 % of their non-idle thread time, and 0.1 s a second (to
//! stay: 12 %, 0.06 s/s), runnable in a cgroup that is throttled until its next period (`cpu.max`, `cpu.cfs_quota_us`).
//!
//! **Why.** CPU utilization looks low, and run-queue latency looks like a noisy neighbour; it is neither: the kernel enforces
//! the quota. Many threads use a quota up in a few ms and then all stand still.
//!
//! **Cure.** Raise the quota (`CPUQuota=`, `resources.limits.cpu`), or make fewer threads runnable at once (`GOMAXPROCS`, pool
//! sizes that follow the quota).

use agent_common::abi::sched::State;

use super::lost::{culprit, loss, not, suspect};
use super::{Class, Need, Rule, Trend, Verdict, evidence, verdict};
use crate::facts::Facts;

pub(super) const RULE: Rule =
    Rule { name: "cpu_quota", classes: &[Class::CpuQuota], needs: Need::States, judge };

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut suspicions = Vec::new();
    for unit in &facts.units {
        let Some(lost) = loss(facts, unit, &[State::RunqThrottled]) else { continue };
        let mut suspicion = suspect(RULE.name, Class::CpuQuota, unit, lost);
        let finding = &mut suspicion.finding;
        finding.culprit = Some(culprit("cgroup", unit.cpu_cgroup.as_ref()));
        finding.confidence = finding.confidence.max(0.85);
        let cpu = facts.per_second(unit.times.of(State::Oncpu)) / 1e9;
        finding.evidence.push(evidence("CPU time it got", cpu * 100.0, "% of a core", None));
        // Another process of the same cgroup may use the quota up.
        let group = facts.units.iter().filter(|other| other.cpu_cgroup == unit.cpu_cgroup && !other.kernel);
        if let Some(most) = group
            .filter(|other| other.at != unit.at && &*unit.cpu_cgroup != "/")
            .max_by_key(|other| other.times.of(State::Oncpu))
            .filter(|most| most.times.of(State::Oncpu) > unit.times.of(State::Oncpu))
        {
            let took = facts.per_second(most.times.of(State::Oncpu)) / 1e7;
            let what = format!("CPU time that {} ({}) in the same cgroup got", most.comm, most.tgid);
            finding.evidence.push(evidence(what, took, "% of a core", None));
        }
        let other = unit.times.sum(&super::runq::STATES);
        let why_not =
            format!("only {:.0} ms/s of waiting for a CPU without throttling", facts.per_second(other) / 1e6);
        finding.alternatives.push(not(&Class::RunqNeighbour, why_not));
        finding.advice = format!(
            "the CPU quota of cgroup {} is used up: raise it (CPUQuota=, cpu.max), or run fewer threads at once",
            unit.cpu_cgroup
        );
        suspicions.push(suspicion);
    }
    verdict(suspicions)
}
