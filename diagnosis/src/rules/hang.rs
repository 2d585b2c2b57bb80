//! # `hang`: stuck in the kernel
//!
//! **Class** `hang`; the culprit, where it is known, is the child (`vfork`), the server of the file system, or the holder of the
//! lock.
//!
//! **What.** A thread has been in one uninterruptible wait for at least [`AGE_ENTER_S`] s (to stay: [`AGE_LEAVE_S`] s): for a lock
//! of the kernel, or for none of the known reasons. For a disk only while no disk is busy. In `vfork` or `clone` until the child
//! calls `exec` or ends. No kill reaches it, and no counter moves. Or it has waited as long for the process that serves a file
//! system (FUSE), which is then the culprit.
//!
//! **Why.** A frozen file system, a dead network file system or FUSE server, a driver that lost a request: to every counter of
//! work done, the waiting thread looks idle.
//!
//! **Cure.** The stack shows the place (`/proc/PID/stack`): thaw it (`fsfreeze -u`), bring the server back, `umount -f`; with
//! `vfork` the child must go on.

use agent_common::abi::sched::State;
use agent_common::units::{Tgid, Tid};
use agent_common::wire::finding::{Culprit, Finding};

use super::lost::{Loss, not, process_culprit, suspect};
use super::{Class, Need, Rule, Trend, Verdict, evidence, level, verdict};
use crate::facts::{Facts, Process, Unit};
use crate::syscall_names;
use crate::window::{OpenWait, Wait, WaitTarget};

/// Age of the wait, s, to enter.
const AT_FDCWD: i32 = -100;
const AGE_ENTER_S: f64 = 4.0;
/// The same, to stay.
const AGE_LEAVE_S: f64 = 3.0;
/// Least share of its time that a file-system server is stopped, to be the reason why it does not answer.
const MIN_STOPPED_SHARE: f64 = 0.5;
/// Utilization below which a disk is idle.
const MAX_IDLE_DISK_BUSY: f64 = 0.05;

pub(super) const RULE: Rule = Rule { name: "hang", classes: &[Class::Hang], needs: Need::States, judge };

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let disks_idle = facts.devices.iter().all(|device| device.busy.unwrap_or(0.0) < MAX_IDLE_DISK_BUSY);
    let mut suspicions = Vec::new();
    for unit in facts.units.iter().filter(|unit| !unit.kernel) {
        for process in facts.members(unit) {
            // `frozen` judges frozen processes.
            if facts.frozen.contains_key(&process.tgid) {
                continue;
            }
            let served = served(facts, process.tgid);
            let is_served = |open: &OpenWait| served.is_some_and(|wait| wait.tid == open.tid);
            let open = process.open.iter().chain(&process.oldest);
            let stuck = open.filter(|open| is_stuck(open, disks_idle) || is_served(open));
            let Some(stuck) = stuck.max_by_key(|open| open.age) else { continue };
            let served = served.filter(|wait| wait.tid == stuck.tid);
            let Some(level) = level(stuck.age.as_secs_f64(), AGE_ENTER_S, AGE_LEAVE_S) else {
                continue;
            };
            let loss = Loss { ns: facts.span.0, rate: 1.0, share: 1.0, level };
            let mut suspicion = suspect(RULE.name, Class::Hang, unit, loss);
            let finding = &mut suspicion.finding;
            finding.subject.pid = Some(process.tgid.0);
            finding.confidence = 0.9;
            finding.evidence = vec![evidence(
                format!("time that thread {} has been in {}", stuck.tid, stuck.state.name()),
                stuck.age.as_secs_f64(),
                "s",
                Some(AGE_ENTER_S),
            )];
            // The working directory, where a directory is asked for, is no number.
            if let Some((abi, nr)) = stuck.syscall
                && stuck.arg as u32 as i32 != AT_FDCWD
            {
                let what = format!("first argument of its system call {}", syscall_names::display(abi, nr));
                finding.evidence.push(evidence(what, stuck.arg as f64, "", None));
            }
            let forks = is_vfork(stuck);
            let child = facts
                .processes
                .iter()
                .filter(|other| other.parent == process.tgid)
                .max_by_key(|other| other.tgid);
            let holder = holder(facts, process.tgid);
            let server = served.and_then(|wait| wait.peer).and_then(|tgid| facts.by_tgid.get(&tgid));
            if let Some(server) = server.map(|at| &facts.processes[*at]) {
                suspicion.culprit_unit = Some(server.unit);
                blame_server(finding, unit, stuck.tid, server);
            } else if let Some(child) = child.filter(|_| forks) {
                finding.culprit = Some(Culprit {
                    kind: "process".into(),
                    pid: Some(child.tgid.0),
                    comm: Some(child.comm.as_ref().into()),
                });
                suspicion.culprit_unit = Some(child.unit);
                finding.evidence.push(evidence(
                    format!("children that have not called exec ({} ({}))", child.comm, child.tgid),
                    1.0,
                    "count",
                    None,
                ));
                finding.advice = format!(
                    "{} cannot go on before its child {} ({}) calls exec or ends: find out what the child does",
                    unit.comm, child.comm, child.tgid
                );
            } else {
                finding.culprit = holder.map(process_culprit);
                suspicion.culprit_unit = holder.map(|holder| holder.at);
                finding.advice = format!(
                    "thread {} of {} is stuck in the kernel: /proc/{}/task/{}/stack shows where; look for a frozen file system, \
                     a dead file server, a driver error (dmesg)",
                    stuck.tid, unit.comm, process.tgid, stuck.tid
                );
            }
            finding.alternatives.push(not(
                &Class::DiskRead,
                if disks_idle { "no disk is busy" } else { "it does not wait for a disk" },
            ));
            suspicions.push(suspicion);
        }
    }
    verdict(suspicions)
}

