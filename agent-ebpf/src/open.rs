//! What threads have begun and not ended: reclaim, compaction, waits for kernel locks. User space reads it at the end
//! of a window, so that a thread that hangs is seen.

use agent_common::abi::drops::DropReason;
use agent_common::abi::resources::{OpenKey, OpenValue, THREAD_OPEN_MAX};
use agent_common::abi::sched::State;
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;

use crate::drops;
use crate::sched::slots::Slot;

#[map]
static THREAD_OPEN: HashMap<OpenKey, OpenValue> = HashMap::with_max_entries(THREAD_OPEN_MAX, 0);

/// A thread begins `what`; what it had begun of the same kind and never ended is forgotten. If it blocks meanwhile, that
/// is time in `state`.
#[inline(always)]
pub(crate) fn begin(tid: u32, what: u32, state: State, value: &OpenValue) {
    let mut value = *value;
    if let Some(slot) = Slot::of(tid) {
        value.context = u32::from(slot.context());
        slot.set_context(state as u8);
    }
    let value = &value;
    if THREAD_OPEN.insert(OpenKey { tid, what }, value, 0).is_err() {
        drops::count(DropReason::ThreadOpenFull);
    }
}

/// A thread ends `what`, if it is about `lock`: what it had noted, and how long it took.
#[inline(always)]
pub(crate) fn end(tid: u32, what: u32, lock: u64) -> Option<(OpenValue, u64)> {
    let key = OpenKey { tid, what };
    // SAFETY: only this thread writes its entry.
    let value = unsafe { *THREAD_OPEN.get(key)? };
    if value.lock != lock {
        return None;
    }
    let _ = THREAD_OPEN.remove(key);
    if let Some(slot) = Slot::of(tid) {
        slot.set_context(value.context as u8);
    }
    // SAFETY: no arguments.
    Some((value, unsafe { bpf_ktime_get_ns() }.saturating_sub(value.start_ns)))
}
