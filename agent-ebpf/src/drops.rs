//! Loss counters: one per-CPU slot a reason.

use agent_common::abi::drops::DropReason;
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;

/// Index: [`DropReason`]. 9 × 8 bytes a CPU.
#[map]
static DROPS: PerCpuArray<u64> = PerCpuArray::with_max_entries(DropReason::ALL.len() as u32, 0);

#[inline(always)]
pub(crate) fn count(reason: DropReason) {
    count_many(reason, 1);
}

#[inline(always)]
pub(crate) fn count_many(reason: DropReason, lost: u64) {
    if let Some(slot) = DROPS.get_ptr_mut(reason as u32) {
        // SAFETY: a per-CPU slot, and preemption is off in every hook that counts.
        unsafe { *slot += lost }
    }
}
