//! Memory management on behalf of a process.

use super::COMM_LEN;
use crate::assert_abi;

/// Entries of `MEMORY`: processes. 2048 × 120 B = 240 KiB.
pub const MEMORY_MAX: u32 = 2048;
/// Entries of `OOM_KILLS`: kills between two readings. 256 × 96 B = 24 KiB.
pub const OOM_KILLS_MAX: u32 = 256;

/// Value of `MEMORY`, key tgid: sums since the key was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct MemoryValue {
    /// Direct reclaims, for the host or a cgroup.
    pub reclaims: u64,
    /// Time in them.
    pub reclaim_ns: u64,
    /// Pages they freed.
    pub reclaimed_pages: u64,
    /// Compactions.
    pub compactions: u64,
    /// Time in them.
    pub compaction_ns: u64,
    /// Times held back for dirty pages.
    pub throttles: u64,
    /// Pause it was given for them, in ticks of the kernel (`HZ`).
    pub throttled_ticks: u64,
}
assert_abi!(MemoryValue, size = 56, align = 8, fields = [u64, u64, u64, u64, u64, u64, u64]);

/// Value of `OOM_KILLS`, key tgid.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct OomValue {
    /// When, `CLOCK_MONOTONIC` ns.
    pub at_ns: u64,
    /// Resident pages; on kernels before 6.9, which do not show the task, 0.
    pub rss_pages: u64,
    /// Name of the victim, NUL-padded; empty likewise.
    pub comm: [u8; COMM_LEN],
}
assert_abi!(OomValue, size = 32, align = 8, fields = [u64, u64, [u8; COMM_LEN]]);
