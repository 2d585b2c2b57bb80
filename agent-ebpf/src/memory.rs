//! Reclaim, compaction, write-back throttling and kills for memory, per process.

use agent_common::abi::drops::DropReason;
use agent_common::abi::memory::{MEMORY_MAX, MemoryValue, OOM_KILLS_MAX, OomValue};
use agent_common::abi::resources::{OPEN_COMPACTION, OPEN_RECLAIM, OpenValue};
use agent_common::abi::sched::State;
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_current_task, bpf_ktime_get_ns};
use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;
use aya_ebpf::programs::RawTracePointContext;

use crate::counters::{add, value_of};
use crate::kernel::{KernelPtr, layout, offset, raw_argument};
use crate::sched::slots::Slot;
use crate::{drops, endings, filter, open, settings};

#[map]
static MEMORY: HashMap<u32, MemoryValue> = HashMap::with_max_entries(MEMORY_MAX, 0);

#[map]
static OOM_KILLS: HashMap<u32, OomValue> = HashMap::with_max_entries(OOM_KILLS_MAX, 0);

#[inline(always)]
fn memory_of(tgid: u32) -> Option<*mut MemoryValue> {
    let empty = MemoryValue::default();
    value_of(&MEMORY, &tgid, &empty, DropReason::MemoryMapFull)
}

#[inline(always)]
fn begin(what: u32) {
    let Some(settings) = settings::get() else { return };
    let ids = bpf_get_current_pid_tgid();
    let tgid = (ids >> 32) as u32;
    if filter::passes(settings, tgid) {
        // SAFETY: no arguments.
        let start_ns = unsafe { bpf_ktime_get_ns() };
        open::begin(ids as u32, what, State::Reclaim, &OpenValue { start_ns, tgid, ..OpenValue::default() });
    }
}

#[inline(always)]
pub(crate) fn try_reclaim_begin() {
    begin(OPEN_RECLAIM);
}

#[inline(always)]
pub(crate) fn try_reclaim_end(ctx: &RawTracePointContext) {
    let Some((open, ns)) = open::end(bpf_get_current_pid_tgid() as u32, OPEN_RECLAIM, 0) else { return };
    let Some(value) = memory_of(open.tgid) else { return };
    // SAFETY: a map value; the sums are atomic.
    unsafe {
        add(&raw mut (*value).reclaims, 1);
        add(&raw mut (*value).reclaim_ns, ns);
        add(&raw mut (*value).reclaimed_pages, ctx.arg::<u64>(0));
    }
}

#[inline(always)]
pub(crate) fn try_compaction_begin() {
    begin(OPEN_COMPACTION);
}

#[inline(always)]
pub(crate) fn try_compaction_end() {
    let Some((open, ns)) = open::end(bpf_get_current_pid_tgid() as u32, OPEN_COMPACTION, 0) else { return };
    let Some(value) = memory_of(open.tgid) else { return };
    // SAFETY: a map value; the sums are atomic.
    unsafe {
        add(&raw mut (*value).compactions, 1);
        add(&raw mut (*value).compaction_ns, ns);
    }
}

#[inline(always)]
pub(crate) fn try_throttle(ctx: &RawTracePointContext) {
    let pause =
        if layout!(writeback_pause_arg) == 6 { raw_argument::<48>(ctx) } else { raw_argument::<80>(ctx) };
    let pause = pause as i64;
    // Without a pause the kernel passes 0 or less and lets the writer go on.
    if pause <= 0 {
        return;
    }
    let Some(settings) = settings::get() else { return };
    let ids = bpf_get_current_pid_tgid();
    let tgid = (ids >> 32) as u32;
    if !filter::passes(settings, tgid) {
        return;
    }
    if let Some(slot) = Slot::of(ids as u32) {
        slot.set_context(State::Writeback as u8);
    }
    let Some(value) = memory_of(tgid) else { return };
    // SAFETY: a map value; the sums are atomic.
    unsafe {
        add(&raw mut (*value).throttles, 1);
        add(&raw mut (*value).throttled_ticks, pause as u64);
    }
}

/// File, anonymous and shared pages: counters 0, 1 and 3 of `rss_stat` (2 are swap entries). Per-CPU parts that were
/// not added up yet may make one negative.
#[inline(always)]
pub(crate) fn resident(task: KernelPtr) -> u64 {
    let Some(mm) = task.follow(layout!(task_mm)) else { return 0 };
    let (first, step) = (layout!(mm_rss), layout!(mm_rss_step));
    let pages = |index: u32| mm.read::<i64>(first + index * step).unwrap_or_default();
    (pages(0) + pages(1) + pages(3)).max(0) as u64
}

/// Anonymous pages: counter 1.
#[inline(always)]
fn anonymous(task: KernelPtr) -> u64 {
    let pages =
        task.follow(layout!(task_mm)).and_then(|mm| mm.read::<i64>(layout!(mm_rss) + layout!(mm_rss_step)));
    pages.unwrap_or_default().max(0) as u64
}

#[inline(always)]
pub(crate) fn try_oom(ctx: &RawTracePointContext) {
    // SAFETY: no arguments.
    let mut value = OomValue { at_ns: unsafe { bpf_ktime_get_ns() }, ..OomValue::default() };
    let tgid = if layout!(oom_victim_is_task) == 1 {
        let task = KernelPtr(ctx.arg::<u64>(0) as *const u8);
        value.rss_pages = resident(task);
        value.comm = task.comm();
        let tgid = task.read::<u32>(offset!(task_tgid)).unwrap_or_default();
        endings::victim(tgid, task, anonymous(task));
        tgid
    } else {
        let tgid = ctx.arg::<u64>(0) as u32;
        // The victim is not at hand: who found no memory is mostly in the same group.
        // SAFETY: no arguments.
        endings::victim(tgid, KernelPtr(unsafe { bpf_get_current_task() } as *const u8), 0);
        tgid
    };
    if OOM_KILLS.insert(tgid, value, 0).is_err() {
        drops::count(DropReason::MemoryMapFull);
    }
}
