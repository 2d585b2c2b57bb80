//! The BPF object: hooks here, one feature a file.
//!
//! A hook reads nothing itself: it calls one `try_*` of its feature. Every failure path ends in a counter of
//! [`drops`]. Built by `cargo xtask build-ebpf` only.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![allow(missing_docs, reason = "the map and hook macros make undocumented items")]
#![allow(unreachable_pub, reason = "the hook macros export what they are given")]

mod blockio;
mod counters;
mod drops;
mod empty;
mod endings;
mod filter;
mod irq;
mod kernel;
mod locks;
mod memory;
mod net;
mod offcpu;
mod oncpu;
mod open;
mod process;
mod runqlat;
mod sched;
mod settings;
mod signals;
mod syscalls;
mod unwind;

use aya_ebpf::macros::{btf_tracepoint, perf_event, raw_tracepoint};
use aya_ebpf::programs::{BtfTracePointContext, PerfEventContext, RawTracePointContext};

use crate::kernel::{Checked, Typed};
use crate::net::Trouble;

/// `tp_btf/sys_enter(struct pt_regs *regs, long id)`, since 5.12 (`cmpxchg`). `id` is −1 for a
/// number the caller made up.
#[btf_tracepoint(function = "sys_enter")]
pub fn syscall_enter(ctx: BtfTracePointContext) -> i32 {
    syscalls::try_enter::<true>(&Typed(&ctx));
    0
}

/// `tp_btf/sys_exit(struct pt_regs *regs, long ret)`, since 5.17 (`bpf_loop`). `regs->orig_ax` is −1 after `rt_sigreturn`.
#[btf_tracepoint(function = "sys_exit")]
pub fn syscall_exit(ctx: BtfTracePointContext) -> i32 {
    syscalls::try_exit::<true>(&Typed(&ctx));
    0
}

/// `raw_tp/sys_enter`, since 4.17: where [`syscall_enter`] is refused.
#[raw_tracepoint(tracepoint = "sys_enter")]
pub fn syscall_enter_r(ctx: RawTracePointContext) -> i32 {
    syscalls::try_enter::<false>(&Checked(&ctx));
    0
}

/// `raw_tp/sys_exit`, since 4.17: where [`syscall_exit`] is refused.
#[raw_tracepoint(tracepoint = "sys_exit")]
pub fn syscall_exit_r(ctx: RawTracePointContext) -> i32 {
    syscalls::try_exit::<false>(&Checked(&ctx));
    0
}

/// `tp_btf/sched_switch(bool preempt, struct task_struct *prev, struct task_struct *next, unsigned int prev_state)`;
/// `prev_state` since 5.18. Interrupts are off; `prev` is current. A thread's last switch has `TASK_DEAD`.
#[btf_tracepoint(function = "sched_switch")]
pub fn sched_switch(ctx: BtfTracePointContext) -> i32 {
    sched::try_switch(&ctx);
    0
}

/// `tp_btf/sched_waking(struct task_struct *p)`: before the wake-up, in the waker's context; interrupts are off. `bpf_loop`
/// since 5.17.
#[btf_tracepoint(function = "sched_waking")]
pub fn sched_waking(ctx: BtfTracePointContext) -> i32 {
    sched::try_waking::<true>(&ctx);
    0
}

/// The same where [`sched_waking`] is refused.
#[btf_tracepoint(function = "sched_waking")]
pub fn sched_waking_r(ctx: BtfTracePointContext) -> i32 {
    sched::try_waking::<false>(&ctx);
    0
}

/// `tp_btf/sched_wakeup_new(struct task_struct *p)`: the first wake-up of a thread, in its parent's context.
#[btf_tracepoint(function = "sched_wakeup_new")]
pub fn sched_wakeup_new(ctx: BtfTracePointContext) -> i32 {
    sched::try_wakeup_new(&ctx);
    0
}

/// `tp_btf/task_rename(struct task_struct *task, const char *comm)`: exec and `PR_SET_NAME`.
#[btf_tracepoint(function = "task_rename")]
pub fn task_rename(ctx: BtfTracePointContext) -> i32 {
    sched::try_rename(&ctx);
    0
}

/// perf event, software CPU clock: an hrtimer per CPU, also on idle CPUs; never in NMI. `bpf_loop` since 5.17.
#[perf_event]
pub fn oncpu_sample(ctx: PerfEventContext) -> i32 {
    oncpu::try_sample::<true>(&ctx);
    0
}

