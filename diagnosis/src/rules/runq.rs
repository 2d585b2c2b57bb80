//! # `runq`: runnable, but not running
//!
//! **Classes** `runq-neighbour` (a foreign process uses the CPU; it is the culprit) and `runq-self` (threads of the same
//! program do).
//!
//! **What.** Processes of one name and parent lose at least 20 % of their non-idle thread time, and 0.1 s a second, to
//! waiting for a CPU (to stay: 12 %, 0.06 s/s), in four of five windows. Each ns of that is charged to the process that ran on
//! that CPU. Time without CPU quota is `cpu-quota`, not this. The running process must be known for at least
//! [`MIN_KNOWN_SHARE`] of the waiting, else the finding is in reports only.
//!
//! - `runq-neighbour`: at least [`MIN_BLAMED_SHARE`] of it is behind **foreign** programs. Not foreign is a process that works
//!   with the victim: the same program in the same cgroup, its parent or child, a client or server of it (each ends waits of
//!   the other). Nor is a process that the user gave precedence (the victim has the higher nice value). When two processes wait
//!   for each other, the culprit is the one that demands 10 % more CPU; of two with equal demand, the one that started later.
//!   The opposite finding is in reports only.
//! - `runq-self` otherwise: more threads are runnable than there are CPUs. It opens an alert from [`MIN_RUNNABLE_PER_CPU`]
//!   runnable threads a CPU, or when a thread waits longer than all CPUs can have been busy together (it is pinned). Below that
//!   the program uses what there is, or its threads come in bursts.
//!
//! **Why.** A busy CPU is in use. What matters is which process waits, for how long, behind which other.
//!
//! **Cure.** Neighbour: a weight (`nice`, `CPUWeight=`), a quota (`CPUQuota=`) or CPUs of its own (`AllowedCPUs=`) for the
//! culprit. Self: as many workers as CPUs; widen the affinity.

use std::collections::HashMap;
use std::sync::Arc;

use agent_common::abi::sched::State;
use agent_common::units::{BootNs, DurNs, Tid};
use agent_common::wire::finding::Culprit;

use super::lost::{culprit, doubt, loss, not, process_culprit, suspect};
use super::{Class, Need, Rule, Suspicion, Trend, Verdict, evidence, verdict};
use crate::facts::{Facts, Times, Unit};

/// Share of the waiting behind foreign programs, from which they are the cause.
const MIN_BLAMED_SHARE: f64 = 0.5;
/// Least share of the waiting for which the running process must be known.
const MIN_KNOWN_SHARE: f64 = 0.3;
/// Runnable threads a CPU from which a program has too many threads.
const MIN_RUNNABLE_PER_CPU: f64 = 2.0;
/// Share of the span by which one thread's waiting exceeds the time in which all CPUs were busy together: from there on a CPU was
/// idle that this thread may not use.
const MIN_BARRED_SHARE: f64 = 0.1;
/// Least mean wait, ns, of a thread that may not use an idle CPU. A thread that may is moved by the load balancer within a tick (1
/// to 10 ms).
const MIN_BARRED_WAIT_NS: u64 = 1_000_000;
/// Ratio of CPU demand from which one of two processes that wait for each other is the culprit.
const MIN_DEMAND_RATIO: f64 = 1.1;
/// Two programs that started within this time started together: neither came later.
const MAX_SAME_START: DurNs = DurNs(1_000_000_000);
/// The nice value with the least weight: it cannot be lowered further.
const LOWEST_PRIORITY_NICE: i32 = 19;
/// Victims of one culprit that get a finding each; the others are counted.
const MAX_VICTIMS: usize = 3;
/// Least share of the span on a CPU, from which a thread keeps a lock's owner from running.
const MIN_ONCPU_SHARE: f64 = 0.3;
/// Share of stolen CPU time from which the confidence falls: the hypervisor may be the cause.
const MIN_STEAL_SHARE: f64 = 0.10;

pub(super) const RULE: Rule =
    Rule { name: "runq", classes: &[Class::RunqNeighbour, Class::RunqSelf], needs: Need::RunQueue, judge };

/// States of waiting for a CPU, without waits for CPU quota.
pub(super) const STATES: [State; 2] = [State::RunqWoken, State::RunqPreempted];

/// Name and cgroup.
type Program = (Arc<str>, Arc<str>);

