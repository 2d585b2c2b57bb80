//! # `cpu_steal`: the hypervisor runs another guest
//!
//! **Class** `cpu-steal`; subject and culprit are the host.
//!
//! **What.** The hypervisor takes at least [`STEAL_ENTER`] of the CPUs' time (to stay: [`STEAL_LEAVE`]), in four of five windows.
//! Single percents are normal on shared machines.
//!
//! **Why.** Every process looks slow and the CPU looks busy; nothing on this host can change it.
//!
//! **Cure.** A bigger or less crowded machine type; CPUs that are not shared; fewer virtual CPUs.

use super::lost::{culprit, host, suspect_other};
use super::{Class, Need, Rule, Trend, Verdict, evidence, level, verdict};
use crate::facts::{Facts, lasts};

/// Stolen share of the CPUs' time, to enter.
const STEAL_ENTER: f64 = 0.20;
/// The same, to stay, and in each single window.
const STEAL_LEAVE: f64 = 0.10;

pub(super) const RULE: Rule =
    Rule { name: "cpu_steal", classes: &[Class::CpuSteal], needs: Need::Nothing, judge };

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let shares: Vec<f64> = facts
        .windows
        .iter()
        .map(|window| window.host.cpu.steal.0 as f64 / window.host.cpu.total().0.max(1) as f64)
        .collect();
    let Some(level) = level(facts.steal, STEAL_ENTER, STEAL_LEAVE).filter(|_| lasts(&shares, STEAL_LEAVE))
    else {
        return Verdict::Ok;
    };
    let numbers = vec![evidence(
        "CPU time stolen by the hypervisor",
        facts.steal * 100.0,
        "%",
        Some(STEAL_ENTER * 100.0),
    )];
    let mut suspicion = suspect_other(RULE.name, Class::CpuSteal, host(), level, numbers);
    let finding = &mut suspicion.finding;
    finding.culprit = Some(culprit("host", "hypervisor"));
    finding.lost_ns_per_s = (facts.steal * facts.cpus * 1e9) as u64;
    finding.share_pct = facts.steal * 100.0;
    finding.confidence = 0.9;
    finding.advice =
        "the physical machine under this one is crowded: choose another machine type, or CPUs that are not shared".into();
    verdict(vec![suspicion])
}
