//! # `host`: the machine as a whole
//!
//! **Classes** `host-cpu`, `host-memory`, `host-disk`, `host-network`; subject is the host.
//!
//! **What.**
//!
//! | class | enter | stay | |
//! |---|---|---|---|
//! | `host-cpu` | some task waits for a CPU 80 % of the time and no CPU is idle | 60 % | in reports only: a full CPU is in use |
//! | `host-memory` | all tasks wait for memory 10 % of the time, or below 3 % is available | 5 %, 5 % | |
//! | `host-disk` | a device is busy 95 % of the time and all tasks wait for storage 20 % of it | 85 %, 10 % | |
//! | `host-network` | 1 % of an interface's packets are dropped or faulty, and 100 a second | 0.5 %, 50 | |
//!
//! (Waiting as in `/proc/pressure`.) In four of five windows. A finding that names a process has precedence: the host's hangs
//! below it.
//!
//! **Why.** It completes the rules that name processes: it remains when each process alone loses too little.
//!
//! **Cure.** Less work for this machine, or a larger one; the report's table shows which processes use it.

use super::lost::{culprit, host, suspect_other};
use super::{Class, Level, Need, Rule, Suspicion, Trend, Verdict, evidence, evidence_below, level, verdict};
use crate::facts::{Facts, lasts, pressure};
use crate::window::Window;

pub(super) const RULE: Rule = Rule {
    name: "host",
    classes: &[Class::HostCpu, Class::HostMemory, Class::HostDisk, Class::HostNetwork],
    needs: Need::Nothing,
    judge,
};

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut suspicions: Vec<Suspicion> = Vec::new();
    suspicions.extend(cpu(facts));
    suspicions.extend(memory(facts));
    suspicions.extend(disks(facts));
    suspicions.extend(network(facts));
    verdict(suspicions)
}

/// For each window, `of` as a share of the window.
fn shares(facts: &Facts, of: impl Fn(&Window) -> Option<u64>) -> Vec<f64> {
    let share = |window: &Window| of(window).unwrap_or(0) as f64 / window.span().0.max(1) as f64;
    facts.windows.iter().map(|window| share(window)).collect()
}

fn suspicion(
    class: Class,
    level: Level,
    share: f64,
    confidence: f64,
    what: &str,
    advice: &str,
    numbers: Vec<agent_common::wire::finding::Evidence>,
) -> Suspicion {
    let mut suspicion = suspect_other(RULE.name, class, host(), level, numbers);
    let finding = &mut suspicion.finding;
    finding.culprit = Some(culprit("host", what));
    finding.lost_ns_per_s = (share * 1e9) as u64;
    finding.share_pct = share * 100.0;
    finding.confidence = confidence;
    finding.advice = advice.into();
    suspicion
}

fn cpu(facts: &Facts) -> Option<Suspicion> {
    let share = facts.cpu_pressure?;
    let idle = facts.idle_cpus();
    let level = level(share, 0.8, 0.6).filter(|_| idle < 0.05 * facts.cpus)?;
    if !lasts(&shares(facts, |window| Some(window.host.pressure.cpu?.some.0)), 0.6) {
        return None;
    }
    let numbers = vec![
        evidence("share of the time that some task waits for a CPU", share * 100.0, "%", Some(80.0)),
        evidence_below("idle CPUs, mean", idle, "count", 0.05 * facts.cpus),
    ];
    let advice =
        "all CPUs are in use: run fewer tasks at once, give weights to those that matter, or add CPUs";
    Some(suspicion(Class::HostCpu, level, share, 0.4, "CPU", advice, numbers))
}

fn memory(facts: &Facts) -> Option<Suspicion> {
    let full = |window: &Window| Some(window.host.pressure.memory?.full?.0);
    let share = pressure(facts.windows, facts.span, full).unwrap_or(0.0);
    let available = super::swap::available(facts);
    let known = facts.windows.iter().any(|window| window.host.memory.total_bytes > 0);
    let by_pressure = level(share, 0.10, 0.05).filter(|_| lasts(&shares(facts, full), 0.05));
    let by_amount = level(1.0 - available, 0.97, 0.95).filter(|_| known);
    let level = by_pressure.max(by_amount)?;
    let if_reached = |of: Option<Level>, limit: f64| Some(limit).filter(|_| of == Some(Level::Enter));
    let waits = if_reached(by_pressure, 10.0);
    let left = available * 100.0;
    let numbers = vec![
        evidence("share of the time that all tasks wait for memory", share * 100.0, "%", waits),
        match if_reached(by_amount, 3.0) {
            Some(limit) => evidence_below("memory available", left, "%", limit),
            None => evidence("memory available", left, "%", None),
        },
    ];
    let advice = "the host is short of memory: the report's table shows which process has most; limit it, or add memory";
    Some(suspicion(Class::HostMemory, level, share, 0.7, "memory", advice, numbers))
}

