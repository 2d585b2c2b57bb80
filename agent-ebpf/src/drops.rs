//! Loss counters: one per-CPU slot a reason.

use agent_common::abi::drops::DropReason;
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;

use crate::counters;

/// Index: [`DropReason`]. 19 × 8 bytes a CPU.
#[map]
static DROPS: PerCpuArray<u64> = PerCpuArray::with_max_entries(DropReason::ALL.len() as u32, 0);

#[inline(always)]
pub(crate) fn count(reason: DropReason) {
    count_many(reason, 1);
}

#[inline(always)]
pub(crate) fn count_many(reason: DropReason, lost: u64) {
    if let Some(slot) = DROPS.get_ptr_mut(reason as u32) {
        // Atomic though per CPU: where tracepoints leave preemption on (7.0 and later) another program may come between.
        counters::add(slot, lost);
    }
}
