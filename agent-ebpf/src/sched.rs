//! Splits each thread's wall time into exclusive states: see `agent_common::abi::sched`.
//!
//! Three events move a thread on: it is taken off a CPU, it is woken, it is put on a CPU. The first decides what it
//! waits for.

pub(crate) mod class;
pub(crate) mod slots;

use agent_common::abi::sched::{DEAD, FLAG_NEW, IN_EXEC, NO_CALL, STATES, State};
use agent_common::abi::settings::NO_OFFSET;
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::programs::BtfTracePointContext;

use self::slots::Slot;
use crate::kernel::task::{Task, at};
use crate::{filter, offcpu, runqlat, settings};

const TASK_STOPPED: u32 = 0x04;
const TASK_TRACED: u32 = 0x08;
const TASK_UNINTERRUPTIBLE: u32 = 0x02;
const TASK_PARKED: u32 = 0x40;
const TASK_DEAD: u32 = 0x80;
const TASK_NOLOAD: u32 = 0x400;

#[inline(always)]
fn now() -> u64 {
    // SAFETY: no arguments.
    unsafe { bpf_ktime_get_ns() }
}

#[inline(always)]
const fn is_blocked(state: u8) -> bool {
    state > State::RunqThrottled as u8
}

/// Runnable from now on, but not running: `otherwise`, unless its group may not run.
#[inline(always)]
fn queued(task: Task, otherwise: State) -> u8 {
    if task.throttled() { State::RunqThrottled as u8 } else { otherwise as u8 }
}

#[inline(always)]
pub(crate) fn try_switch(ctx: &BtfTracePointContext) {
    let preempted = ctx.arg::<u64>(0) & 0xff != 0;
    let (prev, next) = (Task::arg(ctx, 1), Task::arg(ctx, 2));
    let now = now();
    let (prev_tid, next_tid) = (prev.tid(), next.tid());
    let state = if preempted {
        0
    } else if at!(switch_state) != NO_OFFSET {
        ctx.arg::<u64>(3) as u32
    } else {
        prev.state()
    };
    if prev_tid != 0 {
        leave(prev, prev_tid, state, now);
    }
    let Some(cpu) = runqlat::this_cpu() else { return };
    let left = runqlat::current(cpu);
    if left != prev_tid {
        unseen(left, prev, state, now);
    }
    let mut wanted = false;
    if next_tid != 0
        && let Some((slot, since)) = enter(next, next_tid, now)
    {
        if since != 0 {
            runqlat::charge(cpu, slot, since, now);
        }
        wanted = slot.wants_user();
    }
    runqlat::begin_turn(cpu, next_tid, if next_tid == 0 { 0 } else { next.tgid() }, wanted, now);
}

/// Thread `tid` was put on this CPU, and `prev`, of another number, leaves it. Either exec has exchanged the numbers of two
/// threads of a process meanwhile, or `tid` has left unseen (a kernel may keep events of some threads to itself, and skips a
/// program that it is in the middle of): what for is not known, and it must not go on running.
#[inline(always)]
fn unseen(tid: u32, prev: Task, state: u32, now: u64) {
    if tid == 0 {
        return;
    }
    let Some(slot) = Slot::of(tid) else { return };
    let process = prev.tgid();
    if slot.tgid() == process {
        // The old leader: its number is that of the thread in exec by now, and so is its slot.
        if tid == process && state & TASK_DEAD != 0 {
            return;
        }
        // That thread, before the exec is told: the leader's slot goes on for it.
        if prev.tid() == process {
            return slot.bury(now);
        }
    }
    if slot.state() == State::Oncpu as u8 {
        slot.change(State::Interruptible as u8, now);
    }
}

/// A thread that was not the leader has called exec, and has the leader's number: from now on it has its slot as well.
#[inline(always)]
pub(crate) fn thread_renamed(old_tid: u32, tid: u32) {
    let now = now();
    let Some(old) = Slot::of(old_tid) else { return };
    if old.tgid() != tid {
        return;
    }
    old.bury(now);
    // One that is still on its way off a CPU has left it running: then both have run, and the sums are right.
    if let Some(slot) = Slot::of(tid)
        && slot.state() == IN_EXEC
    {
        slot.change(State::Oncpu as u8, now);
    }
    if let Some(cpu) = runqlat::this_cpu() {
        runqlat::rename_current(cpu, old_tid, tid);
    }
}

