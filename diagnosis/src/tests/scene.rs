//! Scenes: windows of processes with thread times, waits, blame and devices, a second each.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use agent_common::abi::sched::State;
use agent_common::units::{DurNs, MonoNs, Tgid, Tid};
use agent_common::wire::finding::Finding;

use crate::testing::{MS, SECOND, shared, task, window};
use crate::window::{
    BlockIoRow, BlockOp, OpenWait, ProcessTimes, RunqBlame, SyscallAbi, ThreadTimes, Wait, WaitTarget, Waker,
    Window,
};
use crate::window::{CpuId, CpuTimes, Disk};
use crate::{ALERT_CONFIDENCE, Trend, suspicions};

/// Native numbers of the calls that scenes use.
pub(super) const READ: u16 = 0;
pub(super) const WRITE: u16 = 1;
pub(super) const RECVFROM: u16 = 45;
pub(super) const FUTEX: u16 = 202;

/// An idle host of two CPUs.
pub(super) fn host(index: u64) -> Window {
    let mut window = window(index);
    let idle = CpuTimes { idle: DurNs(SECOND), ..CpuTimes::default() };
    window.host.cpus = vec![(CpuId(0), idle), (CpuId(1), idle)];
    window.host.cpu = CpuTimes { idle: DurNs(2 * SECOND), ..CpuTimes::default() };
    window.host.memory.total_bytes = 8 << 30;
    window.host.memory.available_bytes = 6 << 30;
    window
}

/// Five windows, each filled by `fill`.
pub(super) fn scene(fill: impl Fn(&mut Window)) -> Vec<Arc<Window>> {
    let make = |index| {
        let mut window = host(index);
        fill(&mut window);
        window
    };
    shared((0..5).map(make).collect())
}

/// A process with a thread for each list of states (ms); the thread ids count up from its number.
pub(super) fn process(window: &mut Window, tgid: u32, comm: &str, threads: &[&[(State, u64)]]) {
    let oncpu: u64 =
        threads.iter().flat_map(|of| of.iter()).filter(|of| of.0 == State::Oncpu).map(|of| of.1).sum();
    let mut sample = task(tgid, comm, oncpu, 0);
    sample.threads = threads.len() as u32;
    sample.parent = Tgid(1);
    window.tasks.push(sample.into());
    let mut times = ProcessTimes { tgid: Tgid(tgid), comm: comm.into(), ..ProcessTimes::default() };
    for (at, states) in threads.iter().enumerate() {
        let states: Vec<_> = states.iter().map(|(state, ms)| (*state, DurNs(ms * MS))).collect();
        for (state, ns) in &states {
            match times.states.iter_mut().find(|(known, _)| known == state) {
                Some((_, sum)) => sum.0 += ns.0,
                None => times.states.push((*state, *ns)),
            }
        }
        times.threads.push(ThreadTimes {
            tid: Tid(tgid + at as u32),
            comm: comm.into(),
            states,
            voluntary: 10,
            preempted: 10,
            now: None,
        });
    }
    window.times.push(times);
}

/// Puts a process into a cgroup.
pub(super) fn in_cgroup(window: &mut Window, tgid: u32, cgroup: &str) {
    for sample in window.tasks.iter_mut().filter(|sample| sample.tgid == Tgid(tgid)) {
        Arc::make_mut(sample).cgroup = cgroup.into();
    }
}

/// Changes the sample of a process.
pub(super) fn change(window: &mut Window, tgid: u32, of: impl Fn(&mut crate::window::TaskSample)) {
    window
        .tasks
        .iter_mut()
        .filter(|sample| sample.tgid == Tgid(tgid))
        .for_each(|sample| of(Arc::make_mut(sample)));
}

/// A wait of a thread that stands for `ms`, ended by a thread of a process.
pub(super) struct W {
    pub(super) tgid: u32,
    pub(super) tid: u32,
    pub(super) accounted: State,
    pub(super) state: State,
    pub(super) nr: u16,
    pub(super) ms: u64,
    pub(super) target: WaitTarget,
    pub(super) by: Option<(u32, u32)>,
}

