//! # `hang`: stuck in the kernel
//!
//! **Class** `hang`; the culprit is the child (`vfork`) or the holder of the lock where that can be told.
//!
//! **What.** A thread has been in one uninterruptible wait for at least [`AGE_ENTER`] s (to stay: [`AGE_LEAVE`] s): for a lock of
//! the kernel or for none of the known reasons; for a disk only when no disk does anything; in `vfork` or `clone` until the
//! child calls `exec` or ends. It has not come back: no kill reaches it, and no counter moves.
//!
//! **Why.** A frozen file system, a dead network file system or FUSE server, a driver that lost a request: what waits looks
//! idle to everything that counts work done.
//!
//! **Cure.** The stack says where (`/proc/PID/stack`): thaw it (`fsfreeze -u`), bring the server back, `umount -f`; with
//! `vfork` the child must get on.

use agent_common::abi::sched::State;
use agent_common::wire::finding::Culprit;

use super::lost::{Loss, not, process_culprit, suspect};
use super::{Rule, Trend, Verdict, evidence, level, verdict};
use crate::facts::Facts;
use crate::syscall_names;
use crate::window::OpenWait;

/// Age of the wait, s.
const AGE_ENTER: f64 = 4.0;
/// The same, to stay.
const AGE_LEAVE: f64 = 3.0;
/// Share of the time in which a disk has requests open, below which none is worked on.
const DISK_IDLE: f64 = 0.05;

pub(super) const RULE: Rule = Rule { name: "hang", classes: &["hang"], judge };

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    if !facts.has_states {
        return Verdict::NotEnoughData { why: "thread states are not observed".to_owned() };
    }
    let disks_idle = facts.devices.iter().all(|device| device.busy.unwrap_or(0.0) < DISK_IDLE);
    let mut suspicions = Vec::new();
    for unit in facts.units.iter().filter(|unit| !unit.kernel) {
        for process in facts.members(unit) {
            let open = process.open.iter().chain(&process.oldest);
            let Some(stuck) = open.filter(|open| is_stuck(open, disks_idle)).max_by_key(|open| open.age)
            else {
                continue;
            };
            let Some(level) = level(stuck.age.as_secs_f64(), AGE_ENTER, AGE_LEAVE) else {
                continue;
            };
            let loss = Loss { ns: facts.span.0, rate: 1.0, share: 1.0, level };
            let mut suspicion = suspect(RULE.name, "hang", unit, loss);
            let finding = &mut suspicion.finding;
            finding.subject.pid = Some(process.tgid.0);
            finding.confidence = 0.9;
            finding.evidence = vec![evidence(
                format!("thread {} has been in {}", stuck.tid, stuck.state.name()),
                stuck.age.as_secs_f64(),
                "s",
                Some(AGE_ENTER),
            )];
            if let Some((abi, nr)) = stuck.syscall {
                let what = format!("in the call {}, first argument", syscall_names::display(abi, nr));
                finding.evidence.push(evidence(what, stuck.arg as f64, "", None));
            }
            let forks = is_vfork(stuck);
            let child = facts
                .processes
                .iter()
                .filter(|other| other.parent == process.tgid)
                .max_by_key(|other| other.tgid);
            let holder = holder(facts, process.tgid);
            if let Some(child) = child.filter(|_| forks) {
                finding.culprit = Some(Culprit {
                    kind: "process".into(),
                    pid: Some(child.tgid.0),
                    comm: Some(child.comm.as_ref().into()),
                });
                suspicion.culprit_unit = Some(child.unit);
                finding.evidence.push(evidence(
                    format!("its child {} ({}) has not called exec", child.comm, child.tgid),
                    1.0,
                    "count",
                    None,
                ));
                finding.advice = format!(
                    "{} cannot go on before its child {} ({}) calls exec or ends: see what that one does",
                    unit.comm, child.comm, child.tgid
                );
            } else {
                finding.culprit = holder.map(process_culprit);
                suspicion.culprit_unit = holder.map(|holder| holder.at);
                finding.advice = format!(
                    "thread {} of {} is stuck in the kernel: /proc/{}/task/{}/stack says where; a frozen file system, \
                     a server that is gone, a driver",
                    stuck.tid, unit.comm, process.tgid, stuck.tid
                );
            }
            finding.alternatives.push(not(
                "disk-read",
                if disks_idle { "no disk does anything" } else { "it does not wait for a disk" },
            ));
            suspicions.push(suspicion);
        }
    }
    verdict(suspicions)
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

/// Who holds the lock that a process waits for.
fn holder<'a>(facts: &'a Facts, tgid: agent_common::units::Tgid) -> Option<&'a crate::facts::Unit> {
    let rows = facts.windows.iter().flat_map(|window| &window.locks);
    let thread = rows.filter(|row| row.tgid == tgid).max_by_key(|row| row.waited)?.holder?;
    facts.by_tid.get(&thread).map(|at| &facts.units[facts.processes[*at].unit])
}
