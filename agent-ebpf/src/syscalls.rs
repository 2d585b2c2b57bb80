//! Counts and times every syscall per (process, call): see `agent_common::abi::syscalls`.

use agent_common::abi::drops::DropReason;
use agent_common::abi::process::tgid_of;
use agent_common::abi::syscalls::{
    CACHE_SLOTS, FLAG_COMPAT, SyscallCache, SyscallEntry, SyscallKey, SyscallValue, UNTIMED, bucket_of,
    cache_slot,
};
use aya_ebpf::Global;
use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_NOEXIST};
use aya_ebpf::helpers::{bpf_get_smp_processor_id, bpf_ktime_get_ns};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray};

use crate::kernel::CurrentTask;
use crate::{drops, endings, filter, offcpu, runqlat, settings};

/// 131,072 × 104 B = 13 MiB of kernel memory, preallocated (kernels before 6.1 allow nothing else here): room for
/// 3,000 processes with 40 (call, CPU, bucket) combinations each. User space makes it smaller for few CPUs, since every
/// reading walks all of it, and drains early when it fills.
const SYSCALLS_MAX: u32 = 131_072;

/// Slots of [`SYSCALL_ENTRY`]; user space sizes it to `pid_max` up to this: 131,072 × 24 B = 3 MiB.
const ENTRY_SLOTS_MAX: u32 = 131_072;

/// Threads whose slot is held by another live thread: only where `pid_max` exceeds the slots. 8192 × 96 B.
const ENTRY_OVERFLOW_MAX: u32 = 8192;

/// The cache in front of [`SYSCALLS`], one part a CPU; user space sets the size (16 KiB a possible CPU) and maps it.
#[map]
static SYSCALL_CACHE: Array<SyscallCache> = Array::with_max_entries(CACHE_SLOTS, BPF_F_MMAPABLE);

#[map]
static SYSCALLS: HashMap<SyscallKey, SyscallValue> = HashMap::with_max_entries(SYSCALLS_MAX, 0);

/// Entry of the call in flight, slot `tid & ENTRY_MASK`. Mapped by user space, which sweeps it for calls that
/// have not returned.
#[map]
static SYSCALL_ENTRY: Array<SyscallEntry> = Array::with_max_entries(ENTRY_SLOTS_MAX, BPF_F_MMAPABLE);

#[map]
static ENTRY_OVERFLOW: HashMap<u32, SyscallEntry> = HashMap::with_max_entries(ENTRY_OVERFLOW_MAX, 0);

/// Slots − 1, a power of two minus one; set at load.
#[unsafe(no_mangle)]
static ENTRY_MASK: Global<u32> = Global::new(0);

/// x86-64 numbers whose child side also leaves through `sys_exit`: clone, fork, vfork, clone3.
const FORKS: [u16; 4] = [56, 57, 58, 435];
/// The same in the 32-bit table.
const FORKS_COMPAT: [u16; 4] = [120, 2, 190, 435];
/// What `sys_exit` shows as −1: `rt_sigreturn` has restored the interrupted frame over the number (32-bit: 173).
const RT_SIGRETURN: u16 = 15;
const RT_SIGRETURN_COMPAT: u16 = 173;

/// Largest errno; the kernel's `MAX_ERRNO`.
const MAX_ERRNO: i64 = 4095;

#[inline(always)]
pub(crate) fn try_enter<const LOOPS: bool>(current: &impl CurrentTask) {
    let Some(cpu) = runqlat::this_cpu() else { return };
    let (process, tid) = current.ids(cpu);
    let tgid = tgid_of(process);
    if !filter::observes(tgid) {
        return;
    }
    let Some(slot) = SYSCALL_ENTRY.get_ptr_mut(tid & ENTRY_MASK.load()) else { return };
    let nr = current.second() as u16;
    let compat = current.compat();
    let flags = if compat { u16::from(FLAG_COMPAT) } else { 0 };
    endings::called::<LOOPS>(current, process, nr, compat);
    // SAFETY: the slot is this thread's, or checked to be free; a race of two threads for a free slot loses one
    // pairing, which `SyscallUnpaired` counts. Field by field: an entry put together on the stack and copied in
    // words stalls on its own half-written words.
    unsafe {
        if (*slot).start_ns != 0 && (*slot).tid != tid {
            let entry = SyscallEntry { start_ns: bpf_ktime_get_ns(), tid, tgid, nr, flags, pad: 0 };
            if ENTRY_OVERFLOW.insert(tid, entry, 0).is_err() {
                drops::count(DropReason::SyscallEntryFull);
            }
            return;
        }
        (*slot).tid = tid;
        (*slot).tgid = tgid;
        (*slot).nr = nr;
        (*slot).flags = flags;
        (*slot).start_ns = bpf_ktime_get_ns();
    }
}

