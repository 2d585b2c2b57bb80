//! The resource probes: block devices, memory, sockets, interrupts, signals, kernel locks.

use std::io;

use agent_common::abi::blockio::{BlockKey, BlockOpen, BlockValue};
use agent_common::abi::irq::IrqCpu;
use agent_common::abi::locks::{LockKey, LockValue};
use agent_common::abi::memory::{MemoryValue, OomValue};
use agent_common::abi::net::{NetKey, NetValue};
use agent_common::abi::resources::{OpenKey, OpenValue};
use agent_common::abi::signals::SignalKey;
use aya::maps::{Map, MapData, PerCpuArray};
use aya::programs::raw_trace_point::RawTracePointLinkId;
use aya::programs::{ProgramError, RawTracePoint};

use super::{Maps, Plain, Probes, map_fd, raw};
use crate::bpf::StartError;
use crate::bpf::btf::Btf;
use crate::bpf::sys::{self, Batch};

/// Maps that shrink to one entry where the resource probes are not used.
pub(in crate::bpf) const RESOURCE_MAPS: [&str; 9] =
    ["BLOCKIO", "BLOCK_OPEN", "MEMORY", "OOM_KILLS", "NET", "SOCK_OWNER", "SIGNALS", "LOCKS", "THREAD_OPEN"];

/// Tracepoints in the order of attaching: ends before begins, so that what is begun is also ended.
const PROGRAMS: [(&str, &str); 19] = [
    ("block_complete", "block_rq_complete"),
    ("block_issue", "block_rq_issue"),
    ("reclaim_end", "mm_vmscan_direct_reclaim_end"),
    ("reclaim_begin", "mm_vmscan_direct_reclaim_begin"),
    ("cg_reclaim_end", "mm_vmscan_memcg_reclaim_end"),
    ("cg_reclaim_begin", "mm_vmscan_memcg_reclaim_begin"),
    ("compact_end", "mm_compaction_end"),
    ("compact_begin", "mm_compaction_begin"),
    ("dirty_throttle", "balance_dirty_pages"),
    ("oom_victim", "mark_victim"),
    ("hardirq_exit", "irq_handler_exit"),
    ("hardirq_entry", "irq_handler_entry"),
    ("signal_sent", "signal_generate"),
    ("sock_state", "inet_sock_set_state"),
    ("tcp_retransmit", "tcp_retransmit_skb"),
    ("tcp_reset_sent", "tcp_send_reset"),
    ("tcp_reset_recv", "tcp_receive_reset"),
    ("udp_queue_fail", "udp_fail_queue_rcv_skb"),
    ("sock_queue_full", "sock_rcvqueue_full"),
];

/// A hash map of the kernel, read whole.
#[derive(Debug)]
pub struct Counters<K, V> {
    map: Map,
    batch: Batch<K, V>,
}

impl<K: Copy + Default, V: Copy + Default> Counters<K, V> {
    pub(super) fn new(maps: &mut Maps<'_>, name: &str) -> Result<Self, StartError> {
        Ok(Self { map: maps.take_any(name)?, batch: Batch::new(256) })
    }

    /// Calls `each` for every entry: cumulative values, each key once.
    pub fn read(&mut self, each: impl FnMut(&K, &V)) -> io::Result<()> {
        let fd = map_fd(&self.map).map_err(io::Error::other)?;
        self.batch.read(fd, each).map(|_| ())
    }

    /// Deletes keys.
    pub fn delete(&self, keys: &[K]) -> io::Result<u64> {
        sys::delete(map_fd(&self.map).map_err(io::Error::other)?, keys)
    }

    /// One value as it is now.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<V> {
        sys::lookup(map_fd(&self.map).ok()?, key)
    }
}

