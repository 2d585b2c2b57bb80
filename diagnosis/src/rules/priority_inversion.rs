//! # `priority_inversion`: the holder of a lock is kept from running
//!
//! **Class** `priority-inversion`; the culprit is the process that runs instead. If that is a thread of the owner's own process, it
//! is the thread that owns the lock.
//!
//! **What.** Processes lose time (20 % of their non-idle time, 0.1 s/s; to stay: 12 %, 0.06 s/s) to a lock. The thread that holds
//! it spends at least half of its own non-idle time runnable but not running, behind a third program. Or behind a thread of
//! its own process whose priority (real-time, nice value) is at least the owner's, while a thread that waits for the lock has a
//! higher one. (Among threads of one priority it is `runq-self`.)
//!
//! **Why.** The waiting thread really waits for a CPU: whatever its own priority, it progresses as fast as the holder.
//!
//! **Cure.** Priority inheritance (`PTHREAD_PRIO_INHERIT`), a priority of the holder not below that of the others, a lower
//! weight for the culprit.

use agent_common::abi::sched::State;

use super::lost::{loss, not, suspect};
use super::{Class, Need, Rule, Trend, Verdict, chain, verdict};
use crate::facts::Facts;

/// Kinds of locks: class and states of a wait for one.
static LOCKS: [(Class, &[State]); 3] = [
    (Class::Futex, &[State::FutexLock]),
    (Class::KernelLock, &[State::KernelLock]),
    (Class::FileLock, &[State::FileLock]),
];

pub(super) const RULE: Rule =
    Rule { name: "priority_inversion", classes: &[Class::PriorityInversion], needs: Need::Waits, judge };

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut suspicions = Vec::new();
    for unit in &facts.units {
        for (class, states) in &LOCKS {
            let Some(lost) = loss(facts, unit, states) else { continue };
            let followed = chain::follow(facts, unit, class, states);
            let Some(link) = followed.inversion() else { continue };
            let mut suspicion = suspect(RULE.name, Class::PriorityInversion, unit, lost);
            suspicion.culprit_unit = link.culprit_unit;
            let finding = &mut suspicion.finding;
            finding.culprit.clone_from(&link.culprit);
            finding.evidence.extend(followed.evidence);
            finding
                .alternatives
                .push(not(class, "the holder does not get to run: the work under the lock is not slow"));
            finding.caused.push(class.clone());
            finding.advice = match finding.culprit.as_ref().filter(|culprit| culprit.kind == "thread") {
                Some(owner) => format!(
                    "thread {} ({}) owns the lock and does not get to run, behind threads of its own process: use \
                     PTHREAD_PRIO_INHERIT, or give it a priority not below that of the waiting threads",
                    owner.comm.as_deref().unwrap_or("without a name"),
                    owner.pid.unwrap_or_default()
                ),
                None => "let the holder run: priority inheritance, a higher weight for the holder, a lower one for the culprit".into(),
            };
            suspicions.push(suspicion);
        }
    }
    verdict(suspicions)
}
