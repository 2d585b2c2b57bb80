//! Whose memory was used up when the kernel killed for it: a control group's, or the host's.

use agent_common::abi::endings::{GROUP_LEVELS, GROUP_NAME_BYTES, OOM_GROUPS_MAX, OomGroup};
use agent_common::abi::settings::NO_OFFSET;
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{LruHashMap, PerCpuArray};

use super::{are_wanted, ending_offset};
use crate::kernel::KernelPtr;

#[map]
static OOM_GROUPS: LruHashMap<u32, OomGroup> = LruHashMap::with_max_entries(OOM_GROUPS_MAX, 0);

#[map]
static OOM_SCRATCH: PerCpuArray<OomGroup> = PerCpuArray::with_max_entries(1, 0);

/// How far below its limit a group may be when the kernel kills for it: a charge may be for a huge page.
const SLACK_PAGES: u64 = 512;
/// Limits from here on are none: `PAGE_COUNTER_MAX` is `LONG_MAX / PAGE_SIZE`.
const NO_LIMIT: u64 = i64::MAX as u64 / 4096;

/// `tgid`, in the groups of `task`, is killed for memory. `anon` pages are its own.
#[inline(always)]
pub(crate) fn victim(tgid: u32, task: KernelPtr, anon: u64) {
    if !are_wanted() || ending_offset!(cgroups_memory) == NO_OFFSET {
        return;
    }
    let Some(scratch) = OOM_SCRATCH.get_ptr_mut(0) else { return };
    // SAFETY: a per-CPU slot; the kernel kills under a lock.
    let group = unsafe { &mut *scratch };
    // SAFETY: no arguments.
    group.at_ns = unsafe { bpf_ktime_get_ns() };
    (group.limit_pages, group.used_pages, group.anon_pages) = (0, 0, anon);
    (group.level, group.levels) = (0, 0);
    let state =
        task.follow(ending_offset!(task_cgroups)).and_then(|set| set.follow(ending_offset!(cgroups_memory)));
    let Some(mut state) = state else { return };
    for level in 0..GROUP_LEVELS {
        // `struct mem_cgroup` begins with its `cgroup_subsys_state`.
        let (limit, used) =
            (state.value(ending_offset!(memory_max)), state.value(ending_offset!(memory_usage)));
        if group.limit_pages == 0 && limit < NO_LIMIT && used + SLACK_PAGES >= limit {
            (group.limit_pages, group.used_pages, group.level) = (limit, used, level as u32);
        }
        group.names[level][0] = 0;
        if let Some(name) = state
            .follow(ending_offset!(css_cgroup))
            .and_then(|group| group.follow(ending_offset!(cgroup_kn)))
            .and_then(|node| node.follow(ending_offset!(kn_name)))
        {
            let to = (&raw mut group.names[level]).cast();
            // SAFETY: the helper checks the address; there is room for that.
            unsafe { bpf_probe_read_kernel_str(to, GROUP_NAME_BYTES as u32, name.0.cast()) };
        }
        group.levels = level as u32 + 1;
        let Some(parent) = state.follow(ending_offset!(css_parent)) else { break };
        state = parent;
    }
    let _ = OOM_GROUPS.insert(tgid, &*group, 0);
}
