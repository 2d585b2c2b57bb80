//! The host in a window: CPU time, memory, disks, interfaces, pressure, tables.

use std::sync::Arc;

use agent_common::units::DurNs;
use serde::{Deserialize, Serialize};

/// What the host did in a window.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostSample {
    /// Time between the two readings that the differences belong to; zero in the first sample.
    pub span: DurNs,
    /// Time of all CPUs together.
    pub cpu: CpuTimes,
    /// Time per CPU that is online, with its number.
    pub cpus: Vec<(CpuId, CpuTimes)>,
    /// Load averages over 1, 5 and 15 minutes.
    pub load: [f64; 3],
    /// Threads on a run queue or running (incl. the reader).
    pub runnable: u32,
    /// Threads blocked on disk.
    pub blocked: u32,
    /// Threads on the host.
    pub threads: u32,
    /// Context switches in the window.
    pub context_switches: u64,
    /// Processes and threads made in the window.
    pub forks: u64,
    /// Interrupts served in the window.
    pub interrupts: u64,
    /// Time since boot, time asleep included: the end of the window as [`agent_common::units::BootNs`].
    pub uptime: DurNs,
    /// Memory and swap.
    pub memory: Memory,
    /// Whole disks, by name.
    pub disks: Vec<Disk>,
    /// Network interfaces of the agent's network namespace, by name.
    pub interfaces: Vec<Interface>,
    /// Protocols and sockets of the agent's network namespace; `None` in older recordings.
    pub network: Option<NetStats>,
    /// Mounted file systems, as they were asked last.
    pub filesystems: Arc<Vec<Filesystem>>,
    /// Pressure stall information.
    pub pressure: Pressures,
    /// Tables that can be full.
    pub tables: Tables,
    /// First and last ephemeral port (`net.ipv4.ip_local_port_range`, in the agent's network namespace).
    pub local_ports: Option<(u16, u16)>,
}

/// Number of a CPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CpuId(pub u32);

/// Time by mode. Guest time is inside `user` (and `guest_nice` inside `nice`), as the kernel counts it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuTimes {
    /// User mode.
    pub user: DurNs,
    /// User mode of niced processes.
    pub nice: DurNs,
    /// Kernel mode.
    pub system: DurNs,
    /// Idle.
    pub idle: DurNs,
    /// Idle while a thread of this CPU waits for a disk.
    pub iowait: DurNs,
    /// Hard interrupts.
    pub irq: DurNs,
    /// Soft interrupts.
    pub softirq: DurNs,
    /// The hypervisor ran another guest.
    pub steal: DurNs,
    /// Running a guest (part of `user`).
    pub guest: DurNs,
    /// Running a niced guest (part of `nice`).
    pub guest_nice: DurNs,
}

impl CpuTimes {
    /// All modes: the wall time of the CPU.
    #[must_use]
    pub const fn total(&self) -> DurNs {
        DurNs(self.busy().0 + self.idle.0 + self.iowait.0 + self.steal.0)
    }

    /// Time in which this host's code ran.
    #[must_use]
    pub const fn busy(&self) -> DurNs {
        DurNs(self.user.0 + self.nice.0 + self.system.0 + self.irq.0 + self.softirq.0)
    }
}

/// One whole disk in a window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Disk {
    /// Device name, e.g. `vda`.
    pub name: String,
    /// Reads completed.
    pub reads: u64,
    /// Reads joined with one that waited.
    pub reads_merged: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Time of all reads added up, from queueing to completion.
    pub read_time: DurNs,
    /// Writes completed.
    pub writes: u64,
    /// Writes joined with one that waited.
    pub writes_merged: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Time of all writes added up.
    pub write_time: DurNs,
    /// Flushes completed; `None` before Linux 5.5.
    pub flushes: Option<u64>,
    /// Time of all flushes added up.
    pub flush_time: Option<DurNs>,
    /// Time in which at least one request was open.
    pub busy: DurNs,
    /// Open requests × time: divided by the span it is the mean queue length.
    pub queue_time: DurNs,
    /// Requests open at the end of the window.
    pub in_flight: u64,
}

/// One network interface in a window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Receive errors.
    pub rx_errors: u64,
    /// Packets dropped on receipt (incl. FIFO overruns).
    pub rx_dropped: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Send errors.
    pub tx_errors: u64,
    /// Packets dropped on sending (incl. FIFO overruns).
    pub tx_dropped: u64,
    /// Collisions.
    pub collisions: u64,
    /// Bytes a second that the link carries at most; `None`: its driver does not say.
    pub speed_bytes: Option<u64>,
}

/// Protocols and sockets: amounts of the window, then levels at its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetStats {
    /// Connections opened.
    pub tcp_active_opens: u64,
    /// Connections accepted.
    pub tcp_passive_opens: u64,
    /// Connections that failed to open.
    pub tcp_attempt_fails: u64,
    /// Segments received.
    pub tcp_in_segments: u64,
    /// Segments sent.
    pub tcp_out_segments: u64,
    /// Segments sent again.
    pub tcp_retransmits: u64,
    /// Segments received in error.
    pub tcp_in_errors: u64,
    /// Resets sent.
    pub tcp_out_resets: u64,
    /// Connections refused since an accept queue was full.
    pub tcp_listen_overflows: u64,
    /// Connections dropped by listening sockets for any reason.
    pub tcp_listen_drops: u64,
    /// Retransmission timers that ran out.
    pub tcp_timeouts: u64,
    /// UDP datagrams received.
    pub udp_in_datagrams: u64,
    /// UDP datagrams sent.
    pub udp_out_datagrams: u64,
    /// UDP datagrams that could not be delivered.
    pub udp_in_errors: u64,
    /// UDP datagrams to ports without a socket.
    pub udp_no_ports: u64,
    /// UDP datagrams dropped since the receive buffer was full.
    pub udp_receive_buffer_errors: u64,
    /// UDP datagrams dropped since the send buffer was full.
    pub udp_send_buffer_errors: u64,
    /// Bytes of IPv4 packets received.
    pub ip_in_bytes: u64,
    /// Bytes of IPv4 packets sent.
    pub ip_out_bytes: u64,
    /// Connections that are established or about to close.
    pub tcp_established: u64,
    /// Sockets of all kinds.
    pub sockets: u64,
    /// TCP sockets in use.
    pub tcp_in_use: u64,
    /// TCP sockets without a process.
    pub tcp_orphans: u64,
    /// TCP sockets in `TIME_WAIT`.
    pub tcp_time_wait: u64,
    /// TCP sockets allocated.
    pub tcp_allocated: u64,
    /// Memory of TCP buffers.
    pub tcp_memory_bytes: u64,
    /// UDP sockets in use.
    pub udp_in_use: u64,
    /// Memory of UDP buffers.
    pub udp_memory_bytes: u64,
}

