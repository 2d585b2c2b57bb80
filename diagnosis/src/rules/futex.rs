//! # `futex`: waiting for a lock of the program's own
//!
//! **Class** `futex`; the culprit is the lock, with the process whose thread holds it.
//!
//! **What.** Processes of one name and parent lose at least 20 % of their non-idle thread time, and 0.1 s a second (to
//! stay: 12 %, 0.06 s/s), to futex words that are locks: several threads wait for the same word and wake each other there,
//! or the word names its owner. A thread parked until there is work waits for a word of its own and is idle.
//!
//! **Whose fault.** The holder: the owner in the lock's word (glibc mutexes), else who ended the waits. When it spends most
//! of its own time in another wait (a disk, another lock, the run queue) that is the root, and this hangs below it. A wait that takes
//! a third of its time is named in the finding's first line.
//!
//! **Why.** More threads make it slower; only what is done under the lock counts.
//!
//! **Deadlock.** Threads that own locks the next one waits for, in a ring: the finding says so. A wait that has not ended counts
//! when the lock names its owner, also one of another process where the word is shared. Where no lock names its owner
//! (semaphores, Python's locks): every thread of a process has waited for [`STILL_ENTER`] s (to stay: [`STILL_LEAVE`]) for
//! another one, none with a time-out. Nothing but a signal ends that; of a process that the agent has seen at work before, and
//! that has no handlers for signals of its own use, it is an alert.
//!
//! **Owner gone.** A thread that ended with a mutex of the C library taken: the finding says so. Such a wait is looked at when it has
//! lasted for two seconds, and the lock must be one by all of its words.
//!
//! **Cure.** Hold it for less (no I/O, no allocation under it), split it, read-mostly structures, batches.

use std::collections::HashMap;

use agent_common::abi::sched::State;
use agent_common::units::Tid;
use agent_common::wire::finding::Culprit;

use super::lost::{Loss, doubt, loss, not, oldest, suspect};
use super::{Class, Need, Rule, Suspicion, Trend, Verdict, chain, evidence, level, verdict};
use crate::facts::{Facts, Unit};
use crate::window::WaitTarget;

pub(super) const RULE: Rule = Rule { name: "futex", classes: &[Class::Futex], needs: Need::Nothing, judge };

const STATES: &[State] = &[State::FutexLock];

/// Age of a standstill, s.
const STILL_ENTER: f64 = 5.0;
/// The same, to stay.
const STILL_LEAVE: f64 = 4.0;
/// Confidence that the owner of a lock is gone: the lock is one of the C library by all of its words.
const ORPHANED: f64 = 0.9;
/// Confidence where it was seen to stop.
const STOPPED: f64 = 0.6;

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    if !facts.has_waits && !facts.has_states {
        return Verdict::NotEnoughData { why: "waits are not looked at".to_owned() };
    }
    let mut suspicions = Vec::new();
    for unit in &facts.units {
        let Some(lost) = loss(facts, unit, STATES) else { continue };
        let followed = chain::follow(facts, unit, &Class::Futex, STATES);
        if followed.inversion().is_some() {
            continue;
        }
        let mut suspicion = suspect(RULE.name, Class::Futex, unit, lost);
        let holder = followed.blocker.as_ref().map(|blocker| &facts.processes[blocker.process]);
        let finding = &mut suspicion.finding;
        let (word, share, waiters) = hottest(facts, unit);
        finding.culprit = Some(Culprit {
            kind: "lock".into(),
            pid: Some(holder.map_or(unit.tgid, |holder| holder.tgid).0),
            comm: Some(holder.map_or(unit.comm.as_ref(), |holder| holder.comm.as_ref()).into()),
        });
        suspicion.culprit_unit = holder.map(|holder| holder.unit);
        finding.evidence.push(evidence(format!("of it for the word at {word:#x}"), share * 100.0, "%", None));
        finding.evidence.push(evidence("threads that wait for it", waiters as f64, "count", None));
        finding.evidence.extend(followed.evidence.iter().cloned());
        finding.headline = followed.headline(facts);
        if let Some(open) = oldest(facts, unit, STATES) {
            finding.evidence.push(open);
        }
        let runq = facts.per_second(unit.times.sum(&super::runq::STATES)) / 1e6;
        finding.alternatives.push(not(&Class::RunqSelf, format!("{runq:.0} ms/s of waiting for a CPU")));
        finding.advice = followed.advice(facts, unit).unwrap_or_else(|| {
            format!(
                "threads of {} wait for one lock: hold it for less, or split it; the stacks show where it is taken",
                unit.comm
            )
        });
        if let Some(ring) = ring(facts, unit) {
            let names: Vec<String> = ring.iter().map(|tid| named(facts, *tid)).collect();
            finding.evidence.push(evidence(
                format!("threads that wait for each other in a ring: {}", names.join(", ")),
                ring.len() as f64,
                "threads",
                None,
            ));
            finding.confidence = 0.95;
            finding.advice = format!(
                "a deadlock: {} each hold a lock that the next one waits for, and none goes on again; take the locks in one \
                 order, and restart {}",
                names.join(", "),
                unit.comm
            );
        }
        if let Some((word, owner, waits)) = orphaned(facts, unit) {
            let finding = &mut suspicion.finding;
            let gone = super::runq::thread_culprit(facts, owner);
            finding.culprit = Some(Culprit { kind: "thread".into(), ..gone });
            suspicion.culprit_unit = None;
            let what = format!(
                "the owner of the lock at {word:#x}, thread {owner}, is gone: threads that wait for it"
            );
            finding.evidence.push(evidence(what, waits as f64, "count", Some(1.0)));
            finding.confidence = ORPHANED;
            finding.headline = Some(format!("the owner (thread {owner}) is gone, nobody will unlock"));
            finding.advice = format!(
                "thread {owner} ended with the lock at {word:#x} taken, and nobody will unlock it: restart {}; a robust mutex \
                 (PTHREAD_MUTEX_ROBUST) tells the next one that its owner died",
                unit.comm
            );
        }
        suspicion.chain = followed.links;
        suspicions.push(suspicion);
    }
    let still: Vec<Suspicion> = standstills(facts)
        .filter(|still| !suspicions.iter().any(|known| known.finding.subject == still.finding.subject))
        .collect();
    suspicions.extend(still);
    verdict(suspicions)
}

