//! # `priority_inversion`: the holder of a lock is kept from running
//!
//! **Class** `priority-inversion`; the culprit is who runs instead, or the thread that owns the lock where that is one of its own
//! process.
//!
//! **What.** Processes lose time (20 % of their non-idle time, 0.1 s/s; to stay: 12 %, 0.06 s/s) to a lock, and the thread
//! that holds it spends at least half of its own non-idle time ready but not running, behind a third program. Or behind a thread of its
//! own process that has no less claim to a CPU than the owner (real-time priority, nice value), while one that waits for the lock has
//! more; that of threads of one priority is `runq-self`.
//!
//! **Why.** Who waits for the lock waits for a CPU without knowing: whatever its own priority, it gets on as fast as the
//! holder does.
//!
//! **Cure.** Priority inheritance (`PTHREAD_PRIO_INHERIT`), the holder's priority not below that of the others, a lower
//! weight for the culprit.

use agent_common::abi::sched::State;

use super::lost::{loss, not, suspect};
use super::{Class, Need, Rule, Trend, Verdict, chain, verdict};
use crate::facts::Facts;

/// Locks, with the class that waiting for one has.
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
            finding.alternatives.push(not(class, "the holder does not run: the lock is not what is slow"));
            finding.caused.push(class.clone());
            finding.advice = match finding.culprit.as_ref().filter(|culprit| culprit.kind == "thread") {
                Some(owner) => format!(
                    "thread {} ({}) owns the lock and does not get to run, behind threads of its own process: \
                     PTHREAD_PRIO_INHERIT, or a priority for it that is not below that of those who wait",
                    owner.comm.as_deref().unwrap_or("without a name"),
                    owner.pid.unwrap_or_default()
                ),
                None => "let the holder run: priority inheritance, a higher weight for it, a lower one for the culprit".into(),
            };
            suspicions.push(suspicion);
        }
    }
    verdict(suspicions)
}
