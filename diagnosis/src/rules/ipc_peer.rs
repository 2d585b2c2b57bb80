//! # `ipc_peer`: waiting for another process of this host
//!
//! **Class** `ipc-peer`; the culprit is the process at the other end, known by who ended the waits.
//!
//! **What.** Processes of one name and parent lose at least 20 % of their non-idle thread time, and 0.1 s a second (to
//! stay: 12 %, 0.06 s/s), to a pipe, local socket, message queue or semaphore. Sending counts always: there is something to
//! deliver, and the other end does not take it. Receiving counts when the other is at work meanwhile, or held up in it, for
//! half of the time, and the process has asked it for something (they wake each other, and it waits longer than the other)
//! or works on a stream that the other cannot fill fast enough; else it waits for work. It is in reports only when half of that
//! time is in waits below 1 ms: the other is not slow then, it is asked often. A wait that has not ended counts when
//! something was sent that the other end has not read, when it is a child that stands still, or when who waits has something to
//! deliver. Who was connected to (local sockets) waits for work; who connected and blocks until there is an answer does not.
//! Who reads or writes a file system that a process serves (FUSE) waits for that process: it is the one that ends the waits.
//!
//! A process that another one stops and lets go on, again and again, waits for that one: a tracer (`strace`, a debugger), or
//! signals (`cpulimit`). At least [`STOPS_A_SECOND`] stops a second of at most [`STOP_NS`] ns cost it as much as above, and last;
//! what was stopped for longer was put aside. One that was started by its tracer is in reports only.
//!
//! **Whose fault.** The other end. What holds that one up itself (a finding of its own) is the root, and this hangs below.
//!
//! **Cure.** Look at the culprit: `agent report --pid …`; a larger buffer helps bursts only. One that a signal stopped goes
//! on by `kill -CONT`.

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
const STOPS: &[State] = &[State::Stopped];

/// Stops a second from which a process is stopped again and again.
const STOPS_A_SECOND: f64 = 3.0;
/// Longest of them, ns.
const STOP_NS: u64 = 200_000_000;
/// Share of its stops that the same process ends.
const ENDS: f64 = 0.5;

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut suspicions = Vec::new();
    for unit in &facts.units {
        let Some(lost) = loss(facts, unit, STATES) else { continue };
        let followed = chain::follow(facts, unit, &Class::IpcPeer, STATES);
        let mut suspicion = suspect(RULE.name, Class::IpcPeer, unit, lost);
        let finding = &mut suspicion.finding;
        let files = of_files(facts, unit);
        if files >= FILES {
            let what = "of it for a file system that another process serves (FUSE)";
            finding.evidence.push(evidence(what, files * 100.0, "%", None));
            finding.alternatives.push(not(&Class::DiskRead, "no disk is waited for: a process answers"));
        } else {
            let what = "of it while sending (the other end does not take it)";
            finding.evidence.push(evidence(what, sending(facts, unit) * 100.0, "%", None));
        }
        if let Some(blocker) = &followed.blocker {
            let peer = &facts.units[facts.processes[blocker.process].unit];
            finding.culprit = Some(process_culprit(peer));
            suspicion.culprit_unit = Some(peer.at);
            if files >= FILES {
                finding.headline =
                    Some(format!("it waits for the file system that {} ({}) serves", peer.comm, peer.tgid));
            }
            let idle = 1.0 - peer.times.non_idle() as f64 / peer.times.all().max(1) as f64;
            let what = format!("{} waits for work or a timer itself, of its time", peer.comm);
            finding.evidence.push(evidence(what, idle * 100.0, "%", None));
            finding.advice = followed.advice(facts, unit).unwrap_or_else(|| {
                format!(
                    "{} waits for {} ({}): `agent report --pid {}` shows what that one does",
                    unit.comm, peer.comm, peer.tgid, peer.tgid
                )
            });
            // A server of files waits for its next request in a read of a device as well.
            if files < FILES && waits_for_a_person(facts, blocker.process) {
                doubt(finding);
                finding.alternatives.push(not("healthy", "not ruled out: the other end waits for a person"));
            }
        } else if opening(facts, unit) {
            finding.confidence = 0.8;
            finding.advice =
                format!("{} opens a FIFO to write into it that nobody reads: start its reader", unit.comm);
        } else {
            finding.confidence *= 0.6;
            finding.advice = format!("{} waits for another process; who it is could not be seen", unit.comm);
        }
        if let Some(open) = oldest(facts, unit, STATES) {
            finding.evidence.push(open);
        }
        doubt_if_prompt(facts, unit, STATES, finding);
        let other = suspicion.culprit_unit.map(|at| &facts.units[at]);
        doubt_if_awaited(facts, unit, STATES, other, finding);
        finding.alternatives.push(not("idle", "it has something to deliver, or has asked for an answer"));
        finding.evidence.extend(followed.evidence);
        suspicion.chain = followed.links;
        suspicions.push(suspicion);
    }
    suspicions.extend(facts.units.iter().filter_map(|unit| stopped(facts, unit)));
    verdict(suspicions)
}