pub(super) fn wait(window: &mut Window, wait: &W) {
    window.waits.push(Wait {
        at: MonoNs(1),
        open: false,
        peer: None,
        tgid: Tgid(wait.tgid),
        tid: Tid(wait.tid),
        comm: "t".into(),
        accounted: wait.accounted,
        state: wait.state,
        syscall: Some((SyscallAbi::Native, wait.nr)),
        waited: DurNs(wait.ms * MS),
        weight: DurNs(wait.ms * MS),
        target: wait.target,
        waker: wait.by.map(|(tgid, tid)| Waker {
            tgid: Tgid(tgid),
            tid: Tid(tid),
            comm: "w".into(),
            takes_turns: false,
            closes: false,
            kernel: Box::default(),
            user: Box::default(),
        }),
        kernel: Box::default(),
        user: Box::default(),
    });
}

/// A wait accounted as what it was.
pub(super) fn simple(tgid: u32, thread: u32, state: State, call: u16, ms: u64, by: Option<(u32, u32)>) -> W {
    W { tgid, tid: thread, accounted: state, state, nr: call, ms, target: WaitTarget::None, by }
}

/// Time that one waited while another ran.
pub(super) fn blame(window: &mut Window, victim: u32, culprit: u32, ms: u64) {
    window.blame.push(RunqBlame { victim: Tgid(victim), culprit: Tgid(culprit), waited: DurNs(ms * MS) });
}

/// All CPUs in use.
pub(super) fn busy(window: &mut Window) {
    let user = CpuTimes { user: DurNs(SECOND), ..CpuTimes::default() };
    window.host.cpus = vec![(CpuId(0), user), (CpuId(1), user)];
    window.host.cpu = CpuTimes { user: DurNs(2 * SECOND), ..CpuTimes::default() };
}

/// Requests of a process: count, and ms in queue and device.
pub(super) fn requests(window: &mut Window, tgid: u32, op: BlockOp, count: u64, queued: u64, served: u64) {
    window.blockio.push(BlockIoRow {
        tgid: Tgid(tgid),
        comm: "io".into(),
        device: "vda".into(),
        op,
        count,
        sequential: 0,
        bytes: count * 4096,
        queued: DurNs(queued * MS),
        served: DurNs(served * MS),
        max: DurNs(5 * MS),
        errors: 0,
    });
}

pub(super) fn disk(window: &mut Window, busy_ms: u64) {
    let disk = Disk { name: "vda".into(), busy: DurNs(busy_ms * MS), ..Disk::default() };
    window.host.disks = vec![disk];
}

pub(super) fn open(window: &mut Window, tgid: u32, state: State, age_s: u64, nr: u16) {
    let open = OpenWait {
        tid: Tid(tgid),
        state,
        age: DurNs(age_s * SECOND),
        syscall: Some((SyscallAbi::Native, nr)),
        arg: 0,
    };
    window
        .times
        .iter_mut()
        .filter(|times| times.tgid == Tgid(tgid))
        .for_each(|times| times.oldest = Some(open));
}

pub(super) fn peer(port: u16) -> (IpAddr, u16) {
    (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), port)
}

/// All findings.
pub(super) fn found(windows: &[Arc<Window>]) -> Vec<Finding> {
    crate::diagnose(windows, None).findings
}

/// Classes that would open an alert, most lost time first.
pub(super) fn alarms(windows: &[Arc<Window>]) -> Vec<String> {
    found(windows)
        .into_iter()
        .filter(|of| of.confidence >= ALERT_CONFIDENCE)
        .map(|of| of.class.to_string())
        .collect()
}

/// The one finding that would open an alert.
pub(super) fn alarm(windows: &[Arc<Window>]) -> Finding {
    let mut all: Vec<_> = found(windows).into_iter().filter(|of| of.confidence >= ALERT_CONFIDENCE).collect();
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

/// Classes and levels of all suspicions.
pub(super) fn levels(windows: &[Arc<Window>]) -> Vec<(String, crate::Level)> {
    let all = suspicions(windows, &Trend::of(windows));
    all.into_iter().map(|of| (of.finding.class.to_string(), of.level)).collect()
}

/// Who it is caused by: kind, number, name.
pub(super) fn culprit(finding: &Finding) -> (String, Option<u32>, String) {
    let culprit = finding.culprit.clone().unwrap_or_else(|| panic!("no culprit: {finding:#?}"));
    (culprit.kind, culprit.pid, culprit.comm.unwrap_or_default())
}