/// The same where [`oncpu_sample`] is refused.
#[perf_event]
pub fn oncpu_sample_r(ctx: PerfEventContext) -> i32 {
    oncpu::try_sample::<false>(&ctx);
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

/// `raw_tp/block_io_start(struct request *rq)`, since 6.4: in the context of whoever submits it.
#[raw_tracepoint(tracepoint = "block_io_start")]
pub fn block_start(ctx: RawTracePointContext) -> i32 {
    blockio::try_start(&ctx);
    0
}

/// `raw_tp/block_rq_insert(struct request *rq)` (until 5.10 `(struct request_queue *q, struct request *rq)`), where there is no
/// [`block_start`]: only requests that pass a scheduler.
#[raw_tracepoint(tracepoint = "block_rq_insert")]
pub fn block_insert(ctx: RawTracePointContext) -> i32 {
    blockio::try_insert(&ctx);
    0
}

/// `raw_tp/block_rq_issue(struct request *rq)` (until 5.10 with the queue before it).
#[raw_tracepoint(tracepoint = "block_rq_issue")]
pub fn block_issue(ctx: RawTracePointContext) -> i32 {
    blockio::try_issue(&ctx);
    0
}

/// `raw_tp/block_rq_merge(struct request *rq)`, since 5.13: `rq` has gone into the one before it.
#[raw_tracepoint(tracepoint = "block_rq_merge")]
pub fn block_merge(ctx: RawTracePointContext) -> i32 {
    blockio::try_merge(&ctx);
    0
}

/// `raw_tp/block_rq_complete(struct request *rq, blk_status_t error, unsigned int nr_bytes)` (until 5.15 `int error`); from
/// interrupts, and several times for a request that completes in parts.
#[raw_tracepoint(tracepoint = "block_rq_complete")]
pub fn block_complete(ctx: RawTracePointContext) -> i32 {
    blockio::try_complete(&ctx);
    0
}

/// `raw_tp/mm_vmscan_direct_reclaim_begin(int order, gfp_t gfp_flags)`.
#[raw_tracepoint(tracepoint = "mm_vmscan_direct_reclaim_begin")]
pub fn reclaim_begin(_ctx: RawTracePointContext) -> i32 {
    memory::try_reclaim_begin();
    0
}

/// `raw_tp/mm_vmscan_direct_reclaim_end(unsigned long nr_reclaimed)`.
#[raw_tracepoint(tracepoint = "mm_vmscan_direct_reclaim_end")]
pub fn reclaim_end(ctx: RawTracePointContext) -> i32 {
    memory::try_reclaim_end(&ctx);
    0
}

/// `raw_tp/mm_vmscan_memcg_reclaim_begin(int order, gfp_t gfp_flags)`: at the limit of a memory cgroup.
#[raw_tracepoint(tracepoint = "mm_vmscan_memcg_reclaim_begin")]
pub fn cg_reclaim_begin(_ctx: RawTracePointContext) -> i32 {
    memory::try_reclaim_begin();
    0
}

/// `raw_tp/mm_vmscan_memcg_reclaim_end(unsigned long nr_reclaimed)`.
#[raw_tracepoint(tracepoint = "mm_vmscan_memcg_reclaim_end")]
pub fn cg_reclaim_end(ctx: RawTracePointContext) -> i32 {
    memory::try_reclaim_end(&ctx);
    0
}

/// `raw_tp/mm_compaction_begin(…)`: also by `kcompactd`, a process of its own.
#[raw_tracepoint(tracepoint = "mm_compaction_begin")]
pub fn compact_begin(_ctx: RawTracePointContext) -> i32 {
    memory::try_compaction_begin();
    0
}

/// `raw_tp/mm_compaction_end(…)`.
#[raw_tracepoint(tracepoint = "mm_compaction_end")]
pub fn compact_end(_ctx: RawTracePointContext) -> i32 {
    memory::try_compaction_end();
    0
}

/// `raw_tp/balance_dirty_pages(…, unsigned long period, long pause, unsigned long start_time)`: 12 arguments, 8 since 6.15; the
/// pause in ticks, 0 or less where the writer goes on.
#[raw_tracepoint(tracepoint = "balance_dirty_pages")]
pub fn dirty_throttle(ctx: RawTracePointContext) -> i32 {
    memory::try_throttle(&ctx);
    0
}

/// `raw_tp/mark_victim(struct task_struct *task, uid_t uid)`, until 6.8 `(int pid)`.
#[raw_tracepoint(tracepoint = "mark_victim")]
pub fn oom_victim(ctx: RawTracePointContext) -> i32 {
    memory::try_oom(&ctx);
    0
}

/// `raw_tp/softirq_entry(unsigned int vec_nr)`.
#[raw_tracepoint(tracepoint = "softirq_entry")]
pub fn softirq_entry(_ctx: RawTracePointContext) -> i32 {
    irq::try_softirq_entry();
    0
}

/// `raw_tp/softirq_exit(unsigned int vec_nr)`.
#[raw_tracepoint(tracepoint = "softirq_exit")]
pub fn softirq_exit(ctx: RawTracePointContext) -> i32 {
    irq::try_softirq_exit(&ctx);
    0
}

/// `raw_tp/irq_handler_entry(int irq, struct irqaction *action)`.
#[raw_tracepoint(tracepoint = "irq_handler_entry")]
pub fn hardirq_entry(_ctx: RawTracePointContext) -> i32 {
    irq::try_hardirq_entry();
    0
}

/// `raw_tp/irq_handler_exit(int irq, struct irqaction *action, int ret)`.
#[raw_tracepoint(tracepoint = "irq_handler_exit")]
pub fn hardirq_exit(_ctx: RawTracePointContext) -> i32 {
    irq::try_hardirq_exit();
    0
}

/// `raw_tp/signal_generate(int sig, struct kernel_siginfo *info, struct task_struct *task, int group, int result)`.
#[raw_tracepoint(tracepoint = "signal_generate")]
pub fn signal_sent(ctx: RawTracePointContext) -> i32 {
    signals::try_generate(&ctx);
    0
}

/// `raw_tp/signal_deliver(int sig, struct kernel_siginfo *info, struct k_sigaction *ka)`: in the receiver, before the default
/// action; its memory is there. `bpf_loop` and `bpf_find_vma` since 5.17.
#[raw_tracepoint(tracepoint = "signal_deliver")]
pub fn signal_ends(ctx: RawTracePointContext) -> i32 {
    endings::try_deliver::<true>(&ctx);
    0
}

/// The same where [`signal_ends`] is refused.
#[raw_tracepoint(tracepoint = "signal_deliver")]
pub fn signal_ends_r(ctx: RawTracePointContext) -> i32 {
    endings::try_deliver::<false>(&ctx);
    0
}

/// `raw_tp/sched_process_exit(struct task_struct *p)`: since 6.16 the memory is still there.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn process_ends(ctx: RawTracePointContext) -> i32 {
    endings::try_process_end::<true>(&ctx);
    0
}

