//! Which device a unit waits for, and which process keeps that device busy.

use agent_common::abi::sched::State;
use agent_common::wire::finding::{Alternative, Culprit, Evidence};

use super::lost::{culprit, not, process_culprit};
use super::{evidence, evidence_below};
use crate::facts::{Device, Facts, Unit};

/// Utilization (share of the time with requests open) from which a device is saturated.
pub(super) const MIN_SATURATED_BUSY: f64 = 0.8;
/// Utilization from which another process can be the culprit. Below it a unit waits for something else, or for one request at a
/// time.
const MIN_CONTENDED_BUSY: f64 = 0.3;
/// Least share of a device's service time that makes a process the culprit.
const MIN_HOG_SHARE: f64 = 0.5;
/// Least share of a unit's waiting that its requests' time in queue and device must explain; below it the kernel throttles the
/// requests before they reach the device.
const MIN_EXPLAINED_RATIO: f64 = 0.3;
/// The same on a saturated device: time in its queue would show.
const MIN_EXPLAINED_RATIO_SATURATED: f64 = 0.05;
/// Least unexplained time a request, ns: a thread takes some 0.1 ms to run again, a limit holds a request back for longer.
const MIN_HELD_BACK_NS: u64 = 500_000;

/// States in which a thread waits for a block device.
pub(super) const STATES: [State; 5] =
    [State::DiskRead, State::DiskWrite, State::Fsync, State::Writeback, State::FaultFile];

/// The culprit of a unit's waits for storage, with evidence and cure.
#[derive(Debug, Default)]
pub(super) struct Blame {
    pub(super) culprit: Option<Culprit>,
    pub(super) unit: Option<usize>,
    pub(super) evidence: Vec<Evidence>,
    pub(super) alternatives: Vec<Alternative>,
    pub(super) advice: String,
    /// Factor of the finding's confidence, 0..=1.
    pub(super) certainty: f64,
}

/// The culprit of a unit's waits for storage.
pub(super) fn blame(facts: &Facts, unit: &Unit) -> Blame {
    let mut blame = Blame::default();
    let Some(device) = device(facts, unit) else {
        blame.advice =
            "it waits, but no block device is in use: a network file system, FUSE or a file-system lock; \
                        the stacks show which"
                .into();
        blame.certainty = 0.5;
        return blame;
    };
    let busy = device.busy.unwrap_or(device.served as f64 / facts.span.0.max(1) as f64).min(1.0);
    let saturated = Some(MIN_SATURATED_BUSY * 100.0).filter(|_| busy >= MIN_SATURATED_BUSY);
    blame.evidence.push(evidence(format!("{} utilization", device.name), busy * 100.0, "%", saturated));
    let mine = |tgid| facts.by_tgid.get(&tgid).is_some_and(|at| facts.processes[*at].unit == unit.at);
    let (requests, queued, served) = device
        .users
        .iter()
        .filter(|user| mine(user.tgid))
        .fold((0, 0, 0), |sum, user| (sum.0 + user.count, sum.1 + user.queued, sum.2 + user.served));
    // A thread waits for the device itself only while that is busy.
    let at_most = device.busy.map_or(u64::MAX, |busy| {
        (busy * facts.span.0 as f64 * waiting_threads(facts, unit).max(1) as f64) as u64
    });
    let own = queued + served.min(at_most);
    if device.count > 0 {
        let ms = |ns: u64| ns as f64 / device.count as f64 / 1e6;
        blame.evidence.push(evidence(
            format!("{} service time of a request, mean", device.name),
            ms(device.served),
            "ms",
            None,
        ));
        blame.evidence.push(evidence(
            format!("{} queue time of a request, mean", device.name),
            ms(device.queued),
            "ms",
            None,
        ));
        let sequential = device.sequential as f64 / device.count as f64;
        blame.evidence.push(evidence(
            format!("{} requests that are sequential", device.name),
            sequential * 100.0,
            "%",
            None,
        ));
    }
    // Kernel threads make the requests of journal and write-back.
    let waited = unit.times.sum(&[State::DiskRead, State::FaultFile, State::DiskWrite]);
    let own_requests = 2 * waited >= unit.times.sum(&STATES);
    let explained = own as f64 / waited.max(1) as f64;
    let in_cgroup = !unit.cgroup.is_empty() && &*unit.cgroup != "/";
    let least = if busy < MIN_SATURATED_BUSY { MIN_EXPLAINED_RATIO } else { MIN_EXPLAINED_RATIO_SATURATED };
    let held = waited.saturating_sub(own) > MIN_HELD_BACK_NS * requests;
    if device.count > 0 && own > 0 && own_requests && explained < least && held && in_cgroup {
        let share = evidence_below(
            "share of its waiting with a request in the queue or the device",
            explained * 100.0,
            "%",
            least * 100.0,
        );
        blame.evidence.push(share);
        blame.alternatives.push(not("device", format!("{} is only {:.0} % busy", device.name, busy * 100.0)));
        blame.culprit = Some(culprit("cgroup", unit.cgroup.as_ref()));
        blame.advice = format!(
            "the kernel holds its requests back before they reach {}: check the I/O limit of cgroup {} (io.max, \
             blkio.throttle.*)",
            device.name, unit.cgroup
        );
        blame.certainty = 0.8;
        return blame;
    }
    if let Some((other, share)) = hog(facts, unit, device).filter(|_| busy >= MIN_CONTENDED_BUSY) {
        let what = format!("{} ({}), share of {}'s service time", other.comm, other.tgid, device.name);
        blame.evidence.push(evidence(what, share * 100.0, "%", Some(MIN_HOG_SHARE * 100.0)));
        blame.culprit = Some(process_culprit(other));
        blame.unit = Some(other.at);
        blame.advice = format!(
            "{} ({}) keeps {} busy: limit it (io.max, IOWeight=, ionice), move it or its files to another device",
            other.comm, other.tgid, device.name
        );
        blame.certainty = 0.9;
        return blame;
    }
    blame.culprit = Some(culprit("device", device.name.as_ref()));
    if busy >= MIN_SATURATED_BUSY {
        blame.advice = format!(
            "{} is saturated, mostly by {} itself: fewer or larger requests, a cache, or a faster device",
            device.name, unit.comm
        );
        blame.certainty = 0.9;
    } else {
        blame
            .alternatives
            .push(not("device saturation", format!("{} is only {:.0} % busy", device.name, busy * 100.0)));
        blame.advice = format!(
            "{} waits for one request after another while {} could serve more: keep several in flight \
             (read-ahead, threads, io_uring), or batch them",
            unit.comm, device.name
        );
        blame.certainty = 0.8;
    }
    blame
}

