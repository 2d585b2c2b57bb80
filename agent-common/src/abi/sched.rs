//! Scheduler accounting: the exclusive states a thread's wall time is split into, and the slots they are added up in.

pub mod calls;
mod offsets;
mod slot;

pub use calls::{
    COMPAT, Call, NATIVE, futex_is_lock, futex_is_shared, futex_owner, nr_in_table, state_of_call,
    state_of_poll,
};
pub use offsets::SchedOffsets;
pub use slot::{
    DEAD, DEAD_RING, DeadRing, FLAG_COMPAT, FLAG_NEW, FLAG_SHARED, FLAG_WAIT_USER, IN_EXEC, NO_CALL, PROBES,
    SchedSlot, USED_CHUNK, UsedChunk,
};

/// What a thread is doing. Each ns of its life is in exactly one of these; the number is the index into the
/// accumulators of a thread's slot.
///
/// The kernel side knows the syscall, the kind of its file and what the thread is doing in the memory manager; where
/// that is not enough ([`State::Uninterruptible`]) the sampled kernel stacks of the waits tell more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "std", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "std", serde(rename_all = "snake_case"))]
#[repr(u8)]
pub enum State {
    /// Running, user and kernel mode together.
    Oncpu = 0,
    /// Woken, waiting for a CPU.
    RunqWoken = 1,
    /// Preempted (or yielded), waiting for a CPU.
    RunqPreempted = 2,
    /// Runnable, but its cgroup's CPU quota is used up.
    RunqThrottled = 3,
    /// Read of a file or block device.
    DiskRead = 4,
    /// Write to a file or block device.
    DiskWrite = 5,
    /// `fsync`, `fdatasync`, `sync`, `msync`, `sync_file_range`, or a wait for the journal.
    Fsync = 6,
    /// Held back by write-back throttling (`balance_dirty_pages`).
    Writeback = 7,
    /// Page fault that reads a file.
    FaultFile = 8,
    /// Page fault that reads swap.
    Swap = 9,
    /// Direct reclaim or compaction.
    Reclaim = 10,
    /// Futex, on a lock.
    FutexLock = 11,
    /// Futex, on a condition or an event: mostly idle.
    FutexWait = 12,
    /// Mutex, semaphore or rwsem of the kernel.
    KernelLock = 13,
    /// `flock`, `fcntl(F_SETLKW)`.
    FileLock = 14,
    /// Pipe, local socket, eventfd, message queue, semaphore: another process of this host.
    Ipc = 15,
    /// `accept`.
    NetAccept = 16,
    /// `connect` to a network address.
    NetConnect = 17,
    /// Receive from a network socket.
    NetRecv = 18,
    /// Send to a network socket.
    NetSend = 19,
    /// Receive from port 53.
    Dns = 20,
    /// `wait4`, `waitid`, `vfork`.
    Child = 21,
    /// A timer: `nanosleep`, `poll` without descriptors, a timerfd.
    Sleep = 22,
    /// `epoll_wait`, `poll`, `select`, `io_uring_enter` with descriptors: mostly idle.
    Poll = 23,
    /// Stopped or traced.
    Stopped = 24,
    /// `io_getevents`, waiting for asynchronous I/O.
    AsyncIo = 25,
    /// A terminal or another character device.
    Device = 26,
    /// Interruptible, for none of the reasons above.
    Interruptible = 27,
    /// Uninterruptible, for none of the reasons above.
    Uninterruptible = 28,
    /// A kernel thread without work.
    KernelIdle = 29,
}

/// Accumulators of a slot: room for two more states.
pub const STATES: usize = 32;

impl State {
    /// All states in the order of their numbers.
    pub const ALL: [Self; 30] = [
        Self::Oncpu,
        Self::RunqWoken,
        Self::RunqPreempted,
        Self::RunqThrottled,
        Self::DiskRead,
        Self::DiskWrite,
        Self::Fsync,
        Self::Writeback,
        Self::FaultFile,
        Self::Swap,
        Self::Reclaim,
        Self::FutexLock,
        Self::FutexWait,
        Self::KernelLock,
        Self::FileLock,
        Self::Ipc,
        Self::NetAccept,
        Self::NetConnect,
        Self::NetRecv,
        Self::NetSend,
        Self::Dns,
        Self::Child,
        Self::Sleep,
        Self::Poll,
        Self::Stopped,
        Self::AsyncIo,
        Self::Device,
        Self::Interruptible,
        Self::Uninterruptible,
        Self::KernelIdle,
    ];

    /// The state with this number.
    #[must_use]
    pub fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }

    /// Stable identifier; JSON keys and metrics append `_ns`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Oncpu => "oncpu",
            Self::RunqWoken => "runq_woken",
            Self::RunqPreempted => "runq_preempted",
            Self::RunqThrottled => "runq_throttled",
            Self::DiskRead => "disk_read",
            Self::DiskWrite => "disk_write",
            Self::Fsync => "fsync",
            Self::Writeback => "writeback",
            Self::FaultFile => "fault_file",
            Self::Swap => "swap",
            Self::Reclaim => "reclaim",
            Self::FutexLock => "futex_lock",
            Self::FutexWait => "futex_wait",
            Self::KernelLock => "kernel_lock",
            Self::FileLock => "file_lock",
            Self::Ipc => "ipc",
            Self::NetAccept => "net_accept",
            Self::NetConnect => "net_connect",
            Self::NetRecv => "net_recv",
            Self::NetSend => "net_send",
            Self::Dns => "dns",
            Self::Child => "child",
            Self::Sleep => "sleep",
            Self::Poll => "poll",
            Self::Stopped => "stopped",
            Self::AsyncIo => "async_io",
            Self::Device => "device",
            Self::Interruptible => "interruptible",
            Self::Uninterruptible => "uninterruptible",
            Self::KernelIdle => "kernel_idle",
        }
    }

    /// Waiting for a CPU.
    #[must_use]
    pub const fn is_runq(self) -> bool {
        matches!(self, Self::RunqWoken | Self::RunqPreempted | Self::RunqThrottled)
    }

    /// Waiting for anything but a CPU.
    #[must_use]
    pub const fn is_blocked(self) -> bool {
        !matches!(self, Self::Oncpu) && !self.is_runq()
    }

    /// Waiting for work rather than held up in it: not part of a subject's non-idle time.
    #[must_use]
    pub const fn is_idle(self) -> bool {
        is_idle(self as u8)
    }
}

/// [`State::is_idle`] of a number.
#[must_use]
#[inline(always)]
pub const fn is_idle(state: u8) -> bool {
    const IDLE: u32 = 1 << State::Sleep as u32
        | 1 << State::Poll as u32
        | 1 << State::KernelIdle as u32
        | 1 << State::FutexWait as u32
        | 1 << State::NetAccept as u32
        | 1 << State::Stopped as u32;
    state < 32 && IDLE & 1 << state != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_state_is_its_place() {
        for (index, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, index);
            assert_eq!(State::from_index(index), Some(state));
        }
        assert!(State::ALL.len() <= STATES);
        assert_eq!(State::from_index(State::ALL.len()), None);
    }
}
