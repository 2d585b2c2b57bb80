//! # `runq`: ready to run, and not running
//!
//! **Classes** `runq-neighbour` (a foreign process runs meanwhile; it is the culprit) and `runq-self` (threads of its own
//! program do).
//!
//! **What.** Processes of one name and parent lose at least 20 % of their non-idle thread time, and 0.1 s a second, to
//! waiting for a CPU (to stay: 12 %, 0.06 s/s), in four of five windows. Who ran on that CPU meanwhile is charged for
//! each ns of it. Time held back by a CPU quota is `cpu-quota`, not this.
//! Who ran must be known for at least [`KNOWN`] of it, else this is in reports only.
//!
//! - at least [`MOST`] of it behind **foreign** programs: `runq-neighbour`. Who works with the victim is not foreign:
//!   the same program in the same cgroup, its parent or child, and who ends its waits and has its own ended by it
//!   (client and server). Nor is one that the user told to go first (the victim has the higher nice value).
//!   Of two that wait for each other the one that would take more of a CPU of its own is the culprit (10 % more), of two that
//!   would take as much the one that came later; the other way round it is in reports only.
//! - else `runq-self`: more threads are ready than there are CPUs to run them. It opens an alert from [`CROWDED`] times as
//!   many, or when a thread waits for longer than all CPUs can have been busy together (pinned); below that the program just
//!   uses what there is, or its threads come in bursts.
//!
//! **Why.** A CPU that is busy is in use; what matters is who waits, for how long, behind whom.
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

/// Share of the waiting that decides.
const MOST: f64 = 0.5;
/// Share of the waiting of which it must be known who ran meanwhile.
const KNOWN: f64 = 0.3;
/// Ready threads for each CPU from which a program has too many.
const CROWDED: f64 = 2.0;
/// Share of the time by which a thread waits for longer than all CPUs can have been busy: there was one that it may not
/// run on.
const BARRED: f64 = 0.1;
/// Mean time, ns, that who is kept from an idle CPU waits for its turn at least: the balancer that would move it looks once a tick,
/// which is 1 to 10 ms.
const TURN_NS: u64 = 1_000_000;
/// How much more of the CPU the one of two must want, to be the culprit alone.
const MORE: f64 = 1.1;
/// Programs that began so close together came together.
const SAME_TIME: DurNs = DurNs(1_000_000_000);
/// Nice value below which there is none.
const LOWEST: i32 = 19;
/// Victims of one culprit that are told one by one.
const VICTIMS: usize = 3;
/// Share of the time that a thread runs, from which it keeps the owner of a lock from running.
const RUNS: f64 = 0.3;
/// Share of stolen time from which the hypervisor is an alternative.
const STEAL: f64 = 0.10;

pub(super) const RULE: Rule =
    Rule { name: "runq", classes: &[Class::RunqNeighbour, Class::RunqSelf], needs: Need::RunQueue, judge };

/// Waiting for a CPU that a quota does not explain.
pub(super) const STATES: [State; 2] = [State::RunqWoken, State::RunqPreempted];

/// Name and cgroup.
type Program = (Arc<str>, Arc<str>);

/// Behind whom a unit waited.
struct Behind<'a> {
    /// Foreign programs: a unit of each, and the time; most first.
    foreign: Vec<(&'a Unit, u64)>,
    own: u64,
    /// Behind whom it was told to wait: its nice value is higher.
    excused: u64,
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
        if behind.excused as f64 > MOST * behind.known as f64 {
            continue;
        }
        let found = if foreign as f64 >= MOST * behind.known.max(1) as f64 && behind.known > 0 {
            neighbour(facts, unit, &behind, suspect(RULE.name, Class::RunqNeighbour, unit, lost))
        } else if behind.own > 0 {
            own(facts, unit, &behind, suspect(RULE.name, Class::RunqSelf, unit, lost))
        } else {
            None
        };
        suspicions.extend(found.map(|found| weigh(found, behind.known as f64 / lost.ns.max(1) as f64)));
    }
    mutual(facts, &mut suspicions);
    verdict(few(suspicions))
}

/// A verdict on a small part of the waiting is none on the whole.
fn weigh(mut suspicion: Suspicion, known: f64) -> Suspicion {
    let finding = &mut suspicion.finding;
    let share = evidence("of it is known who ran", known.min(1.0) * 100.0, "%", Some(KNOWN * 100.0));
    finding.evidence.push(share);
    if known < KNOWN {
        doubt(finding);
        finding.alternatives.push(not("healthy", "not ruled out: who ran is known of a small part only"));
    }
    suspicion
}