/// Run-queue wait of a unit, by the process that ran, ns.
struct Behind<'a> {
    /// Behind foreign programs: one unit of each program and the time, most first.
    foreign: Vec<(&'a Unit, u64)>,
    /// Behind itself and processes that work with it.
    own: u64,
    /// Behind processes with a lower nice value: the user wants that.
    excused: u64,
    /// With a known runner.
    known: u64,
}

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut suspicions = Vec::new();
    for unit in facts.units.iter().filter(|unit| !unit.kernel) {
        let Some(lost) = loss(facts, unit, &STATES) else { continue };
        if unit.times.of(State::RunqThrottled) > lost.ns {
            continue;
        }
        let behind = behind(facts, unit, true);
        let foreign: u64 = behind.foreign.iter().map(|(_, ns)| ns).sum();
        if behind.excused as f64 > MIN_BLAMED_SHARE * behind.known as f64 {
            continue;
        }
        let found = if foreign as f64 >= MIN_BLAMED_SHARE * behind.known.max(1) as f64 && behind.known > 0 {
            neighbour(facts, unit, &behind, suspect(RULE.name, Class::RunqNeighbour, unit, lost))
        } else if behind.own > 0 {
            own(facts, unit, &behind, suspect(RULE.name, Class::RunqSelf, unit, lost))
        } else {
            None
        };
        suspicions.extend(found.map(|found| weigh(found, behind.known as f64 / lost.ns.max(1) as f64)));
    }
    mutual(facts, &mut suspicions);
    verdict(worst_victims(suspicions))
}

/// Doubts a verdict that rests on a small part of the waiting.
fn weigh(mut suspicion: Suspicion, known: f64) -> Suspicion {
    let finding = &mut suspicion.finding;
    let share = evidence(
        "share of its waiting with a known runner",
        known.min(1.0) * 100.0,
        "%",
        Some(MIN_KNOWN_SHARE * 100.0),
    );
    finding.evidence.push(share);
    if known < MIN_KNOWN_SHARE {
        doubt(finding);
        finding.alternatives.push(not(
            "healthy",
            "not ruled out: the running process is known for a small part of the waiting only",
        ));
    }
    suspicion
}

/// Doubts one of two findings about processes that wait for each other: the one whose victim demands more CPU, or, at equal
/// demand, started later.
fn mutual(facts: &Facts, all: &mut [Suspicion]) {
    let pairs: Vec<_> = all.iter().map(|suspicion| (suspicion.unit, suspicion.culprit_unit)).collect();
    for suspicion in all {
        let (Some(victim), Some(by)) = (suspicion.unit, suspicion.culprit_unit) else { continue };
        if victim == by || !pairs.contains(&(Some(by), Some(victim))) {
            continue;
        }
        let (own, other) = (demand(facts, victim), demand(facts, by));
        let (own_start, other_start) = (started(facts, victim), started(facts, by));
        let why_not = if own > MIN_DEMAND_RATIO * other {
            "the other process waits for this one, too, and demands less CPU"
        } else if other <= MIN_DEMAND_RATIO * own && own_start.since(other_start) > MAX_SAME_START {
            "the other process waits for this one, too, and started earlier"
        } else {
            continue;
        };
        let finding = &mut suspicion.finding;
        doubt(finding);
        finding.alternatives.push(not("healthy", format!("not ruled out: {why_not}")));
    }
}

/// CPU demand of a unit, in CPUs: what it would use without waiting for one.
fn demand(facts: &Facts, unit: usize) -> f64 {
    let threads = facts.members(&facts.units[unit]).flat_map(|process| process.threads.values());
    threads
        .map(|(_, times)| {
            let oncpu = times.of(State::Oncpu) as f64;
            oncpu / f64::max((times.all() - times.sum(&STATES)) as f64, 1.0)
        })
        .sum()
}

/// Start of the oldest process of a unit.
fn started(facts: &Facts, unit: usize) -> BootNs {
    let rows = facts.members(&facts.units[unit]).filter_map(|process| process.usage);
    rows.map(|at| facts.usage[at].start_boot_ns).min().unwrap_or_default()
}

