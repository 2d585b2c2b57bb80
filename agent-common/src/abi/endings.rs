//! How processes end: the end itself with its stack, what was written last, which calls failed last.

mod subjects;

use super::COMM_LEN;
use super::offsets::offsets;
use crate::assert_abi;

pub use subjects::{
    CALLS_TABLE, FILE_FIRST, IN_FIRST, IN_SECOND, IN_THIRD, PEER_FIFTH, PEER_SECOND, SUBJECTS,
    SUBJECTS_COMPAT,
};

/// Processes whose last words and last failed calls are kept: two maps of 1,024 × 4 KiB = 8 MiB.
pub const PROCESSES_KEPT: u32 = 1024;

/// Bytes of one write that are kept.
pub const WORDS_MAX: usize = 256;
/// Bytes of writes kept of a process, headers included.
pub const WORDS_BYTES: usize = 3960;
/// Writes kept of a process.
pub const WORDS_STARTS: usize = 64;
/// Buffers of one `writev` that are kept: the loader's complaint of a library that is missing has ten.
pub const WORDS_BUFFERS: usize = 12;

/// Value of `LAST_WORDS`, key [`numbered`](super::process::numbered): writes one behind the other, from the start again when the
/// next one has no room. Two threads that write at once may spoil each other's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct LastWords {
    /// Writes so far. The newest began at `starts[(count - 1) % WORDS_STARTS]`.
    pub count: u32,
    /// Where the next begins.
    pub next: u32,
    /// Where the last ones begin.
    pub starts: [u16; WORDS_STARTS],
    /// A [`WordsHeader`] and its bytes, eight by eight.
    pub data: [u8; WORDS_BYTES],
}
assert_abi!(LastWords, size = 4096, align = 4, fields = [u32, u32, [u16; WORDS_STARTS], [u8; WORDS_BYTES]]);

impl Default for LastWords {
    fn default() -> Self {
        Self { count: 0, next: 0, starts: [0; WORDS_STARTS], data: [0; WORDS_BYTES] }
    }
}

/// One write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct WordsHeader {
    /// `CLOCK_MONOTONIC` ns.
    pub at_ns: u64,
    /// Bytes that it wrote.
    pub whole: u32,
    /// Bytes that follow.
    pub kept: u16,
    /// The descriptor.
    pub fd: u16,
}
assert_abi!(WordsHeader, size = 16, align = 8, fields = [u64, u32, u16, u16]);

/// Bytes of a path or an address that are kept of a failed call.
pub const SUBJECT_BYTES: usize = 128;
/// Failed calls kept of a process.
pub const CALLS_KEPT: usize = 24;
/// Components of the path of an open file, and bytes of each: the leaf first.
pub const COMPONENTS: usize = 4;
/// Bytes of a component.
pub const COMPONENT_BYTES: usize = 32;

/// `kind` of a [`FailedCall`]: it named nothing that was kept.
pub const SUBJECT_NONE: u8 = 0;
/// It named a path.
pub const SUBJECT_PATH: u8 = 1;
/// It named a socket address.
pub const SUBJECT_PEER: u8 = 2;
/// It was about an open file: components of its path within its file system, leaf first.
pub const SUBJECT_FILE: u8 = 3;

/// A system call that failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct FailedCall {
    /// When it last did, `CLOCK_MONOTONIC` ns.
    pub at_ns: u64,
    /// First argument.
    pub first: u64,
    /// How often in a row.
    pub count: u32,
    /// Device of the file for [`SUBJECT_FILE`].
    pub dev: u32,
    /// The thread.
    pub tid: u32,
    /// Number of the call.
    pub nr: u16,
    /// What it failed with.
    pub errno: u16,
    /// `SUBJECT_*`.
    pub kind: u8,
    /// [`super::syscalls::FLAG_COMPAT`].
    pub flags: u8,
    /// Bytes of an address; for [`SUBJECT_FILE`] 1 where the components are all there are.
    pub bytes: u16,
    /// Zero.
    pub pad: u32,
    /// Path, NUL-terminated if it is shorter; or `struct sockaddr`; or components.
    pub subject: [u64; SUBJECT_BYTES / 8],
}
assert_abi!(
    FailedCall,
    size = 168,
    align = 8,
    fields = [u64, u64, u32, u32, u32, u16, u16, u8, u8, u16, u32, [u64; SUBJECT_BYTES / 8]]
);

