//! Waits that were looked at: a header and the frames, variable length, through the `WAITS` ring buffer.
//!
//! A wait is looked at when the blocked time of its thread crosses a mark: marks are [`QUANTUM_NS`] apart, from a
//! random beginning, so each ns of waiting has the same chance, long or short, and a wait that was looked at stands
//! for as many quanta as it crossed marks. Time of waiting for work ([`super::sched::State::is_idle`]) counts one part
//! in `1 << IDLE_SHIFT`: there is much of it, and little to learn.

use super::COMM_LEN;
use crate::assert_abi;

/// Blocked time from one mark of a thread to the next: a thread that loses a tenth of its time is looked at ten times
/// a second.
pub const QUANTUM_NS: u64 = 10_000_000;

/// Idle time counts this many powers of two less.
pub const IDLE_SHIFT: u32 = 3;

/// A CPU looks at a wait each so many ns at most, in the long run: 1,000 a second, 0.5 % of a CPU. A wait beyond that
/// passes its marks on to the next of its thread.
pub const LOOK_NS: u64 = 1_000_000;

/// Looks that may follow each other at once.
pub const LOOK_BURST: u64 = 100;

/// A record of [`WaitHeader`].
pub const KIND_WAIT: u32 = 1;
/// A record of [`WaitUser`].
pub const KIND_USER: u32 = 2;

/// What the wait was for: nothing known.
pub const TARGET_NONE: u8 = 0;
/// A futex word: `arg` is its address.
pub const TARGET_FUTEX: u8 = 1;
/// A file, directory or device: `dev`, `inode`.
pub const TARGET_FILE: u8 = 2;
/// A pipe: `inode`.
pub const TARGET_PIPE: u8 = 3;
/// A local socket: `owner` is the peer's process, `local_port` one of the `UNIX_*`.
pub const TARGET_UNIX: u8 = 4;
/// A network socket: `protocol`, ports, `peer`.
pub const TARGET_SOCKET: u8 = 5;

/// The local socket has no name, and its other end has: it connected. Neither end of a pair has one: 0.
pub const UNIX_ASKS: u16 = 1;
/// It has a name: it was accepted.
pub const UNIX_SERVES: u16 = 2;

/// One wait. `waker_user` and `waker_kernel` of the thread that ended it, then `kernel_frames` of the one that waited
/// follow, u64 each, leaf first; user frames are addresses, then [`PythonFrame`](super::python::PythonFrame)s.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct WaitHeader {
    /// [`KIND_WAIT`].
    pub kind: u32,
    /// Number of the wait: a [`WaitUser`] of the same number has the thread's user stack.
    pub id: u32,
    /// When it ended, `CLOCK_MONOTONIC` ns.
    pub at_ns: u64,
    /// Its length.
    pub waited_ns: u64,
    /// Blocked time that it stands for.
    pub weight_ns: u64,
    /// First argument of the system call; of a `poll` of one descriptor that is told by it, the descriptor.
    pub arg: u64,
    /// User instruction pointer of the thread that waited; 0 in a kernel thread.
    pub user_ip: u64,
    /// Inode of the target.
    pub inode: u64,
    /// Peer's address: IPv6, or IPv4 in the first four bytes.
    pub peer: [u8; 16],
    /// Process that waited.
    pub tgid: u32,
    /// Thread that waited.
    pub tid: u32,
    /// Process that ended the wait; 0: the idle task, so an interrupt.
    pub waker_tgid: u32,
    /// Thread that ended it.
    pub waker_tid: u32,
    /// Device of the target's file system, as the kernel keeps it (`major << 20 | minor`).
    pub dev: u32,
    /// Thread that owns the lock ([`TARGET_FUTEX`]) or process at the other end ([`TARGET_UNIX`]); 0: not known.
    pub owner: u32,
    /// `IPPROTO_*`.
    pub protocol: u16,
    /// Address family of `peer`: 2 or 10; 0: not connected.
    pub family: u16,
    /// Port at this end; of a local socket [`UNIX_SERVES`], [`UNIX_ASKS`] or 0.
    pub local_port: u16,
    /// Port at the other end.
    pub peer_port: u16,
    /// Number of the system call, [`super::sched::NO_CALL`].
    pub nr: u16,
    /// [`super::sched::FLAG_COMPAT`], [`super::sched::FLAG_SHARED`], [`super::sched::FLAG_WAIT_USER`] (its user stack will
    /// follow).
    pub flags: u16,
    /// State it was accounted as.
    pub accounted: u8,
    /// `TARGET_*`.
    pub target: u8,
    /// Frames of the three stacks.
    pub kernel_frames: u8,
    /// See `kernel_frames`.
    pub waker_kernel: u8,
    /// See `kernel_frames`.
    pub waker_user: u8,
    /// How many of `waker_user` are Python's.
    pub waker_python: u8,
    /// 1: `waker_user` met code that user space should look at.
    pub waker_stale: u8,
    /// 1: the word ([`TARGET_FUTEX`]) is the last that the waker itself has waited for.
    pub takes_turns: u8,
    /// Zero.
    pub pad: [u8; 4],
    /// Name of the thread that waited.
    pub comm: [u8; COMM_LEN],
    /// Name of the thread that ended it.
    pub waker_comm: [u8; COMM_LEN],
}
assert_abi!(
    WaitHeader,
    size = 152,
    align = 8,
    fields = [
        u32,
        u32,
        u64,
        u64,
        u64,
        u64,
        u64,
        u64,
        [u8; 16],
        u32,
        u32,
        u32,
        u32,
        u32,
        u32,
        u16,
        u16,
        u16,
        u16,
        u16,
        u16,
        u8,
        u8,
        u8,
        u8,
        u8,
        u8,
        u8,
        u8,
        [u8; 4],
        [u8; COMM_LEN],
        [u8; COMM_LEN]
    ]
);

/// User stack of a thread whose wait was looked at, taken as its system call returns: `frames` words follow, addresses,
/// then [`PythonFrame`](super::python::PythonFrame)s.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct WaitUser {
    /// [`KIND_USER`].
    pub kind: u32,
    /// Number of the wait.
    pub id: u32,
    /// Frames.
    pub frames: u32,
    /// How the walk ended: a [`Verdict`](super::unwind::Verdict), 256 where it met code that user space should look at, and
    /// the number of Python frames << 16.
    pub verdict: u32,
}
assert_abi!(WaitUser, size = 16, align = 4, fields = [u32, u32, u32, u32]);
