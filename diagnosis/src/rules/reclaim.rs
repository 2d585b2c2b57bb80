//! # `reclaim`: freeing memory before using it
//!
//! **Class** `reclaim`. The culprit is the cgroup at its limit while the host has memory, else the process that has most memory.
//!
//! **What.** Processes of one name and parent lose at least 20 % of their non-idle thread time, and 0.1 s a second (to
//! stay: 12 %, 0.06 s/s), to direct reclaim and compaction: the process must find pages to free, on the CPU or waiting, before
//! its own allocation goes on.
//!
//! **Why.** The kernel frees memory in the background; a process in direct reclaim has outrun that. Under a cgroup's limit there is
//! no background reclaim at all.
//!
//! **Cure.** A higher limit (`MemoryMax=`, with `MemoryHigh=` below it), fewer workers, `vm.min_free_kbytes`; for compaction
//! `transparent_hugepage/defrag=madvise`.

use agent_common::abi::sched::State;

use super::lost::{loss_with, not, suspect};
use super::swap::{memory_left, short_of_memory};
use super::{Class, Need, Rule, Trend, Verdict, evidence, verdict};
use crate::facts::Facts;

pub(super) const RULE: Rule =
    Rule { name: "reclaim", classes: &[Class::Reclaim], needs: Need::Nothing, judge };

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut suspicions = Vec::new();
    for unit in facts.units.iter().filter(|unit| !unit.kernel) {
        let rows = || facts.memory(unit);
        let (reclaim, compaction) =
            rows().fold((0, 0), |sum, row| (sum.0 + row.reclaim.0, sum.1 + row.compaction.0));
        // Waits in reclaim are in the thread state already: the rest was on a CPU.
        let oncpu = (reclaim + compaction).saturating_sub(unit.times.of(State::Reclaim));
        let Some(lost) = loss_with(facts, unit, &[State::Reclaim], oncpu) else { continue };
        let mut suspicion = suspect(RULE.name, Class::Reclaim, unit, lost);
        let finding = &mut suspicion.finding;
        let times = rows().map(|row| row.reclaims).sum();
        let pages = rows().map(|row| row.reclaimed_pages).sum();
        finding.evidence.push(evidence("direct reclaims", facts.per_second(times), "1/s", None));
        finding.evidence.push(evidence(
            "pages freed by direct reclaim",
            facts.per_second(pages),
            "1/s",
            None,
        ));
        finding.evidence.push(evidence(
            "time in compaction",
            facts.per_second(compaction) / 1e6,
            "ms/s",
            None,
        ));
        finding.evidence.push(memory_left(facts, unit));
        let swapped = facts.sum(|window| window.host.memory.swap_in_bytes) as f64 / f64::from(1 << 20);
        finding.alternatives.push(not(
            &Class::Swap,
            format!("only {:.1} MiB/s are read from swap", swapped / facts.span.as_secs_f64()),
        ));
        let (culprit, culprit_unit, advice) = short_of_memory(facts, unit);
        finding.culprit = Some(culprit);
        finding.advice = advice;
        suspicion.culprit_unit = culprit_unit;
        suspicions.push(suspicion);
    }
    verdict(suspicions)
}