fn disks(facts: &Facts) -> Option<Suspicion> {
    let full = |window: &Window| Some(window.host.pressure.io?.full?.0);
    let share = pressure(facts.windows, facts.span, full)?;
    let device = facts.devices.first()?;
    let busy = device.busy?;
    let level = level(share, 0.20, 0.10)?.min(level(busy, 0.95, 0.85)?);
    if !lasts(&shares(facts, full), 0.10) {
        return None;
    }
    let numbers = vec![
        evidence("share of the time that all tasks wait for storage", share * 100.0, "%", Some(20.0)),
        evidence(format!("{} utilization", device.name), busy * 100.0, "%", Some(95.0)),
        evidence(
            format!("{} service time of a request, mean", device.name),
            device.mean_served() / 1e6,
            "ms",
            None,
        ),
        evidence(format!("{} requests that failed", device.name), device.errors as f64, "count", None),
        evidence(
            format!("{} longest request, queue and service", device.name),
            device.max as f64 / 1e6,
            "ms",
            None,
        ),
    ];
    let advice = "the disk is saturated: the report's table shows which processes use it; spread the load, cache, or get a faster disk";
    let mut found = suspicion(Class::HostDisk, level, share, 0.7, "disk", advice, numbers);
    found.finding.culprit = Some(culprit("device", device.name.as_ref()));
    if let Some(user) = device.users.first() {
        let had = device.share(|other| other.tgid == user.tgid) * 100.0;
        let what = format!("{} ({}), share of the device's service time", user.comm, user.tgid);
        found.finding.evidence.push(evidence(what, had, "%", None));
        found.finding.evidence.push(evidence(
            "share of its requests that are flushes",
            user.flushes as f64 / user.count.max(1) as f64 * 100.0,
            "%",
            None,
        ));
        found.finding.evidence.push(evidence(
            "its throughput",
            facts.per_second(user.bytes) / f64::from(1 << 20),
            "MiB/s",
            None,
        ));
    }
    Some(found)
}

fn network(facts: &Facts) -> Option<Suspicion> {
    let mut worst: Option<(String, f64, f64)> = None;
    let names: Vec<&str> =
        facts.windows.last()?.host.interfaces.iter().map(|interface| interface.name.as_str()).collect();
    for name in names {
        let of = |window: &Window| {
            let found = window.host.interfaces.iter().find(|interface| interface.name == name);
            found.map_or((0, 0), |interface| {
                let bad =
                    interface.rx_dropped + interface.tx_dropped + interface.rx_errors + interface.tx_errors;
                (bad, interface.rx_packets + interface.tx_packets + bad)
            })
        };
        let bad = facts.sum(|window| of(window).0);
        let all = facts.sum(|window| of(window).1);
        let share = bad as f64 / all.max(1) as f64;
        if lasts(&facts.rates(|window| of(window).0), 50.0)
            && worst.as_ref().is_none_or(|worst| worst.1 < share)
        {
            worst = Some((name.to_owned(), share, facts.per_second(bad)));
        }
    }
    let (name, share, rate) = worst?;
    let level = level(share, 0.01, 0.005)?.min(level(rate, 100.0, 50.0)?);
    let numbers = vec![
        evidence(format!("{name}: share of packets dropped or faulty"), share * 100.0, "%", Some(1.0)),
        evidence(format!("{name}: packets dropped or faulty"), rate, "1/s", Some(100.0)),
    ];
    let advice =
        "packets are dropped at the interface: larger rings (ethtool -G), more queues, a faster link";
    let mut found = suspicion(Class::HostNetwork, level, share, 0.7, "network", advice, numbers);
    found.finding.culprit = Some(culprit("device", name));
    Some(found)
}
