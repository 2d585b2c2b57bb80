//! # `fault_major_file`: page faults that read files
//!
//! **Class** `fault-major-file`. The culprit is the process that has the device, or the device.
//!
//! **What.** Processes of one name and parent lose at least 20 % of their non-idle thread time, and 0.1 s a second (to
//! stay: 12 %, 0.06 s/s), to page faults on mapped files (or their own code) that are not in memory.
//!
//! **Why.** A mapped file is read page by page, at whatever instruction touches it. Where it is read again and again the
//! page cache is too small: then `reclaim` or `swap` is the root.
//!
//! **Cure.** Read ahead (`madvise(MADV_WILLNEED)`, `MAP_POPULATE`), more memory for the cache, `read` in place of `mmap`.

use agent_common::abi::sched::State;

use super::disk::storage;
use super::facts::Facts;
use super::{Rule, Trend, Verdict, evidence, verdict};

pub(super) const RULE: Rule = Rule { name: "fault_major_file", classes: &["fault-major-file"], judge };

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    if !facts.has_states {
        return Verdict::NotEnoughData { why: "thread states are not observed".to_owned() };
    }
    let mut suspicions = Vec::new();
    for unit in &facts.units {
        let Some(mut suspicion) = storage(facts, RULE.name, "fault-major-file", unit, &[State::FaultFile], 0)
        else {
            continue;
        };
        let faults =
            facts.members(unit).filter_map(|process| process.usage).map(|at| facts.usage[at].maj_flt).sum();
        let finding = &mut suspicion.finding;
        finding.evidence.push(evidence("major faults", facts.per_second(faults), "1/s", None));
        finding
            .advice
            .push_str("; read mapped files ahead (MADV_WILLNEED, MAP_POPULATE) or give the cache memory");
        suspicions.push(suspicion);
    }
    verdict(suspicions)
}
