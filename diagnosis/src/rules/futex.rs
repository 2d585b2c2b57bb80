//! # `futex`: waiting for a lock inside the program
//!
//! **Class** `futex`; the culprit is the lock, with the process whose thread holds it.
//!
//! **What.** Processes of one name and parent lose at least 20 % of their non-idle thread time, and 0.1 s a second (to
//! stay: 12 %, 0.06 s/s), to futex words that are locks: several threads wait for the same word and wake each other there,
//! or the word names its owner. A thread that is parked until there is work waits for a word of its own, and is idle. So are
//! threads that stay at a lock all the time while its holder waits for work for [`PARKED_HOLDER_IDLE`] of its time: some programs
//! (redis) keep their helpers there until there is work for them.
//!
//! **Whose fault.** The holder: the owner in the lock's word (glibc mutexes), else the thread that ended the waits. If it spends
//! most of its own time in another wait (a disk, another lock, the run queue), that is the root, and this hangs below it. A wait
//! that takes a third of the holder's time is named in the finding's headline.
//!
//! **Why.** More threads make it slower; only the time under the lock counts.
//!
//! **Deadlock.** Threads own locks that the next one waits for, in a ring: the finding says so. An open wait counts when the lock
//! names its owner (of another process, too, if the word is shared). Some locks name no owner (semaphores, Python's locks): there,
//! every thread of a process has waited for another one for [`STANDSTILL_ENTER_S`] s (to stay: [`STANDSTILL_LEAVE_S`]), none with a
//! time-out. Nothing but a signal ends that. It is an alert for a process that the agent has seen run, and that has no handlers
//! for signals of its own use.
//!
//! **Owner gone.** A thread ended while it held a mutex of the C library: the finding says so. The agent inspects such a wait after
//! two seconds, and checks all words of the lock.
//!
//! **Cure.** Shorten the time under the lock (no I/O, no allocation), split it, read-mostly structures, batches.

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

/// Share of the time in which the holder of a lock has no work, from which threads that stay at the lock are parked there.
const PARKED_HOLDER_IDLE: f64 = 0.9;
/// Least share of its time that a parked thread is at the lock.
const PARKED_SHARE: f64 = 0.95;
/// Age of a standstill, s, to enter.
const STANDSTILL_ENTER_S: f64 = 5.0;
/// The same, to stay.
const STANDSTILL_LEAVE_S: f64 = 4.0;
/// Confidence that a lock's owner is gone: all words of the lock fit a mutex of the C library.
const ORPHANED_CONFIDENCE: f64 = 0.9;
/// Confidence of a standstill of a process that was seen to run before.
const STANDSTILL_CONFIDENCE: f64 = 0.6;

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    if !facts.has_waits && !facts.has_states {
        return Verdict::NotEnoughData { why: "waits are not recorded".to_owned() };
    }
    let mut suspicions = Vec::new();
    for unit in &facts.units {
        let Some(lost) = loss(facts, unit, STATES) else { continue };
        let followed = chain::follow(facts, unit, &Class::Futex, STATES);
        if followed.inversion().is_some() || (followed.idle >= PARKED_HOLDER_IDLE && parked(facts, unit)) {
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
        finding.evidence.push(evidence(
            format!("share of its waiting for the lock at {word:#x}"),
            share * 100.0,
            "%",
            None,
        ));
        finding.evidence.push(evidence("threads that wait for this lock", waiters as f64, "count", None));
        finding.evidence.extend(followed.evidence.iter().cloned());
        finding.headline = followed.headline(facts);
        if let Some(open) = oldest(facts, unit, STATES) {
            finding.evidence.push(open);
        }
        let runq = facts.per_second(unit.times.sum(&super::runq::STATES)) / 1e6;
        finding.alternatives.push(not(&Class::RunqSelf, format!("only {runq:.0} ms/s of waiting for a CPU")));
        finding.advice = followed.advice(facts, unit).unwrap_or_else(|| {
            format!(
                "threads of {} wait for one lock: shorten the time under it, or split it; the stacks show where it is taken",
                unit.comm
            )
        });
        if let Some(ring) = ring(facts, unit) {
            let names: Vec<String> = ring.iter().map(|tid| named(facts, *tid)).collect();
            finding.evidence.push(evidence(
                format!("threads in a ring of waits ({})", names.join(", ")),
                ring.len() as f64,
                "count",
                None,
            ));
            finding.confidence = 0.95;
            finding.advice = format!(
                "a deadlock: {} each hold a lock that the next one waits for, and none can go on; restart {}, and take the locks \
                 in one order",
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
                "threads that wait for the lock at {word:#x}, whose owner (thread {owner}) has ended"
            );
            finding.evidence.push(evidence(what, waits as f64, "count", Some(1.0)));
            finding.confidence = ORPHANED_CONFIDENCE;
            finding.headline =
                Some(format!("the lock's owner (thread {owner}) has ended: no thread will unlock it"));
            finding.advice = format!(
                "thread {owner} ended while it held the lock at {word:#x}, and no thread will unlock it: restart {}; a robust \
                 mutex (PTHREAD_MUTEX_ROBUST) reports the owner's death to the next thread",
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

/// True if each thread of a unit that waits for a lock does nothing else: its holder, which has no work either, keeps it there until
/// there is some.
fn parked(facts: &Facts, unit: &Unit) -> bool {
    let mut waits = 0;
    let parked = facts.members(unit).all(|process| {
        let mut threads = process.threads.keys().filter_map(|tid| process.thread(*tid));
        threads.all(|times| {
            let at_lock = times.sum(STATES);
            waits += u32::from(at_lock > 0);
            at_lock == 0 || at_lock as f64 >= PARKED_SHARE * times.all() as f64
        })
    });
    parked && waits > 0
}

/// Suspicions about processes in which every thread waits for another one.
fn standstills(facts: &Facts) -> impl Iterator<Item = Suspicion> {
    let still = facts.windows.last().into_iter().flat_map(|window| &window.standstills);
    still.filter_map(|still| {
        let age = still.age.as_secs_f64();
        let level = level(age, STANDSTILL_ENTER_S, STANDSTILL_LEAVE_S)?;
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
            evidence("time that every thread has waited for another one, at least", age, "s", Some(STANDSTILL_ENTER_S)),
            evidence("threads, none with a time-out", f64::from(still.threads), "count", None),
        ];
        finding.confidence = STANDSTILL_CONFIDENCE;
        if !still.stopped {
            doubt(finding);
            let why_not = "not ruled out: it may wait for a signal (the agent has not seen it run)";
            finding.alternatives.push(not("healthy", why_not));
        }
        finding.advice = format!(
            "most likely a deadlock of {} ({}): nothing but a signal ends it. Its stacks show the locks (`gdb -p {} -batch \
             -ex 'thread apply all bt'`, `py-spy dump -p {}`): restart it, and take them in one order",
            unit.comm, still.tgid, still.tgid, still.tgid
        );
        Some(suspicion)
    })
}

/// The lock with an ended owner that most threads of a unit wait for at the end: its address, the owner, the number of threads.
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

/// Threads that wait for each other's locks in a ring, by the open waits at the end of the span.
fn ring(facts: &Facts, unit: &Unit) -> Option<Vec<Tid>> {
    /// Longest ring that is searched for, threads.
    const MAX_RING_THREADS: usize = 16;
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
        while at != *first && ring.len() < MAX_RING_THREADS {
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

/// The futex word with most of the waiting: address, share of the waiting, number of threads.
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
