//! # `ipc_peer`: waiting for another process of this host
//!
//! **Class** `ipc-peer`; the culprit is the process at the other end, known because it ended the waits.
//!
//! **What.** Processes of one name and parent lose at least 20 % of their non-idle thread time, and 0.1 s a second (to
//! stay: 12 %, 0.06 s/s), to a pipe, local socket, message queue or semaphore.
//!
//! - Sending always counts: there is data, and the other end does not read it.
//! - Receiving counts when the other process works, or is held up, for half of that time, and one of two is true. Either the
//!   process has sent it a request (they wake each other, and this one waits longer). Or it works on a stream that the other
//!   cannot fill fast enough. All other receiving is waiting for work.
//! - If half of that time is in waits below 1 ms, the finding is in reports only: the other process is not slow, it gets many
//!   requests.
//! - An open wait counts when the other end has not read what was sent, when the other end is a child that stands still, or when
//!   the process has data to send.
//! - On a local socket, the end that accepted waits for work. The end that connected and blocks until there is an answer does not.
//! - A process that reads or writes a file system of another process (FUSE) waits for that process.
//!
//! A process that another one stops and resumes again and again waits for that one: a tracer (`strace`, a debugger), or
//! signals (`cpulimit`). That needs [`MIN_STOPS_PER_S`] stops a second of at most [`MAX_STOP_NS`] ns, and the lost time above, in
//! four of five windows. A longer stop is on purpose. A process that its tracer started is in reports only.
//!
//! **Whose fault.** The other end. A finding about what holds that process up is the root, and this hangs below.
//!
//! **Cure.** Look at the culprit: `agent report --pid …`; a larger buffer helps bursts only. `kill -CONT` resumes a stopped process.

use agent_common::abi::sched::State;

use super::lost::{
    LOST_LEAVE, doubt, doubt_if_awaited, doubt_if_prompt, loss, measure, not, oldest, process_culprit,
    suspect,
};
use super::{Class, Need, Rule, Suspicion, Trend, Verdict, chain, evidence, verdict};
use crate::facts::{Facts, Unit, lasts};
use crate::window::{Wait, WaitTarget};

pub(super) const RULE: Rule =
    Rule { name: "ipc_peer", classes: &[Class::IpcPeer], needs: Need::Waits, judge };

const STATES: &[State] = &[State::Ipc];
const STOPPED_STATES: &[State] = &[State::Stopped];

/// Least stops a second of a process that is stopped again and again.
const MIN_STOPS_PER_S: f64 = 3.0;
/// Longest such stop, ns.
const MAX_STOP_NS: u64 = 200_000_000;
/// Least share of its stops that one process ends.
const MIN_ENDED_SHARE: f64 = 0.5;

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut suspicions = Vec::new();
    for unit in &facts.units {
        let Some(lost) = loss(facts, unit, STATES) else { continue };
        let followed = chain::follow(facts, unit, &Class::IpcPeer, STATES);
        let mut suspicion = suspect(RULE.name, Class::IpcPeer, unit, lost);
        let finding = &mut suspicion.finding;
        let files = of_files(facts, unit);
        if files >= MIN_FILE_SERVER_SHARE {
            let what = "share of its waiting for a file system that another process serves (FUSE)";
            finding.evidence.push(evidence(what, files * 100.0, "%", None));
            finding.alternatives.push(not(&Class::DiskRead, "it waits for a process, not for a disk"));
        } else {
            let what = "share of its waiting in sending (the other end does not read)";
            finding.evidence.push(evidence(what, sending(facts, unit) * 100.0, "%", None));
        }
        if let Some(blocker) = &followed.blocker {
            let peer = &facts.units[facts.processes[blocker.process].unit];
            finding.culprit = Some(process_culprit(peer));
            suspicion.culprit_unit = Some(peer.at);
            if files >= MIN_FILE_SERVER_SHARE {
                finding.headline =
                    Some(format!("it waits for the file system that {} ({}) serves", peer.comm, peer.tgid));
            }
            let idle = 1.0 - peer.times.non_idle() as f64 / peer.times.all().max(1) as f64;
            let what = format!("{} waits for work or a timer, share of its time", peer.comm);
            finding.evidence.push(evidence(what, idle * 100.0, "%", None));
            finding.advice = followed.advice(facts, unit).unwrap_or_else(|| {
                format!(
                    "{} waits for {} ({}): `agent report --pid {}` shows what that process does",
                    unit.comm, peer.comm, peer.tgid, peer.tgid
                )
            });
            // A FUSE server waits for its next request in the read of a device, as a program waits at a terminal.
            if files < MIN_FILE_SERVER_SHARE && waits_for_terminal(facts, blocker.process) {
                doubt(finding);
                finding
                    .alternatives
                    .push(not("healthy", "not ruled out: the other end waits for input at a terminal"));
            }
        } else if opening(facts, unit) {
            finding.confidence = 0.8;
            finding.advice =
                format!("{} opens a FIFO for writing that no process reads: start its reader", unit.comm);
        } else {
            finding.confidence *= 0.6;
            finding.advice = format!("{} waits for another process; which one is not known", unit.comm);
        }
        if let Some(open) = oldest(facts, unit, STATES) {
            finding.evidence.push(open);
        }
        doubt_if_prompt(facts, unit, STATES, finding);
        let other = suspicion.culprit_unit.map(|at| &facts.units[at]);
        doubt_if_awaited(facts, unit, STATES, other, finding);
        finding.alternatives.push(not("idle", "it has data to send, or has sent a request"));
        finding.evidence.extend(followed.evidence);
        suspicion.chain = followed.links;
        suspicions.push(suspicion);
    }
    suspicions.extend(facts.units.iter().filter_map(|unit| stopped(facts, unit)));
    verdict(suspicions)
}

