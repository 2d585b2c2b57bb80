//! Interrupt time of each CPU. Per-CPU sums, no key, no clock read but at begin and end.

use agent_common::abi::irq::{IrqCpu, VECTORS};
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use aya_ebpf::programs::RawTracePointContext;

/// 8.6 s: no softirq lasts as long; a begin this old is from before the programs were detached for a while.
const STALE_NS: u64 = 1 << 33;

#[map]
static IRQS: PerCpuArray<IrqCpu> = PerCpuArray::with_max_entries(1, 0);

#[inline(always)]
pub(crate) fn try_softirq_entry() {
    let Some(cpu) = IRQS.get_ptr_mut(0) else { return };
    // SAFETY: a slot of this CPU; softirqs do not nest, and hard interrupts write other fields.
    unsafe {
        (*cpu).soft_hard_ns = (*cpu).hardirq_ns;
        (*cpu).soft_start_ns = bpf_ktime_get_ns();
    }
}

#[inline(always)]
pub(crate) fn try_softirq_exit(ctx: &RawTracePointContext) {
    let vector = ctx.arg::<u64>(0) as usize & 15;
    let Some(cpu) = IRQS.get_ptr_mut(0) else { return };
    // SAFETY: as at the entry; the vector is checked.
    unsafe {
        let start = (*cpu).soft_start_ns;
        if start == 0 || vector >= VECTORS {
            return;
        }
        (*cpu).soft_start_ns = 0;
        let ns = bpf_ktime_get_ns().saturating_sub(start);
        if ns > STALE_NS {
            return;
        }
        let hard = (*cpu).hardirq_ns - (*cpu).soft_hard_ns;
        (*cpu).softirqs[vector] += 1;
        (*cpu).softirq_ns[vector] += ns.saturating_sub(hard);
    }
}

#[inline(always)]
pub(crate) fn try_hardirq_entry() {
    let Some(cpu) = IRQS.get_ptr_mut(0) else { return };
    // SAFETY: a slot of this CPU; handlers run with interrupts off.
    unsafe { (*cpu).hard_start_ns = bpf_ktime_get_ns() }
}

#[inline(always)]
pub(crate) fn try_hardirq_exit() {
    let Some(cpu) = IRQS.get_ptr_mut(0) else { return };
    // SAFETY: as at the entry.
    unsafe {
        let start = (*cpu).hard_start_ns;
        if start != 0 {
            (*cpu).hard_start_ns = 0;
            (*cpu).hardirqs += 1;
            (*cpu).hardirq_ns += bpf_ktime_get_ns().saturating_sub(start);
        }
    }
}
