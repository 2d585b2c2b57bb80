//! Every read of a kernel structure. Offsets come from the running kernel's BTF ([`OFFSETS`], set at load).

use core::arch::asm;
use core::ffi::c_void;
pub(crate) mod task;

use agent_common::abi::COMM_LEN;
use agent_common::abi::process::numbered;
use agent_common::abi::resources::Layout;
use agent_common::abi::runqlat::Cpu;
use agent_common::abi::settings::{NO_OFFSET, Offsets};
use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::{
    bpf_get_current_pid_tgid, bpf_get_current_task, bpf_get_current_task_btf, bpf_probe_read_kernel,
    generated,
};
use aya_ebpf::programs::{BtfTracePointContext, RawTracePointContext};

use crate::runqlat;

/// Overridden by the loader before the programs are verified, so that dead branches cost nothing.
#[unsafe(no_mangle)]
pub(crate) static OFFSETS: Offsets = Offsets::UNKNOWN;

/// Loads one offset. Volatile, since the compiler must not use the value it sees; one field, since a load of the whole
/// structure cost 20 ns a syscall.
macro_rules! offset {
    ($field:ident) => {
        // SAFETY: a static of plain integers.
        unsafe { core::ptr::read_volatile(&raw const $crate::kernel::OFFSETS.$field) }
    };
}
pub(crate) use offset;

/// The same for the resource probes.
#[unsafe(no_mangle)]
pub(crate) static LAYOUT: Layout = Layout::UNKNOWN;

/// Loads one field of [`LAYOUT`], for the reasons given at [`offset`].
macro_rules! layout {
    ($field:ident) => {
        // SAFETY: a static of plain integers.
        unsafe { core::ptr::read_volatile(&raw const $crate::kernel::LAYOUT.$field) }
    };
}
pub(crate) use layout;

/// `pt_regs` of x86-64: part of the user ABI (`struct user_regs_struct`), the same in every kernel.
mod pt_regs {
    pub(super) const BP: u32 = 32;
    pub(super) const BX: u32 = 40;
    pub(super) const R11: u32 = 48;
    pub(super) const R10: u32 = 56;
    pub(super) const R9: u32 = 64;
    pub(super) const R8: u32 = 72;
    pub(super) const CX: u32 = 88;
    pub(super) const DX: u32 = 96;
    pub(super) const SI: u32 = 104;
    pub(super) const DI: u32 = 112;
    pub(super) const ORIG_AX: u32 = 120;
    pub(super) const IP: u32 = 128;
    pub(super) const FLAGS: u32 = 144;
    pub(super) const SP: u32 = 152;
}
/// Where the arguments of a 64-bit call are, and of a 32-bit one.
const ARGUMENTS: [u32; 6] = [pt_regs::DI, pt_regs::SI, pt_regs::DX, pt_regs::R10, pt_regs::R8, pt_regs::R9];
const ARGUMENTS_COMPAT: [u32; 6] =
    [pt_regs::BX, pt_regs::CX, pt_regs::DX, pt_regs::SI, pt_regs::DI, pt_regs::BP];

/// `TS_COMPAT` in `thread_info.status` (arch/x86/include/asm/thread_info.h): the call came through the 32-bit gate.
const TS_COMPAT: u32 = 2;