/// A mounted file system. Space is `None` where it did not answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filesystem {
    /// What is mounted: `/dev/vda1`, `server:/path`.
    pub device: String,
    /// Its kind.
    pub fstype: String,
    /// Where.
    pub mountpoint: String,
    /// It cannot be written to.
    pub readonly: bool,
    /// It did not answer, or refused.
    pub error: bool,
    /// Its size.
    pub size_bytes: Option<u64>,
    /// Space that is free.
    pub free_bytes: Option<u64>,
    /// Space that is free for users other than root.
    pub available_bytes: Option<u64>,
    /// Files (inodes) that it has room for; 0 where it has no such limit.
    pub files: Option<u64>,
    /// Of these, free.
    pub files_free: Option<u64>,
}

/// Memory and swap: levels at the end of the window, paging inside it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// All memory the kernel manages.
    pub total_bytes: u64,
    /// Not used for anything.
    pub free_bytes: u64,
    /// What a new program could get without swapping (kernel's estimate; free + cached before 3.14).
    pub available_bytes: u64,
    /// Block device buffers.
    pub buffers_bytes: u64,
    /// Page cache, without buffers and swap cache.
    pub cached_bytes: u64,
    /// Anonymous pages.
    pub anon_bytes: u64,
    /// Shared memory and tmpfs.
    pub shmem_bytes: u64,
    /// Kernel slabs.
    pub slab_bytes: u64,
    /// Slabs that can be reclaimed.
    pub slab_reclaimable_bytes: u64,
    /// Waiting to be written back.
    pub dirty_bytes: u64,
    /// Being written back.
    pub writeback_bytes: u64,
    /// Promised to processes.
    pub committed_bytes: u64,
    /// Limit on that, where `vm.overcommit_memory` is 2.
    pub commit_limit_bytes: u64,
    /// Used lately.
    pub active_bytes: u64,
    /// Not used lately: the first to go.
    pub inactive_bytes: u64,
    /// Mapped by processes.
    pub mapped_bytes: u64,
    /// Page tables.
    pub page_tables_bytes: u64,
    /// Kernel stacks.
    pub kernel_stack_bytes: u64,
    /// Slabs that cannot be reclaimed.
    pub slab_unreclaimable_bytes: u64,
    /// In swap and in memory, too.
    pub swap_cached_bytes: u64,
    /// Read from storage in the window, swap and files.
    pub paged_in_bytes: u64,
    /// Written to storage in the window.
    pub paged_out_bytes: u64,
    /// Swap space.
    pub swap_total_bytes: u64,
    /// Swap space that is free.
    pub swap_free_bytes: u64,
    /// Read in from swap in the window.
    pub swap_in_bytes: u64,
    /// Written out to swap in the window.
    pub swap_out_bytes: u64,
    /// Page faults in the window.
    pub faults: u64,
    /// Page faults that had to read from storage in the window.
    pub major_faults: u64,
    /// Processes killed for lack of memory in the window; `None` before Linux 4.13.
    pub oom_kills: Option<u64>,
}

/// A resource that can run short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PressureKind {
    /// CPU time.
    Cpu,
    /// Memory.
    Memory,
    /// Storage.
    Io,
}

impl PressureKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Memory, Self::Io];

    /// Its file name below `/proc/pressure`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Io => "io",
        }
    }
}

/// Time lost to one resource in a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pressure {
    /// At least one task was stalled.
    pub some: DurNs,
    /// All non-idle tasks were stalled at once. `None` for the CPU before Linux 5.13.
    pub full: Option<DurNs>,
}

/// The three resources. `None`: this kernel has no PSI (before 4.20, or not built in, or `psi=0`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pressures {
    /// CPU.
    pub cpu: Option<Pressure>,
    /// Memory.
    pub memory: Option<Pressure>,
    /// Storage.
    pub io: Option<Pressure>,
}

impl Pressures {
    /// One of them.
    #[must_use]
    pub const fn of(&self, kind: PressureKind) -> Option<Pressure> {
        match kind {
            PressureKind::Cpu => self.cpu,
            PressureKind::Memory => self.memory,
            PressureKind::Io => self.io,
        }
    }
}

/// Entries in use, and the limit; `None` where the kernel does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tables {
    /// Threads, and `kernel.threads-max`.
    pub threads: Option<(u64, u64)>,
    /// Threads, and `kernel.pid_max`: each has a number.
    pub pids: Option<(u64, u64)>,
    /// Open files, and `fs.file-max`.
    pub files: Option<(u64, u64)>,
    /// Connections that netfilter tracks, and its limit; `None` without conntrack.
    pub conntrack: Option<(u64, u64)>,
}
