//! # `fault_minor`: memory is mapped again and again
//!
//! **Class** `fault-minor`; the culprit is the process.
//!
//! **What.** Processes of one name and parent have at least [`RATE_ENTER`] minor page faults a second (to stay, and in four
//! of five windows: [`RATE_LEAVE`]). Their kernel time outside system calls is at least 20 % of their non-idle
//! thread time and 0.1 s a second (to stay: 12 %, 0.06 s/s).
//!
//! **Why.** Each fault finds, clears and maps a page: 0.5 to 2 µs. A program that keeps memory pays that once. An allocator that
//! returns memory at once, or a program that maps anew for each task, pays each time.
//!
//! **Cure.** Keep memory (`M_MMAP_THRESHOLD`, `M_TRIM_THRESHOLD`, arenas), reuse buffers, huge pages.

use super::lost::{measure, not, process_culprit, suspect};
use super::{Class, Need, Rule, Trend, Verdict, evidence, evidence_below, level, verdict};
use crate::facts::{Facts, Unit, lasts};

/// Minor faults a second, to enter.
const RATE_ENTER: f64 = 20_000.0;
/// The same, to stay, and in each single window.
const RATE_LEAVE: f64 = 10_000.0;
/// Most kernel time a fault, ns: above it, something else uses the kernel time.
const MAX_MEAN_FAULT_NS: f64 = 20_000.0;

pub(super) const RULE: Rule =
    Rule { name: "fault_minor", classes: &[Class::FaultMinor], needs: Need::Nothing, judge };

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut suspicions = Vec::new();
    for unit in facts.units.iter().filter(|unit| !unit.kernel) {
        let faults: u64 = rows(facts, unit).map(|row| row.min_flt).sum();
        let rate = facts.per_second(faults);
        let Some(by_rate) = level(rate, RATE_ENTER, RATE_LEAVE) else { continue };
        let mut series = vec![0.0; facts.windows.len()];
        for (at, window) in facts.windows.iter().enumerate() {
            let of = window
                .tasks
                .iter()
                .filter(|task| facts.members(unit).any(|process| process.tgid == task.tgid));
            series[at] =
                of.map(|task| task.min_flt).sum::<u64>() as f64 / window.span().as_secs_f64().max(1e-9);
        }
        let spent = kernel_without_calls(facts, unit);
        let mean = spent as f64 / faults.max(1) as f64;
        let Some(mut loss) =
            measure(facts, unit, spent).filter(|_| mean <= MAX_MEAN_FAULT_NS && lasts(&series, RATE_LEAVE))
        else {
            continue;
        };
        loss.level = loss.level.min(by_rate);
        let mut suspicion = suspect(RULE.name, Class::FaultMinor, unit, loss);
        suspicion.culprit_unit = Some(unit.at);
        let finding = &mut suspicion.finding;
        finding.culprit = Some(process_culprit(unit));
        finding.evidence.push(evidence("minor faults", rate, "1/s", Some(RATE_ENTER)));
        finding.evidence.push(evidence_below("kernel time of a fault, mean", mean, "ns", MAX_MEAN_FAULT_NS));
        let calls: u64 = facts.members(unit).filter_map(|process| facts.all_calls.get(&process.tgid)).sum();
        finding.alternatives.push(not(
            &Class::SyscallStorm,
            format!("{:.0} calls a second for {rate:.0} faults", facts.per_second(calls)),
        ));
        let major = rows(facts, unit).map(|row| row.maj_flt).sum();
        finding
            .alternatives
            .push(not(&Class::Swap, format!("{:.0} major faults a second", facts.per_second(major))));
        finding.advice = format!(
            "{} maps memory and returns it all the time: keep it (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, reused \
             buffers), or use huge pages; `agent flamegraph --pid {}` shows the code that touches it",
            unit.comm, unit.tgid
        );
        suspicions.push(suspicion);
    }
    verdict(suspicions)
}

/// The rows from `/proc` of a unit's processes.
pub(super) fn rows<'a>(facts: &'a Facts, unit: &'a Unit) -> impl Iterator<Item = &'a crate::usage::Usage> {
    facts.members(unit).filter_map(|process| process.usage).map(|at| &facts.usage[at])
}

/// Kernel CPU time of a unit outside system calls, ns: system time less the calls' time on a CPU.
pub(super) fn kernel_without_calls(facts: &Facts, unit: &Unit) -> u64 {
    let system: u64 = rows(facts, unit).map(|row| row.system.0).sum();
    let in_calls: u64 = rows(facts, unit).map(|row| row.syscall_time.0).sum();
    let all = unit.times.all();
    let oncpu = unit.times.of(agent_common::abi::sched::State::Oncpu);
    let off = if facts.has_states { all - oncpu } else { 0 };
    system.saturating_sub(in_calls.saturating_sub(off).min(system))
}
