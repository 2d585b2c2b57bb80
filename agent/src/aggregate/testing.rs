//! Windows built by hand.

use std::sync::Arc;

use agent_common::abi::sched::State;
use agent_common::abi::syscalls::bucket_of;
use agent_common::units::{DurNs, MonoNs, Tgid, Tid, UnixNs};
use agent_common::wire::report::{Coverage, SelfCost};

use crate::source::host::HostSample;
use crate::source::task::{TaskIo, TaskSample, TaskTotals};
use crate::window::{ProcessExit, SyscallAbi, SyscallRow, Wait, WaitTarget, Window};

pub(crate) const SECOND: u64 = 1_000_000_000;
pub(crate) const MS: u64 = 1_000_000;

/// An empty window of one second, the `index`-th.
pub(crate) fn window(index: u64) -> Window {
    Window {
        start: MonoNs(index * SECOND),
        end: MonoNs((index + 1) * SECOND),
        end_unix: UnixNs((1_700_000_000 + index) * SECOND),
        host: HostSample::default(),
        tasks: Vec::new(),
        exits: Vec::new(),
        forks: 0,
        syscalls: Vec::new(),
        in_flight: Vec::new(),
        samples: Vec::new(),
        times: Vec::new(),
        waits: Vec::new(),
        blame: Vec::new(),
        file_locks: Vec::new(),
        standstills: Vec::new(),
        unwound: std::collections::BTreeMap::default(),
        pythons: std::collections::BTreeMap::default(),
        blockio: Vec::new(),
        memory: Vec::new(),
        oom_kills: Vec::new(),
        net: Vec::new(),
        irqs: Vec::new(),
        signals: Vec::new(),
        locks: Vec::new(),
        coverage: Coverage { syscall_tier: "times".into(), ..Coverage::default() },
        self_cost: SelfCost::default(),
        own: Tgid(0),
    }
}

/// A process with one thread and its CPU time in ms.
pub(crate) fn task(tgid: u32, comm: &str, user_ms: u64, system_ms: u64) -> TaskSample {
    TaskSample {
        tgid: Tgid(tgid),
        start_boot_ns: u64::from(tgid) * 10 * MS,
        parent: Tgid(1),
        comm: comm.into(),
        user: DurNs(user_ms * MS),
        system: DurNs(system_ms * MS),
        runq: Some(DurNs(0)),
        context_switches: Some(0),
        io: Some(TaskIo::default()),
        cgroup: "/".into(),
        cpu_cgroup: None,
        ..TaskSample::default()
    }
}

/// `count` calls of `ns` each.
pub(crate) fn calls(tgid: u32, comm: &str, nr: u16, count: u64, errors: u64, ns: u64) -> SyscallRow {
    SyscallRow {
        tgid: Tgid(tgid),
        comm: comm.into(),
        abi: SyscallAbi::Native,
        nr,
        count,
        errors,
        errnos: Vec::new(),
        timed: count,
        total: DurNs(count * ns),
        max: DurNs(ns),
        histogram: vec![(bucket_of(ns), count)],
    }
}

/// A process that ended with code 0, after `cpu_ms` of which a quarter in the kernel.
pub(crate) fn exit(tgid: u32, parent: u32, comm: &str, cpu_ms: u64) -> ProcessExit {
    ProcessExit {
        tgid: Tgid(tgid),
        parent: Tgid(parent),
        comm: comm.into(),
        start_boot_ns: u64::from(tgid) * 10 * MS,
        at: MonoNs(0),
        code: 0,
        signal: 0,
        cpu: DurNs(cpu_ms * MS),
        utime: DurNs(cpu_ms * MS / 4 * 3),
        stime: DurNs(cpu_ms * MS / 4),
        min_flt: 10,
        maj_flt: 1,
        before: TaskTotals::default(),
    }
}

/// A wait in a call that stands for `ms`.
pub(crate) fn wait(tgid: u32, nr: u16, ms: u64) -> Wait {
    Wait {
        at: MonoNs(0),
        open: false,
        peer: None,
        tgid: Tgid(tgid),
        tid: Tid(tgid),
        comm: "waiter".into(),
        accounted: State::Ipc,
        state: State::Ipc,
        syscall: Some((SyscallAbi::Native, nr)),
        waited: DurNs(ms * MS),
        weight: DurNs(ms * MS),
        target: WaitTarget::None,
        waker: None,
        kernel: Box::default(),
        user: Box::default(),
    }
}

pub(crate) fn shared(windows: Vec<Window>) -> Vec<Arc<Window>> {
    windows.into_iter().map(Arc::new).collect()
}