/// Keeps the [`MAX_VICTIMS`] worst victims of each culprit, and counts the others in the worst one's evidence.
fn worst_victims(mut all: Vec<Suspicion>) -> Vec<Suspicion> {
    all.sort_by(|a, b| b.finding.lost_ns_per_s.cmp(&a.finding.lost_ns_per_s).then_with(|| a.key.cmp(&b.key)));
    let mut kept: Vec<Suspicion> = Vec::new();
    let mut more: HashMap<usize, usize> = HashMap::new();
    for suspicion in all {
        let same = kept.iter().filter(|other| {
            other.culprit_unit == suspicion.culprit_unit && other.finding.class == suspicion.finding.class
        });
        match suspicion.culprit_unit {
            Some(by) if same.count() >= MAX_VICTIMS => *more.entry(by).or_default() += 1,
            _ => kept.push(suspicion),
        }
    }
    for (by, count) in more {
        if let Some(first) = kept.iter_mut().find(|suspicion| suspicion.culprit_unit == Some(by)) {
            first.finding.evidence.push(evidence(
                "other processes that wait behind the culprit",
                count as f64,
                "count",
                None,
            ));
        }
    }
    kept
}

fn behind<'a>(facts: &'a Facts, unit: &Unit, excuses: bool) -> Behind<'a> {
    let mut foreign: HashMap<Program, (&Unit, u64, u64)> = HashMap::new();
    let (mut own, mut excused, mut known) = (0, 0, 0);
    let nice = facts.members(unit).map(|process| process.nice).max().unwrap_or(0);
    for (by, ns) in &facts.blame[unit.at] {
        known += ns;
        let other = &facts.units[*by];
        if facts.work_together(unit, other) {
            own += ns;
            continue;
        }
        let others_nice = facts.members(other).map(|process| process.nice).min().unwrap_or(0);
        if excuses && nice > others_nice {
            excused += ns;
            continue;
        }
        let program = (Arc::clone(&other.comm), Arc::clone(&other.cgroup));
        let entry = foreign.entry(program).or_insert((other, 0, 0));
        entry.1 += ns;
        if *ns > entry.2 {
            (entry.0, entry.2) = (other, *ns);
        }
    }
    let mut foreign: Vec<(&Unit, u64)> = foreign.into_values().map(|(unit, ns, _)| (unit, ns)).collect();
    foreign.sort_by_key(|(unit, ns)| (std::cmp::Reverse(*ns), unit.tgid));
    Behind { foreign, own, excused, known }
}

fn neighbour(facts: &Facts, unit: &Unit, behind: &Behind, mut suspicion: Suspicion) -> Option<Suspicion> {
    let (first, ns) = *behind.foreign.first()?;
    let share = ns as f64 / behind.known.max(1) as f64;
    let finding = &mut suspicion.finding;
    finding.culprit = Some(process_culprit(first));
    suspicion.culprit_unit = Some(first.at);
    finding.confidence *= (0.6 + 0.4 * share / 0.8).min(1.0);
    for (other, ns) in behind.foreign.iter().take(3) {
        let what =
            format!("share of its waiting while {} ({}) in {} ran", other.comm, other.tgid, other.cgroup);
        finding.evidence.push(evidence(what, *ns as f64 / behind.known.max(1) as f64 * 100.0, "%", None));
    }
    let own = behind.own as f64 / behind.known.max(1) as f64 * 100.0;
    finding
        .alternatives
        .push(not(&Class::RunqSelf, format!("{own:.0} % of its waiting is behind its own threads")));
    if unit.times.of(State::RunqThrottled) > 0 || facts.has_states {
        let throttled = unit.times.of(State::RunqThrottled) as f64 / 1e6 / facts.span.as_secs_f64().max(1e-9);
        finding
            .alternatives
            .push(not(&Class::CpuQuota, format!("its cgroup was throttled {throttled:.0} ms/s")));
    }
    let steal = facts.steal * 100.0;
    finding.alternatives.push(not(&Class::CpuSteal, format!("the hypervisor took {steal:.0} % of the CPUs")));
    if facts.steal >= MIN_STEAL_SHARE {
        finding.confidence *= 1.0 - facts.steal;
    }
    let real_time = facts.members(first).map(|process| process.real_time).max().unwrap_or(0);
    if real_time > 0 && !first.kernel {
        finding.evidence.push(evidence("its real-time priority", f64::from(real_time), "", None));
        finding.advice = format!(
            "{} ({}) runs with real-time priority {real_time}: others get its CPU only while it blocks, whatever their weight; \
             `chrt -a -o -p 0 {}` gives it normal priority, AllowedCPUs= a CPU of its own",
            first.comm, first.tgid, first.tgid
        );
        return Some(suspicion);
    }
    let lowest = facts.members(first).all(|process| process.nice >= LOWEST_PRIORITY_NICE);
    let weight = if lowest { "" } else { "lower its weight (nice, CPUWeight=), " };
    finding.advice = format!(
        "{} ({}) keeps {} from running: {weight}cap it (CPUQuota=) or give it CPUs of its own (AllowedCPUs=)",
        first.comm, first.tgid, unit.comm
    );
    Some(suspicion)
}

