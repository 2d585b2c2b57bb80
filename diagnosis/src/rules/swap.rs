//! # `swap`: memory comes back from swap
//!
//! **Class** `swap`. The culprit is the cgroup at its limit while the host has memory, else the process that has most memory.
//!
//! **What.** Processes of one name and parent lose at least 20 % of their non-idle thread time, and 0.1 s a second (to
//! stay: 12 %, 0.06 s/s), to page faults that read swap. A compressed device (zram) answers without a wait: there the
//! kernel time of such faults counts, when at least [`MIN_MAJOR_FAULTS_PER_S`] major faults a second are swap-ins.
//!
//! **Why.** The memory in use does not fit: each page that comes in pushes another out, which is soon needed again. Programs slow
//! down by orders of magnitude at once.
//!
//! **Cure.** A higher limit (`MemoryMax=`), more memory, fewer workers; find what grew (`memory-leak`).

use agent_common::abi::sched::State;
use agent_common::wire::finding::Evidence;

use super::fault_minor::kernel_without_calls;
use super::lost::{culprit, loss_with, not, process_culprit, suspect};
use super::{Class, Need, Rule, Trend, Verdict, evidence, evidence_below, verdict};
use crate::facts::{Facts, Unit};

/// Least major faults a second whose kernel time counts as lost.
pub(super) const MIN_MAJOR_FAULTS_PER_S: f64 = 100.0;
/// Least share of the major faults that are swap-ins.
pub(super) const MIN_SWAP_IN_SHARE: f64 = 0.5;
/// Available share of the host's memory from which the host is not short of memory: then a cgroup's limit is.
pub(super) const MIN_PLENTY_SHARE: f64 = 0.10;
/// Bytes of a page: pages of `/proc/vmstat` in `swap_in_bytes`.
pub(super) const PAGE_BYTES: f64 = 4096.0;

pub(super) const RULE: Rule = Rule { name: "swap", classes: &[Class::Swap], needs: Need::Nothing, judge };

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let swapped_in = facts.sum(|window| window.host.memory.swap_in_bytes);
    let mut suspicions = Vec::new();
    for unit in facts.units.iter().filter(|unit| !unit.kernel) {
        let major: u64 =
            facts.members(unit).filter_map(|process| process.usage).map(|at| facts.usage[at].maj_flt).sum();
        let pages = swapped_in as f64 / PAGE_BYTES;
        let thrashes =
            facts.per_second(major) >= MIN_MAJOR_FAULTS_PER_S && pages >= MIN_SWAP_IN_SHARE * major as f64;
        let more = if thrashes { kernel_without_calls(facts, unit) } else { 0 };
        let Some(lost) = loss_with(facts, unit, &[State::Swap], more) else { continue };
        let mut suspicion = suspect(RULE.name, Class::Swap, unit, lost);
        let finding = &mut suspicion.finding;
        finding.evidence.push(evidence(
            "major faults",
            facts.per_second(major),
            "1/s",
            Some(MIN_MAJOR_FAULTS_PER_S).filter(|_| thrashes),
        ));
        finding.evidence.push(evidence(
            "read from swap",
            facts.per_second(swapped_in) / f64::from(1 << 20),
            "MiB/s",
            None,
        ));
        let out = facts.sum(|window| window.host.memory.swap_out_bytes);
        finding.evidence.push(evidence(
            "written to swap",
            facts.per_second(out) / f64::from(1 << 20),
            "MiB/s",
            None,
        ));
        let why_not = format!(
            "only {:.0} ms/s of faults that read files",
            facts.per_second(unit.times.of(State::FaultFile)) / 1e6
        );
        finding.alternatives.push(not(&Class::FaultMajorFile, why_not));
        let (culprit, culprit_unit, advice) = short_of_memory(facts, unit);
        finding.culprit = Some(culprit);
        finding.evidence.push(memory_left(facts, unit));
        finding.advice = advice;
        suspicion.culprit_unit = culprit_unit;
        suspicions.push(suspicion);
    }
    verdict(suspicions)
}

/// Least available share of the host's memory over the span, 0..=1.
pub(super) fn available(facts: &Facts) -> f64 {
    let worst = facts.windows.iter().map(|window| {
        let memory = &window.host.memory;
        memory.available_bytes as f64 / memory.total_bytes.max(1) as f64
    });
    worst.fold(1.0, f64::min)
}

/// The host's available memory as evidence: it decides between host and cgroup.
pub(super) fn memory_left(facts: &Facts, unit: &Unit) -> Evidence {
    let (what, left, limit) = ("host memory available", available(facts), MIN_PLENTY_SHARE * 100.0);
    if left < MIN_PLENTY_SHARE {
        evidence_below(what, left * 100.0, "%", limit)
    } else {
        evidence(what, left * 100.0, "%", Some(limit).filter(|_| in_cgroup(unit)))
    }
}

fn in_cgroup(unit: &Unit) -> bool {
    !unit.cgroup.is_empty() && &*unit.cgroup != "/"
}

/// The culprit of a unit's memory shortage, its unit, and the cure: its cgroup's limit while the host has memory, else the process
/// with most memory.
pub(super) fn short_of_memory(
    facts: &Facts,
    unit: &Unit,
) -> (agent_common::wire::finding::Culprit, Option<usize>, String) {
    if available(facts) >= MIN_PLENTY_SHARE && in_cgroup(unit) {
        let advice = format!(
            "cgroup {} is at its memory limit while the host has memory: raise it (MemoryMax=, MemoryHigh=), or let {} \
             use less",
            unit.cgroup, unit.comm
        );
        return (culprit("cgroup", unit.cgroup.as_ref()), None, advice);
    }
    let memory = |of: &Unit| -> u64 {
        let rows = facts.members(of).filter_map(|process| process.usage);
        rows.map(|at| facts.usage[at].rss_bytes + facts.usage[at].swap_bytes.unwrap_or(0)).sum()
    };
    let most = facts.units.iter().max_by_key(|of| (memory(of), std::cmp::Reverse(of.tgid))).unwrap_or(unit);
    let has = memory(most) as f64 / f64::from(1 << 20);
    let advice = if available(facts) >= MIN_PLENTY_SHARE {
        format!(
            "the host has memory again: pages that were swapped out before come back; {} ({}) has most of them ({has:.0} MiB)",
            most.comm, most.tgid
        )
    } else {
        format!(
            "the host is short of memory, and {} ({}) uses most of it ({has:.0} MiB): limit it (MemoryMax=), or add memory",
            most.comm, most.tgid
        )
    };
    (process_culprit(most), Some(most.at), advice)
}
