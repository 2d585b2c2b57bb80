//! On-CPU samples: a header and the frames, variable length, through the `SAMPLES` ring buffer.

use super::COMM_LEN;
use crate::assert_abi;

/// Frames kept of each of the two stacks: the kernel's own limit (`PERF_MAX_STACK_DEPTH`).
pub const MAX_FRAMES: usize = 127;

/// Bytes of a stack copied at most; where less than that is there, half of it, and so on.
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
    /// User frames that follow: addresses, then [`PythonFrame`](super::python::PythonFrame)s.
    pub user_frames: u16,
    /// How the walk up the user stack ended: a [`Verdict`](super::unwind::Verdict).
    pub verdict: u8,
    /// 1: the walk met code that user space should look at.
    pub stale: u8,
    /// How the walk up the Python frames ended: a [`PythonVerdict`](super::python::PythonVerdict).
    pub python: u8,
    /// How many of the user frames are Python's.
    pub python_frames: u8,
    /// 1: the process' mappings are not known to the kernel side, and the user frames are none: instruction, stack and frame
    /// pointer, then words of the stack.
    pub copied: u8,
    /// Padding.
    pub pad: [u8; 3],
    /// Task name, NUL-padded.
    pub comm: [u8; COMM_LEN],
}
assert_abi!(
    SampleHeader,
    size = 56,
    align = 8,
    fields = [u64, u64, u32, u32, u32, u16, u16, u8, u8, u8, u8, u8, [u8; 3], [u8; COMM_LEN]]
);

/// Per-CPU count of timer ticks, so that captured + idle + lost can be held against expected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SampleTicks {
    /// Ticks that hit a task that passes the filter and whose sample was sent.
    pub busy: u64,
    /// Ticks that hit the idle task.
    pub idle: u64,
    /// Ticks that hit a task outside the filter.
    pub filtered: u64,
    /// Ticks that did not come: whole periods between one tick and the next, less the one that is due.
    pub missed: u64,
    /// Time of the last tick, `CLOCK_MONOTONIC` ns; 0 before the first.
    pub last_ns: u64,
}
assert_abi!(SampleTicks, size = 40, align = 8, fields = [u64, u64, u64, u64, u64]);

/// A tick may be this part of a period early or late and is still the one that was due.
pub const TICK_SLACK: u64 = 8;

/// Ticks missed between two that are `gap_ns` apart.
#[must_use]
#[inline(always)]
pub const fn missed_between(gap_ns: u64, period_ns: u64) -> u64 {
    if gap_ns < period_ns || period_ns == 0 {
        return 0;
    }
    (gap_ns + period_ns / TICK_SLACK) / period_ns - 1
}

/// Ticks missed for certain since the last one, `since_ns` ago: never more than [`missed_between`] will say of the
/// gap once it ends.
#[must_use]
pub const fn missed_so_far(since_ns: u64, period_ns: u64) -> u64 {
    if period_ns == 0 {
        return 0;
    }
    (since_ns.saturating_sub(period_ns / TICK_SLACK) / period_ns).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::{missed_between, missed_so_far};

    #[test]
    fn a_late_tick_is_not_a_missed_one() {
        // The timer keeps its grid: 1.6 periods and then 0.4 are two ticks in two periods.
        assert_eq!([160, 40, 199, 201, 230].map(|gap| missed_between(gap, 100)), [0, 0, 1, 1, 1]);
        assert_eq!(missed_between(187, 100), 0);
        assert_eq!(missed_between(40_050, 100), 399);
    }

    #[test]
    fn a_gap_that_lasts_never_counts_more_than_when_it_ends() {
        for gap in 0..1000 {
            assert!(missed_so_far(gap, 100) <= missed_between(gap, 100), "{gap}");
            assert!(missed_so_far(gap, 100) <= missed_so_far(gap + 1, 100), "{gap}");
        }
        assert_eq!(missed_so_far(1050, 100), 9);
    }
}
