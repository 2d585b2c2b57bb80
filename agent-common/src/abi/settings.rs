//! What user space tells the BPF programs: read-only globals at load, one array entry while they run.

use super::offsets::offsets;
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

offsets! {
    "Offsets into kernel structures, in bytes, from the running kernel's BTF. `u32::MAX`: not in this kernel."
    Offsets
    /// `task_struct.tgid`
    task_tgid,
    /// `task_struct.pid`
    task_pid,
    /// `task_struct.real_parent`
    task_real_parent,
    /// `task_struct.signal`
    task_signal,
    /// `task_struct.exit_code`
    task_exit_code,
    /// `task_struct.start_boottime` (`real_start_time` before 5.5)
    task_start_boottime,
    /// `task_struct.utime`
    task_utime,
    /// `task_struct.stime`
    task_stime,
    /// `task_struct.min_flt`
    task_min_flt,
    /// `task_struct.maj_flt`
    task_maj_flt,
    /// `task_struct.se.sum_exec_runtime`
    task_sum_exec_runtime,
    /// `task_struct.comm`
    task_comm,
    /// `task_struct.thread_info.status` (x86: bit 1 is `TS_COMPAT`)
    task_thread_status,
    /// `task_struct.group_leader`
    task_group_leader,
    /// `task_struct.thread.fsbase` (x86): where the thread's own memory is
    task_fsbase,
    /// `signal_struct.live.counter`
    signal_live,
    /// `signal_struct.group_exit_code`
    signal_group_exit_code,
    /// `signal_struct.utime` (threads that have exited)
    signal_utime,
    /// `signal_struct.stime`
    signal_stime,
    /// `signal_struct.min_flt`
    signal_min_flt,
    /// `signal_struct.maj_flt`
    signal_maj_flt,
    /// `signal_struct.sum_sched_runtime`
    signal_sum_sched_runtime,
}

/// An offset that this kernel does not have.
pub const NO_OFFSET: u32 = u32::MAX;
