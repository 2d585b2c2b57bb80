//! # `disk`: waiting for a disk
//!
//! **Classes** `disk-read` and `disk-write`. The culprit is the process that uses most of the device, the cgroup whose I/O limit
//! holds the requests back, or the device.
//!
//! **What.** Processes of one name and parent lose at least 20 % of their non-idle thread time, and 0.1 s a second (to
//! stay: 12 %, 0.06 s/s), to reads (or writes) of files and block devices. Asynchronous I/O (`io_getevents`) counts by the
//! direction of its requests.
//!
//! **Whose fault.** The device with most of the process' requests decides. Another process with half of the device's service time
//! is the culprit. If the device is not busy and the requests took less than 30 % of the wait, the I/O limit of the cgroup
//! holds them back. A device below 80 % utilization is not saturated: then the process issues one request after another.
//!
//! **Cure.** As the culprit says: limit the other, raise the limit, keep more requests in flight, cache, a faster device.

use agent_common::abi::sched::State;

use super::lost::{loss_with, suspect};
use super::{Class, Need, Rule, Suspicion, Trend, Verdict, io, verdict};
use crate::facts::{Facts, Unit};

pub(super) const RULE: Rule =
    Rule { name: "disk", classes: &[Class::DiskRead, Class::DiskWrite], needs: Need::States, judge };

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut suspicions = Vec::new();
    for unit in &facts.units {
        let (reads, all) = asynchronous(facts, unit);
        let waits = unit.times.of(State::AsyncIo).min(all.1);
        let read = if all.0 == 0 { 0 } else { (waits as f64 * reads as f64 / all.0 as f64) as u64 };
        suspicions.extend(storage(facts, RULE.name, Class::DiskRead, unit, &[State::DiskRead], read));
        suspicions.extend(storage(
            facts,
            RULE.name,
            Class::DiskWrite,
            unit,
            &[State::DiskWrite],
            waits - read,
        ));
    }
    verdict(suspicions)
}

/// A unit's requests: (reads, (all requests, their time in queue and device, ns)).
fn asynchronous(facts: &Facts, unit: &Unit) -> (u64, (u64, u64)) {
    let users =
        facts.devices.iter().flat_map(|device| &device.users).filter(|user| {
            facts.by_tgid.get(&user.tgid).is_some_and(|at| facts.processes[*at].unit == unit.at)
        });
    users.fold((0, (0, 0)), |(reads, (count, time)), user| {
        (reads + user.reads, (count + user.count, time + user.queued + user.served))
    })
}

/// The suspicion of a storage rule, with device, culprit and cure; `more` ns of the loss were on a CPU.
pub(super) fn storage(
    facts: &Facts,
    rule: &'static str,
    class: Class,
    unit: &Unit,
    states: &[State],
    more: u64,
) -> Option<Suspicion> {
    let lost = loss_with(facts, unit, states, more)?;
    let mut suspicion = suspect(rule, class, unit, lost);
    let blame = io::blame(facts, unit);
    let finding = &mut suspicion.finding;
    finding.culprit = blame.culprit;
    finding.evidence.extend(blame.evidence);
    finding.alternatives.extend(blame.alternatives);
    finding.advice = blame.advice;
    finding.confidence *= blame.certainty;
    suspicion.culprit_unit = blame.unit;
    Some(suspicion)
}