/// The suspicion that another process stops and resumes this unit again and again.
fn stopped(facts: &Facts, unit: &Unit) -> Option<Suspicion> {
    let short = |wait: &&Wait| !wait.open && wait.waited.0 <= MAX_STOP_NS;
    let (mut ns, mut stops) = (0, 0.0);
    let mut series = vec![0.0; facts.windows.len()];
    for wait in facts.waits(unit, STOPPED_STATES).filter(short) {
        ns += wait.weight.0;
        stops += wait.weight.0 as f64 / wait.waited.0.max(1) as f64;
        if let Some(at) = facts.windows.iter().position(|window| wait.at <= window.end) {
            series[at] += wait.weight.0 as f64 / facts.windows[at].span().0.max(1) as f64;
        }
    }
    let lost = measure(facts, unit, ns)?;
    let rate = stops / facts.span.as_secs_f64().max(1e-9);
    if !lasts(&series, LOST_LEAVE) || rate < MIN_STOPS_PER_S {
        return None;
    }
    let blockers = facts.blockers(unit, STOPPED_STATES);
    let by = blockers.first().filter(|by| by.share >= MIN_ENDED_SHARE)?;
    let by = &facts.units[facts.processes[by.process].unit];
    if by.at == unit.at {
        return None;
    }
    let mut suspicion = suspect(RULE.name, Class::IpcPeer, unit, lost);
    suspicion.key = format!("ipc-peer/{}/stopped", unit.key());
    suspicion.culprit_unit = Some(by.at);
    let finding = &mut suspicion.finding;
    finding.culprit = Some(process_culprit(by));
    finding.evidence.push(evidence("stops by a signal or tracer", rate, "1/s", Some(MIN_STOPS_PER_S)));
    finding.alternatives.push(not(&Class::Hang, "it goes on after each stop"));
    if facts.members(unit).any(|process| facts.members(by).any(|parent| parent.tgid == process.parent)) {
        doubt(finding);
        finding.alternatives.push(not("healthy", "not ruled out: its tracer started it"));
    }
    finding.advice = format!(
        "{} ({}) stops and resumes {} again and again (a tracer, a debugger, a CPU limiter): end it, or trace \
         less",
        by.comm, by.tgid, unit.comm
    );
    Some(suspicion)
}

/// Share of the waiting for a file system's server, from which the unit waits for that server.
const MIN_FILE_SERVER_SHARE: f64 = 0.5;

/// Share of a unit's waiting that is for a file system's server.
fn of_files(facts: &Facts, unit: &Unit) -> f64 {
    let (mut files, mut all) = (0, 0);
    for wait in facts.waits(unit, STATES) {
        all += wait.weight.0;
        files += if matches!(wait.target, WaitTarget::FileServer { .. }) { wait.weight.0 } else { 0 };
    }
    files as f64 / f64::max(all as f64, 1.0)
}

/// Least share of its open waits in a terminal or device, from which a process waits for a person.
const MIN_TERMINAL_SHARE: f64 = 0.5;

/// True if a process waits for input at a terminal: a pager, say.
fn waits_for_terminal(facts: &Facts, process: usize) -> bool {
    let threads = &facts.processes[process];
    let open = threads.open.iter().chain(&threads.oldest);
    let waits = open.clone().filter(|open| open.state == State::Device).count();
    waits > 0 && waits as f64 >= MIN_TERMINAL_SHARE * open.count() as f64
}

/// True if the unit waits for the other end of a FIFO to be opened.
fn opening(facts: &Facts, unit: &Unit) -> bool {
    let mut calls = facts.waits(unit, STATES).filter_map(|wait| wait.syscall);
    calls.any(|(abi, nr)| matches!(crate::syscall_names::name(abi, nr), Some("open" | "openat")))
}

/// Share of a unit's waiting in calls that send.
fn sending(facts: &Facts, unit: &Unit) -> f64 {
    let (mut sends, mut all) = (0, 0);
    for wait in facts.waits(unit, STATES) {
        all += wait.weight.0;
        let call = wait.syscall.and_then(|(abi, nr)| crate::syscall_names::name(abi, nr));
        if call.is_some_and(crate::syscall_names::sends) {
            sends += wait.weight.0;
        }
    }
    sends as f64 / f64::max(all as f64, 1.0)
}
