//! Which tasks are observed.

use agent_common::abi::settings::Settings;
use aya_ebpf::helpers::bpf_get_current_cgroup_id;
use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;

/// Thread groups a filter may name, descendants included: 8192 × 64 B = 512 KiB, and only while a filter is used
/// (user space shrinks the map to 1 entry otherwise).
const FILTER_MAX: u32 = 8192;

#[map]
static FILTER_TGIDS: HashMap<u32, u32> = HashMap::with_max_entries(FILTER_MAX, 0);

/// Whether the current task, of thread group `tgid`, is observed.
#[inline(always)]
pub(crate) fn passes(settings: &Settings, tgid: u32) -> bool {
    if settings.filter_tgids != 0 && !contains(tgid) {
        return false;
    }
    if settings.filter_cgroup != 0 {
        // SAFETY: no arguments.
        return unsafe { bpf_get_current_cgroup_id() } == settings.filter_cgroup;
    }
    true
}

#[inline(always)]
pub(crate) fn contains(tgid: u32) -> bool {
    FILTER_TGIDS.get_ptr(tgid).is_some()
}

/// Adds a child of an observed process. `Err` when the map is full.
#[inline(always)]
pub(crate) fn add(tgid: u32) -> Result<(), i32> {
    FILTER_TGIDS.insert(tgid, 1, 0)
}
