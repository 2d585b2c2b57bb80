//! Windows built by hand, for tests (feature `testing`).

use std::sync::Arc;

use agent_common::abi::sched::State;
use agent_common::abi::syscalls::bucket_of;
use agent_common::units::{BootNs, DurNs, MonoNs, Tgid, Tid, UnixNs};
use agent_common::wire::report::{Coverage, SelfCost};
use profile::Sample;

use crate::window::{
    BlockIoRow, BlockOp, CpuId, CpuTimes, Disk, HostSample, InFlight, IrqRow, LockRow, MemoryRow, NetRow,
    OomKill, OpenWait, Pressure, ProcessExit, ProcessTimes, RunqBlame, SignalRow, SyscallAbi, SyscallRow,
    TaskIo, TaskSample, TaskTotals, ThreadTimes, Wait, WaitTarget, Waker, Window,
};

/// A second, ns.
pub const SECOND: u64 = 1_000_000_000;
/// A millisecond, ns.
pub const MS: u64 = 1_000_000;

/// An empty window of one second, the `index`-th.
#[must_use]
pub fn window(index: u64) -> Window {
    Window {
        start: MonoNs(index * SECOND),
        end: MonoNs((index + 1) * SECOND),
        end_unix: UnixNs((1_700_000_000 + index) * SECOND),
        // The host was never suspended: both clocks show the same.
        host: HostSample { uptime: DurNs((index + 1) * SECOND), ..HostSample::default() },
        tasks: Vec::new(),
        exits: Vec::new(),
        forks: 0,
        syscalls: Vec::new(),
        in_flight: Vec::new(),
        samples: Vec::new(),
        names: Vec::new(),
        remapped: Vec::new(),
        times: Vec::new(),
        waits: Vec::new(),
        blame: Vec::new(),
        file_locks: Vec::new(),
        standstills: Vec::new(),
        frozen: Vec::new(),
        priorities: Vec::new(),
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
#[must_use]
pub fn task(tgid: u32, comm: &str, user_ms: u64, system_ms: u64) -> TaskSample {
    TaskSample {
        tgid: Tgid(tgid),
        start_boot_ns: BootNs(u64::from(tgid) * 10 * MS),
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
#[must_use]
pub fn calls(tgid: u32, comm: &str, nr: u16, count: u64, errors: u64, ns: u64) -> SyscallRow {
    SyscallRow {
        tgid: Tgid(tgid),
        generation: 0,
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
#[must_use]
pub fn exit(tgid: u32, parent: u32, comm: &str, cpu_ms: u64) -> ProcessExit {
    ProcessExit {
        tgid: Tgid(tgid),
        parent: Tgid(parent),
        comm: comm.into(),
        start_boot_ns: BootNs(u64::from(tgid) * 10 * MS),
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
#[must_use]
pub fn wait(tgid: u32, nr: u16, ms: u64) -> Wait {
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

/// Windows as the rules take them.
#[must_use]
pub fn shared(windows: Vec<Window>) -> Vec<Arc<Window>> {
    windows.into_iter().map(Arc::new).collect()
}

/// A window in which every field holds something.
#[must_use]
pub fn full(n: u64) -> Window {
    let mut window = window(n);
    window.host.cpus = vec![(CpuId(3), CpuTimes { user: DurNs(5), ..CpuTimes::default() })];
    window.host.disks = vec![Disk { name: "vda".into(), flushes: Some(1), ..Disk::default() }];
    window.host.pressure.io = Some(Pressure { some: DurNs(1), full: None });
    for tgid in 1..=20 {
        window.tasks.push(task(tgid, &format!("idle{tgid}"), 0, 0).into());
    }
    window.tasks.push(task(42, "work;er <b>", 900 + n, 20).into());
    window.exits = vec![exit(100 + n as u32, 42, "short", 5)];
    window.syscalls = vec![calls(42, "work;er <b>", 1, 100_000, 7, 900)];
    window.in_flight = vec![InFlight {
        tgid: Tgid(42),
        tid: Tid(43),
        comm: "work;er <b>".into(),
        abi: SyscallAbi::Compat,
        nr: 7,
        age: DurNs(9 * SECOND),
        at_least: true,
    }];
    window.samples = vec![Sample {
        at: MonoNs(n * SECOND + 1),
        tgid: 42,
        tid: 42,
        comm: "work;er <b>".into(),
        kernel: vec![0xffff_ffff_8100_0010].into(),
        user: vec![0x1000, 0x2001].into(),
        weight: 3,
    }];
    window.coverage.lost = [("sample_ring_full".to_owned(), 3)].into();
    window.coverage.symbolized_pct = Some(99.5);
    waiting(&mut window, n);
    resources(&mut window);
    window
}

/// Fills thread states and waits.
fn waiting(window: &mut Window, n: u64) {
    let open = OpenWait {
        tid: Tid(43),
        state: State::Fsync,
        age: DurNs(7),
        syscall: Some((SyscallAbi::Native, 74)),
        arg: 3,
    };
    window.times = vec![ProcessTimes {
        tgid: Tgid(42),
        comm: "work;er <b>".into(),
        states: vec![
            (State::Oncpu, DurNs(920 * MS)),
            (State::Fsync, DurNs(SECOND)),
            (State::Poll, DurNs(80 * MS)),
        ],
        threads: vec![ThreadTimes {
            tid: Tid(43),
            comm: "io".into(),
            states: vec![(State::Fsync, DurNs(SECOND))],
            voluntary: 3,
            preempted: 1,
            now: Some(open),
        }],
        resting: vec![(State::Poll, 1)],
        oldest: Some(open),
    }];
    window.waits = [
        WaitTarget::None,
        WaitTarget::Futex { addr: 0xdead_beef, owner: Some(Tid(42)) },
        WaitTarget::File { dev: 0x80_0001, inode: 77 },
        WaitTarget::Socket { protocol: 6, local_port: 80, peer: Some(("::1".parse().unwrap(), 443)) },
    ]
    .into_iter()
    .map(|target| Wait {
        at: MonoNs(n * SECOND + 5),
        open: false,
        peer: None,
        tgid: Tgid(42),
        tid: Tid(43),
        comm: "io".into(),
        accounted: State::Uninterruptible,
        state: State::Fsync,
        syscall: Some((SyscallAbi::Native, 74)),
        waited: DurNs(3 * MS),
        weight: DurNs(250 * MS),
        target,
        waker: (target == WaitTarget::None).then(|| Waker {
            tgid: Tgid(7),
            tid: Tid(7),
            comm: "jbd2".into(),
            takes_turns: false,
            closes: false,
            kernel: vec![0xffff_ffff_8100_0020].into(),
            user: Box::default(),
        }),
        kernel: vec![0xffff_ffff_8100_0030].into(),
        user: vec![0x3000].into(),
    })
    .collect();
    window.blame = vec![RunqBlame { victim: Tgid(42), culprit: Tgid(7), waited: DurNs(9) }];
}

/// Fills the rows of the kernel's subsystems.
fn resources(window: &mut Window) {
    window.blockio = vec![BlockIoRow {
        tgid: Tgid(42),
        comm: "work;er <b>".into(),
        device: "vda".into(),
        op: BlockOp::Flush,
        count: 1,
        sequential: 0,
        bytes: 0,
        queued: DurNs(1),
        served: DurNs(2),
        max: DurNs(3),
        errors: 0,
    }];
    window.memory = vec![MemoryRow { tgid: Tgid(42), reclaims: 2, ..MemoryRow::default() }];
    window.oom_kills =
        vec![OomKill { tgid: Tgid(9), comm: "fat".into(), cgroup: "/x".into(), rss_bytes: 1 << 30 }];
    window.net = vec![NetRow {
        tgid: Tgid(0),
        comm: "".into(),
        local_port: 22,
        peer: Some(("10.0.0.1".parse().unwrap(), 9)),
        retransmits: 3,
        resets: 0,
        accept_overflows: 0,
        accept_queue: Some((1, 128)),
        receive_drops: 0,
    }];
    window.irqs = vec![IrqRow { cpu: 1, softirq: vec![("net_rx", 3, DurNs(4))], hardirq: DurNs(5) }];
    window.signals =
        vec![SignalRow { tgid: Tgid(9), comm: "fat".into(), signal: 9, sender: Tgid(0), count: 1 }];
    window.locks = vec![LockRow {
        tgid: Tgid(42),
        comm: "work;er <b>".into(),
        lock: 0xffff_8880_0000_0000,
        kind: "mutex",
        count: 5,
        waited: DurNs(6),
        holder: Some(Tid(7)),
    }];
}