/// Argument at `8 * n` bytes of a raw tracepoint, where which one it is depends on the kernel. In assembly: of two plain
/// loads in two branches the compiler makes one at a computed address, which the verifier refuses
/// ("dereference of modified ctx ptr").
#[inline(always)]
pub(crate) fn raw_argument<const BYTES: usize>(ctx: &RawTracePointContext) -> u64 {
    let value: u64;
    // SAFETY: the verifier checks that the tracepoint has an argument there.
    unsafe {
        asm!(
            "{value} = *(u64 *)({ctx} + {offset})",
            value = out(reg) value,
            ctx = in(reg) ctx.as_ptr(),
            offset = const BYTES,
            options(nostack, readonly, pure),
        );
    }
    value
}

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

    /// Reads a u64 at `offset`, 0 where that fails. No branch on the outcome: five sums of three reads each were 2^15
    /// paths, more than the verifier of 5.10 walks.
    #[inline(always)]
    pub(crate) fn value(self, offset: u32) -> u64 {
        if offset == NO_OFFSET {
            return 0;
        }
        let mut value = 0u64;
        // SAFETY: the helper checks the address, and zeroes what it cannot read.
        unsafe {
            generated::bpf_probe_read_kernel(
                (&raw mut value).cast(),
                size_of::<u64>() as u32,
                self.0.wrapping_add(offset as usize).cast(),
            );
        }
        value
    }

    /// Follows the pointer stored at `offset`.
    #[inline(always)]
    pub(crate) fn follow(self, offset: u32) -> Option<Self> {
        self.read::<*const u8>(offset).filter(|p| !p.is_null()).map(Self)
    }

    #[inline(always)]
    pub(crate) fn comm(self) -> [u8; COMM_LEN] {
        self.read(offset!(task_comm)).unwrap_or([0; COMM_LEN])
    }
}

/// The registers that the current task entered the kernel with: a `struct pt_regs`.
#[inline(always)]
pub(crate) fn user_regs() -> Option<KernelPtr> {
    if task::at!(pt_regs_helper) == NO_OFFSET {
        // SAFETY: no arguments.
        let task = KernelPtr(unsafe { bpf_get_current_task() } as *const u8);
        return task.read(task::at!(task_stack)).map(task::regs_on);
    }
    // SAFETY: no arguments.
    let task = unsafe { bpf_get_current_task_btf() };
    // SAFETY: the current task.
    Some(KernelPtr(unsafe { generated::bpf_task_pt_regs(task) } as *const u8))
}

/// FS base of the current thread, by which user space tells its threads apart; 0 where it is not known. The kernel notes it
/// whenever a thread sets it.
#[inline(always)]
pub(crate) fn fs_base() -> u64 {
    // SAFETY: no arguments.
    KernelPtr(unsafe { bpf_get_current_task() } as *const u8).value(offset!(task_fsbase))
}

/// What the syscall hooks ask about the current task. Two ways to read it, one piece of accounting.
pub(crate) trait CurrentTask {
    /// Process ([`numbered`]), thread id. `cpu` is the one it runs on.
    fn ids(&self, cpu: *mut Cpu) -> (u32, u32);
    /// Whether the current system call came through the 32-bit gate.
    fn compat(&self) -> bool;
    /// Syscall number that `regs` left with: −1 after `rt_sigreturn`. `None` when it cannot be read.
    fn orig_ax(&self) -> Option<i64>;
    /// Second argument of the tracepoint: the number at `sys_enter`, the result at `sys_exit`.
    fn second(&self) -> i64;
    /// Argument of the call, 0 to 5; at `sys_exit` as well.
    fn argument<const N: usize>(&self, compat: bool) -> u64;
    /// The file behind a descriptor of the current task: the address of its `struct file`.
    fn file(&self, fd: u32) -> Option<KernelPtr>;
    /// What the stack helper wants.
    fn context(&self) -> *mut c_void;
}

/// `tp_btf`: plain loads, which the verifier checks against BTF. Each helper call costs 10 ns and more where returns are
/// guarded (SRSO, retpolines): the current task is asked for once a turn on a CPU, then its registers tell it again.
/// Needs `bpf_get_current_task_btf`, since 5.11, and `cmpxchg`, since 5.12.
pub(crate) struct Typed<'a>(pub(crate) &'a BtfTracePointContext);

impl Typed<'_> {
    /// First argument: the user registers of the call, on the thread's own kernel stack.
    #[inline(always)]
    fn regs(&self) -> *const u8 {
        self.0.arg(0)
    }

    #[inline(always)]
    fn reg(&self, offset: u32) -> u64 {
        // SAFETY: a `struct pt_regs *`, which the verifier knows.
        unsafe { self.regs().add(offset as usize).cast::<u64>().read_volatile() }
    }
}

/// The current task, a pointer that the verifier knows.
#[inline(always)]
fn current_task() -> task::Typed {
    // SAFETY: no arguments.
    task::Typed(unsafe { bpf_get_current_task_btf() } as *const u8)
}