/// Value of `FAILED_CALLS`, key [`numbered`](super::process::numbered).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct FailedCalls {
    /// Failed calls so far.
    pub count: u32,
    /// The place of the next one.
    pub next: u32,
    /// They.
    pub calls: [FailedCall; CALLS_KEPT],
    /// The place of the last one.
    pub last: u32,
    /// Zero.
    pub pad: [u32; 13],
}
assert_abi!(
    FailedCalls,
    size = 4096,
    align = 8,
    fields = [u32, u32, [FailedCall; CALLS_KEPT], u32, [u32; 13]]
);

/// Bytes of the arguments of an ended process that are kept.
pub const ARGUMENTS_BYTES: usize = 512;
/// Bytes of the path that it was executed by.
pub const EXECUTED_BYTES: usize = 128;
/// Limits of a process (`RLIM_NLIMITS`).
pub const LIMITS: usize = 16;

/// Who sent a signal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Sender {
    /// The process; 0: the kernel.
    pub tgid: u32,
    /// Its parent.
    pub parent: u32,
    /// Its user.
    pub uid: u32,
    /// The signal.
    pub signal: u32,
    /// Name of its thread.
    pub comm: [u8; COMM_LEN],
}
assert_abi!(Sender, size = 32, align = 4, fields = [u32, u32, u32, u32, [u8; COMM_LEN]]);

/// Entries of `SENDERS`, the signals that wait for their receivers: 1,024 × 96 B.
pub const SENDERS_MAX: u32 = 1024;

/// An end, while the process still has its memory: header of a record of `ENDINGS`; `user_frames` words follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Ending {
    /// `CLOCK_MONOTONIC` ns.
    pub at_ns: u64,
    /// Start of the process, `CLOCK_BOOTTIME` ns.
    pub start_boot_ns: u64,
    /// `si_addr` of a fault; of SIGSYS the call's number.
    pub address: u64,
    /// User registers.
    pub ip: u64,
    /// Stack pointer.
    pub sp: u64,
    /// `thread.error_code`: of the last fault in user mode (x86: 1 present, 2 write, 4 user, 16 fetch).
    pub error_code: u64,
    /// `thread.trap_nr`: its exception (x86: 0 division, 6 opcode, 13 protection, 14 page fault).
    pub trap_nr: u64,
    /// Pages of the address space.
    pub total_pages: u64,
    /// Pages of it that are private and can be written.
    pub data_pages: u64,
    /// Resident pages.
    pub rss_pages: u64,
    /// The process.
    pub tgid: u32,
    /// The thread.
    pub tid: u32,
    /// Its parent.
    pub parent: u32,
    /// Its user.
    pub uid: u32,
    /// The signal; 0: it calls `exit_group` with a code that is not 0.
    pub signal: u32,
    /// `si_code`.
    pub si_code: i32,
    /// Sender by `si_pid` and `si_uid`, where the signal has them.
    pub si_pid: u32,
    /// Likewise.
    pub si_uid: u32,
    /// Name of the process.
    pub comm: [u8; COMM_LEN],
    /// Name of its parent.
    pub parent_comm: [u8; COMM_LEN],
    /// Who sent the signal; `signal` 0: not known.
    pub sender: Sender,
    /// Soft and hard limits, in the order of `RLIMIT_*`.
    pub limits: [[u64; 2]; LIMITS],
    /// Its arguments, each with its NUL.
    pub arguments: [u8; ARGUMENTS_BYTES],
    /// The path that it was executed by.
    pub executed: [u8; EXECUTED_BYTES],
    /// Last component of the file that is mapped at `address`.
    pub mapped: [u8; COMPONENT_BYTES],
    /// Bytes of `arguments`.
    pub arguments_bytes: u16,
    /// Frames that follow, as of [`super::oncpu::SampleHeader`].
    pub user_frames: u16,
    /// So many of them were copied.
    pub copied: u16,
    /// Bytes of memory protection of the mapping at `address`, `VM_READ | VM_WRITE | VM_EXEC`; [`NO_MAPPING`]: there is none;
    /// [`UNKNOWN_MAPPING`]. With [`PAST_END`] where the file that is mapped ends before it.
    pub mapping: u16,
    /// How many frames are Python's.
    pub python_frames: u32,
    /// Words above the stack pointer that could not be copied: a guard page that was hit.
    pub skipped: u32,
}
assert_abi!(
    Ending,
    size = 1120,
    align = 8,
    fields = [
        [u64; 10],
        [u32; 8],
        [u8; COMM_LEN],
        [u8; COMM_LEN],
        Sender,
        [[u64; 2]; LIMITS],
        [u8; ARGUMENTS_BYTES],
        [u8; EXECUTED_BYTES],
        [u8; COMPONENT_BYTES],
        [u16; 4],
        u32,
        u32,
    ]
);

