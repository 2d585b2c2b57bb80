//! # `cpu`: bound by its own CPU time
//!
//! **Classes** `cpu-user` (most of its CPU time is in user mode) and `cpu-kernel` (at least half is in the kernel).
//!
//! **What.** Over the whole span, processes of one name and parent are runnable for at least [`CORES_ENTER`] of a core (to stay:
//! [`CORES_LEAVE`]), run for at least [`MIN_CPU_GRANTED_RATIO`] of that, and it is at least [`MIN_CPU_BOUND_SHARE`] of their
//! non-idle time: they compute, they do not wait for anything else.
//!
//! **When it is an alert.** A busy CPU is in use, so this alone is in reports only. It opens an alert when the process has no
//! effect in all that time: below [`MAX_SPIN_EVENTS_PER_S`] syscalls and page faults a second and no I/O, as an endless loop.
//! A build, a server or a batch job takes memory, reads files and calls the kernel. A process that makes *others* wait is the
//! culprit of their `runq-neighbour`, and this hangs below that.
//!
//! **Cure.** See where the time goes: `agent flamegraph --pid …`.

use agent_common::units::Tgid;

use super::lost::{Loss, not, process_culprit, suspect};
use super::{Class, Need, Rule, Suspicion, Trend, Verdict, evidence, evidence_below, level, verdict};
use crate::facts::{Facts, Unit, lasts};

/// Runnable time, cores, to enter.
const CORES_ENTER: f64 = 0.90;
/// The same, to stay, and in each single window.
const CORES_LEAVE: f64 = 0.70;
/// Least share of its runnable time that it runs: below it, it waits about as much as it computes, and the waiting is the trouble.
/// At 0.5 both weigh the same; the rest is the difference between two halves of a span.
const MIN_CPU_GRANTED_RATIO: f64 = 0.55;
/// Least CPU time of a single window, as a share of the mean: what other processes take differs from window to window.
const MIN_WINDOW_RATIO: f64 = 0.7;
/// Least share of the non-idle time that is runnable time.
const MIN_CPU_BOUND_SHARE: f64 = 0.70;
/// Most syscalls, and most page faults, a second and process, of an endless loop. The loop makes none; runtimes around it do: Java's
/// timer 20 a second, Python one in 5 ms while a second thread waits for the GIL. At this pace a server handles one request in 20 ms.
/// (Go's monitor thread sleeps up to 100 times a second: an endless loop in Go opens no alert.)
const MAX_SPIN_EVENTS_PER_S: f64 = 50.0;
/// Least user-mode share of the CPU time of an endless loop.
const MIN_SPIN_USER_SHARE: f64 = 0.95;

pub(super) const RULE: Rule =
    Rule { name: "cpu", classes: &[Class::CpuUser, Class::CpuKernel], needs: Need::Nothing, judge };

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut suspicions = Vec::new();
    for unit in facts.units.iter().filter(|unit| !unit.kernel) {
        suspicions.extend(bound(facts, unit));
    }
    verdict(suspicions)
}

