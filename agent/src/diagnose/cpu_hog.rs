//! # `cpu_hog`: a process keeps a CPU for itself
//!
//! **Classes** `cpu-user` (most of its CPU time is in user mode) and `cpu-kernel` (at least half is in the kernel).
//!
//! **What.** A group of processes with one name and one parent uses at least [`CPU_ENTER`] of a core over the whole
//! span (in four of five windows at least [`CPU_LEAVE`]), and either
//! - **others pay**: processes of other names that were runnable at least [`VICTIM_RUNQ`] of the time without
//!   running, and lost at least [`VICTIM_SHARE`] of their non-idle time that way, lose together [`LOST_ENTER`]
//!   (to stay: [`LOST_LEAVE`]) of a second a second; or
//! - **it spins**: a single process, at least [`SPIN_CPU`] of a core, nearly all in user mode, without syscalls (below
//!   [`SPIN_SYSCALLS`]/s), page faults (below [`SPIN_FAULTS`]/s) or I/O: it touches nothing, as a loop that never ends
//!   does. A computation can look the same, so the confidence is low.
//!
//! **Why not utilization.** A CPU that is busy is in use. A build, a server under load or a batch job uses the CPU,
//! too; they take memory, read files and call the kernel, and as long as nobody waits nothing is lost. Workers of one
//! kind that wait for each other (`make -j` too high) are not each other's victims here.
//!
//! **Cure.** Give the culprit a lower weight (`nice`, `systemctl set-property … CPUWeight=`), a quota (`CPUQuota=`),
//! CPUs of its own (`taskset`, `AllowedCPUs=`), or look at where it spends its time: `agent flamegraph --pid …`.

use std::collections::HashMap;

use agent_common::units::{DurNs, Tgid};
use agent_common::wire::finding::{Alternative, Culprit, Finding, Subject};

use super::facts::{Facts, lasts};
use super::{Level, Rule, Suspicion, Verdict, evidence, level, verdict};
use crate::aggregate::Usage;

/// Share of one core that a group uses to be looked at.
const CPU_ENTER: f64 = 0.90;
/// The same, to stay, and in single windows.
const CPU_LEAVE: f64 = 0.70;
/// Time that a victim waits for a CPU, share of the wall time.
const VICTIM_RUNQ: f64 = 0.05;
/// Time that a victim waits for a CPU, share of its non-idle time.
const VICTIM_SHARE: f64 = 0.30;
/// Time that all victims lose, seconds a second.
const LOST_ENTER: f64 = 0.20;
/// The same, to stay.
const LOST_LEAVE: f64 = 0.10;
/// Share of one core from which a process can spin.
const SPIN_CPU: f64 = 0.95;
/// User share of the CPU time of a process that spins.
const SPIN_USER: f64 = 0.95;
/// Syscalls a second that a spinning process stays below.
const SPIN_SYSCALLS: f64 = 10.0;
/// Page faults a second that a spinning process stays below.
const SPIN_FAULTS: f64 = 20.0;
/// Share of stolen time from which the hypervisor is an alternative.
const STEAL: f64 = 0.10;

pub(super) const RULE: Rule = Rule { name: "cpu_hog", classes: &["cpu-user", "cpu-kernel"], judge };

/// Processes of one name and one parent.
#[derive(Debug)]
struct Group<'a> {
    members: Vec<&'a Usage>,
    user: u64,
    system: u64,
    runq: u64,
    /// CPU of all members, a window at a time, cores.
    series: Vec<f64>,
}

impl Group<'_> {
    const fn cpu(&self) -> u64 {
        self.user + self.system
    }

    /// The oldest member: the same one as long as it lives.
    fn head(&self) -> &Usage {
        // SANITY: a group is made for its first member.
        self.members.iter().min_by_key(|row| (row.start_boot_ns, row.tgid)).expect("a group has a member")
    }
}

