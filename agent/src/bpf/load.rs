//! Sizes, globals and loading of the object.

use agent_common::abi::endings::EndingOffsets;
use agent_common::abi::offcpu::{LOOK_BURST, LOOK_NS};
use agent_common::abi::resources::Layout;
use agent_common::abi::sched::{SchedOffsets, USED_CHUNK};
use agent_common::abi::settings::Offsets;
use agent_common::abi::syscalls::CACHE_SLOTS;
use aya::EbpfLoader;

use super::btf::Btf;
use super::object;
use crate::bpf::StartError;

/// What the maps are sized for.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent groups of probes")]
pub struct LoadSpec {
    /// On-CPU samples per second and CPU.
    pub rate_hz: u32,
    /// Whether a tgid filter will be used.
    pub filter: bool,
    /// Whether a cgroup filter will be used.
    pub cgroup: bool,
    /// Syscall accounting wanted: its maps shrink to one entry otherwise.
    pub syscalls: bool,
    /// Resource probes wanted: likewise.
    pub resources: bool,
    /// Scheduler accounting wanted: its maps shrink otherwise.
    pub sched: bool,
    /// Ends of processes wanted, with last words and failed calls: without, the programs of system calls do nothing for them.
    pub endings: bool,
    /// BPF-side debug messages reach `tracing`; otherwise they are not even in the verified program.
    pub debug: bool,
}

impl Default for LoadSpec {
    fn default() -> Self {
        Self {
            rate_hz: 97,
            filter: false,
            cgroup: false,
            syscalls: true,
            sched: true,
            resources: true,
            endings: false,
            debug: false,
        }
    }
}

fn pid_max() -> u32 {
    let text = std::fs::read_to_string("/proc/sys/kernel/pid_max");
    text.ok().and_then(|s| s.trim().parse().ok()).unwrap_or(32_768)
}

/// Entry slots for this machine: `pid_max` rounded up to a power of two, at most 131,072 (3 MiB).
pub(super) fn entry_slots() -> u32 {
    pid_max().next_power_of_two().clamp(4096, 131_072)
}

/// Counters for this machine, whose keys name a CPU: 32,768 a CPU, at most 131,072 (13 MiB). Every reading walks them all.
fn syscall_keys(cpus: u32) -> u32 {
    cpus.saturating_mul(32_768).min(131_072)
}

/// Threads that can be accounted: eight times those that there are now, at least 16,384 (6 MiB), at most 32,768; no more than
/// `pid_max`.
fn sched_slots() -> u32 {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let threads = load.split(['/', ' ']).nth(4).and_then(|n| n.parse().ok()).unwrap_or(4096_u32);
    let wanted = threads.saturating_mul(8).clamp(16_384, 32_768);
    wanted.min(pid_max()).next_power_of_two()
}

/// Bytes of the samples ring buffer: 4 s of full-depth-70 samples of every CPU, a power of two, 256 KiB to 16 MiB.
fn ring_bytes(rate_hz: u32, cpus: usize) -> u32 {
    let per_second = u64::from(rate_hz) * cpus as u64 * 620;
    (per_second * 4).next_power_of_two().clamp(256 << 10, 16 << 20) as u32
}

/// Bytes of the waits ring buffer: 400 ms of looks at 1 KiB, a power of two, 512 KiB to 16 MiB.
fn waits_bytes(cpus: usize) -> u32 {
    let looks = 400_000_000 / LOOK_NS + LOOK_BURST;
    (cpus as u64 * looks * 1024).next_power_of_two().clamp(512 << 10, 16 << 20) as u32
}

/// The smallest ring buffer.
const PAGE: u32 = 4096;

/// Sizes of the mapped arrays.
pub(super) struct Sizes {
    pub(super) entry_slots: u32,
    pub(super) cache_slots: u32,
    pub(super) sched_slots: u32,
    pub(super) syscall_keys: u32,
    pub(super) possible_cpus: u32,
}

/// Plain data for a read-only global.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Plain<T>(T);
// SAFETY: used with ABI types only, which are `repr(C)` integers without padding.
unsafe impl<T: Copy + 'static> aya::Pod for Plain<T> {}

