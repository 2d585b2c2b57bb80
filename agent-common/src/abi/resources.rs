//! What the resource probes share: where kernel structures keep what they read, and work that is still open.

use super::settings::NO_OFFSET;
use crate::assert_abi;

/// Offsets of the structures that the resource probes read, and the shape of their tracepoints, from the running
/// kernel's BTF. A global of its own: the syscall path does not load it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Layout {
    /// `request.q`
    pub request_queue: u32,
    /// `request.cmd_flags`
    pub request_flags: u32,
    /// `request.__data_len`
    pub request_bytes: u32,
    /// `request.__sector`
    pub request_sector: u32,
    /// `request.rq_disk` (until 5.16)
    pub request_disk: u32,
    /// `request.start_time_ns`
    pub request_start: u32,
    /// `request_queue.disk` (since 5.15)
    pub queue_disk: u32,
    /// `gendisk.major`
    pub disk_major: u32,
    /// `gendisk.first_minor`
    pub disk_minor: u32,
    /// `sock.__sk_common.skc_family`
    pub sock_family: u32,
    /// `sock.__sk_common.skc_state`
    pub sock_state: u32,
    /// `sock.__sk_common.skc_num`: local port, host order
    pub sock_port: u32,
    /// `inet_sock.inet_sport`: local port, network order; stays when `skc_num` is given back at the close
    pub sock_own_port: u32,
    /// `sock.__sk_common.skc_dport`: peer's port, network order
    pub sock_peer_port: u32,
    /// `sock.__sk_common.skc_daddr`
    pub sock_peer: u32,
    /// `sock.__sk_common.skc_v6_daddr`
    pub sock_peer6: u32,
    /// `sock.sk_socket`
    pub sock_socket: u32,
    /// `socket_alloc.vfs_inode.i_ino`: counted from the `struct socket`, which comes first
    pub socket_inode: u32,
    /// `task_struct.sighand`
    pub task_sighand: u32,
    /// `sighand_struct.action`
    pub sighand_action: u32,
    /// `task_struct.mm`
    pub task_mm: u32,
    /// Counter of file pages in `mm_struct.rss_stat`
    pub mm_rss: u32,
    /// From one counter of `rss_stat` to the next: 8, or the size of a `percpu_counter` (since 6.2)
    pub mm_rss_step: u32,
    /// `mutex.owner`
    pub mutex_owner: u32,
    /// `rw_semaphore.owner`
    pub rwsem_owner: u32,
    /// `rt_mutex_base.owner`
    pub rt_mutex_owner: u32,
    /// Which argument of the `block_rq_*` tracepoints is the request: 0, until 5.10 the second: 1.
    pub block_request_arg: u32,
    /// 1: `block_io_start` exists (6.4), and tells every request at its birth.
    pub block_io_start: u32,
    /// Which argument of `balance_dirty_pages` is the pause: 10, since 6.15 6.
    pub writeback_pause_arg: u32,
    /// 1: `mark_victim` has the task, not its number (since 6.9).
    pub oom_victim_is_task: u32,
}
assert_abi!(Layout, size = 120, align = 4, fields = [[u32; 30]]);

impl Layout {
    /// What the object holds before the loader has looked.
    pub const UNKNOWN: Self = Self {
        request_queue: NO_OFFSET,
        request_flags: NO_OFFSET,
        request_bytes: NO_OFFSET,
        request_sector: NO_OFFSET,
        request_disk: NO_OFFSET,
        request_start: NO_OFFSET,
        queue_disk: NO_OFFSET,
        disk_major: NO_OFFSET,
        disk_minor: NO_OFFSET,
        sock_family: NO_OFFSET,
        sock_state: NO_OFFSET,
        sock_port: NO_OFFSET,
        sock_own_port: NO_OFFSET,
        sock_peer_port: NO_OFFSET,
        sock_peer: NO_OFFSET,
        sock_peer6: NO_OFFSET,
        sock_socket: NO_OFFSET,
        socket_inode: NO_OFFSET,
        task_sighand: NO_OFFSET,
        sighand_action: NO_OFFSET,
        task_mm: NO_OFFSET,
        mm_rss: NO_OFFSET,
        mm_rss_step: 8,
        mutex_owner: NO_OFFSET,
        rwsem_owner: NO_OFFSET,
        rt_mutex_owner: NO_OFFSET,
        block_request_arg: 0,
        block_io_start: 0,
        writeback_pause_arg: 10,
        oom_victim_is_task: 0,
    };
}

/// Entries of `THREAD_OPEN`: threads in reclaim, compaction or a wait for a kernel lock at one moment. 8192 × 96 B =
/// 768 KiB.
pub const THREAD_OPEN_MAX: u32 = 8192;

/// `what` of an [`OpenKey`]: direct reclaim.
pub const OPEN_RECLAIM: u32 = 1;
/// `what` of an [`OpenKey`]: compaction.
pub const OPEN_COMPACTION: u32 = 2;
/// `what` of an [`OpenKey`]: wait for a kernel lock.
pub const OPEN_LOCK: u32 = 3;

/// Something a thread has begun: key of `THREAD_OPEN`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct OpenKey {
    /// Thread.
    pub tid: u32,
    /// [`OPEN_RECLAIM`], [`OPEN_COMPACTION`] or [`OPEN_LOCK`].
    pub what: u32,
}
assert_abi!(OpenKey, size = 8, align = 4, fields = [u32, u32]);

/// Since when, and on what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct OpenValue {
    /// Begin, `CLOCK_MONOTONIC` ns.
    pub start_ns: u64,
    /// [`OPEN_LOCK`]: its address.
    pub lock: u64,
    /// Process of the thread.
    pub tgid: u32,
    /// [`OPEN_LOCK`]: thread that held it at the begin, 0 when not known.
    pub holder: u32,
    /// [`OPEN_LOCK`]: kind of the lock.
    pub kind: u32,
    /// What the thread was in before, a [`super::sched::State`]; 0: nothing of this kind.
    pub context: u32,
}
assert_abi!(OpenValue, size = 32, align = 8, fields = [u64, u64, u32, u32, u32, u32]);