/// Of two that wait for each other one is nobody's victim: the one that would take more of a CPU that it had for itself, or,
/// of two that would take as much, the one that came later.
fn mutual(facts: &Facts, all: &mut [Suspicion]) {
    let pairs: Vec<_> = all.iter().map(|suspicion| (suspicion.unit, suspicion.culprit_unit)).collect();
    for suspicion in all {
        let (Some(victim), Some(by)) = (suspicion.unit, suspicion.culprit_unit) else { continue };
        if victim == by || !pairs.contains(&(Some(by), Some(victim))) {
            continue;
        }
        let (own, other) = (demand(facts, victim), demand(facts, by));
        let (own_start, other_start) = (started(facts, victim), started(facts, by));
        let why_not = if own > MORE * other {
            "the other waits for it as well, and would take less"
        } else if other <= MORE * own && own_start.since(other_start) > SAME_TIME {
            "the other waits for it as well, and was there before"
        } else {
            continue;
        };
        let finding = &mut suspicion.finding;
        doubt(finding);
        finding.alternatives.push(not("healthy", format!("not ruled out: {why_not}")));
    }
}

/// CPUs that a unit would take if it never had to wait for one.
fn demand(facts: &Facts, unit: usize) -> f64 {
    let threads = facts.members(&facts.units[unit]).flat_map(|process| process.threads.values());
    threads
        .map(|(_, times)| {
            let oncpu = times.of(State::Oncpu) as f64;
            oncpu / f64::max((times.all() - times.sum(&STATES)) as f64, 1.0)
        })
        .sum()
}

/// When the first of a unit began.
fn started(facts: &Facts, unit: usize) -> BootNs {
    let rows = facts.members(&facts.units[unit]).filter_map(|process| process.usage);
    rows.map(|at| facts.usage[at].start_boot_ns).min().unwrap_or_default()
}