/// Takes the entry that belongs to this exit, if there is one.
#[inline(always)]
fn take_entry(tid: u32) -> Option<(u64, u16, u16)> {
    let slot = SYSCALL_ENTRY.get_ptr_mut(tid & ENTRY_MASK.load())?;
    // SAFETY: only the thread in the slot clears it.
    unsafe {
        if (*slot).tid == tid {
            let start = (*slot).start_ns;
            if start == 0 {
                return None;
            }
            (*slot).start_ns = 0;
            return Some((start, (*slot).nr, (*slot).flags));
        }
        if (*slot).start_ns == 0 {
            return None;
        }
        let entry = *ENTRY_OVERFLOW.get(tid)?;
        let _ = ENTRY_OVERFLOW.remove(tid);
        Some((entry.start_ns, entry.nr, entry.flags))
    }
}

#[inline(always)]
pub(crate) fn try_exit<const LOOPS: bool>(current: &impl CurrentTask) {
    // SAFETY: no arguments.
    let cpu = unsafe { bpf_get_smp_processor_id() } as u32;
    let Some(turns) = runqlat::of_cpu(cpu) else {
        drops::count(DropReason::NoScratch);
        return;
    };
    let (process, tid) = current.ids(turns);
    if !filter::observes(tgid_of(process)) {
        return;
    }
    offcpu::take_user::<LOOPS>(current.context(), turns, tid);
    let ret = current.second();
    let errno = if (-MAX_ERRNO..0).contains(&ret) { ret.unsigned_abs() as u16 } else { 0 };
    let mut flags = 0;
    let (nr, bucket, ns) = if let Some((start, nr, entry_flags)) = take_entry(tid) {
        flags = entry_flags as u8;
        // SAFETY: no arguments.
        let now = unsafe { bpf_ktime_get_ns() };
        // The fast clock may step back by some ns from one CPU to the next.
        let ns = if now > start { now - start } else { 0 };
        (nr, bucket_of(ns), ns)
    } else {
        let compat = current.compat();
        if compat {
            flags = FLAG_COMPAT;
        }
        let Some(orig_ax) = current.orig_ax() else {
            drops::count(DropReason::ReadFailed);
            return;
        };
        let nr = match orig_ax {
            -1 if compat => RT_SIGRETURN_COMPAT,
            -1 => RT_SIGRETURN,
            nr => nr as u16,
        };
        let forks = if compat { &FORKS_COMPAT } else { &FORKS };
        if ret == 0 && (nr == forks[0] || nr == forks[1] || nr == forks[2] || nr == forks[3]) {
            // The child's first return to user mode: its parent's call, not one of its own.
            return;
        }
        if settings::get().is_some_and(|settings| settings.syscall_times != 0) {
            drops::count(DropReason::SyscallUnpaired);
        }
        (nr, UNTIMED, 0)
    };
    endings::returned(current, process, tid, nr, flags, errno);
    let key = SyscallKey { process, nr, cpu: cpu as u16, bucket, flags, errno };
    count(key, ns);
}

/// Adds one call to the CPU's cache slot of its key; another key in it is written back first.
///
/// A hit costs no helper call. Calls repeat: a process in a loop uses a handful of keys.
#[inline(always)]
fn count(key: SyscallKey, ns: u64) {
    let index = u32::from(key.cpu) * CACHE_SLOTS + cache_slot(&key);
    let Some(slot) = SYSCALL_CACHE.get_ptr_mut(index) else {
        drops::count(DropReason::NoScratch);
        return;
    };
    let (low, high) = key.words();
    let words = slot.cast::<KeyWords>();
    // SAFETY: the slot belongs to this CPU, and this program does not run twice at a time on one: preemption is off in a
    // syscall tracepoint up to 6.19 (include/trace/bpf_probe.h, `__BPF_DECLARE_TRACE_SYSCALL`); where it is on, the kernel
    // skips the second run and counts it (kernel/trace/bpf_trace.c, `__bpf_trace_run`:
    // `bpf_prog_get_recursion_context`, without migration), which [`DropReason::ProgramSkipped`] shows. The key lies at
    // the start of a slot, which is aligned to 64 bytes.
    unsafe {
        if (*words).low != low || (*words).high != high {
            take_slot(slot, low, high, ns);
            return;
        }
        (*slot).value.count += 1;
        if ns != 0 {
            (*slot).value.total_ns += ns;
            if ns > (*slot).value.max_ns {
                (*slot).value.max_ns = ns;
            }
        }
    }
}

