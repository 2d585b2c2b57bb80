//! One thread's accumulators, in an array that user space maps.

use super::STATES;
use crate::abi::COMM_LEN;
use crate::assert_abi;

/// A thread's slot: at `tid % slots`, or one of the [`PROBES`] after it.
///
/// The kernel claims a slot whose `tid` is 0 and writes [`DEAD`] as its state when the thread is gone for good. User
/// space reads such a slot once more, clears it, and writes `tid` 0 last. So no life is lost, however short.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct SchedSlot {
    /// The thread; 0: free.
    pub tid: u32,
    /// Its thread group.
    pub tgid: u32,
    /// When the present state began, `CLOCK_MONOTONIC` ns.
    pub since_ns: u64,
    /// Odd while `ns`, `since_ns` and `state` change.
    pub seq: u32,
    /// The present state ([`super::State`]), [`IN_EXEC`] or [`DEAD`].
    pub state: u8,
    /// What the thread does in the kernel meanwhile, a [`super::State`]; 0: nothing known.
    pub context: u8,
    /// Number of the system call it blocks in, [`NO_CALL`]; table by [`FLAG_COMPAT`].
    pub nr: u16,
    /// First argument of that call; of a `poll` of one descriptor that is told by it, the descriptor.
    pub arg: u64,
    /// Woken at this time while it was still on its way off the CPU; 0: not.
    pub early_ns: u64,
    /// [`FLAG_NEW`], [`FLAG_COMPAT`], [`FLAG_WAIT_USER`], [`FLAG_SHARED`].
    pub flags: u16,
    /// Kind of the file at `fd` ([`super::Call`] says what that makes of a call).
    pub file_kind: u8,
    /// Zero.
    pub pad: u8,
    /// The last descriptor waited for.
    pub fd: u32,
    /// When its kind was looked up.
    pub file_ns: u64,
    /// Blocked time since the last mark ([`crate::abi::offcpu`]).
    pub debt_ns: u64,
    /// Time of waiting for a CPU that nobody has been charged with yet ([`crate::abi::runqlat`]).
    pub queued_ns: u64,
    /// Switches away because it blocked.
    pub voluntary: u64,
    /// Switches away because another had to run.
    pub preempted: u64,
    /// Thread that owns the lock at `arg`, where its word or what is beside it says so: not to be trusted. 0: nothing
    /// is said.
    pub owner: u32,
    /// Number of the wait whose user stack is wanted.
    pub wait: u32,
    /// When the slot was claimed.
    pub born_ns: u64,
    /// Its name, NUL-padded.
    pub comm: [u8; COMM_LEN],
    /// The last futex word that it waited for. (What each switch needs fills one cache line, and the sums begin with one.)
    pub word: u64,
    /// Time in each state, ns; the present one's since `since_ns` is not in it.
    pub ns: [u64; STATES],
}
assert_abi!(
    SchedSlot,
    size = 384,
    align = 64,
    fields = [
        u32,
        u32,
        u64,
        u32,
        u8,
        u8,
        u16,
        u64,
        u64,
        u16,
        u8,
        u8,
        u32,
        u64,
        u64,
        u64,
        u64,
        u64,
        u32,
        u32,
        u64,
        [u8; COMM_LEN],
        u64,
        [u64; STATES]
    ]
);

/// `state` of a slot whose thread is gone.
pub const DEAD: u8 = 255;
/// `state` of a leader's slot from its end until the thread that has called exec has taken over its number, and the slot
/// with it. Outside of the states: the time in it belongs to no thread.
pub const IN_EXEC: u8 = 30;
/// `nr` of a wait outside of system calls.
pub const NO_CALL: u16 = u16::MAX;
/// The thread was seen from its beginning: before `born_ns` it was not.
pub const FLAG_NEW: u16 = 1;
/// `nr` is an i386 number.
pub const FLAG_COMPAT: u16 = 2;
/// A user stack of this thread is wanted.
pub const FLAG_WAIT_USER: u16 = 4;
/// The futex waited for may be shared with other processes, whose threads may own it.
pub const FLAG_SHARED: u16 = 8;

/// Slots looked at for a thread: beyond that it is not accounted, which is counted.
pub const PROBES: u32 = 8;

/// Slots that one [`UsedChunk`] tells of.
pub const USED_CHUNK: u32 = 64;

/// One byte a slot, 1: claimed. A scan of these 32 KiB costs 1 % of one of the slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct UsedChunk {
    /// One byte a slot.
    pub used: [u8; USED_CHUNK as usize],
}
assert_abi!(UsedChunk, size = 64, align = 64, fields = [[u8; USED_CHUNK as usize]]);

/// Slots of threads that have gone, one ring a CPU. Overrun is no loss: a scan of all slots finds them as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct DeadRing {
    /// Threads gone on this CPU so far; the last is at `(head − 1) % DEAD_RING`.
    pub head: u32,
    /// Zero.
    pub pad: [u32; 15],
    /// Indices of slots.
    pub slots: [u32; DEAD_RING as usize],
}
assert_abi!(DeadRing, size = 8256, align = 64, fields = [u32, [u32; 15], [u32; DEAD_RING as usize]]);

/// Entries of a [`DeadRing`]: 20,000 ends a second on one CPU between two readings 100 ms apart.
pub const DEAD_RING: u32 = 2048;
