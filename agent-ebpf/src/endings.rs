//! Bad ends, while the process still has its memory: see `agent_common::abi::endings`.
//!
//! A fatal signal is seen as it is delivered, an exit with a code as it is asked for. What led there is kept all the time: the
//! calls that failed last ([`calls`]) and the last writes to standard output and error ([`words`]).

mod calls;
mod mapping;
mod oom;
mod signals;
mod words;

use core::arch::asm;
use core::ffi::c_void;

use agent_common::abi::drops::DropReason;
use agent_common::abi::endings::{
    ARGUMENTS_BYTES, ENDED_CALLS, ENDED_WORDS, EXECUTED_BYTES, Ending, EndingOffsets, LIMITS, PROCESSES_KEPT,
    UNKNOWN_MAPPING,
};
use agent_common::abi::process::numbered;
use agent_common::abi::unwind::Verdict;
use aya_ebpf::EbpfContext as _;
use aya_ebpf::Global;
use aya_ebpf::bindings::{BPF_NOEXIST, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::{
    bpf_probe_read_kernel, bpf_probe_read_user, bpf_probe_read_user_str, bpf_ringbuf_output,
};
use aya_ebpf::helpers::{
    bpf_get_current_pid_tgid, bpf_get_current_task, bpf_get_current_uid_gid, bpf_ktime_get_ns,
};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, LruHashMap, PerCpuArray, RingBuf};
use aya_ebpf::programs::RawTracePointContext;

use crate::kernel::{self, CurrentTask, KernelPtr, layout, offset};
use crate::unwind::{Walk, Walker};
use crate::{drops, filter, unwind};

pub(crate) use self::oom::victim;
pub(crate) use self::signals::{generated, try_deliver};

/// Overridden by the loader before the programs are verified.
#[unsafe(no_mangle)]
pub(crate) static ENDING_OFFSETS: EndingOffsets = EndingOffsets::UNKNOWN;

/// Loads one offset, as `offset!` does.
macro_rules! ending_offset {
    ($field:ident) => {
        // SAFETY: a static of plain integers.
        unsafe { core::ptr::read_volatile(&raw const $crate::endings::ENDING_OFFSETS.$field) }
    };
}
use ending_offset;

/// 1: ends are wanted; set at load. Without, the verifier takes all of this out of the programs of system calls.
#[unsafe(no_mangle)]
static ENDINGS: Global<u32> = Global::new(0);

/// 1 MiB holds 500 ends of 100 ms with stacks of 100 frames, or 50 whose stacks are copied.
const ENDINGS_BYTES: u32 = 1 << 20;

/// Room for the longest user stack, and for one that is copied.
const FRAMES_BYTES: usize = unwind::USER_BYTES + unwind::COPY_BYTES;

/// What a copy has of a stack that cannot be read: registers.
const NOTHING_COPIED: usize = 24;
const PAGE: u64 = 4096;

#[map]
static END_EVENTS: RingBuf = RingBuf::with_byte_size(ENDINGS_BYTES, 0);

#[repr(C)]
pub(crate) struct Scratch {
    header: Ending,
    frames: [u8; FRAMES_BYTES],
}

/// An end is put together here, by each of three programs: 3 × 19.6 KiB a CPU.
#[map]
static END_SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(3, 0);

/// Processes whose end is on its way, by [`numbered`]: other threads get SIGKILL then. 1,024 × 72 B.
#[map]
static ENDS_SEEN: LruHashMap<u32, u32> = LruHashMap::with_max_entries(PROCESSES_KEPT, 0);

/// The entry of a process, made where there is none.
#[inline(always)]
fn entry<V>(map: &LruHashMap<u32, V>, process: u32, empty: &Array<V>) -> Option<*mut V> {
    if let Some(value) = map.get_ptr_mut(process) {
        return Some(value);
    }
    let empty = empty.get_ptr(0)?;
    // Another CPU may have made it meanwhile: the second look finds that one.
    // SAFETY: a map value that nobody writes.
    let _ = map.insert(process, unsafe { &*empty }, u64::from(BPF_NOEXIST));
    map.get_ptr_mut(process)
}

/// `exit_group`, and of the 32-bit calls.
const EXIT_GROUP: u16 = 231;
const EXIT_GROUP_COMPAT: u16 = 252;

/// `value & MASK`, where the compiler would find the mask needless and the verifier needs it.
#[inline(always)]
fn masked<const MASK: u64>(mut value: u64) -> u64 {
    // SAFETY: arithmetic on a register.
    unsafe { asm!("{0} &= {1}", inout(reg) value, const MASK, options(nomem, nostack, pure)) };
    value
}

#[inline(always)]
fn are_wanted() -> bool {
    ENDINGS.load() != 0
}

