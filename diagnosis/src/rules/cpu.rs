//! # `cpu`: bound by its own CPU time
//!
//! **Classes** `cpu-user` (most of its CPU time is in user mode) and `cpu-kernel` (at least half is in the kernel).
//!
//! **What.** Processes of one name and parent are on a CPU, or ready for one, at least [`CORES_ENTER`] of a core over the whole
//! span (to stay: [`CORES_LEAVE`]) and get [`MIN_CPU_GRANTED_RATIO`] of that at least, and it is at least [`BOUND`] of their non-idle time: they
//! compute, they do not wait for anything else.
//!
//! **When it is an alert.** A CPU that is busy is in use, so this alone is in reports only. It opens an alert when the
//! process touches nothing in all that time: below [`TOUCHES`] syscalls and page faults a second and no I/O, as a loop that
//! never ends does. Whoever makes *others* wait is the culprit of their `runq-neighbour`, which this then hangs below. And
//! a build, a server or a batch job takes memory, reads files and calls the kernel.
//!
//! **Cure.** See where the time goes: `agent flamegraph --pid …`.

use agent_common::units::Tgid;

use super::lost::{Loss, not, process_culprit, suspect};
use super::{Class, Need, Rule, Suspicion, Trend, Verdict, evidence, evidence_below, level, verdict};
use crate::facts::{Facts, Unit, lasts};

/// Cores.
const CORES_ENTER: f64 = 0.90;
/// The same, to stay, and in single windows.
const CORES_LEAVE: f64 = 0.70;
/// Share of the CPU it wants that it must get: below it, it waits about as much as it computes, and that is the trouble. At
/// 0.5 both weigh the same; the rest is what two halves of a span differ by.
const MIN_CPU_GRANTED_RATIO: f64 = 0.55;
/// Share of its mean CPU that it must have in a single window: what others take from it is not the same in each.
const MIN_WINDOW_RATIO: f64 = 0.7;
/// CPU time and waiting for it, of the non-idle time.
const BOUND: f64 = 0.70;
/// Syscalls, and page faults, a second and process, from which it does something for somebody. A loop that never ends makes none
/// itself; the runtimes around one do: Java's timer 20 a second, a Python thread that waits for the GIL one in 5 ms only while
/// there is one. Whoever serves, reads or writes at that pace has a request or a block in 20 ms. (A Go program's monitor sleeps up to 100
/// times a second: of a Go loop there is no alert, which errs on the side of silence.)
const TOUCHES: f64 = 50.0;
/// User share of the CPU time of a process that spins.
const SPIN_USER: f64 = 0.95;

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
    // What it was ready for and others got, it wants as well.
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
    if share < BOUND || !lasts(&series, CORES_LEAVE * got * MIN_WINDOW_RATIO) {
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
    let spins =
        facts.has_syscalls && kernel <= 1.0 - SPIN_USER && syscalls < TOUCHES && faults < TOUCHES && io == 0;
    finding.confidence = if spins { 0.6 } else { 0.4 };
    finding.evidence = vec![
        evidence("CPU, or ready for one", cores * 100.0, "% of a core", Some(CORES_ENTER * 100.0)),
        evidence("of that on a CPU", got * 100.0, "%", Some(MIN_CPU_GRANTED_RATIO * 100.0)),
        evidence("of its non-idle time that is", share * 100.0, "%", Some(BOUND * 100.0)),
        if kernel >= 0.5 {
            evidence("of its CPU time in the kernel", kernel * 100.0, "%", Some(50.0))
        } else {
            evidence_below("of its CPU time in the kernel", kernel * 100.0, "%", 50.0)
        },
        evidence_below("syscalls a process", syscalls, "1/s", TOUCHES),
        evidence_below("page faults a process", faults, "1/s", TOUCHES),
        evidence("of the host's CPUs", facts.per_second(used) / 1e7 / facts.cpus, "%", None),
    ];
    if rows.len() > 1 {
        finding.evidence.push(evidence("processes of this name", count, "count", None));
    }
    if let Some(pressure) = facts.cpu_pressure {
        finding.evidence.push(evidence("CPU pressure (some)", pressure * 100.0, "%", None));
    }
    finding
        .alternatives
        .push(not(&other, format!("{:.0} % of its CPU time is in the kernel", kernel * 100.0)));
    let why_not = if spins {
        "it makes no syscall, fault or I/O in all that time"
    } else {
        "not ruled out: nobody waits for it, and it may have that much to do"
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