/// The same where [`process_ends`] is refused.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn process_ends_r(ctx: RawTracePointContext) -> i32 {
    endings::try_process_end::<false>(&ctx);
    0
}

/// `raw_tp/contention_begin(void *lock, unsigned int flags)`, since 5.19.
#[raw_tracepoint(tracepoint = "contention_begin")]
pub fn lock_begin(ctx: RawTracePointContext) -> i32 {
    locks::try_begin(&ctx);
    0
}

/// `raw_tp/contention_end(void *lock, int ret)`, since 5.19.
#[raw_tracepoint(tracepoint = "contention_end")]
pub fn lock_end(ctx: RawTracePointContext) -> i32 {
    locks::try_end(&ctx);
    0
}

/// `raw_tp/inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`, since 4.16.
#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub fn sock_state(ctx: RawTracePointContext) -> i32 {
    net::try_state(ctx.arg(0), ctx.arg::<u64>(2) as u32);
    0
}

/// `raw_tp/tcp_retransmit_skb(const struct sock *sk, const struct sk_buff *skb)` (6.16 adds `int err`).
#[raw_tracepoint(tracepoint = "tcp_retransmit_skb")]
pub fn tcp_retransmit(ctx: RawTracePointContext) -> i32 {
    net::try_trouble(ctx.arg(0), Trouble::Retransmit);
    0
}

/// `raw_tp/tcp_send_reset(const struct sock *sk, const struct sk_buff *skb)` (6.10 adds the reason). No socket where nobody
/// listens.
#[raw_tracepoint(tracepoint = "tcp_send_reset")]
pub fn tcp_reset_sent(ctx: RawTracePointContext) -> i32 {
    net::try_reset_sent(ctx.arg(0), ctx.arg(1));
    0
}

/// `raw_tp/tcp_receive_reset(struct sock *sk)`.
#[raw_tracepoint(tracepoint = "tcp_receive_reset")]
pub fn tcp_reset_recv(ctx: RawTracePointContext) -> i32 {
    net::try_trouble(ctx.arg(0), Trouble::Reset);
    0
}

/// `raw_tp/udp_fail_queue_rcv_skb(int rc, struct sock *sk)` (6.10 adds the packet): no room in the receive buffer.
#[raw_tracepoint(tracepoint = "udp_fail_queue_rcv_skb")]
pub fn udp_queue_fail(ctx: RawTracePointContext) -> i32 {
    net::try_trouble(ctx.arg(1), Trouble::ReceiveDrop);
    0
}

/// `raw_tp/sock_rcvqueue_full(struct sock *sk, struct sk_buff *skb)`: raw sockets; UDP has its own.
#[raw_tracepoint(tracepoint = "sock_rcvqueue_full")]
pub fn sock_queue_full(ctx: RawTracePointContext) -> i32 {
    net::try_trouble(ctx.arg(0), Trouble::ReceiveDrop);
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