/// Writes the server of the file system as the culprit into the finding, and what it does in place of answering.
fn blame_server(finding: &mut Finding, unit: &Unit, waits: Tid, server: &Process) {
    let name = format!("{} ({})", server.comm, server.tgid);
    finding.culprit = Some(Culprit {
        kind: "process".into(),
        pid: Some(server.tgid.0),
        comm: Some(server.comm.as_ref().into()),
    });
    finding.headline = Some(format!("it waits for the file system that {name} serves"));
    let all = server.times.all().max(1) as f64;
    for (what, states) in [
        ("is stopped by a signal", &[State::Stopped][..]),
        ("sleeps on a timer", &[State::Sleep][..]),
        ("is runnable", &[State::Oncpu, State::RunqWoken, State::RunqPreempted][..]),
    ] {
        let share = server.times.sum(states) as f64 / all;
        let what = format!("{name}, which serves that file system, {what}, share of its time");
        finding.evidence.push(evidence(what, share * 100.0, "%", None));
    }
    let stopped = server.times.of(State::Stopped) as f64 >= MIN_STOPPED_SHARE * all;
    let cure = if stopped {
        format!("is stopped by a signal: `kill -CONT {}` resumes it", server.tgid)
    } else {
        format!("does not answer: `agent report --pid {}` shows what it does", server.tgid)
    };
    finding.advice = format!(
        "thread {waits} of {} waits for a file system whose server, {name}, {cure}; `umount -f` ends the waits with an error",
        unit.comm
    );
}

/// The oldest open wait of a process for the server of a file system.
fn served<'a>(facts: &Facts<'a>, tgid: Tgid) -> Option<&'a Wait> {
    let open = facts.windows.last()?.waits.iter().filter(|wait| wait.tgid == tgid && wait.open);
    let served = open.filter(|wait| matches!(wait.target, WaitTarget::FileServer { .. }));
    served.max_by_key(|wait| (wait.waited, wait.tid))
}

fn is_stuck(open: &OpenWait, disks_idle: bool) -> bool {
    match open.state {
        State::Uninterruptible | State::KernelLock => true,
        State::DiskRead | State::DiskWrite | State::Fsync | State::FaultFile | State::Swap => disks_idle,
        State::Child => is_vfork(open),
        _ => false,
    }
}

/// In `vfork`, or a `clone` that waits like it.
fn is_vfork(open: &OpenWait) -> bool {
    let name = open.syscall.and_then(|(abi, nr)| syscall_names::name(abi, nr));
    name.is_some_and(|name| matches!(name, "vfork" | "clone" | "clone3"))
}

/// The holder of the kernel lock that a process waits for.
fn holder<'a>(facts: &'a Facts, tgid: Tgid) -> Option<&'a Unit> {
    let rows = facts.windows.iter().flat_map(|window| &window.locks);
    let thread = rows.filter(|row| row.tgid == tgid).max_by_key(|row| row.waited)?.holder?;
    facts.by_tid.get(&thread).map(|at| &facts.units[facts.processes[*at].unit])
}