/// A process has ended. Where an exec failed after the leader's end, nobody has come for its slot.
#[inline(always)]
pub(crate) fn process_gone(tgid: u32, now: u64) {
    if let Some(slot) = Slot::of(tgid)
        && slot.state() == IN_EXEC
    {
        slot.bury(now);
    }
}

/// `prev` is taken off its CPU.
#[inline(always)]
fn leave(prev: Task, tid: u32, state: u32, now: u64) {
    let slot = match Slot::of(tid) {
        Some(slot) => slot,
        None if state & TASK_DEAD != 0 || !filter::observes(prev.tgid()) => return,
        None => match Slot::claim(prev, tid, State::Oncpu, now, 0) {
            Some(slot) => slot,
            None => return,
        },
    };
    if state == 0 {
        slot.count_preempted();
        slot.change(queued(prev, State::RunqPreempted), now);
        return;
    }
    if state & TASK_DEAD != 0 {
        if prev.gives_way_to_exec() {
            slot.change(IN_EXEC, now);
        } else {
            slot.bury(now);
        }
        return;
    }
    let state = class::of(prev, slot, state, now);
    slot.count_voluntary();
    slot.change(state, now);
}

/// `next` is put on this CPU. Its slot, and since when it has waited for a CPU that others had (0: it has not).
#[inline(always)]
fn enter(next: Task, tid: u32, now: u64) -> Option<(Slot, u64)> {
    let Some(slot) = Slot::of(tid) else {
        // Blocked or queued since before the agent came.
        if passes_other(next) {
            let _ = Slot::claim(next, tid, State::Oncpu, now, 0);
        }
        return None;
    };
    // Woken before this program's sister saw it leave: it was runnable all the time.
    if slot.early() {
        slot.clear_early();
        if is_blocked(slot.state()) {
            slot.correct(State::RunqWoken as u8);
        }
    }
    let state = slot.state();
    let queued = state == State::RunqWoken as u8 || state == State::RunqPreempted as u8;
    let since = if queued { slot.since() } else { 0 };
    slot.change(State::Oncpu as u8, now);
    Some((slot, since))
}

#[inline(always)]
pub(crate) fn try_waking<const LOOPS: bool>(ctx: &BtfTracePointContext) {
    let task = Task::arg(ctx, 0);
    let tid = task.tid();
    let Some(slot) = Slot::of(tid) else {
        if passes_other(task) {
            let _ = Slot::claim(task, tid, State::RunqWoken, now(), 0);
        }
        return;
    };
    let state = slot.state();
    if is_blocked(state) {
        let (since, now) = (slot.since(), now());
        slot.change(queued(task, State::RunqWoken), now);
        offcpu::ended::<LOOPS>(ctx, task, slot, state, (since, now));
    } else if state == State::Oncpu as u8 {
        slot.set_early(now());
    }
}

#[inline(always)]
pub(crate) fn try_wakeup_new(ctx: &BtfTracePointContext) {
    let task = Task::arg(ctx, 0);
    let tid = task.tid();
    // The current task is the parent: a child is in its cgroup, and in the filter since `sched_process_fork`.
    if filter::observes(task.tgid()) && Slot::of(tid).is_none() {
        let _ = Slot::claim(task, tid, State::RunqWoken, now(), FLAG_NEW);
    }
}

/// A thread changed its name (`task_rename` is before the change): the slot takes it over.
#[inline(always)]
pub(crate) fn try_rename(ctx: &BtfTracePointContext) {
    if let Some(slot) = Slot::of(Task::arg(ctx, 0).tid()) {
        slot.rename(ctx.arg::<*const u8>(1));
    }
}

/// Whether `task`, of which only the process can be told, is observed. With a cgroup filter a thread comes in when it
/// is current.
#[inline(always)]
fn passes_other(task: Task) -> bool {
    !filter::is_set()
        || settings::get().is_some_and(|settings| {
            settings.filter_cgroup == 0 && (settings.filter_tgids == 0 || filter::contains(task.tgid()))
        })
}

const _: () = assert!(NO_CALL == u16::MAX && DEAD == u8::MAX);
const _: () = assert!(IN_EXEC as usize >= State::ALL.len() && (IN_EXEC as usize) < STATES);
