//! Why the kernel side gave something up. One per-CPU counter a reason, shown to the user.

/// A failure path of a BPF program. The number is the index into the `DROPS` per-CPU array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum DropReason {
    /// The `SYSCALLS` map was full: one call was not counted.
    SyscallMapFull = 0,
    /// A timed call whose entry was not seen (in flight when the probe was attached): counted, not timed.
    SyscallUnpaired = 1,
    /// Two live threads share an entry slot and the overflow map was full: counted, not timed.
    SyscallEntryFull = 2,
    /// The samples ring buffer was full: one on-CPU sample lost.
    SampleRingFull = 3,
    /// The process events ring buffer was full: one fork, exec or exit lost.
    ProcessRingFull = 4,
    /// A kernel structure could not be read.
    ReadFailed = 5,
    /// The scratch buffer of this CPU was missing (cannot happen; counted all the same).
    NoScratch = 6,
    /// The kernel stack helper failed: the sample goes on with its user frames.
    KernelStackFailed = 7,
    /// The user stack helper failed (page not resident, no frame pointers): the sample goes on without.
    UserStackFailed = 8,
    /// The process filter was full: one child is not observed.
    FilterFull = 9,
    /// The map of block requests on their way was full: one request was not counted.
    BlockOpenFull = 10,
    /// The `BLOCKIO` map was full: one request was not counted.
    BlockMapFull = 11,
    /// The map of open reclaims, compactions and lock waits was full: one was not counted.
    ThreadOpenFull = 12,
    /// The `MEMORY` or `OOM_KILLS` map was full: one reclaim, compaction, pause or kill was not counted.
    MemoryMapFull = 13,
    /// The `NET` map was full, its row for the rest as well: one event of a socket was not counted.
    NetMapFull = 14,
    /// The `SIGNALS` map was full: one signal was not counted.
    SignalMapFull = 15,
    /// The `LOCKS` map was full, its row for the rest as well: one lock wait was not counted.
    LockMapFull = 16,
    /// Neither a thread's slot nor the next ones were free: one event of a thread was not accounted.
    SchedSlotsFull = 17,
    /// The kernel skipped a run of a program because the same program was under way on that CPU, preempted: possible
    /// since 7.0. Counted by the kernel, read by user space.
    ProgramSkipped = 18,
    /// The waits ring buffer was full: one wait, or its user stack, was lost.
    WaitRingFull = 19,
    /// The `BLAME` map was full: nobody was charged with some time of waiting for a CPU.
    BlameMapFull = 20,
    /// The endings ring buffer was full: the end of one process has no stack.
    EndingRingFull = 21,
}

impl DropReason {
    /// All reasons in the order of their numbers.
    pub const ALL: [Self; 22] = [
        Self::SyscallMapFull,
        Self::SyscallUnpaired,
        Self::SyscallEntryFull,
        Self::SampleRingFull,
        Self::ProcessRingFull,
        Self::ReadFailed,
        Self::NoScratch,
        Self::KernelStackFailed,
        Self::UserStackFailed,
        Self::FilterFull,
        Self::BlockOpenFull,
        Self::BlockMapFull,
        Self::ThreadOpenFull,
        Self::MemoryMapFull,
        Self::NetMapFull,
        Self::SignalMapFull,
        Self::LockMapFull,
        Self::SchedSlotsFull,
        Self::ProgramSkipped,
        Self::WaitRingFull,
        Self::BlameMapFull,
        Self::EndingRingFull,
    ];

    /// Stable identifier used in reports and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SyscallMapFull => "syscall_map_full",
            Self::SyscallUnpaired => "syscall_unpaired",
            Self::SyscallEntryFull => "syscall_entry_full",
            Self::SampleRingFull => "sample_ring_full",
            Self::ProcessRingFull => "process_ring_full",
            Self::ReadFailed => "read_failed",
            Self::NoScratch => "no_scratch",
            Self::KernelStackFailed => "kernel_stack_failed",
            Self::UserStackFailed => "user_stack_failed",
            Self::FilterFull => "filter_full",
            Self::BlockOpenFull => "block_open_full",
            Self::BlockMapFull => "block_map_full",
            Self::ThreadOpenFull => "thread_open_full",
            Self::MemoryMapFull => "memory_map_full",
            Self::NetMapFull => "net_map_full",
            Self::SignalMapFull => "signal_map_full",
            Self::LockMapFull => "lock_map_full",
            Self::SchedSlotsFull => "sched_slots_full",
            Self::ProgramSkipped => "program_skipped",
            Self::WaitRingFull => "wait_ring_full",
            Self::BlameMapFull => "blame_map_full",
            Self::EndingRingFull => "ending_ring_full",
        }
    }

    /// In words, behind a number.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::SyscallMapFull => "calls not counted (table full)",
            Self::SyscallUnpaired => "calls not timed (begun before)",
            Self::SyscallEntryFull => "calls not timed (table full)",
            Self::SampleRingFull => "samples lost (buffer full)",
            Self::ProcessRingFull => "process events lost (buffer full)",
            Self::ReadFailed => "kernel reads failed",
            Self::NoScratch => "events lost (no buffer)",
            Self::KernelStackFailed => "kernel stacks not read",
            Self::UserStackFailed => "user stacks not read",
            Self::FilterFull => "children not observed (table full)",
            Self::BlockOpenFull | Self::BlockMapFull => "disk requests not counted (table full)",
            Self::ThreadOpenFull => "reclaims or lock waits not counted (table full)",
            Self::MemoryMapFull => "memory events not counted (table full)",
            Self::NetMapFull => "socket events not counted (table full)",
            Self::SignalMapFull => "signals not counted (table full)",
            Self::LockMapFull => "lock waits not counted (table full)",
            Self::SchedSlotsFull => "thread events not accounted (table full)",
            Self::ProgramSkipped => "events missed (probe busy)",
            Self::WaitRingFull => "waits lost (buffer full)",
            Self::BlameMapFull => "waits for a CPU not charged (table full)",
            Self::EndingRingFull => "ends of processes without a stack (buffer full)",
        }
    }
}