/// A system call returned.
#[inline(always)]
pub(crate) fn returned(current: &impl CurrentTask, process: u32, tid: u32, nr: u16, flags: u8, errno: u16) {
    if !are_wanted() {
        return;
    }
    if errno != 0 {
        calls::failed(current, process, tid, nr, flags, errno);
    } else if words::writes(nr, flags) {
        words::wrote(current, process, nr, flags);
    } else if nr == calls::GETSOCKOPT && flags == 0 {
        calls::asked(current, process, tid);
    }
}

/// A system call begins.
#[inline(always)]
pub(crate) fn called<const LOOPS: bool>(current: &impl CurrentTask, process: u32, nr: u16, compat: bool) {
    if !are_wanted() || nr != (if compat { EXIT_GROUP_COMPAT } else { EXIT_GROUP }) {
        return;
    }
    let code = current.argument::<0>(compat) as i32 & 0xff;
    exits::<LOOPS>(current.context(), process, code, Walker::SysEnter);
}

/// The last thread of the current process exits. Where system calls are counted and not timed nobody has seen `exit_group`; on a
/// kernel that still has the memory here, this is as good.
#[inline(always)]
pub(crate) fn try_process_end<const LOOPS: bool>(ctx: &RawTracePointContext) {
    let task = KernelPtr(ctx.arg::<u64>(0) as *const u8);
    let Some(signal) = task.follow(offset!(task_signal)) else { return };
    if !are_wanted()
        || signal.read::<i32>(offset!(signal_live)).unwrap_or_default() > 0
        || task.follow(layout!(task_mm)).is_none()
    {
        return;
    }
    let (Some(tgid), Some(group), Some(own)) = (
        task.read::<u32>(offset!(task_tgid)),
        signal.read::<u32>(offset!(signal_group_exit_code)),
        task.read::<u32>(offset!(task_exit_code)),
    ) else {
        return;
    };
    let status = if group != 0 { group } else { own };
    if status & 0x7f != 0 || !filter::observes(tgid) {
        return;
    }
    let start = task.follow(offset!(task_group_leader)).map_or(0, |l| l.value(offset!(task_start_boottime)));
    exits::<LOOPS>(ctx.as_ptr(), numbered(tgid, start), (status >> 8 & 0xff) as i32, Walker::ProcessEnd);
}

/// The current process exits with `code`.
#[inline(always)]
fn exits<const LOOPS: bool>(ctx: *mut c_void, process: u32, code: i32, walker: Walker) {
    // Of what exits all the time, `false` or `grep`, there is nothing to tell.
    if code == 0 || !(words::are_kept(process) || calls::are_kept(process)) || !is_first(process) {
        return;
    }
    let Some(scratch) = scratch(walker as u32 - Walker::SysEnter as u32) else { return };
    // SAFETY: a per-CPU slot that the program of this walker alone writes.
    let scratch = unsafe { &mut *scratch };
    begin(&mut scratch.header, 0);
    send::<LOOPS>(ctx, scratch, walker);
}

/// An end of which nothing is known but the signal; 0: it exits.
#[inline(always)]
fn begin(header: &mut Ending, signal: u32) {
    header.signal = signal;
    header.si_code = 0;
    header.address = 0;
    header.si_pid = 0;
    header.si_uid = 0;
    header.mapping = UNKNOWN_MAPPING;
    header.mapped[0] = 0;
    header.sender.signal = 0;
}

/// Whether the end of this process was not seen yet.
#[inline(always)]
fn is_first(process: u32) -> bool {
    ENDS_SEEN.insert(process, 1, u64::from(BPF_NOEXIST)).is_ok()
}

#[inline(always)]
fn scratch(index: u32) -> Option<*mut Scratch> {
    let found = END_SCRATCH.get_ptr_mut(index);
    if found.is_none() {
        drops::count(DropReason::NoScratch);
    }
    found
}