/// Processes in which every thread waits for another one.
fn standstills(facts: &Facts) -> impl Iterator<Item = Suspicion> {
    let still = facts.windows.last().into_iter().flat_map(|window| &window.standstills);
    still.filter_map(|still| {
        let age = still.age.as_secs_f64();
        let level = level(age, STILL_ENTER, STILL_LEAVE)?;
        let unit = facts.unit_of(still.tgid)?;
        let loss = Loss { ns: facts.span.0, rate: 1.0, share: 1.0, level };
        let mut suspicion = suspect(RULE.name, Class::Futex, unit, loss);
        suspicion.key = format!("futex/{}/standstill", still.tgid);
        suspicion.culprit_unit = Some(unit.at);
        let finding = &mut suspicion.finding;
        finding.subject.pid = Some(still.tgid.0);
        finding.culprit =
            Some(Culprit { kind: "lock".into(), pid: Some(still.tgid.0), comm: Some(unit.comm.as_ref().into()) });
        finding.evidence = vec![
            evidence("every thread waits for another one, for at least", age, "s", Some(STILL_ENTER)),
            evidence("threads, none with a time-out", f64::from(still.threads), "count", None),
        ];
        finding.confidence = STOPPED;
        if !still.stopped {
            doubt(finding);
            let why_not = "not ruled out: it may wait for a signal, or was not seen to run before";
            finding.alternatives.push(not("healthy", why_not));
        }
        finding.advice = format!(
            "nothing but a signal ends this: most likely a deadlock of {} ({}). Its stacks say which locks (`gdb -p {} -batch \
             -ex 'thread apply all bt'`, `py-spy dump -p {}`): take them in one order, and restart it",
            unit.comm, still.tgid, still.tgid, still.tgid
        );
        Some(suspicion)
    })
}

/// The lock that most of a unit's threads wait for at the end whose owner has ended: its word, the owner, the threads.
fn orphaned(facts: &Facts, unit: &Unit) -> Option<(u64, Tid, usize)> {
    let mut locks: HashMap<(u64, Tid), usize> = HashMap::new();
    let window = facts.windows.last()?;
    let ours = |tgid| facts.by_tgid.get(&tgid).is_some_and(|at| facts.processes[*at].unit == unit.at);
    for wait in window.waits.iter().filter(|wait| wait.open && ours(wait.tgid)) {
        if let WaitTarget::Orphaned { addr, owner } = wait.target {
            *locks.entry((addr, owner)).or_default() += 1;
        }
    }
    let ((word, owner), waits) = locks.into_iter().max_by_key(|(lock, waits)| (*waits, *lock))?;
    Some((word, owner, waits))
}

/// Threads that wait for locks of each other in a ring, by the waits that had not ended at the end.
fn ring(facts: &Facts, unit: &Unit) -> Option<Vec<Tid>> {
    /// Longest ring that is looked for.
    const LONGEST: usize = 16;
    let window = facts.windows.last()?;
    let owners: HashMap<Tid, Tid> = window
        .waits
        .iter()
        .filter(|wait| wait.open)
        .filter_map(|wait| match wait.target {
            WaitTarget::Futex { owner: Some(owner), .. } => Some((wait.tid, owner)),
            _ => None,
        })
        .collect();
    let ours = |tid: &&Tid| facts.by_tid.get(tid).is_some_and(|at| facts.processes[*at].unit == unit.at);
    let mut waiting: Vec<&Tid> = owners.keys().filter(ours).collect();
    waiting.sort_unstable();
    waiting.into_iter().find_map(|first| {
        let mut ring = vec![*first];
        let mut at = *owners.get(first)?;
        while at != *first && ring.len() < LONGEST {
            ring.push(at);
            at = *owners.get(&at)?;
        }
        (at == *first && ring.len() > 1).then_some(ring)
    })
}

fn named(facts: &Facts, tid: Tid) -> String {
    let process = facts.by_tid.get(&tid).map(|at| &facts.processes[*at]);
    match process.and_then(|process| process.threads.get(&tid)) {
        Some((comm, _)) if !comm.is_empty() => format!("{comm} ({tid})"),
        _ => format!("thread {tid}"),
    }
}

/// The word with most of the waiting: address, its share, threads that wait for it.
fn hottest(facts: &Facts, unit: &Unit) -> (u64, f64, usize) {
    let mut words: HashMap<u64, (u64, Vec<u32>)> = HashMap::new();
    let mut all = 0;
    for wait in facts.waits(unit, STATES) {
        all += wait.weight.0;
        let (WaitTarget::Futex { addr, .. } | WaitTarget::Orphaned { addr, .. }) = wait.target else {
            continue;
        };
        let word = words.entry(addr).or_default();
        word.0 += wait.weight.0;
        if !word.1.contains(&wait.tid.0) {
            word.1.push(wait.tid.0);
        }
    }
    let top = words.into_iter().max_by_key(|(addr, (weight, _))| (*weight, *addr));
    top.map_or((0, 0.0, 0), |(addr, (weight, tids))| (addr, weight as f64 / all.max(1) as f64, tids.len()))
}
