//! On-CPU samples: a header and the frames, variable length, through the `SAMPLES` ring buffer.

use super::COMM_LEN;
use crate::assert_abi;

/// Frames kept of each of the two stacks: the kernel's own limit (`PERF_MAX_STACK_DEPTH`).
pub const MAX_FRAMES: usize = 127;

/// Header of one sample; `kernel_frames` then `user_frames` addresses (u64, leaf first) follow it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SampleHeader {
    /// `CLOCK_MONOTONIC` ns.
    pub at_ns: u64,
    /// cgroup v2 id of the task (0 on a host without the unified hierarchy).
    pub cgroup_id: u64,
    /// Thread-group id.
    pub tgid: u32,
    /// Thread id.
    pub tid: u32,
    /// CPU that was sampled.
    pub cpu: u32,
    /// Kernel frames that follow.
    pub kernel_frames: u16,
    /// User frames that follow the kernel frames.
    pub user_frames: u16,
    /// Task name, NUL-padded.
    pub comm: [u8; COMM_LEN],
}
assert_abi!(SampleHeader, size = 48, align = 8, fields = [u64, u64, u32, u32, u32, u16, u16, [u8; COMM_LEN]]);

/// Per-CPU count of timer ticks, so that captured + idle + lost can be held against expected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SampleTicks {
    /// Ticks that hit a task that passes the filter.
    pub busy: u64,
    /// Ticks that hit the idle task.
    pub idle: u64,
    /// Ticks that hit a task outside the filter.
    pub filtered: u64,
}
assert_abi!(SampleTicks, size = 24, align = 8, fields = [u64, u64, u64]);