/// A [`SyscallKey`] as it lies in memory, compared in two steps.
#[repr(C)]
struct KeyWords {
    low: u64,
    high: u32,
}

/// Writes a slot's key back and gives the slot to another. User space reads the slot through a mapping: the writes that
/// change its owner are volatile, in the order of `seq`.
#[inline(always)]
fn take_slot(slot: *mut SyscallCache, low: u64, high: u32, ns: u64) {
    let words = slot.cast::<KeyWords>();
    // SAFETY: as in `count`.
    unsafe {
        let seq = (*slot).seq;
        let (old_key, old) = ((*slot).key, (*slot).value);
        (&raw mut (*slot).seq).write_volatile(seq.wrapping_add(1));
        if old.count != 0 {
            write_back(&old_key, &old);
        }
        (&raw mut (*words).low).write_volatile(low);
        (&raw mut (*words).high).write_volatile(high);
        (&raw mut (*slot).value).write_volatile(SyscallValue { count: 1, total_ns: ns, max_ns: ns });
        (&raw mut (*slot).seq).write_volatile(seq.wrapping_add(2));
    }
}

#[inline(always)]
fn write_back(key: &SyscallKey, more: &SyscallValue) {
    if let Some(value) = SYSCALLS.get_ptr_mut(key) {
        // SAFETY: the key names this CPU, so no one else writes it (see `count`).
        unsafe {
            (*value).count += more.count;
            (*value).total_ns += more.total_ns;
            if more.max_ns > (*value).max_ns {
                (*value).max_ns = more.max_ns;
            }
        }
        return;
    }
    if SYSCALLS.insert(key, more, u64::from(BPF_NOEXIST)).is_err() {
        drops::count_many(DropReason::SyscallMapFull, more.count);
    } else if let Some(made) = KEYS_MADE.get_ptr_mut(0) {
        // SAFETY: a per-CPU slot that this program alone writes (see `count`).
        unsafe { *made += 1 }
    }
}

/// Keys ever inserted into [`SYSCALLS`]: user space holds it against what it deleted, and drains in time.
#[map]
static KEYS_MADE: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Frees the slot of a thread that exits inside a call that never returns (`exit`, `exit_group`, a fatal signal).
#[inline(always)]
pub(crate) fn thread_gone(tid: u32) {
    if let Some(slot) = SYSCALL_ENTRY.get_ptr_mut(tid & ENTRY_MASK.load()) {
        // SAFETY: the thread in the slot is the one that exits.
        unsafe {
            if (*slot).tid == tid {
                (*slot).start_ns = 0;
                (*slot).tid = 0;
            } else if (*slot).start_ns != 0 {
                let _ = ENTRY_OVERFLOW.remove(tid);
            }
        }
    }
}

/// A thread that was not the leader has called exec: it takes the leader's tid, and its entry goes along.
#[inline(always)]
pub(crate) fn thread_renamed(old_tid: u32, tid: u32) {
    runqlat::forget_caller();
    let mask = ENTRY_MASK.load();
    let (Some(from), Some(to)) =
        (SYSCALL_ENTRY.get_ptr_mut(old_tid & mask), SYSCALL_ENTRY.get_ptr_mut(tid & mask))
    else {
        return;
    };
    // SAFETY: both ids belong to the thread that runs here.
    unsafe {
        if (*from).tid == old_tid && (*from).start_ns != 0 {
            (*to).start_ns = (*from).start_ns;
            (*to).tid = tid;
            (*to).tgid = (*from).tgid;
            (*to).nr = (*from).nr;
            (*to).flags = (*from).flags;
            (*from).start_ns = 0;
            (*from).tid = 0;
        }
    }
}
