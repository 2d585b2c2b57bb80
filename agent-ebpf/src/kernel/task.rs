//! Kernel structures through plain loads, for `tp_btf` programs: no helper call, so cheap enough for every switch.

use agent_common::abi::COMM_LEN;
use agent_common::abi::sched::SchedOffsets;
use agent_common::abi::settings::NO_OFFSET;
use aya_ebpf::helpers::generated::bpf_task_pt_regs;
use aya_ebpf::programs::BtfTracePointContext;

use super::{KernelPtr, TS_COMPAT, pt_regs};

/// Overridden by the loader before the programs are verified.
#[unsafe(no_mangle)]
pub(crate) static SCHED_OFFSETS: SchedOffsets = SchedOffsets::UNKNOWN;

/// Loads one offset, as `offset!` does.
macro_rules! at {
    ($field:ident) => {
        // SAFETY: a static of plain integers.
        unsafe { core::ptr::read_volatile(&raw const $crate::kernel::task::SCHED_OFFSETS.$field) }
    };
}
pub(crate) use at;

/// `PF_KTHREAD`: no user memory, no system calls.
const PF_KTHREAD: u32 = 0x0020_0000;
/// `PF_IO_WORKER` (since 5.12), `PF_USER_WORKER` (since 6.4): threads of a process that never leave the kernel.
const PF_WORKER: u32 = 0x10 | 0x4000;

/// `THREAD_SIZE` of x86-64 without KASAN, for kernels without `bpf_task_pt_regs`.
const THREAD_SIZE: usize = 16_384;
/// `sizeof(struct pt_regs)` of x86-64.
const PT_REGS: usize = 168;

/// Where the registers of user mode lie on a kernel stack.
#[inline(always)]
pub(super) fn regs_on(stack: usize) -> KernelPtr {
    KernelPtr((stack + THREAD_SIZE - PT_REGS) as *const u8)
}

/// A pointer whose type the verifier knows: what it points to may be loaded, and followed.
#[derive(Clone, Copy)]
pub(crate) struct Typed(pub(crate) *const u8);

impl Typed {
    /// Argument `n` of the tracepoint.
    #[inline(always)]
    pub(crate) fn arg(ctx: &BtfTracePointContext, n: usize) -> Self {
        Self(ctx.arg(n))
    }

    /// A plain load. The verifier checks that a `T` lies there; the address may be bad all the same in a pointer that
    /// was followed, which loads 0.
    #[inline(always)]
    pub(crate) fn load<T: Copy>(self, offset: u32) -> T {
        // SAFETY: see above.
        unsafe { self.0.add(offset as usize).cast::<T>().read_volatile() }
    }

    #[inline(always)]
    pub(crate) fn follow(self, offset: u32) -> Self {
        Self(self.load::<*const u8>(offset))
    }
}

/// `struct task_struct *` of a tracepoint.
#[derive(Clone, Copy)]
pub(crate) struct Task(pub(crate) Typed);

impl Task {
    #[inline(always)]
    pub(crate) fn arg(ctx: &BtfTracePointContext, n: usize) -> Self {
        Self(Typed::arg(ctx, n))
    }

    #[inline(always)]
    pub(crate) fn tid(self) -> u32 {
        self.0.load(at!(task_pid))
    }

    #[inline(always)]
    pub(crate) fn tgid(self) -> u32 {
        self.0.load(at!(task_tgid))
    }

    /// Whether it is a thread without user mode: a kernel thread, or an io_uring worker.
    #[inline(always)]
    pub(crate) fn in_kernel_only(self) -> bool {
        self.0.load::<u32>(at!(task_flags)) & (PF_KTHREAD | PF_WORKER) != 0
    }

    /// `__state` itself, for kernels whose `sched_switch` does not tell. 8 bytes before 5.14: the low 4 have it all.
    #[inline(always)]
    pub(crate) fn state(self) -> u32 {
        self.0.load(at!(task_state))
    }