/// The other units that a unit works with and waits behind, and for how long, ns.
fn together<'a>(facts: &'a Facts, unit: &'a Unit) -> impl Iterator<Item = (&'a Unit, u64)> {
    let behind = facts.blame[unit.at].iter().map(|(by, ns)| (&facts.units[*by], *ns));
    behind.filter(move |(other, _)| other.at != unit.at && facts.work_together(unit, other))
}

/// Names of the other programs that a unit works with and waits behind, those with most of its waiting first.
/// `known`: all of its waiting with a known runner, ns.
fn partners(facts: &Facts, unit: &Unit, known: u64) -> Vec<Arc<str>> {
    /// Least share of the waiting.
    const MIN_PARTNER_SHARE: f64 = 0.1;
    let mut behind: Vec<(Arc<str>, u64)> = Vec::new();
    for (other, ns) in together(facts, unit).filter(|(other, _)| other.comm != unit.comm) {
        match behind.iter_mut().find(|(comm, _)| *comm == other.comm) {
            Some((_, sum)) => *sum += ns,
            None => behind.push((Arc::clone(&other.comm), ns)),
        }
    }
    behind.retain(|(_, ns)| *ns as f64 >= MIN_PARTNER_SHARE * known as f64);
    behind.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    behind.into_iter().map(|(comm, _)| comm).collect()
}

/// Mean number of runnable threads: those of the unit, and of the units that it works with and waits behind.
fn runnable(facts: &Facts, unit: &Unit) -> f64 {
    let all = together(facts, unit)
        .map(|(other, _)| other)
        .chain([unit])
        .map(|of| of.times.of(State::Oncpu) + of.times.sum(&STATES));
    facts.per_second(all.sum()) / 1e9
}

fn own(facts: &Facts, unit: &Unit, behind: &Behind, mut suspicion: Suspicion) -> Option<Suspicion> {
    let runnable = runnable(facts, unit);
    let all_busy = 1.0 - facts.idlest_cpu();
    let waits = facts.members(unit).flat_map(|process| process.threads.values());
    let longest = waits.map(|(_, times)| times.sum(&STATES)).max().unwrap_or(0);
    // The kernel puts two threads that wake each other on one CPU: each waits for a moment, each time.
    let turns = facts.members(unit).map(|process| process.voluntary).max().unwrap_or(0);
    let long_turns = longest >= MIN_BARRED_WAIT_NS * turns.max(1);
    let longest = longest as f64 / facts.span.0.max(1) as f64;
    let barred = longest >= all_busy + MIN_BARRED_SHARE && long_turns;
    // They fit on the CPUs: each waits only for its turn after a wake-up.
    if runnable <= facts.cpus && !barred {
        return None;
    }
    let finding = &mut suspicion.finding;
    finding.culprit = Some(process_culprit(unit));
    suspicion.culprit_unit = Some(unit.at);
    let crowded = runnable / facts.cpus;
    if crowded < MIN_RUNNABLE_PER_CPU && !barred {
        doubt(finding);
        let why_not = format!(
            "not ruled out: {runnable:.1} runnable threads on {} CPUs wait for moments only",
            facts.cpus
        );
        finding.alternatives.push(not("healthy", why_not));
    }
    let limit = Some(MIN_RUNNABLE_PER_CPU * facts.cpus).filter(|_| !barred);
    finding.evidence.push(evidence("runnable threads, mean", runnable, "count", limit));
    finding.evidence.push(evidence("CPUs", facts.cpus, "count", None));
    finding.evidence.push(evidence("idle CPUs, mean", facts.idle_cpus(), "count", None));
    let most = (all_busy + MIN_BARRED_SHARE) * 100.0;
    let most = Some(most).filter(|_| barred);
    finding.evidence.push(evidence(
        "share of the time that one thread waits for a CPU, largest",
        longest * 100.0,
        "%",
        most,
    ));
    let own = behind.own as f64 / behind.known.max(1) as f64 * 100.0;
    let partners = partners(facts, unit, behind.known);
    let behind_whom = if partners.is_empty() {
        "share of its waiting behind its own threads".to_owned()
    } else {
        format!(
            "share of its waiting behind its own threads and {}, with which it works",
            partners.join(", ")
        )
    };
    finding.evidence.push(evidence(behind_whom, own, "%", None));
    finding.alternatives.push(not(
        &Class::RunqNeighbour,
        format!("{:.0} % of its waiting is behind other processes", 100.0 - own),
    ));
    finding.advice = if barred {
        format!(
            "{} is not allowed to run on the idle CPUs: widen its affinity (taskset -p, AllowedCPUs=)",
            unit.comm
        )
    } else {
        let whose = std::iter::once(unit.comm.as_ref()).chain(partners.iter().map(AsRef::as_ref));
        let whose = whose.collect::<Vec<_>>().join(" and ");
        let (have, together) = if partners.is_empty() { ("has", "") } else { ("have", " together") };
        format!(
            "{whose} {have} more runnable threads{together} than there are CPUs: run as many workers as CPUs, or add CPUs"
        )
    };
    Some(suspicion)
}

