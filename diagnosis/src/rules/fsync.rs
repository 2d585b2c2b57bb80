//! # `fsync`: waiting until data is on the disk
//!
//! **Class** `fsync`. The culprit is the process that uses most of the device, the cgroup whose I/O limit holds the requests
//! back, or the device.
//!
//! **What.** Processes of one name and parent lose at least 20 % of their non-idle thread time, and 0.1 s a second (to
//! stay: 12 %, 0.06 s/s), to `fsync`, `fdatasync`, `sync`, `msync`, `sync_file_range` and waits for the journal.
//!
//! **Why.** Each flush costs one or more round trips to the device, whatever its size. In a journaling file system it also writes
//! what others dirtied: one process that syncs small writes slows down all others on that file system.
//!
//! **Cure.** Sync once for many writes (group commit), `fdatasync` in place of `fsync`, files written in place, the data on
//! another file system, a device with power-loss protection.

use agent_common::abi::sched::State;

use super::disk::storage;
use super::{Class, Need, Rule, Trend, Verdict, evidence, verdict};
use crate::facts::Facts;

pub(super) const RULE: Rule = Rule { name: "fsync", classes: &[Class::Fsync], needs: Need::States, judge };

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut suspicions = Vec::new();
    for unit in &facts.units {
        let Some(mut suspicion) = storage(facts, RULE.name, Class::Fsync, unit, &[State::Fsync], 0) else {
            continue;
        };
        let syncs: u64 = facts
            .calls
            .iter()
            .filter(|((tgid, ..), _)| facts.members(unit).any(|process| process.tgid == *tgid))
            .filter(|((_, abi, nr), _)| {
                let name = crate::syscall_names::name(*abi, *nr);
                name.is_some_and(|name| {
                    matches!(name, "fsync" | "fdatasync" | "sync" | "msync" | "syncfs" | "sync_file_range")
                })
            })
            .map(|(_, calls)| calls.count)
            .sum();
        let finding = &mut suspicion.finding;
        finding.evidence.push(evidence("syncs", facts.per_second(syncs), "1/s", None));
        if finding.culprit.as_ref().is_none_or(|culprit| culprit.kind == "device") {
            finding.advice = format!(
                "{} waits for each of its syncs: sync once for many writes (group commit), fdatasync, or a device \
                 with power-loss protection",
                unit.comm
            );
        }
        suspicions.push(suspicion);
    }
    verdict(suspicions)
}