    #[inline(always)]
    pub(crate) fn in_iowait(self) -> bool {
        u32::from(self.0.load::<u8>(at!(task_iowait))) & at!(task_iowait_mask) != 0
    }

    /// Whether the quota of its group is used up: since 6.18 the task itself is marked, before that its queue.
    #[inline(always)]
    pub(crate) fn throttled(self) -> bool {
        if at!(task_throttled) != NO_OFFSET {
            return self.0.load::<u8>(at!(task_throttled)) != 0;
        }
        if at!(cfs_rq_throttle_count) == NO_OFFSET {
            return false;
        }
        self.0.follow(at!(task_cfs_rq)).load::<i32>(at!(cfs_rq_throttle_count)) != 0
    }

    /// Whether it leads a process in which another thread has called exec: that one waits for its end, and takes its number
    /// over (fs/exec.c, `de_thread`).
    #[inline(always)]
    pub(crate) fn gives_way_to_exec(self) -> bool {
        at!(signal_exec_task) != NO_OFFSET
            && self.tid() == self.tgid()
            && self.0.follow(at!(task_signal)).load::<u64>(at!(signal_exec_task)) != 0
    }

    #[inline(always)]
    pub(crate) fn comm(self) -> [u8; COMM_LEN] {
        let words: [u64; 2] = [self.0.load(at!(task_comm)), self.0.load(at!(task_comm) + 8)];
        // SAFETY: both are 16 plain bytes.
        unsafe { core::mem::transmute(words) }
    }

    /// Whether its system call came through the 32-bit gate.
    #[inline(always)]
    pub(crate) fn compat(self) -> bool {
        self.0.load::<u32>(at!(task_thread_status)) & TS_COMPAT != 0
    }

    /// The registers it entered the kernel with.
    #[inline(always)]
    pub(crate) fn regs(self) -> Regs {
        if at!(pt_regs_helper) == NO_OFFSET {
            return Regs::Checked(regs_on(self.0.load(at!(task_stack))));
        }
        // SAFETY: a task of the tracepoint.
        Regs::Typed(Typed(unsafe { bpf_task_pt_regs(self.0.0.cast_mut().cast()) } as *const u8))
    }

    /// The file behind descriptor `fd`: the address of its `struct file`.
    #[inline(always)]
    pub(crate) fn file(self, fd: u32) -> Option<KernelPtr> {
        let table = self.0.follow(at!(task_files)).follow(at!(files_fdt));
        if fd >= table.load::<u32>(at!(fdtable_max_fds)) {
            return None;
        }
        let files: usize = table.load(at!(fdtable_fd));
        KernelPtr(files as *const u8).follow(fd * 8)
    }
}

/// User registers of a thread in the kernel (x86-64 `struct pt_regs`, the same in every kernel).
#[derive(Clone, Copy)]
pub(crate) enum Regs {
    Typed(Typed),
    Checked(KernelPtr),
}

impl Regs {
    #[inline(always)]
    fn at(self, offset: u32) -> u64 {
        match self {
            Self::Typed(regs) => regs.load(offset),
            Self::Checked(regs) => regs.value(offset),
        }
    }

    /// Number of the system call; −1 in a page fault or an interrupt.
    #[inline(always)]
    pub(crate) fn call(self) -> i64 {
        self.at(pt_regs::ORIG_AX) as i64
    }

    /// First three arguments of a system call.
    #[inline(always)]
    pub(crate) fn args(self, compat: bool) -> [u64; 3] {
        if compat {
            return [pt_regs::BX, pt_regs::CX, pt_regs::DX].map(|offset| self.at(offset) & 0xffff_ffff);
        }
        [pt_regs::DI, pt_regs::SI, pt_regs::DX].map(|offset| self.at(offset))
    }

    /// User instruction pointer and stack pointer.
    #[inline(always)]
    pub(crate) fn user(self) -> (u64, u64) {
        (self.at(pt_regs::IP), self.at(pt_regs::SP))
    }
}
