//! On-CPU samples: a header and the frames, variable length, through the `SAMPLES` ring buffer.

use super::COMM_LEN;
use crate::assert_abi;

/// Frames kept of each of the two stacks: the kernel's own limit (`PERF_MAX_STACK_DEPTH`).
pub const MAX_FRAMES: usize = 127;

/// Bytes of a stack copied: less than this, and up to a 32nd of it less than there is.
pub const COPIED_BYTES: usize = 16_384;

/// Header of one sample; `user_frames` then `kernel_frames` words (u64, leaf first) follow it.
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
    /// Kernel frames that follow the user frames.
    pub kernel_frames: u16,
    /// User frames that follow: addresses, then [`PythonFrame`](super::python::PythonFrame)s, then what was copied.
    pub user_frames: u16,
    /// How the walk up the user stack ended: a [`Verdict`](super::unwind::Verdict).
    pub verdict: u8,
    /// 1: the walk met code that user space should look at.
    pub stale: u8,
    /// How the walk up the Python frames ended: a [`PythonVerdict`](super::python::PythonVerdict).
    pub python: u8,
    /// How many of the user frames are Python's.
    pub python_frames: u8,
    /// The process' mappings are not known to the kernel side, and so many of the user frames are none: instruction, stack and
    /// frame pointer, then words of the stack.
    pub copied: u16,
    /// Padding.
    pub pad: [u8; 2],
    /// Task name, NUL-padded.
    pub comm: [u8; COMM_LEN],
}
assert_abi!(
    SampleHeader,
    size = 56,
    align = 8,
    fields = [u64, u64, u32, u32, u32, u16, u16, u8, u8, u8, u8, u16, [u8; 2], [u8; COMM_LEN]]
);

/// Per-CPU count of timer ticks, so that captured + idle + lost can be held against expected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SampleTicks {
    /// Ticks that hit a task that passes the filter: a sample each, or a count of what became of it.
    pub busy: u64,
    /// Ticks that hit the idle task.
    pub idle: u64,
    /// Ticks that hit a task outside the filter.
    pub filtered: u64,
}
assert_abi!(SampleTicks, size = 24, align = 8, fields = [u64, u64, u64]);
