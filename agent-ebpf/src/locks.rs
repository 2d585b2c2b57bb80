//! Waits for the kernel's sleeping locks, and who held them.

use agent_common::abi::drops::DropReason;
use agent_common::abi::locks::{
    KIND_MUTEX, KIND_PERCPU_RWSEM, KIND_RT_MUTEX, KIND_RWSEM_READ, KIND_RWSEM_WRITE, KIND_SEMAPHORE,
    LOCKS_MAX, LockKey, LockValue,
};
use agent_common::abi::resources::{OPEN_LOCK, OpenValue};
use agent_common::abi::sched::State;
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns};
use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;
use aya_ebpf::programs::RawTracePointContext;

use crate::counters::{add, value_of, value_or_full};
use crate::kernel::{KernelPtr, layout, offset};
use crate::{filter, open, settings};

#[map]
static LOCKS: HashMap<LockKey, LockValue> = HashMap::with_max_entries(LOCKS_MAX, 0);

/// `LCB_F_*` (include/trace/events/lock.h).
const SPIN: u32 = 1;
const READ: u32 = 2;
const WRITE: u32 = 4;
const RT: u32 = 8;
const PERCPU: u32 = 16;
const MUTEX: u32 = 32;

#[inline(always)]
fn kind_of(flags: u32) -> u32 {
    if flags & MUTEX != 0 {
        KIND_MUTEX
    } else if flags & PERCPU != 0 {
        KIND_PERCPU_RWSEM
    } else if flags & READ != 0 {
        KIND_RWSEM_READ
    } else if flags & WRITE != 0 {
        KIND_RWSEM_WRITE
    } else if flags & RT != 0 {
        KIND_RT_MUTEX
    } else {
        KIND_SEMAPHORE
    }
}

/// Thread in the owner word of a lock, whose low three bits are flags. Of readers only the last is known.
#[inline(always)]
fn holder(lock: KernelPtr, kind: u32) -> u32 {
    let owner = match kind {
        KIND_MUTEX => layout!(mutex_owner),
        KIND_RWSEM_READ | KIND_RWSEM_WRITE => layout!(rwsem_owner),
        KIND_RT_MUTEX => layout!(rt_mutex_owner),
        _ => return 0,
    };
    let task = lock.read::<u64>(owner).unwrap_or_default() & !7;
    if task == 0 {
        return 0;
    }
    KernelPtr(task as *const u8).read::<u32>(offset!(task_pid)).unwrap_or_default()
}

#[inline(always)]
pub(crate) fn try_begin(ctx: &RawTracePointContext) {
    let (lock, flags) = (ctx.arg::<u64>(0), ctx.arg::<u64>(1) as u32);
    // A mutex is told twice: while it spins for the owner, and when it goes to sleep.
    if flags & SPIN != 0 {
        return;
    }
    let Some(settings) = settings::get() else { return };
    let ids = bpf_get_current_pid_tgid();
    let tgid = (ids >> 32) as u32;
    if !filter::passes(settings, tgid) {
        return;
    }
    let kind = kind_of(flags);
    let value = OpenValue {
        // SAFETY: no arguments.
        start_ns: unsafe { bpf_ktime_get_ns() },
        lock,
        tgid,
        holder: holder(KernelPtr(lock as *const u8), kind),
        kind,
        context: 0,
    };
    open::begin(ids as u32, OPEN_LOCK, State::KernelLock, &value);
}

#[inline(always)]
pub(crate) fn try_end(ctx: &RawTracePointContext) {
    let lock = ctx.arg::<u64>(0);
    // The end of a spin looks the same: it finds no entry, or one of another lock.
    let Some((open, ns)) = open::end(bpf_get_current_pid_tgid() as u32, OPEN_LOCK, lock) else { return };
    let mut key = LockKey { lock, tgid: open.tgid, kind: open.kind };
    let empty = LockValue::default();
    let value = if let Some(value) = value_or_full(&LOCKS, &key, &empty) {
        value
    } else {
        key.lock = 0;
        let Some(value) = value_of(&LOCKS, &key, &empty, DropReason::LockMapFull) else { return };
        value
    };
    let window = settings::get().map_or(0, |settings| settings.window);
    // SAFETY: a map value; the sums are atomic, the vote may lose a race with another CPU.
    unsafe {
        add(&raw mut (*value).count, 1);
        add(&raw mut (*value).waited_ns, ns);
        if open.holder == 0 {
            return;
        }
        if (*value).window != window {
            (*value).window = window;
            (*value).lead_ns = 0;
        }
        if (*value).holder == open.holder {
            (*value).lead_ns += ns;
        } else if (*value).lead_ns >= ns {
            (*value).lead_ns -= ns;
        } else {
            (*value).lead_ns = ns - (*value).lead_ns;
            (*value).holder = open.holder;
        }
    }
}