/// The worst victims of each culprit; the others are told in a number.
fn few(mut all: Vec<Suspicion>) -> Vec<Suspicion> {
    all.sort_by(|a, b| b.finding.lost_ns_per_s.cmp(&a.finding.lost_ns_per_s).then_with(|| a.key.cmp(&b.key)));
    let mut kept: Vec<Suspicion> = Vec::new();
    let mut more: HashMap<usize, usize> = HashMap::new();
    for suspicion in all {
        let same = kept.iter().filter(|other| {
            other.culprit_unit == suspicion.culprit_unit && other.finding.class == suspicion.finding.class
        });
        match suspicion.culprit_unit {
            Some(by) if same.count() >= VICTIMS => *more.entry(by).or_default() += 1,
            _ => kept.push(suspicion),
        }
    }
    for (by, count) in more {
        if let Some(first) = kept.iter_mut().find(|suspicion| suspicion.culprit_unit == Some(by)) {
            first.finding.evidence.push(evidence("others that wait behind it", count as f64, "count", None));
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
        let what = format!("of it {} ({}) in {} ran meanwhile", other.comm, other.tgid, other.cgroup);
        finding.evidence.push(evidence(what, *ns as f64 / behind.known.max(1) as f64 * 100.0, "%", None));
    }
    let own = behind.own as f64 / behind.known.max(1) as f64 * 100.0;
    finding
        .alternatives
        .push(not(&Class::RunqSelf, format!("{own:.0} % of the waiting is behind its own threads")));
    if unit.times.of(State::RunqThrottled) > 0 || facts.has_states {
        let throttled = unit.times.of(State::RunqThrottled) as f64 / 1e6 / facts.span.as_secs_f64().max(1e-9);
        finding
            .alternatives
            .push(not(&Class::CpuQuota, format!("its cgroup was throttled {throttled:.0} ms/s")));
    }
    let steal = facts.steal * 100.0;
    finding.alternatives.push(not(&Class::CpuSteal, format!("the hypervisor took {steal:.0} % of the CPUs")));
    if facts.steal >= STEAL {
        finding.confidence *= 1.0 - facts.steal;
    }
    let real_time = facts.members(first).map(|process| process.real_time).max().unwrap_or(0);
    if real_time > 0 && !first.kernel {
        finding.evidence.push(evidence("its real-time priority", f64::from(real_time), "", None));
        finding.advice = format!(
            "{} ({}) runs with real-time priority {real_time}: others get a CPU only while it blocks, whatever their weight; \
             `chrt -a -o -p 0 {}` makes it one of many, AllowedCPUs= gives it a CPU of its own",
            first.comm, first.tgid, first.tgid
        );
        return Some(suspicion);
    }
    let lowest = facts.members(first).all(|process| process.nice >= LOWEST);
    let weight = if lowest { "" } else { "lower its weight (nice, CPUWeight=), " };
    finding.advice = format!(
        "{} ({}) keeps {} from running: {weight}cap it (CPUQuota=) or give it CPUs of its own (AllowedCPUs=)",
        first.comm, first.tgid, unit.comm
    );
    Some(suspicion)
}

/// Threads of a unit, and of those that it works with and waits behind, that run or are ready.
fn ready(facts: &Facts, unit: &Unit) -> f64 {
    let together = facts.blame[unit.at].keys().map(|by| &facts.units[*by]);
    let together = together.filter(|other| other.at != unit.at && facts.work_together(unit, other));
    let all = together.chain([unit]).map(|of| of.times.of(State::Oncpu) + of.times.sum(&STATES));
    facts.per_second(all.sum()) / 1e9
}

fn own(facts: &Facts, unit: &Unit, behind: &Behind, mut suspicion: Suspicion) -> Option<Suspicion> {
    let ready = ready(facts, unit);
    let all_busy = 1.0 - facts.idlest_cpu();
    let waits = facts.members(unit).flat_map(|process| process.threads.values());
    let longest = waits.map(|(_, times)| times.sum(&STATES)).max().unwrap_or(0);
    // Two that wake each other are put on one CPU, and wait for a moment each time.
    let turns = facts.members(unit).map(|process| process.voluntary).max().unwrap_or(0);
    let long_turns = longest >= TURN_NS * turns.max(1);
    let longest = longest as f64 / facts.span.0.max(1) as f64;
    let barred = longest >= all_busy + BARRED && long_turns;
    // They fit on the CPUs that there are: what each waits for is its turn after a wake-up.
    if ready <= facts.cpus && !barred {
        return None;
    }
    let finding = &mut suspicion.finding;
    finding.culprit = Some(process_culprit(unit));
    suspicion.culprit_unit = Some(unit.at);
    let crowded = ready / facts.cpus;
    if crowded < CROWDED && !barred {
        doubt(finding);
        let why_not = format!("not ruled out: {ready:.1} threads for {} CPUs are soon done", facts.cpus);
        finding.alternatives.push(not("healthy", why_not));
    }
    let limit = Some(CROWDED * facts.cpus).filter(|_| !barred);
    finding.evidence.push(evidence("threads running or ready, mean", ready, "threads", limit));
    finding.evidence.push(evidence("CPUs", facts.cpus, "count", None));
    finding.evidence.push(evidence("CPUs that stand idle", facts.idle_cpus(), "CPUs", None));
    let most = (all_busy + BARRED) * 100.0;
    let most = Some(most).filter(|_| barred);
    finding.evidence.push(evidence("one thread waits, of the time", longest * 100.0, "%", most));
    let own = behind.own as f64 / behind.known.max(1) as f64 * 100.0;
    finding.evidence.push(evidence("of its waiting behind its own threads", own, "%", None));
    finding
        .alternatives
        .push(not(&Class::RunqNeighbour, format!("{:.0} % of it is behind others", 100.0 - own)));
    finding.advice = if barred {
        format!(
            "{} may not run on the CPUs that stand idle: widen its affinity (taskset -p, AllowedCPUs=)",
            unit.comm
        )
    } else {
        format!(
            "{} has more threads ready than there are CPUs: as many workers as CPUs, or more CPUs",
            unit.comm
        )
    };
    Some(suspicion)
}

/// What keeps the holder of a lock, or a peer, from running: class and culprit.
///
/// `waiting`: where it is a lock, the unit that waits for it and the states of that, and the thread that holds it.
pub(super) fn of_holder(
    facts: &Facts,
    holder: &Unit,
    waiting: Option<(&Unit, &'static [State], Tid)>,
) -> (Class, Option<Culprit>, Option<usize>) {
    if holder.times.of(State::RunqThrottled) >= holder.times.sum(&STATES) {
        return (Class::CpuQuota, Some(culprit("cgroup", holder.cpu_cgroup.as_ref())), None);
    }
    // That it was told to wait is the very point: those who need its lock were not.
    let behind = behind(facts, holder, false);
    let foreign: u64 = behind.foreign.iter().map(|(_, ns)| ns).sum();
    match behind.foreign.first() {
        Some((first, _)) if foreign as f64 >= MOST * behind.known as f64 => {
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

/// Whether a thread that waits for a lock has more claim to a CPU than the one that owns it, and another thread of that process,
/// which the owner has to let run, has one meanwhile.
fn inverted(facts: &Facts, unit: &Unit, states: &'static [State], owner: Tid) -> bool {
    let priority = |tid: Tid| facts.priorities.get(&tid).copied();
    let Some(owns) = priority(owner) else { return false };
    let Some(process) = facts.by_tid.get(&owner).map(|at| &facts.processes[*at]) else { return false };
    let urgent = facts.waits(unit, states).any(|wait| priority(wait.tid).is_some_and(|waits| waits < owns));
    let runs = |(tid, (_, times)): (&Tid, &(Arc<str>, Times))| {
        *tid != owner
            && times.of(State::Oncpu) as f64 >= RUNS * facts.span.0 as f64
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