/// Maps of the resource probes.
#[expect(missing_debug_implementations, reason = "one of the maps has none")]
pub struct Resources {
    /// Requests completed, by process, disk and direction.
    pub blockio: Counters<BlockKey, BlockValue>,
    /// Requests on their way, by address.
    pub block_open: Counters<u64, BlockOpen>,
    /// Memory management by process.
    pub memory: Counters<u32, MemoryValue>,
    /// Kills for memory since they were last deleted, by process.
    pub oom_kills: Counters<u32, OomValue>,
    /// Trouble of sockets.
    pub net: Counters<NetKey, NetValue>,
    /// Signals, by receiver, sender and number.
    pub signals: Counters<SignalKey, u64>,
    /// Waits for kernel locks.
    pub locks: Counters<LockKey, LockValue>,
    /// Reclaims, compactions and lock waits that have not ended.
    pub open: Counters<OpenKey, OpenValue>,
    irqs: PerCpuArray<MapData, Plain<IrqCpu>>,
    softirqs: Option<[RawTracePointLinkId; 2]>,
}

impl Resources {
    pub(super) fn new(maps: &mut Maps<'_>) -> Result<Self, StartError> {
        Ok(Self {
            blockio: Counters::new(maps, "BLOCKIO")?,
            block_open: Counters::new(maps, "BLOCK_OPEN")?,
            memory: Counters::new(maps, "MEMORY")?,
            oom_kills: Counters::new(maps, "OOM_KILLS")?,
            net: Counters::new(maps, "NET")?,
            signals: Counters::new(maps, "SIGNALS")?,
            locks: Counters::new(maps, "LOCKS")?,
            open: Counters::new(maps, "THREAD_OPEN")?,
            irqs: maps.take("IRQS")?,
            softirqs: None,
        })
    }

    /// Interrupt time since load, by possible CPU.
    #[must_use]
    pub fn irqs(&self) -> Vec<IrqCpu> {
        self.irqs.get(&0, 0).map_or_else(|_| Vec::new(), |cpus| cpus.iter().map(|Plain(cpu)| *cpu).collect())
    }
}

impl Probes {
    /// Attaches the resource probes that this kernel has tracepoints for.
    pub fn attach_resources(&mut self) {
        for (program, tracepoint) in PROGRAMS {
            self.attach_raw(program, tracepoint);
        }
        self.load_softirqs();
        let kernel = Btf::of_kernel().ok();
        let has = |tracepoint| kernel.as_ref().is_some_and(|btf| btf.tracepoint(tracepoint).is_some());
        let merges = has("block_rq_merge");
        let starts = has("block_io_start");
        drop(kernel);
        if merges {
            self.attach_raw("block_merge", "block_rq_merge");
        }
        if starts {
            self.attach_raw("block_start", "block_io_start");
        } else {
            self.attach_raw("block_insert", "block_rq_insert");
        }
        // Both or none: an end alone pays a look-up for nothing.
        if self.attach_raw("lock_end", "contention_end") {
            self.attach_raw("lock_begin", "contention_begin");
        }
    }

    /// Loads the softirq pair, and attaches it.
    fn load_softirqs(&mut self) {
        for program in ["softirq_entry", "softirq_exit"] {
            let loaded = raw(&mut self.ebpf, program).and_then(RawTracePoint::load);
            if !self.record(program, &loaded) {
                return;
            }
        }
        self.set_softirqs(true);
    }

    /// Switches the accounting of softirqs while the programs run.
    pub fn set_softirqs(&mut self, on: bool) {
        let changed = if let Some([entry, exit]) = self.resources.softirqs.take_if(|_| !on) {
            raw(&mut self.ebpf, "softirq_entry")
                .and_then(|p| p.detach(entry))
                .and_then(|()| raw(&mut self.ebpf, "softirq_exit")?.detach(exit))
        } else if on && self.resources.softirqs.is_none() {
            let attach = |probes: &mut Self| -> Result<[RawTracePointLinkId; 2], ProgramError> {
                let entry = raw(&mut probes.ebpf, "softirq_entry")?.attach("softirq_entry")?;
                Ok([entry, raw(&mut probes.ebpf, "softirq_exit")?.attach("softirq_exit")?])
            };
            attach(self).map(|links| self.resources.softirqs = Some(links))
        } else {
            Ok(())
        };
        if changed.is_err() {
            self.record("softirq_entry", &changed);
        }
    }

    /// Whether softirqs are accounted now.
    #[must_use]
    pub const fn softirqs(&self) -> bool {
        self.resources.softirqs.is_some()
    }

    /// Maps of the resource probes.
    pub const fn resources(&mut self) -> &mut Resources {
        &mut self.resources
    }
}