/// Loads the object's maps; programs are loaded one by one later.
pub(super) fn load(spec: &LoadSpec, cpus: usize) -> Result<(aya::Ebpf, Sizes), StartError> {
    super::may_attach()?;
    raise_memlock();
    super::descriptors::ensure(cpus)?;
    let (offsets, layout, sched, ends) = Btf::of_kernel()
        .map(|b| (b.offsets(), b.layout(), b.sched_offsets(), b.ending_offsets()))
        .map_err(|e| StartError::Unsupported {
            what: format!("the kernel's type information (BTF) is not usable ({e})"),
            cure: "run a kernel built with CONFIG_DEBUG_INFO_BTF=y, and mount /sys".into(),
        })?;
    // CPU numbers go up to the possible ones, not the online ones: a CPU may come later.
    let possible = aya::util::nr_cpus().map_err(|(_, e)| StartError::Broken(e.into()))? as u32;
    let sizes = Sizes {
        entry_slots: if spec.syscalls { entry_slots() } else { 4096 },
        cache_slots: if spec.syscalls { possible * CACHE_SLOTS } else { CACHE_SLOTS },
        sched_slots: if spec.sched { sched_slots() } else { USED_CHUNK },
        syscall_keys: if spec.syscalls { syscall_keys(possible) } else { 1 },
        possible_cpus: possible,
    };
    let (offsets, layout, mask) = (Plain::<Offsets>(offsets), Plain::<Layout>(layout), sizes.entry_slots - 1);
    let (sched, sched_mask) = (Plain::<SchedOffsets>(sched), sizes.sched_slots - 1);
    let (ends, endings) = (Plain::<EndingOffsets>(ends), u32::from(spec.endings));
    let filtered = u32::from(spec.filter || spec.cgroup);
    let log_level: u8 = if spec.debug { 4 } else { 0 };
    let mut loader = EbpfLoader::new();
    loader
        .btf(None)
        .override_global("OFFSETS", &offsets, true)
        .override_global("LAYOUT", &layout, true)
        .override_global("ENTRY_MASK", &mask, true)
        .override_global("SCHED_OFFSETS", &sched, true)
        .override_global("SCHED_MASK", &sched_mask, true)
        .override_global("ENDING_OFFSETS", &ends, true)
        .override_global("ENDINGS", &endings, true)
        .override_global("FILTERED", &filtered, true)
        .override_global("AYA_LOG_LEVEL", &log_level, true)
        .map_max_entries("SYSCALLS", sizes.syscall_keys)
        .map_max_entries("SYSCALL_ENTRY", sizes.entry_slots)
        .map_max_entries("SYSCALL_CACHE", sizes.cache_slots)
        .map_max_entries("SCHED_SLOTS", sizes.sched_slots)
        .map_max_entries("SCHED_USED", sizes.sched_slots / USED_CHUNK)
        .map_max_entries("SCHED_DEAD", possible)
        .map_max_entries("CPUS", possible)
        .map_max_entries("WAITS", if spec.sched { waits_bytes(cpus) } else { PAGE })
        .map_max_entries("SAMPLES", ring_bytes(spec.rate_hz, cpus));
    if !spec.filter {
        loader.map_max_entries("FILTER_TGIDS", 1);
    }
    if !spec.syscalls {
        loader.map_max_entries("ENTRY_OVERFLOW", 1);
    }
    if !spec.sched {
        loader.map_max_entries("BLAME", 1);
    }
    if !spec.endings {
        loader.map_max_entries("END_EVENTS", PAGE);
        for map in super::probes::ENDING_MAPS {
            loader.map_max_entries(map, 1);
        }
    }
    if !spec.resources {
        for map in super::probes::RESOURCE_MAPS {
            loader.map_max_entries(map, 1);
        }
    }
    let ebpf = loader.load(object::bytes()).map_err(|e| StartError::Broken(e.into()))?;
    Ok((ebpf, sizes))
}

/// Before 5.11 map memory counts against `RLIMIT_MEMLOCK`. Without `CAP_SYS_RESOURCE` the soft limit still rises.
pub fn raise_memlock() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if setrlimit(Resource::RLIMIT_MEMLOCK, libc::RLIM_INFINITY, libc::RLIM_INFINITY).is_err()
        && let Ok((_, hard)) = getrlimit(Resource::RLIMIT_MEMLOCK)
    {
        let _ = setrlimit(Resource::RLIMIT_MEMLOCK, hard, hard);
    }
}
