//! The BPF object: hooks here, one feature a file.
//!
//! A hook reads nothing itself: it calls one `try_*` of its feature. Every failure path ends in a counter of
//! [`drops`]. Built by `cargo xtask build-ebpf` only.
#![no_std]
#![no_main]
#![allow(missing_docs, reason = "the map and hook macros make undocumented items")]
#![allow(unreachable_pub, reason = "the hook macros export what they are given")]

mod drops;
mod empty;
mod filter;
mod kernel;
mod oncpu;
mod process;
mod settings;
mod syscalls;

use aya_ebpf::macros::{btf_tracepoint, perf_event, raw_tracepoint};
use aya_ebpf::programs::{BtfTracePointContext, PerfEventContext, RawTracePointContext};

use crate::kernel::{Checked, Typed};

/// `tp_btf/sys_enter(struct pt_regs *regs, long id)`, since 5.11 (`bpf_get_current_task_btf`). `id` is −1 for a
/// number the caller made up.
#[btf_tracepoint(function = "sys_enter")]
pub fn syscall_enter(ctx: BtfTracePointContext) -> i32 {
    syscalls::try_enter(&Typed::new(&ctx));
    0
}

/// `tp_btf/sys_exit(struct pt_regs *regs, long ret)`, since 5.11. `regs->orig_ax` is −1 after `rt_sigreturn`.
#[btf_tracepoint(function = "sys_exit")]
pub fn syscall_exit(ctx: BtfTracePointContext) -> i32 {
    syscalls::try_exit(&Typed::new(&ctx));
    0
}

/// `raw_tp/sys_enter`, since 4.17: where [`syscall_enter`] is refused.
#[raw_tracepoint(tracepoint = "sys_enter")]
pub fn syscall_enter_r(ctx: RawTracePointContext) -> i32 {
    syscalls::try_enter(&Checked(&ctx));
    0
}

/// `raw_tp/sys_exit`, since 4.17: where [`syscall_exit`] is refused.
#[raw_tracepoint(tracepoint = "sys_exit")]
pub fn syscall_exit_r(ctx: RawTracePointContext) -> i32 {
    syscalls::try_exit(&Checked(&ctx));
    0
}

/// perf event, software CPU clock: an hrtimer per CPU, also on idle CPUs; never in NMI.
#[perf_event]
pub fn oncpu_sample(ctx: PerfEventContext) -> i32 {
    oncpu::try_sample(&ctx);
    0
}

/// `raw_tp/sched_process_fork(struct task_struct *parent, struct task_struct *child)`, for threads as well.
#[raw_tracepoint(tracepoint = "sched_process_fork")]
pub fn process_fork(ctx: RawTracePointContext) -> i32 {
    process::try_fork(&ctx);
    0
}

/// `raw_tp/sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`; `old_pid` is
/// the tid before the exec: another one than `p->pid` when a thread that was not the leader called exec.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn process_exec(ctx: RawTracePointContext) -> i32 {
    process::try_exec(&ctx);
    0
}

/// `raw_tp/sched_process_exit(struct task_struct *p)` (6.16 adds `bool group_dead`), for every thread, from
/// `do_exit` after `signal->live` was decremented.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn process_exit(ctx: RawTracePointContext) -> i32 {
    process::try_exit(&ctx);
    0
}

/// Yardstick of `cargo xtask bench syscalls`: what any program on `sys_enter` costs.
#[raw_tracepoint(tracepoint = "sys_enter")]
pub fn empty_enter(ctx: RawTracePointContext) -> i32 {
    empty::nothing(&ctx)
}

/// Yardstick of `cargo xtask bench syscalls`: what any program on `sys_exit` costs.
#[raw_tracepoint(tracepoint = "sys_exit")]
pub fn empty_exit(ctx: RawTracePointContext) -> i32 {
    empty::nothing(&ctx)
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// A loop, not `unreachable_unchecked`: a panic that can be reached must be refused by the verifier.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
