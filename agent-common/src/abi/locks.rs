//! Waits for the kernel's sleeping locks.

use crate::assert_abi;

/// Entries of `LOCKS`: (process, lock, kind). 8192 × 112 B = 896 KiB.
pub const LOCKS_MAX: u32 = 8192;

/// `kind` of a [`LockKey`]: counting semaphore.
pub const KIND_SEMAPHORE: u32 = 0;
/// `kind` of a [`LockKey`]: mutex.
pub const KIND_MUTEX: u32 = 1;
/// `kind` of a [`LockKey`]: rwsem, to read.
pub const KIND_RWSEM_READ: u32 = 2;
/// `kind` of a [`LockKey`]: rwsem, to write.
pub const KIND_RWSEM_WRITE: u32 = 3;
/// `kind` of a [`LockKey`]: per-CPU rwsem.
pub const KIND_PERCPU_RWSEM: u32 = 4;
/// `kind` of a [`LockKey`]: mutex with priority inheritance.
pub const KIND_RT_MUTEX: u32 = 5;

/// Names of the kinds, in the order of their numbers.
pub const KIND_NAMES: [&str; 6] =
    ["semaphore", "mutex", "rwsem_read", "rwsem_write", "percpu_rwsem", "rt_mutex"];

/// Key of `LOCKS`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct LockKey {
    /// Address; 0 in the row of those the map had no room for.
    pub lock: u64,
    /// Process that waited.
    pub tgid: u32,
    /// [`KIND_MUTEX`] and so on.
    pub kind: u32,
}
assert_abi!(LockKey, size = 16, align = 8, fields = [u64, u32, u32]);

/// Value of `LOCKS`: sums since the key was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct LockValue {
    /// Waits that ended.
    pub count: u64,
    /// Time in them.
    pub waited_ns: u64,
    /// How far `holder` is ahead of all others, in ns waited for it (majority vote after Boyer and Moore).
    pub lead_ns: u64,
    /// Thread that held it during most of the time waited in `window`, if one did.
    pub holder: u32,
    /// [`super::settings::Settings::window`] of the vote.
    pub window: u32,
}
assert_abi!(LockValue, size = 32, align = 8, fields = [u64, u64, u64, u32, u32]);
