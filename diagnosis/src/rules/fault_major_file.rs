//! # `fault_major_file`: page faults that read files
//!
//! **Class** `fault-major-file`. The culprit is the process that uses most of the device, or the device.
//!
//! **What.** Processes of one name and parent lose at least 20 % of their non-idle thread time, and 0.1 s a second (to
//! stay: 12 %, 0.06 s/s), to page faults on mapped files (or their own code) that are not in memory. From 100 such faults a
//! second their share of kernel time outside system calls counts, too: with a fast disk most of a fault is the kernel's work.
//!
//! **Why.** The kernel reads a mapped file page by page, at whatever instruction touches it. A file that is read again and again
//! does not fit into the page cache: then `reclaim` or `swap` is the root.
//!
//! **Cure.** Read ahead (`madvise(MADV_WILLNEED)`, `MAP_POPULATE`), more memory for the cache, `read` in place of `mmap`.

use agent_common::abi::sched::State;

use super::disk::storage;
use super::fault_minor::{kernel_without_calls, rows};
use super::swap::{MIN_MAJOR_FAULTS_PER_S, MIN_SWAP_IN_SHARE, PAGE_BYTES};
use super::{Class, Need, Rule, Trend, Verdict, evidence, verdict};
use crate::facts::{Facts, Unit};

pub(super) const RULE: Rule =
    Rule { name: "fault_major_file", classes: &[Class::FaultMajorFile], needs: Need::States, judge };

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut suspicions = Vec::new();
    for unit in &facts.units {
        let (major, minor) = faults(facts, unit);
        let more = oncpu(facts, unit, major, minor);
        let found = storage(facts, RULE.name, Class::FaultMajorFile, unit, &[State::FaultFile], more);
        let Some(mut suspicion) = found else { continue };
        let finding = &mut suspicion.finding;
        finding.evidence.push(evidence("major faults", facts.per_second(major), "1/s", None));
        finding
            .advice
            .push_str("; read mapped files ahead (MADV_WILLNEED, MAP_POPULATE) or give the cache memory");
        suspicions.push(suspicion);
    }
    verdict(suspicions)
}

/// Major and minor faults of a unit.
fn faults(facts: &Facts, unit: &Unit) -> (u64, u64) {
    rows(facts, unit).fold((0, 0), |sum, row| (sum.0 + row.maj_flt, sum.1 + row.min_flt))
}

/// CPU time, ns, in major faults that read files.
fn oncpu(facts: &Facts, unit: &Unit, major: u64, minor: u64) -> u64 {
    let swapped = facts.sum(|window| window.host.memory.swap_in_bytes) as f64 / PAGE_BYTES;
    if unit.times.of(State::FaultFile) == 0
        || facts.per_second(major) < MIN_MAJOR_FAULTS_PER_S
        || swapped >= MIN_SWAP_IN_SHARE * major as f64
    {
        return 0;
    }
    (kernel_without_calls(facts, unit) as f64 * major as f64 / (major + minor) as f64) as u64
}
