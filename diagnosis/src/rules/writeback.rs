//! # `writeback`: throttled because too much memory is dirty
//!
//! **Class** `writeback`. The culprit is the process that writes most, or the device.
//!
//! **What.** Processes of one name and parent lose at least 20 % of their non-idle thread time, and 0.1 s a second (to
//! stay: 12 %, 0.06 s/s), in `balance_dirty_pages`: the kernel makes writers pause when the device is slower than the writes.
//!
//! **Why.** A buffered write is as fast as a copy to memory until the limit (`vm.dirty_ratio`) is reached. Then it is as slow
//! as the disk, for every process that writes to that device.
//!
//! **Cure.** Limit the process that writes most (`io.max`, `MemoryHigh=`), another device for it, `O_DIRECT`, dirty limits that fit
//! the device (`vm.dirty_background_bytes`).

use agent_common::abi::sched::State;

use super::disk::storage;
use super::{Class, Need, Rule, Trend, Verdict, evidence, verdict};
use crate::facts::Facts;

pub(super) const RULE: Rule =
    Rule { name: "writeback", classes: &[Class::Writeback], needs: Need::States, judge };

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut suspicions = Vec::new();
    for unit in &facts.units {
        let Some(mut suspicion) = storage(facts, RULE.name, Class::Writeback, unit, &[State::Writeback], 0)
        else {
            continue;
        };
        let rows = || facts.memory(unit);
        let finding = &mut suspicion.finding;
        let pauses = rows().map(|row| row.throttles).sum();
        finding.evidence.push(evidence("pauses for dirty pages", facts.per_second(pauses), "1/s", None));
        if let Some(window) = facts.windows.last() {
            let dirty = window.host.memory.dirty_bytes as f64 / f64::from(1 << 20);
            finding.evidence.push(evidence("dirty memory", dirty, "MiB", None));
        }
        finding.advice.push_str(
            "; or set dirty limits that fit the device (vm.dirty_background_bytes, vm.dirty_bytes)",
        );
        suspicions.push(suspicion);
    }
    verdict(suspicions)
}
