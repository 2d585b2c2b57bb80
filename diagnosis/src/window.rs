//! A window: everything that was observed in one closed span of time (a second). Pure data.

use std::sync::Arc;

use agent_common::units::{BootNs, DurNs, MonoNs, Tgid, Tid, UnixNs};
use agent_common::wire::report::{Coverage, SelfCost};
use serde::{Deserialize, Serialize};

pub mod host;
pub mod resources;
pub mod sched;
pub mod task;
mod unwound;
mod word;

pub use host::{
    CpuId, CpuTimes, Disk, Filesystem, HostSample, Interface, Memory, NetStats, Pressure, PressureKind,
    Pressures, Tables,
};
pub use resources::{BlockIoRow, BlockOp, IrqRow, LockRow, MemoryRow, NetRow, OomKill, SignalRow};
pub use sched::{
    FileLockRow, FrozenRow, OpenWait, ProcessTimes, RunqBlame, Standstill, ThreadPriority, ThreadTimes, Wait,
    WaitTarget, Waker,
};
pub use task::{ContainerLabels, TaskIo, TaskSample, TaskState, TaskTotals};
pub use unwound::{PythonVerdicts, Pythons, Unwound, Verdicts};

/// The name of a process from a time on: it executed another program, or was first seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessName {
    /// The process.
    pub tgid: Tgid,
    /// Since when; 0: since before the observation.
    pub since: MonoNs,
    /// Its main thread's name then.
    pub comm: Arc<str>,
}

/// One closed span of time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Window {
    /// Start, `CLOCK_MONOTONIC`.
    pub start: MonoNs,
    /// End, `CLOCK_MONOTONIC`.
    pub end: MonoNs,
    /// End, wall clock.
    pub end_unix: UnixNs,
    /// The host in this window.
    pub host: HostSample,
    /// Processes alive at its end, and what each used in it. One that did nothing shares its sample with the windows
    /// before.
    pub tasks: Vec<Arc<TaskSample>>,
    /// Processes that ended in it.
    pub exits: Vec<ProcessExit>,
    /// Processes that began in it (thread groups).
    pub forks: u64,
    /// Syscalls that returned in it: differences, one row a (process, call).
    pub syscalls: Vec<SyscallRow>,
    /// Syscalls open at its end.
    pub in_flight: Vec<InFlight>,
    /// On-CPU samples taken in it.
    pub samples: Vec<profile::Sample>,
    /// Names of the processes that samples and waits are of.
    pub names: Vec<ProcessName>,
    /// Processes that mapped more files in it: an address may belong to another function than before.
    pub remapped: Vec<Tgid>,
    /// How the walks up their user stacks ended, by process.
    pub unwound: Unwound,
    /// How the walks up their Python frames ended, by process.
    #[serde(default)]
    pub pythons: Pythons,
    /// Thread time by state, by process.
    pub times: Vec<ProcessTimes>,
    /// Recorded waits.
    pub waits: Vec<Wait>,
    /// Run-queue waits by the process that ran.
    pub blame: Vec<RunqBlame>,
    /// Waits for file locks at its end, with the holders.
    pub file_locks: Vec<FileLockRow>,
    /// Processes in which each thread waits for another one, at its end.
    pub standstills: Vec<Standstill>,
    /// Processes that a cgroup keeps frozen, at its end.
    pub frozen: Vec<FrozenRow>,
    /// Priorities of threads that compete for a CPU in processes where others wait for a lock.
    pub priorities: Vec<ThreadPriority>,
    /// Block requests completed in it.
    pub blockio: Vec<BlockIoRow>,
    /// Reclaim, compaction, write-back throttling.
    pub memory: Vec<MemoryRow>,
    /// Processes killed for memory.
    pub oom_kills: Vec<OomKill>,
    /// Retransmits, resets, overflows and drops of sockets.
    pub net: Vec<NetRow>,
    /// Interrupt time by CPU.
    pub irqs: Vec<IrqRow>,
    /// Signals that end, dump or stop.
    pub signals: Vec<SignalRow>,
    /// Kernel locks waited for.
    pub locks: Vec<LockRow>,
    /// What it covers.
    pub coverage: Coverage,
    /// What the collector cost in it.
    pub self_cost: SelfCost,
    /// The collector's own process; 0 in old recordings.
    pub own: Tgid,
}

/// Table a syscall number belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SyscallAbi {
    /// The native 64-bit table.
    Native,
    /// The 32-bit (i386) table.
    Compat,
}

/// One process' use of one syscall in a window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyscallRow {
    /// Process.
    pub tgid: Tgid,
    /// Tells apart processes that had this tgid in turn ([`agent_common::abi::process::generation`]).
    #[serde(default)]
    pub generation: u16,
    /// Its name when last seen.
    pub comm: Arc<str>,
    /// Table.
    pub abi: SyscallAbi,
    /// Number in the table.
    pub nr: u16,
    /// Calls that returned.
    pub count: u64,
    /// Of these, with an errno.
    pub errors: u64,
    /// Of `errors`: (errno, calls), ascending; empty in older recordings.
    #[serde(default)]
    pub errnos: Vec<(u16, u64)>,
    /// Of `count`, with a time.
    pub timed: u64,
    /// Time in the timed ones.
    pub total: DurNs,
    /// Longest of the timed ones.
    pub max: DurNs,
    /// Latencies: (bucket, calls), ascending ([`agent_common::abi::syscalls::bucket_of`]).
    pub histogram: Vec<(u8, u64)>,
}

/// A syscall that has not returned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlight {
    /// Process.
    pub tgid: Tgid,
    /// Thread.
    pub tid: Tid,
    /// Process name.
    pub comm: Arc<str>,
    /// Table.
    pub abi: SyscallAbi,
    /// Number in the table.
    pub nr: u16,
    /// How long it has been open.
    pub age: DurNs,
    /// Its entry was not seen: it is at least that old.
    #[serde(default)]
    pub at_least: bool,
}

/// A process that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessExit {
    /// Process.
    pub tgid: Tgid,
    /// Its parent when it ended.
    pub parent: Tgid,
    /// Its name.
    pub comm: Arc<str>,
    /// When it began.
    pub start_boot_ns: BootNs,
    /// When.
    pub at: MonoNs,
    /// Exit code, where it called exit.
    pub code: u8,
    /// Signal that killed it, 0 if none.
    pub signal: u8,
    /// CPU time over its life.
    pub cpu: DurNs,
    /// User share of it.
    pub utime: DurNs,
    /// System share of it.
    pub stime: DurNs,
    /// Minor faults over its life.
    pub min_flt: u64,
    /// Major faults over its life.
    pub maj_flt: u64,
    /// The part of its use that samples in `tasks` already have.
    pub before: TaskTotals,
}

impl Window {
    /// Length of the window.
    #[must_use]
    pub const fn span(&self) -> DurNs {
        self.end.since(self.start)
    }

    /// Its start in boot time, the clock of processes' start times; `None` where the host was not read. ([`Self::start`] is
    /// `CLOCK_MONOTONIC`, which stands still while the host is suspended.)
    #[must_use]
    pub fn start_boot(&self) -> Option<BootNs> {
        let end = self.host.uptime.0;
        (end > 0).then(|| BootNs(end.saturating_sub(self.span().0)))
    }
}
