//! Every read of a kernel structure. Offsets come from the running kernel's BTF ([`OFFSETS`], set at load).

use agent_common::abi::COMM_LEN;
use agent_common::abi::settings::{NO_OFFSET, Offsets};
use aya_ebpf::Global;
use aya_ebpf::helpers::{bpf_get_current_task, bpf_probe_read_kernel};

/// Overridden by the loader before the programs are verified, so that dead branches cost nothing.
#[unsafe(no_mangle)]
static OFFSETS: Global<Offsets> = Global::new(Offsets {
    task_tgid: NO_OFFSET,
    task_pid: NO_OFFSET,
    task_real_parent: NO_OFFSET,
    task_signal: NO_OFFSET,
    task_exit_code: NO_OFFSET,
    task_start_boottime: NO_OFFSET,
    task_utime: NO_OFFSET,
    task_stime: NO_OFFSET,
    task_min_flt: NO_OFFSET,
    task_maj_flt: NO_OFFSET,
    task_sum_exec_runtime: NO_OFFSET,
    task_comm: NO_OFFSET,
    task_thread_status: NO_OFFSET,
    task_group_leader: NO_OFFSET,
    signal_live: NO_OFFSET,
    signal_group_exit_code: NO_OFFSET,
    signal_utime: NO_OFFSET,
    signal_stime: NO_OFFSET,
    signal_min_flt: NO_OFFSET,
    signal_maj_flt: NO_OFFSET,
    signal_sum_sched_runtime: NO_OFFSET,
});

#[inline(always)]
pub(crate) fn offsets() -> Offsets {
    OFFSETS.load()
}

/// `pt_regs.orig_ax` of x86-64: part of the user ABI (`struct user_regs_struct`), the same in every kernel.
const PT_REGS_ORIG_AX: u32 = 120;
/// `TS_COMPAT` in `thread_info.status` (arch/x86/include/asm/thread_info.h): the call came through the 32-bit gate.
const TS_COMPAT: u32 = 2;

/// An address in kernel memory that is only ever read through the checked helper.
#[derive(Clone, Copy)]
pub(crate) struct KernelPtr(pub(crate) *const u8);

impl KernelPtr {
    /// Reads a `T` at `offset`; `None` when this kernel has no such field or the read faults.
    #[inline(always)]
    pub(crate) fn read<T: Copy>(self, offset: u32) -> Option<T> {
        if offset == NO_OFFSET {
            return None;
        }
        // SAFETY: the helper checks the address; `T` is plain data in every use.
        unsafe { bpf_probe_read_kernel(self.0.wrapping_add(offset as usize).cast::<T>()) }.ok()
    }

    /// Follows the pointer stored at `offset`.
    #[inline(always)]
    pub(crate) fn follow(self, offset: u32) -> Option<Self> {
        self.read::<*const u8>(offset).filter(|p| !p.is_null()).map(Self)
    }

    #[inline(always)]
    pub(crate) fn comm(self) -> [u8; COMM_LEN] {
        self.read(offsets().task_comm).unwrap_or([0; COMM_LEN])
    }
}

/// Syscall number that `regs` left with: −1 after `rt_sigreturn`.
#[inline(always)]
pub(crate) fn orig_ax(regs: KernelPtr) -> Option<i64> {
    regs.read(PT_REGS_ORIG_AX)
}

/// Whether the current system call came through the 32-bit gate.
#[inline(always)]
pub(crate) fn in_compat_syscall() -> bool {
    // SAFETY: no arguments.
    let task = KernelPtr(unsafe { bpf_get_current_task() } as *const u8);
    task.read::<u32>(offsets().task_thread_status).is_some_and(|status| status & TS_COMPAT != 0)
}