fn judge(facts: &Facts) -> Verdict {
    let mut suspicions = Vec::new();
    for group in groups(facts) {
        let cores = facts.per_second(group.cpu()) / 1e9;
        if cores < CPU_LEAVE || !lasts(&group.series, CPU_LEAVE) {
            continue;
        }
        let found = victims(facts, &group).map_or_else(
            || spins(facts, &group, cores),
            |(victims, harm)| {
                let level = harm.min(level(cores, CPU_ENTER, CPU_LEAVE)?);
                Some((level, harmful(facts, &group, &victims, cores)))
            },
        );
        if let Some((level, finding)) = found {
            let head = group.head();
            let subject = if group.members.len() > 1 {
                format!("{}@{}", head.comm, head.parent)
            } else {
                head.tgid.to_string()
            };
            suspicions.push(Suspicion {
                key: format!("{}/{subject}", finding.class),
                level,
                call: None,
                finding,
            });
        }
    }
    if suspicions.is_empty() && !facts.has_runq && !facts.has_syscalls {
        let why = "neither run-queue times nor syscalls are known here".to_owned();
        return Verdict::NotEnoughData { why };
    }
    verdict(suspicions)
}

fn groups(facts: &Facts) -> Vec<Group<'_>> {
    let mut groups: HashMap<(&str, Tgid), Group<'_>> = HashMap::new();
    for row in facts.usage.iter().filter(|row| row.cpu().0 > 0) {
        let group = groups.entry((&row.comm, row.parent)).or_insert_with(|| Group {
            members: Vec::new(),
            user: 0,
            system: 0,
            runq: 0,
            series: Vec::new(),
        });
        group.members.push(row);
        group.user += row.user.0;
        group.system += row.system.0;
        group.runq += row.runq.unwrap_or_default().0;
        if let Some(series) = facts.cpu.get(&(row.tgid, row.start_boot_ns)) {
            group.series.resize(series.len(), 0.0);
            group.series.iter_mut().zip(series).for_each(|(sum, ns)| *sum += ns / 1e9);
        }
    }
    groups.into_values().collect()
}

/// Those who wait for a CPU while the group runs, the worst off first.
fn victims<'a>(facts: &'a Facts, group: &Group) -> Option<(Vec<&'a Usage>, Level)> {
    let comm = &group.head().comm;
    let mut victims: Vec<&Usage> = facts
        .usage
        .iter()
        .filter(|row| row.comm != *comm)
        .filter(|row| {
            let runq = row.runq.unwrap_or_default().0;
            runq as f64 >= VICTIM_RUNQ * facts.span.0 as f64
                && runq as f64 >= VICTIM_SHARE * (runq + row.cpu().0) as f64
        })
        .collect();
    victims.sort_by_key(|row| (std::cmp::Reverse(row.runq), row.tgid));
    let level = level(lost(facts, &victims), LOST_ENTER, LOST_LEAVE)?;
    Some((victims, level))
}

/// Seconds a second.
fn lost(facts: &Facts, victims: &[&Usage]) -> f64 {
    facts.per_second(victims.iter().map(|row| row.runq.unwrap_or_default().0).sum()) / 1e9
}

fn harmful(facts: &Facts, group: &Group, victims: &[&Usage], cores: f64) -> Finding {
    let head = group.head();
    let lost = lost(facts, victims);
    // While a victim waits somebody else runs: all who ran share the blame by what they used, other victims too.
    let all: u64 = facts.usage.iter().map(|row| row.cpu().0).sum();
    let caused = |victim: &&Usage| {
        let others = (all - victim.cpu().0).max(group.cpu()).max(1);
        victim.runq.unwrap_or_default().0 as f64 * group.cpu() as f64 / others as f64
    };
    let caused = facts.per_second(victims.iter().map(caused).sum::<f64>() as u64) / 1e9;
    let blame = caused / lost.max(1e-9);
    let mut finding = basic(facts, group, cores);
    finding.lost_ns_per_s = (caused * 1e9) as u64;
    finding.confidence = (0.6 + 0.4 * blame - facts.steal).clamp(0.3, 0.95);
    finding.evidence.push(evidence("others wait for a CPU", lost * 1e3, "ms/s", Some(LOST_ENTER * 1e3)));
    for victim in victims.iter().take(3) {
        let runq = victim.runq.unwrap_or_default();
        let what = format!("{} ({}) waits, of its non-idle time", victim.comm, victim.tgid);
        let share = 100.0 * runq.0 as f64 / (runq.0 + victim.cpu().0).max(1) as f64;
        finding.evidence.push(evidence(what, share, "%", Some(VICTIM_SHARE * 100.0)));
    }
    finding.advice = format!(
        "{} keeps others from running: lower its weight (nice, CPUWeight=), cap it (CPUQuota=) or give it CPUs of its \
         own; `agent flamegraph --pid {}` shows where its time goes",
        head.comm, head.tgid
    );
    finding
}