/// Adds what is the same for all ends, and sends it.
#[inline(always)]
fn send<const LOOPS: bool>(ctx: *mut c_void, scratch: &mut Scratch, walker: Walker) {
    let header = &mut scratch.header;
    // SAFETY: no arguments.
    let (now, task) = unsafe { (bpf_ktime_get_ns(), KernelPtr(bpf_get_current_task() as *const u8)) };
    let ids = bpf_get_current_pid_tgid();
    let tgid = (ids >> 32) as u32;
    let leader = task.follow(offset!(task_group_leader)).unwrap_or(task);
    header.at_ns = now;
    header.tgid = tgid;
    header.tid = ids as u32;
    header.uid = bpf_get_current_uid_gid() as u32;
    header.start_boot_ns = leader.value(offset!(task_start_boottime));
    header.comm = leader.comm();
    header.parent = 0;
    if let Some(parent) = task.follow(offset!(task_real_parent)) {
        header.parent = parent.read(offset!(task_tgid)).unwrap_or_default();
        header.parent_comm = parent.comm();
    }
    header.error_code = task.value(ending_offset!(task_error_code));
    header.trap_nr = task.value(ending_offset!(task_trap_nr));
    if let Some(signal) = task.follow(offset!(task_signal)) {
        let limits = (&raw mut header.limits).cast();
        let from = signal.0.wrapping_add(ending_offset!(signal_rlim) as usize);
        // SAFETY: the helper checks the address; there is room for that.
        unsafe { bpf_probe_read_kernel(limits, (LIMITS * 16) as u32, from.cast()) };
    }
    memory(header, task);
    header.ip = 0;
    header.sp = 0;
    let frames = scratch.frames.as_mut_ptr();
    let (mut ip, mut sp) = (0, 0);
    let saved = |walk: &mut Walk| {
        let regs = walk.saved(kernel::user_regs()?)?;
        (ip, sp) = (regs.pc, regs.sp);
        Some(regs)
    };
    // SAFETY: `frames` is a map value with room for that.
    let user = unsafe { unwind::user_stack::<LOOPS>(ctx, walker, tgid, frames, saved) };
    header.skipped = 0;
    // User space may know better wherever the walk did not reach the outermost frame.
    let copied = if LOOPS && user.verdict != Verdict::Complete as u8 && user.verdict != Verdict::None as u8 {
        // SAFETY: behind USER_BYTES there is room for that.
        let copied = unsafe { unwind::copy_stack(walker, frames.add(user.bytes)) };
        if copied == NOTHING_COPIED && sp & 7 == 0 {
            let above = PAGE - (sp & (PAGE - 1));
            header.skipped = (above / 8) as u32;
            // SAFETY: as above.
            unsafe { unwind::copy_stack_above(walker, frames.add(user.bytes), above) }
        } else {
            copied
        }
    } else {
        0
    };
    let bytes = user.bytes + copied;
    (header.ip, header.sp) = (ip, sp);
    header.user_frames = (bytes / 8) as u16;
    header.copied = (copied / 8) as u16;
    header.python_frames = user.python_frames.into();
    // SAFETY: header and frames are in the scratch area; `bytes` is at most FRAMES_BYTES.
    let sent = unsafe {
        bpf_ringbuf_output(
            core::ptr::addr_of!(END_EVENTS).cast_mut().cast(),
            core::ptr::from_ref(scratch).cast_mut().cast(),
            (size_of::<Ending>() + bytes) as u64,
            u64::from(BPF_RB_NO_WAKEUP),
        )
    };
    if sent != 0 {
        drops::count(DropReason::EndingRingFull);
    }
}

/// What its memory says: how much it has, its arguments, the path of its program.
#[inline(always)]
fn memory(header: &mut Ending, task: KernelPtr) {
    header.arguments_bytes = 0;
    header.executed[0] = 0;
    header.total_pages = 0;
    header.data_pages = 0;
    header.rss_pages = 0;
    let Some(mm) = task.follow(layout!(task_mm)) else { return };
    header.total_pages = mm.value(ending_offset!(mm_total_vm));
    header.data_pages = mm.value(ending_offset!(mm_data_vm));
    header.rss_pages = crate::memory::resident(task);
    let start = mm.value(ending_offset!(mm_arg_start));
    let length = mm.value(ending_offset!(mm_arg_end)).wrapping_sub(start);
    let length = if length < ARGUMENTS_BYTES as u64 { length } else { ARGUMENTS_BYTES as u64 - 1 };
    let bytes = masked::<{ ARGUMENTS_BYTES as u64 - 1 }>(length) as u32;
    let path = mm.value(ending_offset!(mm_env_end)) as *const c_void;
    // SAFETY: the helpers check the addresses; there is room for that.
    unsafe {
        if bpf_probe_read_user((&raw mut header.arguments).cast(), bytes, start as *const c_void) == 0 {
            header.arguments_bytes = bytes as u16;
        }
        bpf_probe_read_user_str((&raw mut header.executed).cast(), EXECUTED_BYTES as u32, path);
    }
}

/// A process began another program: the calls that failed until then are not about it.
#[inline(always)]
pub(crate) fn executed(process: u32) {
    if are_wanted() {
        calls::forget(process);
    }
}

/// A process ended: what is kept of it, for user space to take. After an end as it should be it is nothing.
#[inline(always)]
pub(crate) fn ended(process: u32, status: u32) -> u32 {
    if !are_wanted() {
        return 0;
    }
    if status == 0 {
        words::forget(process);
        calls::forget(process);
        return 0;
    }
    let mut kept = 0;
    if words::are_kept(process) {
        kept |= ENDED_WORDS;
    }
    if calls::are_kept(process) {
        kept |= ENDED_CALLS;
    }
    kept
}