/// Threads of a unit that waited for storage.
fn waiting_threads(facts: &Facts, unit: &Unit) -> usize {
    let threads = facts.members(unit).flat_map(|process| process.threads.values());
    threads.filter(|(_, times)| times.sum(&STATES) > 0).count()
}

/// The device that the unit's own requests spend their time in; the busiest when it has none (the file system writes
/// for it).
fn device<'a>(facts: &'a Facts, unit: &Unit) -> Option<&'a Device> {
    let mine = |device: &Device| -> u64 {
        let own = device.users.iter().filter(|user| {
            facts.by_tgid.get(&user.tgid).is_some_and(|at| facts.processes[*at].unit == unit.at)
        });
        own.map(|user| user.queued + user.served).sum()
    };
    let own = facts.devices.iter().max_by_key(|device| mine(device)).filter(|device| mine(device) > 0);
    own.or_else(|| facts.devices.iter().find(|device| device.count > 0 || device.busy.unwrap_or(0.0) > 0.01))
}

/// Another unit with most of the device's service time, and its share. Write-back by kernel threads is charged to the units by
/// what they wrote.
fn hog<'a>(facts: &'a Facts, unit: &Unit, device: &Device) -> Option<(&'a Unit, f64)> {
    let mut shares: Vec<(usize, u64)> = Vec::new();
    let mut kernel = 0;
    for user in &device.users {
        match facts.by_tgid.get(&user.tgid).map(|at| &facts.units[facts.processes[*at].unit]) {
            Some(of) if !of.kernel => match shares.iter_mut().find(|(at, _)| *at == of.at) {
                Some((_, served)) => *served += user.served,
                None => shares.push((of.at, user.served)),
            },
            _ => kernel += user.served,
        }
    }
    if kernel > 0 {
        let written = |of: &Unit| -> u64 {
            let rows = facts.members(of).filter_map(|process| process.usage);
            rows.map(|at| facts.usage[at].write_bytes.unwrap_or(0)).sum()
        };
        let all: u64 = facts.units.iter().map(written).sum();
        for of in facts.units.iter().filter(|of| !of.kernel) {
            let part = (kernel as f64 * written(of) as f64 / all.max(1) as f64) as u64;
            match shares.iter_mut().find(|(at, _)| *at == of.at) {
                Some((_, served)) => *served += part,
                None if part > 0 => shares.push((of.at, part)),
                None => {}
            }
        }
    }
    let all: u64 = shares.iter().map(|(_, served)| served).sum();
    let (at, served) = shares.into_iter().max_by_key(|(at, served)| (*served, std::cmp::Reverse(*at)))?;
    let share = served as f64 / all.max(1) as f64;
    (at != unit.at && share >= MIN_HOG_SHARE).then(|| (&facts.units[at], share))
}
