//! What user space tells the BPF programs: read-only globals at load, one array entry while they run.

use crate::assert_abi;

/// Entry 0 of the `SETTINGS` array: may change while the programs run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Settings {
    /// 1: `sys_exit` pairs with the entry slot and times calls; 0: it only counts.
    pub syscall_times: u32,
    /// 1: only thread groups in `FILTER_TGIDS` are observed.
    pub filter_tgids: u32,
    /// cgroup v2 id to observe, 0 for all.
    pub filter_cgroup: u64,
    /// 1: children of observed thread groups are added to the filter at fork.
    pub follow_forks: u32,
    /// 1: debug messages go to the log ring buffer.
    pub debug: u32,
    /// Number of the window that runs: a maximum is one of a window.
    pub window: u32,
    /// 1: waits are looked at.
    pub waits: u32,
    /// 1: `sys_exit` is observed, so the user stack of a wait can be taken there.
    pub wait_users: u32,
    /// Padding.
    pub pad: u32,
}
assert_abi!(Settings, size = 40, align = 8, fields = [u32, u32, u64, u32, u32, u32, u32, u32, u32]);

/// Offsets into kernel structures, in bytes, from the running kernel's BTF. `u32::MAX`: not in this kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Offsets {
    /// `task_struct.tgid`
    pub task_tgid: u32,
    /// `task_struct.pid`
    pub task_pid: u32,
    /// `task_struct.real_parent`
    pub task_real_parent: u32,
    /// `task_struct.signal`
    pub task_signal: u32,
    /// `task_struct.exit_code`
    pub task_exit_code: u32,
    /// `task_struct.start_boottime` (`real_start_time` before 5.5)
    pub task_start_boottime: u32,
    /// `task_struct.utime`
    pub task_utime: u32,
    /// `task_struct.stime`
    pub task_stime: u32,
    /// `task_struct.min_flt`
    pub task_min_flt: u32,
    /// `task_struct.maj_flt`
    pub task_maj_flt: u32,
    /// `task_struct.se.sum_exec_runtime`
    pub task_sum_exec_runtime: u32,
    /// `task_struct.comm`
    pub task_comm: u32,
    /// `task_struct.thread_info.status` (x86: bit 1 is `TS_COMPAT`)
    pub task_thread_status: u32,
    /// `task_struct.group_leader`
    pub task_group_leader: u32,
    /// `task_struct.thread.fsbase` (x86): where the thread's own memory is
    pub task_fsbase: u32,
    /// `signal_struct.live.counter`
    pub signal_live: u32,
    /// `signal_struct.group_exit_code`
    pub signal_group_exit_code: u32,
    /// `signal_struct.utime` (threads that have exited)
    pub signal_utime: u32,
    /// `signal_struct.stime`
    pub signal_stime: u32,
    /// `signal_struct.min_flt`
    pub signal_min_flt: u32,
    /// `signal_struct.maj_flt`
    pub signal_maj_flt: u32,
    /// `signal_struct.sum_sched_runtime`
    pub signal_sum_sched_runtime: u32,
}

/// An offset that this kernel does not have.
pub const NO_OFFSET: u32 = u32::MAX;

impl Offsets {
    /// What the object holds before the loader has looked: nothing is known.
    pub const UNKNOWN: Self = Self {
        task_tgid: NO_OFFSET,
        task_pid: NO_OFFSET,
        task_real_parent: NO_OFFSET,
        task_signal: NO_OFFSET,
        task_exit_code: NO_OFFSET,
        task_start_boottime: NO_OFFSET,
        task_utime: NO_OFFSET,
        task_stime: NO_OFFSET,
        task_min_flt: NO_OFFSET,
        task_maj_flt: NO_OFFSET,
        task_sum_exec_runtime: NO_OFFSET,
        task_comm: NO_OFFSET,
        task_thread_status: NO_OFFSET,
        task_group_leader: NO_OFFSET,
        task_fsbase: NO_OFFSET,
        signal_live: NO_OFFSET,
        signal_group_exit_code: NO_OFFSET,
        signal_utime: NO_OFFSET,
        signal_stime: NO_OFFSET,
        signal_min_flt: NO_OFFSET,
        signal_maj_flt: NO_OFFSET,
        signal_sum_sched_runtime: NO_OFFSET,
    };
}