impl CurrentTask for Typed<'_> {
    #[inline(always)]
    fn ids(&self, cpu: *mut Cpu) -> (u32, u32) {
        let regs = self.regs() as u64;
        runqlat::caller(cpu, regs).unwrap_or_else(|found| {
            let task = current_task();
            let start = task.follow(offset!(task_group_leader)).load(offset!(task_start_boottime));
            let ids = (numbered(task.load(offset!(task_tgid)), start), task.load(offset!(task_pid)));
            runqlat::note_caller(cpu, found, regs, ids);
            ids
        })
    }

    #[inline(always)]
    fn compat(&self) -> bool {
        // The 64-bit gate alone leaves the return address in rcx and the flags in r11 as well (SYSCALL does).
        if self.reg(pt_regs::CX) == self.reg(pt_regs::IP)
            && self.reg(pt_regs::R11) == self.reg(pt_regs::FLAGS)
        {
            return false;
        }
        current_task().load::<u32>(offset!(task_thread_status)) & TS_COMPAT != 0
    }

    #[inline(always)]
    fn orig_ax(&self) -> Option<i64> {
        Some(self.reg(pt_regs::ORIG_AX) as i64)
    }

    #[inline(always)]
    fn argument<const N: usize>(&self, compat: bool) -> u64 {
        if compat { self.reg(ARGUMENTS_COMPAT[N]) & 0xffff_ffff } else { self.reg(ARGUMENTS[N]) }
    }

    #[inline(always)]
    fn file(&self, fd: u32) -> Option<KernelPtr> {
        task::Task(current_task()).file(fd)
    }

    #[inline(always)]
    fn second(&self) -> i64 {
        self.0.arg(1)
    }

    #[inline(always)]
    fn context(&self) -> *mut c_void {
        self.0.as_ptr()
    }
}

/// `raw_tp`: checked reads, for kernels that refuse [`Typed`] (5.10).
pub(crate) struct Checked<'a>(pub(crate) &'a RawTracePointContext);

impl CurrentTask for Checked<'_> {
    #[inline(always)]
    fn ids(&self, _cpu: *mut Cpu) -> (u32, u32) {
        let pid_tgid = bpf_get_current_pid_tgid();
        // SAFETY: no arguments.
        let task = KernelPtr(unsafe { bpf_get_current_task() } as *const u8);
        let start =
            task.follow(offset!(task_group_leader)).map_or(0, |l| l.value(offset!(task_start_boottime)));
        (numbered((pid_tgid >> 32) as u32, start), pid_tgid as u32)
    }

    #[inline(always)]
    fn compat(&self) -> bool {
        // SAFETY: no arguments.
        let task = KernelPtr(unsafe { bpf_get_current_task() } as *const u8);
        task.read::<u32>(offset!(task_thread_status)).is_some_and(|status| status & TS_COMPAT != 0)
    }

    #[inline(always)]
    fn orig_ax(&self) -> Option<i64> {
        KernelPtr(self.0.arg::<u64>(0) as *const u8).read(pt_regs::ORIG_AX)
    }

    #[inline(always)]
    fn argument<const N: usize>(&self, compat: bool) -> u64 {
        let regs = KernelPtr(self.0.arg::<u64>(0) as *const u8);
        if compat { regs.value(ARGUMENTS_COMPAT[N]) & 0xffff_ffff } else { regs.value(ARGUMENTS[N]) }
    }

    #[inline(always)]
    fn file(&self, fd: u32) -> Option<KernelPtr> {
        // SAFETY: no arguments.
        let task = KernelPtr(unsafe { bpf_get_current_task() } as *const u8);
        let table = task.follow(task::at!(task_files))?.follow(task::at!(files_fdt))?;
        if fd >= table.read::<u32>(task::at!(fdtable_max_fds))? {
            return None;
        }
        table.follow(task::at!(fdtable_fd))?.follow(fd * 8)
    }

    #[inline(always)]
    fn second(&self) -> i64 {
        self.0.arg::<u64>(1) as i64
    }

    #[inline(always)]
    fn context(&self) -> *mut c_void {
        self.0.as_ptr()
    }
}