/// `mapping` of an [`Ending`]: nothing is mapped there.
pub const NO_MAPPING: u16 = 0x8000;
/// `mapping` of an [`Ending`]: not looked at.
pub const UNKNOWN_MAPPING: u16 = 0x4000;
/// Bit of `mapping` of an [`Ending`]: a regular file is mapped there, and has no page for it.
pub const PAST_END: u16 = 0x2000;

/// Levels of control groups that are looked at and named.
pub const GROUP_LEVELS: usize = 6;
/// Bytes of a group's name that are kept.
pub const GROUP_NAME_BYTES: usize = 64;
/// Entries of `OOM_GROUPS`: 64 × 480 B.
pub const OOM_GROUPS_MAX: u32 = 64;

/// Value of `OOM_GROUPS`, key tgid of the victim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct OomGroup {
    /// `CLOCK_MONOTONIC` ns.
    pub at_ns: u64,
    /// Limit of the nearest memory group that is full, in pages; 0: none is, the host is.
    pub limit_pages: u64,
    /// Pages that it had.
    pub used_pages: u64,
    /// Anonymous pages of the victim.
    pub anon_pages: u64,
    /// Level of that group: 0 is the victim's own.
    pub level: u32,
    /// Levels named.
    pub levels: u32,
    /// Names of the groups, the victim's own first.
    pub names: [[u8; GROUP_NAME_BYTES]; GROUP_LEVELS],
}
assert_abi!(
    OomGroup,
    size = 424,
    align = 8,
    fields = [[u64; 4], u32, u32, [[u8; GROUP_NAME_BYTES]; GROUP_LEVELS]]
);

impl Default for OomGroup {
    fn default() -> Self {
        Self {
            at_ns: 0,
            limit_pages: 0,
            used_pages: 0,
            anon_pages: 0,
            level: 0,
            levels: 0,
            names: [[0; GROUP_NAME_BYTES]; GROUP_LEVELS],
        }
    }
}

offsets! {
    "Offsets into kernel structures for ends, from the running kernel's BTF."
    EndingOffsets
    #[doc = "`mm_struct.arg_start`"]
    mm_arg_start,
    #[doc = "`mm_struct.arg_end`"]
    mm_arg_end,
    #[doc = "`mm_struct.env_end`: the path of the program follows"]
    mm_env_end,
    #[doc = "`mm_struct.total_vm`"]
    mm_total_vm,
    #[doc = "`mm_struct.data_vm`"]
    mm_data_vm,
    #[doc = "`signal_struct.rlim`"]
    signal_rlim,
    #[doc = "`task_struct.thread.error_code`"]
    task_error_code,
    #[doc = "`task_struct.thread.trap_nr`"]
    task_trap_nr,
    #[doc = "`task_struct.cgroups`"]
    task_cgroups,
    #[doc = "`css_set.subsys[memory_cgrp_id]`"]
    cgroups_memory,
    #[doc = "`cgroup_subsys_state.parent`"]
    css_parent,
    #[doc = "`cgroup_subsys_state.cgroup`"]
    css_cgroup,
    #[doc = "`cgroup.kn`"]
    cgroup_kn,
    #[doc = "`kernfs_node.name`"]
    kn_name,
    #[doc = "`mem_cgroup.memory.max`"]
    memory_max,
    #[doc = "`mem_cgroup.memory.usage`"]
    memory_usage,
    #[doc = "`dentry.d_parent`"]
    dentry_parent,
    #[doc = "`vm_area_struct.vm_flags`"]
    vma_flags,
    #[doc = "`vm_area_struct.vm_start`"]
    vma_start,
    #[doc = "`vm_area_struct.vm_pgoff`"]
    vma_pgoff,
    #[doc = "`vm_area_struct.vm_file`"]
    vma_file,
    #[doc = "`inode.i_size`"]
    inode_size,
}
assert_abi!(EndingOffsets, size = 88, align = 4, fields = [[u32; 22]]);

/// `ended` of a [`ProcessEvent`](super::process::ProcessEvent): there are last words.
pub const ENDED_WORDS: u32 = 1;
/// There are failed calls.
pub const ENDED_CALLS: u32 = 2;
