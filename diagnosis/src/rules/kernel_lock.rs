//! # `kernel_lock`: waiting for a lock inside the kernel
//!
//! **Class** `kernel-lock`; the culprit is the process that holds it, where that is known, else the lock.
//!
//! **What.** Processes of one name and parent lose at least 20 % of their non-idle thread time, and 0.1 s a second (to
//! stay: 12 %, 0.06 s/s), to mutexes, semaphores and rwsems of the kernel.
//!
//! **Why.** Some locks exist once for a process, a directory or a file system: `mmap_lock` (threads that map and fault at
//! the same time), a directory's lock (many files created in it), a superblock. The stacks show which.
//!
//! **Cure.** Spread what is shared: fewer `mmap` and `munmap` in threaded programs, several directories, processes in place of
//! threads as workers.

use std::collections::HashMap;

use agent_common::abi::sched::State;
use agent_common::units::Tid;

use super::lost::{culprit, loss_with, process_culprit, suspect};
use super::{Class, Need, Rule, Trend, Verdict, chain, evidence, verdict};
use crate::facts::{Facts, Unit};
use crate::window::LockRow;

pub(super) const RULE: Rule =
    Rule { name: "kernel_lock", classes: &[Class::KernelLock], needs: Need::States, judge };

const STATES: &[State] = &[State::KernelLock];

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut suspicions = Vec::new();
    for unit in &facts.units {
        let rows = rows(facts, unit);
        // The lock tracepoints also see waits that have another state (a wait inside a page fault).
        let traced: u64 = rows.iter().map(|row| row.waited.0).sum();
        let beyond = traced.saturating_sub(unit.times.of(State::KernelLock));
        let more = beyond.min(unit.times.of(State::Uninterruptible));
        // A thread that was woken for the lock and is runnable does not have it yet: the tracepoints count that time, too.
        let more = more + (beyond - more).min(unit.times.of(State::RunqWoken));
        let Some(lost) = loss_with(facts, unit, STATES, more) else { continue };
        let followed = chain::follow(facts, unit, &Class::KernelLock, STATES);
        if followed.inversion().is_some() {
            continue;
        }
        let mut suspicion = suspect(RULE.name, Class::KernelLock, unit, lost);
        let finding = &mut suspicion.finding;
        let mut locks: HashMap<(u64, &str), (u64, Option<Tid>)> = HashMap::new();
        for row in rows {
            let lock = locks.entry((row.lock, row.kind)).or_default();
            lock.0 += row.waited.0;
            lock.1 = row.holder.or(lock.1);
        }
        let top = locks.into_iter().max_by_key(|(lock, (waited, _))| (*waited, *lock));
        let holder = top.and_then(|(_, (_, holder))| facts.by_tid.get(&holder?));
        let holder = holder.copied().or_else(|| followed.blocker.as_ref().map(|blocker| blocker.process));
        if let Some(((lock, kind), (waited, _))) = top {
            let what = format!("share of its waiting for the {kind} at {lock:#x}");
            let share = waited as f64 / lost.ns.max(1) as f64;
            finding.evidence.push(evidence(what, (share * 100.0).min(100.0), "%", None));
        }
        if let Some(holder) = holder.map(|holder| &facts.units[facts.processes[holder].unit]) {
            finding.culprit = Some(process_culprit(holder));
            suspicion.culprit_unit = Some(holder.at);
        } else {
            finding.culprit = top.map(|((lock, kind), _)| culprit("lock", format!("{kind} {lock:#x}")));
        }
        finding.evidence.extend(followed.evidence);
        finding.advice = format!(
            "{} waits for a lock of the kernel, the stacks show which: spread what is shared (mappings, directories, \
             files), or use it less often",
            unit.comm
        );
        suspicion.chain = followed.links;
        suspicions.push(suspicion);
    }
    verdict(suspicions)
}

fn rows<'a>(facts: &Facts<'a>, unit: &Unit) -> Vec<&'a LockRow> {
    let all = facts.windows.iter().flat_map(|window| &window.locks);
    all.filter(|row| facts.members(unit).any(|process| process.tgid == row.tgid)).collect()
}