/// A process that uses a core and touches nothing.
fn spins(facts: &Facts, group: &Group, cores: f64) -> Option<(Level, Finding)> {
    let [row] = group.members[..] else { return None };
    let syscalls = facts.per_second(row.syscalls);
    let faults = facts.per_second(row.min_flt + row.maj_flt);
    let user = row.user.0 as f64 / row.cpu().0.max(1) as f64;
    let touches = syscalls >= SPIN_SYSCALLS || faults >= SPIN_FAULTS || row.io_bytes() > 0;
    if !facts.has_syscalls || touches || user < SPIN_USER {
        return None;
    }
    let level = level(cores, SPIN_CPU, CPU_ENTER)?;
    let mut finding = basic(facts, group, cores);
    finding.lost_ns_per_s = (cores * 1e9) as u64;
    finding.confidence = 0.5;
    finding.evidence.push(evidence("syscalls", syscalls, "1/s", Some(SPIN_SYSCALLS)));
    finding.evidence.push(evidence("page faults", faults, "1/s", Some(SPIN_FAULTS)));
    let why_not = "nobody waits for it, but it makes no syscall, fault or I/O in all that time".to_owned();
    finding.alternatives.push(Alternative { class: "healthy".into(), why_not });
    finding.advice = format!(
        "{} computes without pause and without touching anything: a loop that never ends, or a long computation; \
         `agent flamegraph --pid {}` shows which",
        row.comm, row.tgid
    );
    Some((level, finding))
}

/// What all findings of this rule have.
fn basic(facts: &Facts, group: &Group, cores: f64) -> Finding {
    let head = group.head();
    let kernel = group.system as f64 / group.cpu().max(1) as f64;
    let (class, other) = if kernel >= 0.5 { ("cpu-kernel", "cpu-user") } else { ("cpu-user", "cpu-kernel") };
    let mut numbers = vec![
        evidence("CPU", cores * 100.0, "% of a core", Some(CPU_ENTER * 100.0)),
        evidence("of it in the kernel", kernel * 100.0, "%", Some(50.0)),
    ];
    if group.members.len() > 1 {
        numbers.push(evidence("processes of this name", group.members.len() as f64, "count", None));
    }
    numbers.push(evidence("of the host's CPUs", cores / facts.cpus * 100.0, "%", None));
    if let Some(pressure) = facts.cpu_pressure {
        numbers.push(evidence("CPU pressure (some)", pressure * 100.0, "%", None));
    }
    let mut alternatives = vec![Alternative {
        class: other.to_owned(),
        why_not: format!("{:.0} % of its CPU time is in the kernel", kernel * 100.0),
    }];
    if facts.steal >= STEAL {
        let why_not =
            format!("the hypervisor took {:.0} % of the CPUs; the rest is this process", facts.steal * 100.0);
        alternatives.push(Alternative { class: "steal".into(), why_not });
    }
    let non_idle = DurNs(group.cpu() + group.runq);
    Finding {
        rule: RULE.name.to_owned(),
        class: class.to_owned(),
        subject: Subject {
            kind: "process".into(),
            pid: Some(head.tgid.0),
            comm: Some(head.comm.as_ref().into()),
        },
        culprit: Some(Culprit {
            kind: "process".into(),
            pid: Some(head.tgid.0),
            comm: Some(head.comm.as_ref().into()),
        }),
        lost_ns_per_s: 0,
        share_pct: 100.0 * group.cpu() as f64 / non_idle.0.max(1) as f64,
        confidence: 0.0,
        evidence: numbers,
        stacks: Vec::new(),
        alternatives,
        caused: Vec::new(),
        advice: String::new(),
    }
}

#[cfg(test)]
mod tests;
