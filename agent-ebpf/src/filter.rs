//! Which tasks are observed.

use agent_common::abi::settings::Settings;
use aya_ebpf::Global;
use aya_ebpf::helpers::bpf_get_current_cgroup_id;
use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;

use crate::settings;

/// Thread groups a filter may name, descendants included: 8192 × 64 B = 512 KiB, and only while a filter is used
/// (user space shrinks the map to 1 entry otherwise).
const FILTER_MAX: u32 = 8192;

#[map]
static FILTER_TGIDS: HashMap<u32, u32> = HashMap::with_max_entries(FILTER_MAX, 0);

/// 1: the settings name a filter; set at load. Without one the verifier takes the checks out.
#[unsafe(no_mangle)]
static FILTERED: Global<u32> = Global::new(0);

/// Whether there is a filter.
#[inline(always)]
pub(crate) fn is_set() -> bool {
    FILTERED.load() != 0
}

/// Whether the current task, of thread group `tgid`, is observed. Reads the settings only where there is a filter.
#[inline(always)]
pub(crate) fn observes(tgid: u32) -> bool {
    !is_set() || settings::get().is_none_or(|settings| passes(settings, tgid))
}

/// The same for who has the settings.
#[inline(always)]
pub(crate) fn passes(settings: &Settings, tgid: u32) -> bool {
    if !is_set() {
        return true;
    }
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
