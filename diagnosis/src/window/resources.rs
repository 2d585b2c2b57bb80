//! Work of the kernel's subsystems by process in a window: block devices, memory, network, interrupts, signals.

use std::net::IpAddr;
use std::sync::Arc;

use agent_common::units::{DurNs, Tgid, Tid};
use serde::{Deserialize, Serialize};

use super::word::{self, Word};

/// Direction of a block request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum BlockOp {
    /// Read.
    Read,
    /// Write.
    Write,
    /// Cache flush.
    Flush,
    /// Discard, secure erase, write zeroes.
    Discard,
}

/// Requests of one process to one device that completed in a window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockIoRow {
    /// Process that issued them: 0 and kernel threads for write-back.
    pub tgid: Tgid,
    /// Its name.
    pub comm: Arc<str>,
    /// Device: `vda`, `nvme0n1`.
    pub device: Arc<str>,
    /// Direction.
    pub op: BlockOp,
    /// Requests completed.
    pub count: u64,
    /// Of these, begun where the request before on this device ended.
    pub sequential: u64,
    /// Bytes.
    pub bytes: u64,
    /// Time between making the request and giving it to the device.
    pub queued: DurNs,
    /// Time in the device.
    pub served: DurNs,
    /// Longest of queue and device together.
    pub max: DurNs,
    /// Requests that failed.
    pub errors: u64,
}

/// Memory management on behalf of one process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryRow {
    /// Process.
    pub tgid: Tgid,
    /// Its name.
    pub comm: Arc<str>,
    /// Times it had to free memory itself, for the host or its cgroup.
    pub reclaims: u64,
    /// Time in that.
    pub reclaim: DurNs,
    /// Pages freed that way.
    pub reclaimed_pages: u64,
    /// Times it had to compact memory.
    pub compactions: u64,
    /// Time in that.
    pub compaction: DurNs,
    /// Times that the kernel throttled it because of dirty pages.
    pub throttles: u64,
    /// Length of these pauses.
    pub throttled: DurNs,
}

/// A process killed for memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OomKill {
    /// The killed process.
    pub tgid: Tgid,
    /// Its name.
    pub comm: Arc<str>,
    /// Its cgroup.
    pub cgroup: Arc<str>,
    /// Resident memory then, bytes.
    pub rss_bytes: u64,
}

/// Retransmits, resets, overflows and drops of TCP and UDP sockets, by local port and peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetRow {
    /// Process that owns the socket; 0 when not known.
    pub tgid: Tgid,
    /// Its name.
    pub comm: Arc<str>,
    /// Port at this end; 0 for an ephemeral port.
    pub local_port: u16,
    /// The other end; `None` for a listening or unconnected socket.
    pub peer: Option<(IpAddr, u16)>,
    /// Segments sent again.
    pub retransmits: u64,
    /// Resets sent and received.
    pub resets: u64,
    /// Connections refused because the accept queue was full.
    pub accept_overflows: u64,
    /// Connections waiting to be accepted at the end, and the limit.
    pub accept_queue: Option<(u32, u32)>,
    /// Packets dropped because the receive buffer was full.
    pub receive_drops: u64,
}

/// Interrupt time of one CPU.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IrqRow {
    /// CPU.
    pub cpu: u32,
    /// Softirq: name (`net_rx`, `block`, …), times run, time.
    #[serde(deserialize_with = "word::softirqs")]
    pub softirq: Vec<(&'static str, u64, DurNs)>,
    /// Time in the handlers of devices' interrupts; the timer's and other CPUs' interrupts have none.
    pub hardirq: DurNs,
}

/// A signal that ends, dumps or stops a process, or an exception that raised one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalRow {
    /// The process that got it.
    pub tgid: Tgid,
    /// Its name.
    pub comm: Arc<str>,
    /// Signal number.
    pub signal: u8,
    /// The process that sent it; 0 for the kernel.
    pub sender: Tgid,
    /// Times.
    pub count: u64,
}

/// A kernel lock that threads of a process waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockRow {
    /// Process that waited.
    pub tgid: Tgid,
    /// Its name.
    pub comm: Arc<str>,
    /// Address of the lock; 0 in the row of locks without room in the map.
    pub lock: u64,
    /// `mutex`, `rwsem_read`, `rwsem_write`, `percpu_rwsem`, `rt_mutex`, `semaphore`.
    #[serde(deserialize_with = "word::word")]
    pub kind: Word,
    /// Waits.
    pub count: u64,
    /// Time in them.
    pub waited: DurNs,
    /// A thread that held it during a wait, where that is known.
    pub holder: Option<Tid>,
}