fn bound(facts: &Facts, unit: &Unit) -> Option<Suspicion> {
    let rows: Vec<_> =
        facts.members(unit).filter_map(|process| process.usage).map(|at| &facts.usage[at]).collect();
    let (user, system) = rows.iter().fold((0, 0), |sum, row| (sum.0 + row.user.0, sum.1 + row.system.0));
    let used = user + system;
    // Time in which it was runnable and others ran counts as demand, too.
    let wanted = used + unit.times.sum(&super::runq::STATES);
    let got = used as f64 / wanted.max(1) as f64;
    let cores = facts.per_second(wanted) / 1e9;
    if cores < CORES_LEAVE || got < MIN_CPU_GRANTED_RATIO {
        return None;
    }
    let mut series = vec![0.0; facts.windows.len()];
    for row in &rows {
        let of = facts.cpu.get(&(row.tgid, row.start_boot_ns)).into_iter().flatten();
        series.iter_mut().zip(of).for_each(|(sum, ns)| *sum += ns / 1e9);
    }
    let share = (wanted as f64 / unit.times.non_idle().max(wanted).max(1) as f64).min(1.0);
    if share < MIN_CPU_BOUND_SHARE || !lasts(&series, CORES_LEAVE * got * MIN_WINDOW_RATIO) {
        return None;
    }
    let level = level(cores, CORES_ENTER, CORES_LEAVE)?;
    let kernel = system as f64 / (user + system).max(1) as f64;
    let (class, other) =
        if kernel >= 0.5 { (Class::CpuKernel, Class::CpuUser) } else { (Class::CpuUser, Class::CpuKernel) };
    let spent = if kernel >= 0.5 { system } else { user };
    let loss = Loss { ns: spent, rate: facts.per_second(spent) / 1e9, share, level };
    let mut suspicion = suspect(RULE.name, class, unit, loss);
    suspicion.culprit_unit = Some(unit.at);
    let finding = &mut suspicion.finding;
    finding.culprit = Some(process_culprit(unit));
    let count = rows.len().max(1) as f64;
    let syscalls = facts.per_second(rows.iter().map(|row| row.syscalls).sum()) / count;
    let faults = facts.per_second(rows.iter().map(|row| row.min_flt + row.maj_flt).sum()) / count;
    let io: u64 = rows.iter().map(|row| row.io_bytes()).sum();
    let spins = facts.has_syscalls
        && kernel <= 1.0 - MIN_SPIN_USER_SHARE
        && syscalls < MAX_SPIN_EVENTS_PER_S
        && faults < MAX_SPIN_EVENTS_PER_S
        && io == 0;
    finding.confidence = if spins { 0.6 } else { 0.4 };
    finding.evidence = vec![
        evidence(
            "runnable (on a CPU or waiting for one)",
            cores * 100.0,
            "% of a core",
            Some(CORES_ENTER * 100.0),
        ),
        evidence(
            "share of its runnable time on a CPU",
            got * 100.0,
            "%",
            Some(MIN_CPU_GRANTED_RATIO * 100.0),
        ),
        evidence(
            "share of its non-idle time that is runnable time",
            share * 100.0,
            "%",
            Some(MIN_CPU_BOUND_SHARE * 100.0),
        ),
        if kernel >= 0.5 {
            evidence("share of its CPU time in the kernel", kernel * 100.0, "%", Some(50.0))
        } else {
            evidence_below("share of its CPU time in the kernel", kernel * 100.0, "%", 50.0)
        },
        evidence_below("syscalls, each process", syscalls, "1/s", MAX_SPIN_EVENTS_PER_S),
        evidence_below("page faults, each process", faults, "1/s", MAX_SPIN_EVENTS_PER_S),
        evidence("share of the host's CPU time", facts.per_second(used) / 1e7 / facts.cpus, "%", None),
    ];
    if rows.len() > 1 {
        finding.evidence.push(evidence("processes with this name", count, "count", None));
    }
    if let Some(pressure) = facts.cpu_pressure {
        finding.evidence.push(evidence("CPU pressure (some)", pressure * 100.0, "%", None));
    }
    finding
        .alternatives
        .push(not(&other, format!("{:.0} % of its CPU time is in the kernel", kernel * 100.0)));
    let why_not = if spins {
        "it makes hardly a syscall or page fault, and no I/O: an endless loop"
    } else {
        "not ruled out: no other process waits for it, and it may have that much to do"
    };
    finding.alternatives.push(not("healthy", why_not));
    finding.advice = format!(
        "{} computes and waits for nothing: `agent flamegraph --pid {}` shows where the time goes",
        unit.comm,
        busiest(&rows)
    );
    Some(suspicion)
}

fn busiest(rows: &[&crate::usage::Usage]) -> Tgid {
    rows.iter().max_by_key(|row| row.cpu()).map_or(Tgid(0), |row| row.tgid)
}