/// What keeps the holder of a lock, or a peer, from running: class, culprit, and the culprit's unit.
///
/// `waiting`, for a lock: the unit that waits for it, the states of that wait, and the thread that holds the lock.
pub(super) fn of_holder(
    facts: &Facts,
    holder: &Unit,
    waiting: Option<(&Unit, &'static [State], Tid)>,
) -> (Class, Option<Culprit>, Option<usize>) {
    if holder.times.of(State::RunqThrottled) >= holder.times.sum(&STATES) {
        return (Class::CpuQuota, Some(culprit("cgroup", holder.cpu_cgroup.as_ref())), None);
    }
    // Its higher nice value is no excuse here: the processes that need its lock do not have that value.
    let behind = behind(facts, holder, false);
    let foreign: u64 = behind.foreign.iter().map(|(_, ns)| ns).sum();
    match behind.foreign.first() {
        Some((first, _)) if foreign as f64 >= MIN_BLAMED_SHARE * behind.known as f64 => {
            let class = if waiting.is_some() { Class::PriorityInversion } else { Class::RunqNeighbour };
            (class, Some(process_culprit(first)), Some(first.at))
        }
        _ => {
            let inverted = waiting.filter(|(unit, states, owner)| inverted(facts, unit, states, *owner));
            match inverted {
                Some((.., owner)) => {
                    (Class::PriorityInversion, Some(thread_culprit(facts, owner)), Some(holder.at))
                }
                None => (Class::RunqSelf, Some(process_culprit(holder)), Some(holder.at)),
            }
        }
    }
}

/// True if a thread that waits for a lock has a higher priority than its owner, while another thread of the owner's process, with
/// at least the owner's priority, uses a CPU.
fn inverted(facts: &Facts, unit: &Unit, states: &'static [State], owner: Tid) -> bool {
    let priority = |tid: Tid| facts.priorities.get(&tid).copied();
    let Some(owns) = priority(owner) else { return false };
    let Some(process) = facts.by_tid.get(&owner).map(|at| &facts.processes[*at]) else { return false };
    let urgent = facts.waits(unit, states).any(|wait| priority(wait.tid).is_some_and(|waits| waits < owns));
    let runs = |(tid, (_, times)): (&Tid, &(Arc<str>, Times))| {
        *tid != owner
            && times.of(State::Oncpu) as f64 >= MIN_ONCPU_SHARE * facts.span.0 as f64
            && priority(*tid).is_some_and(|runs| runs <= owns)
    };
    urgent && process.threads.iter().any(runs)
}

/// A thread as the culprit.
pub(super) fn thread_culprit(facts: &Facts, tid: Tid) -> Culprit {
    let process = facts.by_tid.get(&tid).map(|at| &facts.processes[*at]);
    let comm =
        process.and_then(|process| process.threads.get(&tid)).map(|(comm, _)| comm.as_ref().to_owned());
    Culprit { kind: "thread".into(), pid: Some(tid.0), comm: comm.filter(|comm| !comm.is_empty()) }
}
