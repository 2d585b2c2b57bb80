//! On-CPU samples: kernel stack by the kernel's unwinder, user stack by ours, through a ring buffer.

use agent_common::abi::drops::DropReason;
use agent_common::abi::oncpu::{MAX_FRAMES, SampleHeader, SampleTicks};
use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::{BPF_RB_NO_WAKEUP, bpf_perf_event_data};
use aya_ebpf::helpers::{
    bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_smp_processor_id,
    bpf_get_stack, bpf_ktime_get_ns,
};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{PerCpuArray, RingBuf};
use aya_ebpf::programs::PerfEventContext;

use crate::unwind::{Regs, Walk, Walker};
use crate::{drops, filter, kernel, unwind};

/// 1 MiB holds 1,800 samples of 70 frames: 9 s of 2 busy CPUs at 97 Hz. User space sizes it to the CPUs and rate.
const SAMPLES_BYTES: u32 = 1 << 20;

/// Bytes of one full stack.
const STACK_BYTES: usize = MAX_FRAMES * 8;
/// Room for the longest user stack, for one that is copied, and for the kernel's.
const FRAMES_BYTES: usize = unwind::USER_BYTES + unwind::COPY_BYTES + 1024;

#[repr(C)]
pub(crate) struct Scratch {
    header: SampleHeader,
    frames: [u8; FRAMES_BYTES],
}

#[map]
static SAMPLES: RingBuf = RingBuf::with_byte_size(SAMPLES_BYTES, 0);

/// A sample is put together here: 19.1 KiB a CPU, more than a BPF stack holds.
#[map]
static SAMPLE_SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

#[map]
static SAMPLE_TICKS: PerCpuArray<SampleTicks> = PerCpuArray::with_max_entries(1, 0);

/// Whether the timer interrupted user mode.
#[inline(always)]
fn in_user_mode(ctx: &PerfEventContext) -> bool {
    let data = ctx.as_ptr().cast::<bpf_perf_event_data>();
    // SAFETY: a field of the context, which the verifier knows.
    unsafe { (&raw const (*data).regs.cs).read_volatile() & 3 != 0 }
}

/// Registers of user mode: those that were interrupted, or those that the kernel was entered with.
#[inline(always)]
fn user_regs(ctx: &PerfEventContext, walk: &mut Walk) -> Regs {
    let data = ctx.as_ptr().cast::<bpf_perf_event_data>();
    // SAFETY: fields of the context, which the verifier knows.
    let regs = unsafe {
        Regs {
            cs: (&raw const (*data).regs.cs).read_volatile(),
            pc: (&raw const (*data).regs.rip).read_volatile(),
            sp: (&raw const (*data).regs.rsp).read_volatile(),
            bp: (&raw const (*data).regs.rbp).read_volatile(),
        }
    };
    if regs.cs & 3 != 0 {
        return regs;
    }
    kernel::user_regs().and_then(|saved| walk.saved(saved)).unwrap_or(regs)
}

#[inline(always)]
pub(crate) fn try_sample<const LOOPS: bool>(ctx: &PerfEventContext) {
    let Some(ticks) = SAMPLE_TICKS.get_ptr_mut(0) else { return };
    let pid_tgid = bpf_get_current_pid_tgid();
    let tgid = (pid_tgid >> 32) as u32;
    if pid_tgid == 0 {
        // SAFETY: a per-CPU slot, written only from this CPU's timer.
        unsafe { (*ticks).idle += 1 };
        return;
    }
    if !filter::observes(tgid) {
        // SAFETY: as above.
        unsafe { (*ticks).filtered += 1 };
        return;
    }
    // SAFETY: as above.
    unsafe { (*ticks).busy += 1 };
    // SAFETY: no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    let Some(scratch) = SAMPLE_SCRATCH.get_ptr_mut(0) else {
        drops::count(DropReason::NoScratch);
        return;
    };
    // SAFETY: a per-CPU slot; the timer does not interrupt itself.
    let scratch = unsafe { &mut *scratch };
    let frames = scratch.frames.as_mut_ptr();
    // SAFETY: `frames` is a map value with room for that.
    let user = unsafe {
        unwind::user_stack::<LOOPS>(ctx.as_ptr(), Walker::Oncpu, tgid, frames, |walk| {
            Some(user_regs(ctx, walk))
        })
    };
    let copied = if LOOPS && user.elsewhere {
        // SAFETY: behind USER_BYTES there is room for that.
        unsafe { unwind::copy_stack(Walker::Oncpu, frames.add(user.bytes)) }
    } else {
        0
    };
    let user_bytes = user.bytes + copied;
    // SAFETY: user_bytes ≤ USER_BYTES + COPY_BYTES, so STACK_BYTES (1016) more fit into FRAMES_BYTES. No frames are skipped: a perf
    // event's stack starts at the interrupted instruction. In user mode there is none, which it finds out for 0.8 µs.
    let kernel = if in_user_mode(ctx) {
        0
    } else {
        unsafe { bpf_get_stack(ctx.as_ptr(), frames.add(user_bytes).cast(), STACK_BYTES as u32, 0) }
    };
    let kernel_bytes = if kernel > 0 { kernel as usize & 0x3ff } else { 0 };
    if kernel_bytes == 0 && user_bytes == 0 {
        drops::count(DropReason::UserStackFailed);
    }
    if user.stale {
        unwind::want(tgid, now);
    }
    scratch.header = SampleHeader {
        at_ns: now,
        // SAFETY: no arguments.
        cgroup_id: unsafe { bpf_get_current_cgroup_id() },
        tgid,
        tid: pid_tgid as u32,
        // SAFETY: no arguments.
        cpu: unsafe { bpf_get_smp_processor_id() },
        kernel_frames: (kernel_bytes / 8) as u16,
        user_frames: (user_bytes / 8) as u16,
        verdict: user.verdict,
        stale: u8::from(user.stale),
        python: user.python,
        python_frames: user.python_frames,
        copied: (copied / 8) as u16,
        pad: [0; 2],
        comm: bpf_get_current_comm().unwrap_or_default(),
    };
    let bytes = size_of::<SampleHeader>() + kernel_bytes + user_bytes;
    // SAFETY: `bytes` is at most 56 + USER_BYTES + COPY_BYTES + 1023, the size of the scratch area is one more. User space drains on
    // a timer: a wake-up per sample was millions of context switches elsewhere.
    let sent = unsafe { SAMPLES_output(core::ptr::from_ref(scratch).cast(), bytes as u64) };
    if sent != 0 {
        drops::count(DropReason::SampleRingFull);
    }
}

#[inline(always)]
#[expect(non_snake_case, reason = "named for its map")]
unsafe fn SAMPLES_output(data: *const core::ffi::c_void, bytes: u64) -> i64 {
    // SAFETY: RingBuf is a transparent wrapper of the map definition that the loader relocates; the caller
    // guarantees `bytes` readable at `data`.
    unsafe {
        aya_ebpf::helpers::generated::bpf_ringbuf_output(
            core::ptr::addr_of!(SAMPLES).cast_mut().cast(),
            data.cast_mut(),
            bytes,
            u64::from(BPF_RB_NO_WAKEUP),
        )
    }
}
