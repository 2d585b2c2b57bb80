//! Sums in hash maps that several CPUs add to.

use core::arch::asm;

use agent_common::abi::drops::DropReason;
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::maps::HashMap;

use crate::drops;

/// Adds to a sum. Atomic: the key does not name a CPU, and an interrupt may add to what it interrupted. In assembly,
/// since `AtomicU64` has no `fetch_add` on this target (`atomic_cas` is off); the instruction is as old as eBPF.
#[inline(always)]
pub(crate) fn add(sum: *mut u64, more: u64) {
    // SAFETY: callers pass fields of map values: aligned, and alive while the program runs.
    unsafe { asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) sum, in(reg) more, options(nostack)) }
}

/// The value of `key`, made where there is none; `None` when the map is full, which is counted as `full`.
#[inline(always)]
pub(crate) fn value_of<K, V>(map: &HashMap<K, V>, key: &K, empty: &V, full: DropReason) -> Option<*mut V> {
    let value = value_or_full(map, key, empty);
    if value.is_none() {
        drops::count(full);
    }
    value
}

/// The same without counting: the caller has another place to count it.
#[inline(always)]
pub(crate) fn value_or_full<K, V>(map: &HashMap<K, V>, key: &K, empty: &V) -> Option<*mut V> {
    if let Some(value) = map.get_ptr_mut(key) {
        return Some(value);
    }
    // Another CPU may have made it meanwhile: the second look finds that one.
    let _ = map.insert(key, empty, u64::from(BPF_NOEXIST));
    map.get_ptr_mut(key)
}