/// Who is stopped again and again by one that lets it go on.
fn stopped(facts: &Facts, unit: &Unit) -> Option<Suspicion> {
    let short = |wait: &&Wait| !wait.open && wait.waited.0 <= STOP_NS;
    let (mut ns, mut stops) = (0, 0.0);
    let mut series = vec![0.0; facts.windows.len()];
    for wait in facts.waits(unit, STOPS).filter(short) {
        ns += wait.weight.0;
        stops += wait.weight.0 as f64 / wait.waited.0.max(1) as f64;
        if let Some(at) = facts.windows.iter().position(|window| wait.at <= window.end) {
            series[at] += wait.weight.0 as f64 / facts.windows[at].span().0.max(1) as f64;
        }
    }
    let lost = measure(facts, unit, ns)?;
    let rate = stops / facts.span.as_secs_f64().max(1e-9);
    if !lasts(&series, LOST_LEAVE) || rate < STOPS_A_SECOND {
        return None;
    }
    let blockers = facts.blockers(unit, STOPS);
    let by = blockers.first().filter(|by| by.share >= ENDS)?;
    let by = &facts.units[facts.processes[by.process].unit];
    if by.at == unit.at {
        return None;
    }
    let mut suspicion = suspect(RULE.name, Class::IpcPeer, unit, lost);
    suspicion.key = format!("ipc-peer/{}/stopped", unit.key());
    suspicion.culprit_unit = Some(by.at);
    let finding = &mut suspicion.finding;
    finding.culprit = Some(process_culprit(by));
    finding.evidence.push(evidence("stops", rate, "1/s", Some(STOPS_A_SECOND)));
    finding.alternatives.push(not(&Class::Hang, "it goes on after each stop"));
    if facts.members(unit).any(|process| facts.members(by).any(|parent| parent.tgid == process.parent)) {
        doubt(finding);
        finding.alternatives.push(not("healthy", "not ruled out: it was started to be traced"));
    }
    finding.advice = format!(
        "{} ({}) stops {} and lets it go on, again and again: a tracer, a debugger or a limit by signals; end it, or trace \
         less",
        by.comm, by.tgid, unit.comm
    );
    Some(suspicion)
}

/// Share of the waits for a file system's server, from which that is what is waited for.
const FILES: f64 = 0.5;

/// Share of the waits that are for a file system's server.
fn of_files(facts: &Facts, unit: &Unit) -> f64 {
    let (mut files, mut all) = (0, 0);
    for wait in facts.waits(unit, STATES) {
        all += wait.weight.0;
        files += if matches!(wait.target, WaitTarget::FileServer { .. }) { wait.weight.0 } else { 0 };
    }
    files as f64 / f64::max(all as f64, 1.0)
}

/// Share of its time in which a process waits for a terminal, from which it waits for a person.
const PERSON: f64 = 0.5;

/// A pager, say: what it is given waits until somebody has read on.
fn waits_for_a_person(facts: &Facts, process: usize) -> bool {
    let threads = &facts.processes[process];
    let open = threads.open.iter().chain(&threads.oldest);
    let waits = open.clone().filter(|open| open.state == State::Device).count();
    waits > 0 && waits as f64 >= PERSON * open.count() as f64
}

/// It waits for the other end of a FIFO to be opened.
fn opening(facts: &Facts, unit: &Unit) -> bool {
    let mut calls = facts.waits(unit, STATES).filter_map(|wait| wait.syscall);
    calls.any(|(abi, nr)| matches!(crate::syscall_names::name(abi, nr), Some("open" | "openat")))
}

/// Share of the waits that were made by sending.
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
