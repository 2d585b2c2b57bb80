//! Block requests from their making to their completion.

use agent_common::abi::blockio::{
    BLOCK_OPEN_MAX, BLOCKIO_MAX, BlockKey, BlockOpen, BlockValue, OP_DISCARD, OP_FLUSH, OP_READ, OP_WRITE,
};
use agent_common::abi::drops::DropReason;
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns};
use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;
use aya_ebpf::programs::RawTracePointContext;

use crate::counters::{add, value_of};
use crate::kernel::{KernelPtr, layout, raw_argument};
use crate::{drops, filter, settings};

#[map]
static BLOCKIO: HashMap<BlockKey, BlockValue> = HashMap::with_max_entries(BLOCKIO_MAX, 0);

/// Key: address of the request. The kernel uses the same few over and over: an entry whose end was missed is
/// overwritten.
#[map]
static BLOCK_OPEN: HashMap<u64, BlockOpen> = HashMap::with_max_entries(BLOCK_OPEN_MAX, 0);

/// Sector after the last request of a disk. Disks beyond these have no sequential requests. 256 × 72 B = 18 KiB.
#[map]
static BLOCK_DISKS: HashMap<u32, u64> = HashMap::with_max_entries(256, 0);

/// `REQ_OP_*` and flags of `request.cmd_flags` (include/linux/blk_types.h): the operation is the low byte.
const REQ_OP_MASK: u32 = 0xff;
const REQ_PREFLUSH: u32 = 1 << 18;

/// Direction of a request; `None` for commands that move no data, and for the second request that the kernel makes
/// of a flush where it has told the first at its birth.
#[inline(always)]
fn op_of(request: KernelPtr, bytes: u32) -> Option<u32> {
    let flags = request.read::<u32>(layout!(request_flags))?;
    match flags & REQ_OP_MASK {
        0 => Some(OP_READ),
        1 if bytes == 0 && flags & REQ_PREFLUSH != 0 => Some(OP_FLUSH),
        1 | 7 => Some(OP_WRITE),
        2 if layout!(block_io_start) == 0 => Some(OP_FLUSH),
        3 | 5 | 9 => Some(OP_DISCARD),
        _ => None,
    }
}

/// The disk, not the partition: `major << 20 | minor`.
#[inline(always)]
fn disk_of(request: KernelPtr) -> Option<u32> {
    let disk = if layout!(request_disk) == agent_common::abi::settings::NO_OFFSET {
        request.follow(layout!(request_queue))?.follow(layout!(queue_disk))?
    } else {
        request.follow(layout!(request_disk))?
    };
    Some(disk.read::<u32>(layout!(disk_major))? << 20 | disk.read::<u32>(layout!(disk_minor))?)
}

/// The request among the arguments of a `block_rq_*` tracepoint.
#[inline(always)]
fn request(ctx: &RawTracePointContext) -> KernelPtr {
    let at = if layout!(block_request_arg) == 1 { raw_argument::<8>(ctx) } else { raw_argument::<0>(ctx) };
    KernelPtr(at as *const u8)
}

/// Notes a request on its way for the current process.
#[inline(always)]
fn open(request: KernelPtr, start_ns: u64, issue_ns: u64) {
    let Some(settings) = settings::get() else { return };
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    if !filter::passes(settings, tgid) {
        return;
    }
    let bytes = request.read::<u32>(layout!(request_bytes)).unwrap_or_default();
    let Some(op) = op_of(request, bytes) else { return };
    let Some(dev) = disk_of(request) else {
        drops::count(DropReason::ReadFailed);
        return;
    };
    let open = BlockOpen { start_ns, issue_ns, bytes: 0, key: BlockKey { tgid, dev, op }, sequential: 0 };
    if BLOCK_OPEN.insert(request.0 as u64, open, 0).is_err() {
        drops::count(DropReason::BlockOpenFull);
    }
}

#[inline(always)]
pub(crate) fn try_start(ctx: &RawTracePointContext) {
    // `block_io_start` came after the queue argument went.
    // SAFETY: no arguments.
    open(KernelPtr(ctx.arg::<u64>(0) as *const u8), unsafe { bpf_ktime_get_ns() }, 0);
}

