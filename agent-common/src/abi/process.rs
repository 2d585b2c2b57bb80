//! Process life: fork, exec and exit of thread groups, through the `PROCESS_EVENTS` ring buffer.

use super::COMM_LEN;
use crate::assert_abi;

/// `kind` of a [`ProcessEvent`]: a new thread group.
pub const KIND_FORK: u32 = 1;
/// `kind` of a [`ProcessEvent`]: the image was replaced.
pub const KIND_EXEC: u32 = 2;
/// `kind` of a [`ProcessEvent`]: the last thread of the group is gone.
pub const KIND_EXIT: u32 = 3;

/// Bits of a thread-group id: Linux gives no number above `PID_MAX_LIMIT`, 2^22 (`include/linux/threads.h`).
pub const TGID_BITS: u32 = 22;

/// Tells the processes apart that have one number in turn: ten bits of the start. One in a thousand that follow each other
/// has the same, and is taken for the same process while counters of both are unread.
#[must_use]
#[inline(always)]
pub const fn generation(start_boot_ns: u64) -> u16 {
    (start_boot_ns.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - 10)) as u16
}

/// A process in 32 bits: its number, and above it its [`generation`].
#[must_use]
#[inline(always)]
pub const fn numbered(tgid: u32, start_boot_ns: u64) -> u32 {
    tgid | (generation(start_boot_ns) as u32) << TGID_BITS
}

/// The number in [`numbered`].
#[must_use]
#[inline(always)]
pub const fn tgid_of(process: u32) -> u32 {
    process & ((1 << TGID_BITS) - 1)
}

/// The [`generation`] in [`numbered`].
#[must_use]
pub const fn generation_of(process: u32) -> u16 {
    (process >> TGID_BITS) as u16
}

/// One event of a process' life. Fields a kind does not name are 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ProcessEvent {
    /// `CLOCK_MONOTONIC` ns.
    pub at_ns: u64,
    /// Start of the process, `CLOCK_BOOTTIME` ns: with `tgid` the process' identity.
    pub start_boot_ns: u64,
    /// cgroup v2 id.
    pub cgroup_id: u64,
    /// exit: CPU time of all threads, ns (`sum_exec_runtime`).
    pub cpu_ns: u64,
    /// exit: user share of it by the kernel's accounting, ns.
    pub utime_ns: u64,
    /// exit: system share of it by the kernel's accounting, ns.
    pub stime_ns: u64,
    /// exit: minor faults of all threads.
    pub min_flt: u64,
    /// exit: major faults of all threads.
    pub maj_flt: u64,
    /// [`KIND_FORK`], [`KIND_EXEC`] or [`KIND_EXIT`].
    pub kind: u32,
    /// The process.
    pub tgid: u32,
    /// Its parent (`real_parent`).
    pub parent_tgid: u32,
    /// exit: wait status as `wait(2)` gives it: `code << 8 | signal`, 0x80 = core dumped.
    pub exit_status: u32,
    /// exit: what was kept of it, [`super::endings::ENDED_WORDS`] and the like.
    pub ended: u32,
    /// exit: its user.
    pub uid: u32,
    /// Task name, NUL-padded.
    pub comm: [u8; COMM_LEN],
}
assert_abi!(
    ProcessEvent,
    size = 104,
    align = 8,
    fields = [u64, u64, u64, u64, u64, u64, u64, u64, u32, u32, u32, u32, u32, u32, [u8; COMM_LEN]]
);
