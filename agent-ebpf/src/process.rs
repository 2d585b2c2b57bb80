//! Process life: fork, exec, exit of thread groups.

use agent_common::abi::drops::DropReason;
use agent_common::abi::process::{KIND_EXEC, KIND_EXIT, KIND_FORK, ProcessEvent, numbered};
use aya_ebpf::bindings::BPF_RB_NO_WAKEUP;
use aya_ebpf::helpers::{bpf_get_current_cgroup_id, bpf_get_current_uid_gid, bpf_ktime_get_ns};
use aya_ebpf::macros::map;
use aya_ebpf::maps::RingBuf;
use aya_ebpf::programs::RawTracePointContext;
use aya_log_ebpf::debug;

use crate::kernel::{KernelPtr, offset};
use crate::{drops, endings, filter, sched, settings, syscalls, unwind};

/// 2 MiB hold 20,000 events of 104 B: 7,000 process lives between two drains 100 ms apart.
const EVENTS_BYTES: u32 = 1 << 21;

#[map]
static PROCESS_EVENTS: RingBuf = RingBuf::with_byte_size(EVENTS_BYTES, 0);

/// The fields every kind carries.
#[inline(always)]
fn event_of(task: KernelPtr, kind: u32) -> Option<ProcessEvent> {
    let parent_tgid = task
        .follow(offset!(task_real_parent))
        .and_then(|p| p.read::<u32>(offset!(task_tgid)))
        .unwrap_or_default();
    // The thread that exits last is often not the leader: start and name are the process's own, not the thread's.
    let leader = task.follow(offset!(task_group_leader)).unwrap_or(task);
    Some(ProcessEvent {
        // SAFETY: no arguments.
        at_ns: unsafe { bpf_ktime_get_ns() },
        start_boot_ns: leader.read(offset!(task_start_boottime)).unwrap_or_default(),
        // SAFETY: no arguments.
        cgroup_id: unsafe { bpf_get_current_cgroup_id() },
        kind,
        tgid: task.read::<u32>(offset!(task_tgid))?,
        parent_tgid,
        comm: leader.comm(),
        ..ProcessEvent::default()
    })
}

#[inline(always)]
fn send(event: ProcessEvent) {
    let Some(mut slot) = PROCESS_EVENTS.reserve::<ProcessEvent>(0) else {
        drops::count(DropReason::ProcessRingFull);
        return;
    };
    slot.write(event);
    slot.submit(u64::from(BPF_RB_NO_WAKEUP));
}

#[inline(always)]
pub(crate) fn try_fork(ctx: &RawTracePointContext) {
    let Some(settings) = settings::get() else { return };
    let parent = KernelPtr(ctx.arg::<u64>(0) as *const u8);
    let child = KernelPtr(ctx.arg::<u64>(1) as *const u8);
    let (Some(child_tid), Some(child_tgid), Some(parent_tgid)) = (
        child.read::<u32>(offset!(task_pid)),
        child.read::<u32>(offset!(task_tgid)),
        parent.read::<u32>(offset!(task_tgid)),
    ) else {
        drops::count(DropReason::ReadFailed);
        return;
    };
    if child_tid != child_tgid {
        return;
    }
    unwind::inherit_process(parent_tgid, child_tgid);
    if settings.filter_tgids != 0 {
        if !filter::contains(parent_tgid) || settings.follow_forks == 0 {
            return;
        }
        if filter::add(child_tgid).is_err() {
            drops::count(DropReason::FilterFull);
            return;
        }
    }
    debug!(ctx, "fork {} -> {}", parent_tgid, child_tgid);
    let Some(mut event) = event_of(child, KIND_FORK) else {
        drops::count(DropReason::ReadFailed);
        return;
    };
    event.parent_tgid = parent_tgid;
    send(event);
}

#[inline(always)]
pub(crate) fn try_exec(ctx: &RawTracePointContext) {
    let task = KernelPtr(ctx.arg::<u64>(0) as *const u8);
    let Some(event) = event_of(task, KIND_EXEC) else {
        drops::count(DropReason::ReadFailed);
        return;
    };
    unwind::forget_process(event.tgid);
    let old_tid = ctx.arg::<u64>(1) as u32;
    if old_tid != event.tgid {
        syscalls::thread_renamed(old_tid, event.tgid);
        sched::thread_renamed(old_tid, event.tgid);
    }
    if settings::get().is_some_and(|s| s.filter_tgids != 0 && !filter::contains(event.tgid)) {
        return;
    }
    endings::executed(numbered(event.tgid, event.start_boot_ns));
    debug!(ctx, "exec {}", event.tgid);
    send(event);
}

#[inline(always)]
pub(crate) fn try_exit(ctx: &RawTracePointContext) {
    let task = KernelPtr(ctx.arg::<u64>(0) as *const u8);
    let (Some(tid), Some(signal)) = (task.read::<u32>(offset!(task_pid)), task.follow(offset!(task_signal)))
    else {
        drops::count(DropReason::ReadFailed);
        return;
    };
    syscalls::thread_gone(tid);
    if signal.read::<i32>(offset!(signal_live)).unwrap_or_default() > 0 {
        return;
    }
    let Some(mut event) = event_of(task, KIND_EXIT) else {
        drops::count(DropReason::ReadFailed);
        return;
    };
    unwind::forget_process(event.tgid);
    sched::process_gone(event.tgid, event.at_ns);
    if settings::get().is_some_and(|s| s.filter_tgids != 0 && !filter::contains(event.tgid)) {
        return;
    }
    // Threads that are gone left their sums in `signal`; this thread has not added its own yet, nor has a leader
    // that exited before it (it stays a zombie until the group is reaped).
    let leader = task.follow(offset!(task_group_leader)).filter(|l| l.0 != task.0);
    let sum = |gone: u32, own: u32| signal.value(gone) + task.value(own);
    event.cpu_ns = sum(offset!(signal_sum_sched_runtime), offset!(task_sum_exec_runtime));
    event.utime_ns = sum(offset!(signal_utime), offset!(task_utime));
    event.stime_ns = sum(offset!(signal_stime), offset!(task_stime));
    event.min_flt = sum(offset!(signal_min_flt), offset!(task_min_flt));
    event.maj_flt = sum(offset!(signal_maj_flt), offset!(task_maj_flt));
    if let Some(leader) = leader {
        event.cpu_ns += leader.value(offset!(task_sum_exec_runtime));
        event.utime_ns += leader.value(offset!(task_utime));
        event.stime_ns += leader.value(offset!(task_stime));
        event.min_flt += leader.value(offset!(task_min_flt));
        event.maj_flt += leader.value(offset!(task_maj_flt));
    }
    let group = signal.read::<i32>(offset!(signal_group_exit_code)).unwrap_or_default();
    let own = task.read::<i32>(offset!(task_exit_code)).unwrap_or_default();
    event.exit_status = if group != 0 { group } else { own } as u32;
    event.ended = endings::ended(numbered(event.tgid, event.start_boot_ns), event.exit_status);
    event.uid = bpf_get_current_uid_gid() as u32;
    debug!(ctx, "exit {} status {}", event.tgid, event.exit_status);
    send(event);
}