#[inline(always)]
pub(crate) fn try_insert(ctx: &RawTracePointContext) {
    // SAFETY: no arguments.
    open(request(ctx), unsafe { bpf_ktime_get_ns() }, 0);
}

#[inline(always)]
pub(crate) fn try_issue(ctx: &RawTracePointContext) {
    let request = request(ctx);
    // SAFETY: no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    if layout!(block_io_start) == 0 {
        // Not every request was inserted, and the entry may be of an earlier use: the request knows its own start.
        let start = request.read::<u64>(layout!(request_start)).filter(|start| *start != 0 && *start <= now);
        match (BLOCK_OPEN.get_ptr_mut(request.0 as u64), start) {
            // SAFETY: nobody else writes the entry of a request that is being issued.
            (Some(entry), Some(start)) => unsafe { (*entry).start_ns = start },
            (Some(_), None) => {}
            (None, start) => open(request, start.unwrap_or(now), now),
        }
    }
    let Some(entry) = BLOCK_OPEN.get_ptr_mut(request.0 as u64) else { return };
    let sector = request.value(layout!(request_sector));
    let bytes = request.read::<u32>(layout!(request_bytes)).unwrap_or_default();
    let end = sector + u64::from(bytes >> 9);
    // SAFETY: nobody else writes the entry of a request that is being issued; of two issues to a disk at once either
    // may be the later one.
    unsafe {
        (*entry).issue_ns = now;
        let dev = (*entry).key.dev;
        match BLOCK_DISKS.get_ptr_mut(dev) {
            Some(last) if bytes > 0 => {
                (*entry).sequential = u32::from(*last == sector);
                *last = end;
            }
            Some(_) => {}
            None => {
                let _ = BLOCK_DISKS.insert(dev, end, 0);
            }
        }
    }
}

#[inline(always)]
pub(crate) fn try_merge(ctx: &RawTracePointContext) {
    // The request is gone, its bytes are in another one.
    let _ = BLOCK_OPEN.remove(request(ctx).0 as u64);
}

#[inline(always)]
pub(crate) fn try_complete(ctx: &RawTracePointContext) {
    let request = KernelPtr(ctx.arg::<u64>(0) as *const u8);
    // Made before the probes were attached, filtered, or not of interest: no entry.
    let Some(entry) = BLOCK_OPEN.get_ptr_mut(request.0 as u64) else { return };
    // `blk_status_t` is a byte, before 5.16 `int`: either way not 0 is an error.
    let (failed, bytes) = (ctx.arg::<u64>(1) as u8 != 0, ctx.arg::<u64>(2) as u32);
    // SAFETY: nobody else writes the entry of a request that is being completed.
    unsafe { (*entry).bytes += u64::from(bytes) };
    if !failed && bytes < request.read::<u32>(layout!(request_bytes)).unwrap_or_default() {
        return;
    }
    // SAFETY: as above.
    let open = unsafe { *entry };
    let _ = BLOCK_OPEN.remove(request.0 as u64);
    count(&open, failed);
}

#[inline(always)]
fn count(open: &BlockOpen, failed: bool) {
    // SAFETY: no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    let total = now.saturating_sub(open.start_ns);
    // A flush is never issued itself: what the kernel makes of it is.
    let queued = if open.issue_ns == 0 { 0 } else { open.issue_ns.saturating_sub(open.start_ns) };
    let window = settings::get().map_or(0, |settings| settings.window);
    let empty = BlockValue::default();
    let Some(value) = value_of(&BLOCKIO, &open.key, &empty, DropReason::BlockMapFull) else { return };
    // SAFETY: a map value. The maximum may lose a race with another CPU; the sums are atomic.
    unsafe {
        add(&raw mut (*value).count, 1);
        add(&raw mut (*value).sequential, u64::from(open.sequential));
        add(&raw mut (*value).bytes, open.bytes);
        add(&raw mut (*value).queued_ns, queued);
        add(&raw mut (*value).served_ns, total.saturating_sub(queued));
        if failed {
            add(&raw mut (*value).errors, 1);
        }
        if (*value).max_window != window || (*value).max_ns < total {
            (*value).max_window = window;
            (*value).max_ns = total;
        }
    }
}
