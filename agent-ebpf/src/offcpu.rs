//! Looks at waits as they end: what for, how long, who ended it, with the stacks of both. See
//! `agent_common::abi::offcpu` for which.
//!
//! The wake-up is the place: the thread still sleeps, so its kernel stack is that of the wait, and the one that ends
//! the wait is current. Its user stack can only be read when it runs again: as its system call returns.

use agent_common::abi::drops::DropReason;
use agent_common::abi::offcpu::{
    IDLE_SHIFT, KIND_USER, KIND_WAIT, LOOK_BURST, LOOK_NS, QUANTUM_NS, TARGET_FILE, TARGET_FUTEX,
    TARGET_PIPE, TARGET_SOCKET, TARGET_UNIX, UNIX_ASKS, UNIX_SERVES, WaitHeader, WaitUser,
};
use agent_common::abi::oncpu::MAX_FRAMES;
use agent_common::abi::runqlat::Cpu;
use agent_common::abi::sched::{
    COMPAT, Call, FLAG_COMPAT, FLAG_SHARED, FLAG_WAIT_USER, NATIVE, NO_CALL, State, is_idle, nr_in_table,
};
use agent_common::abi::settings::Settings;
use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::BPF_RB_NO_WAKEUP;
use aya_ebpf::helpers::generated::{bpf_get_task_stack, bpf_ringbuf_output};
use aya_ebpf::helpers::{
    bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_smp_processor_id, bpf_get_stack,
};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{PerCpuArray, RingBuf};
use aya_ebpf::programs::BtfTracePointContext;

use crate::kernel::task::{Task, at};
use crate::kernel::{self, KernelPtr};
use crate::sched::slots::Slot;
use crate::unwind::{Walk, Walker};
use crate::{drops, runqlat, settings, unwind};

/// User space sizes it to the CPUs: 400 ms of looks.
const WAITS_BYTES: u32 = 1 << 20;

/// Bytes of one full stack.
const STACK_BYTES: usize = MAX_FRAMES * 8;
/// A user stack, then two of the kernel's, each behind what the one before really took: at most 1023 bytes each by their masks.
const FRAMES_BYTES: usize = unwind::USER_BYTES + 2048;

const S_IFMT: u16 = 0o170_000;
const S_IFIFO: u16 = 0o010_000;
const S_IFSOCK: u16 = 0o140_000;
const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

#[map]
static WAITS: RingBuf = RingBuf::with_byte_size(WAITS_BYTES, 0);

#[repr(C)]
pub(crate) struct Scratch {
    header: WaitHeader,
    frames: [u8; FRAMES_BYTES],
}

#[repr(C)]
pub(crate) struct UserScratch {
    header: WaitUser,
    frames: [u8; unwind::USER_BYTES],
}

/// A wait is put together here: 4.2 KiB a CPU.
#[map]
static WAIT_SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

#[map]
static WAIT_USER: PerCpuArray<UserScratch> = PerCpuArray::with_max_entries(1, 0);

/// A thread that waited in `state` since `since` is woken by the current one.
#[inline(always)]
pub(crate) fn ended<const LOOPS: bool>(
    ctx: &BtfTracePointContext,
    task: Task,
    slot: Slot,
    state: u8,
    (since, now): (u64, u64),
) {
    if now <= since {
        return;
    }
    let shift = if is_idle(state) { IDLE_SHIFT } else { 0 };
    let debt = slot.debt() + ((now - since) >> shift);
    if debt < QUANTUM_NS {
        slot.set_debt(debt);
        return;
    }
    let (Some(settings), Some(cpu)) = (settings::get(), runqlat::this_cpu()) else { return };
    if settings.waits == 0 {
        return;
    }
    if !may_look(cpu, now) {
        slot.set_debt(debt);
        return;
    }
    let quanta = debt / QUANTUM_NS;
    slot.set_debt(debt - quanta * QUANTUM_NS);
    let Some(scratch) = WAIT_SCRATCH.get_ptr_mut(0) else {
        drops::count(DropReason::NoScratch);
        return;
    };
    // SAFETY: a per-CPU slot; interrupts are off here.
    let scratch = unsafe { &mut *scratch };
    let header = &mut scratch.header;
    *header = WaitHeader {
        kind: KIND_WAIT,
        id: next_id(cpu),
        at_ns: now,
        waited_ns: now - since,
        weight_ns: (quanta * QUANTUM_NS) << shift,
        accounted: state,
        ..WaitHeader::default()
    };
    describe(header, settings, task, slot);
    let bytes = stacks::<LOOPS>(ctx, task, header, scratch.frames.as_mut_ptr());
    send(core::ptr::from_ref(scratch).cast(), bytes);
}

/// Whether this CPU may look at another wait: at most one in [`LOOK_NS`], but for a burst.
#[inline(always)]
fn may_look(cpu: *mut Cpu, now: u64) -> bool {
    // SAFETY: this CPU's entry; interrupts are off here.
    unsafe {
        let next = (*cpu).look_ns;
        if next > now + LOOK_BURST * LOOK_NS {
            return false;
        }
        (*cpu).look_ns = if next > now { next } else { now } + LOOK_NS;
    }
    true
}

/// A number that no other wait of the last minutes has.
#[inline(always)]
fn next_id(cpu: *mut Cpu) -> u32 {
    // SAFETY: as above; the helper has no arguments.
    unsafe {
        let count = (*cpu).waits.wrapping_add(1);
        (*cpu).waits = count;
        (bpf_get_smp_processor_id() as u32) << 20 | count & 0xf_ffff
    }
}

/// Everything but the stacks.
#[inline(always)]
fn describe(header: &mut WaitHeader, settings: &Settings, task: Task, slot: Slot) {
    let (nr, flags) = (slot.nr(), slot.flags() & (FLAG_COMPAT | FLAG_SHARED));
    header.tgid = slot.tgid();
    header.tid = slot.tid();
    header.comm = slot.comm();
    header.nr = NO_CALL;
    let waker = bpf_get_current_pid_tgid();
    header.waker_tgid = (waker >> 32) as u32;
    header.waker_tid = waker as u32;
    header.waker_comm = bpf_get_current_comm().unwrap_or_default();
    if task.in_kernel_only() {
        return;
    }
    header.user_ip = task.regs().user().0;
    header.flags = flags;
    if nr == NO_CALL {
        return;
    }
    header.nr = nr;
    header.arg = slot.arg();
    if settings.wait_users != 0 {
        header.flags |= FLAG_WAIT_USER;
        slot.want_user(header.id);
    }
    let table = if flags & FLAG_COMPAT != 0 { &COMPAT } else { &NATIVE };
    let call = Call(table[nr_in_table(u64::from(nr))]);
    if call.0 == Call::FUTEX.0 {
        header.target = TARGET_FUTEX;
        header.owner = slot.owner();
        if header.waker_tgid == header.tgid
            && let Some(waker) = Slot::of(header.waker_tid)
            && waker.word() == header.arg
        {
            header.takes_turns = 1;
        }
    } else if (call.wants_file() || call.0 == State::Fsync as u8 || is_polled(call, header.accounted))
        && let Some(file) = task.file(header.arg as u32)
    {
        let _ = target(header, file);
    }
}

/// A `poll` that is told by its one descriptor, which is then the argument.
#[inline(always)]
const fn is_polled(call: Call, state: u8) -> bool {
    call.0 == Call::POLL.0 && state != State::Poll as u8 && state != State::Sleep as u8
}

/// What is behind the descriptor.
#[inline(always)]
fn target(header: &mut WaitHeader, file: KernelPtr) -> Option<()> {
    let inode = file.follow(at!(file_inode))?;
    let mode: u16 = inode.read(at!(inode_mode))?;
    if mode & S_IFMT == S_IFSOCK {
        return socket(header, file.follow(at!(file_private_data))?.follow(at!(socket_sk))?);
    }
    header.inode = inode.read(at!(inode_ino))?;
    header.dev = inode.follow(at!(inode_sb))?.read(at!(sb_dev))?;
    header.target = if mode & S_IFMT == S_IFIFO { TARGET_PIPE } else { TARGET_FILE };
    Some(())
}

#[inline(always)]
fn socket(header: &mut WaitHeader, sock: KernelPtr) -> Option<()> {
    match sock.read::<u16>(at!(sock_family))? {
        AF_UNIX => {
            header.target = TARGET_UNIX;
            header.local_port = role(sock).unwrap_or(0);
            let pid = sock.follow(at!(sock_peer_pid))?;
            header.owner = pid.read(at!(pid_numbers))?;
        }
        family @ (AF_INET | AF_INET6) => {
            header.target = TARGET_SOCKET;
            header.protocol = sock.read(at!(sock_protocol))?;
            header.local_port = sock.read(at!(sock_num))?;
            header.peer_port = u16::from_be(sock.read(at!(sock_dport))?);
            if header.peer_port == 0 {
                return None;
            }
            header.family = family;
            if family == AF_INET {
                let address: [u8; 4] = sock.read(at!(sock_daddr))?;
                header.peer[..4].copy_from_slice(&address);
            } else {
                header.peer = sock.read(at!(sock_v6_daddr))?;
            }
        }
        _ => {}
    }
    Some(())
}

/// Which end of a local connection this is: one that was accepted has its listener's name.
#[inline(always)]
fn role(sock: KernelPtr) -> Option<u16> {
    if sock.read::<u64>(at!(unix_addr))? != 0 {
        return Some(UNIX_SERVES);
    }
    let peer = sock.follow(at!(unix_peer))?;
    (peer.read::<u64>(at!(unix_addr))? != 0).then_some(UNIX_ASKS)
}

/// The three stacks, one behind the other. Returns the bytes of all.
#[inline(always)]
fn stacks<const LOOPS: bool>(
    ctx: &BtfTracePointContext,
    task: Task,
    header: &mut WaitHeader,
    frames: *mut u8,
) -> usize {
    let mut waker = 0;
    if header.waker_tid != 0 {
        let saved = |walk: &mut Walk| walk.saved(kernel::user_regs()?);
        // SAFETY: `frames` is a map value with room for that.
        let user = unsafe {
            unwind::user_stack::<LOOPS>(ctx.as_ptr(), Walker::Waking, header.waker_tgid, frames, saved)
        };
        header.waker_user = (user.bytes / 8) as u8;
        header.waker_python = user.python_frames;
        header.waker_stale = u8::from(user.stale);
        // SAFETY: `user.bytes` is less than USER_BYTES, and STACK_BYTES have room behind it.
        let taken =
            unsafe { bpf_get_stack(ctx.as_ptr(), frames.add(user.bytes).cast(), STACK_BYTES as u32, 0) };
        let kernel_bytes = if taken > 0 { taken as usize & 0x3ff } else { 0 };
        header.waker_kernel = (kernel_bytes / 8) as u8;
        waker = user.bytes + kernel_bytes;
    }
    // SAFETY: FRAMES_BYTES has room for three stacks; the task sleeps, and cannot run before this ends.
    let kernel = unsafe {
        bpf_get_task_stack(task.0.0.cast_mut().cast(), frames.add(waker).cast(), STACK_BYTES as u32, 0)
    };
    let kernel_bytes = if kernel > 0 { kernel as usize & 0x3ff } else { 0 };
    header.kernel_frames = (kernel_bytes / 8) as u8;
    waker + kernel_bytes
}

#[inline(always)]
fn send(record: *const core::ffi::c_void, frames: usize) {
    let bytes = size_of::<WaitHeader>() + frames;
    // SAFETY: header and frames are in the scratch area; `frames` is at most FRAMES_BYTES.
    let sent = unsafe {
        bpf_ringbuf_output(
            core::ptr::addr_of!(WAITS).cast_mut().cast(),
            record.cast_mut(),
            bytes as u64,
            u64::from(BPF_RB_NO_WAKEUP),
        )
    };
    if sent != 0 {
        drops::count(DropReason::WaitRingFull);
    }
}

/// At `sys_exit`: takes the user stack of the current thread if it is wanted.
#[inline(always)]
pub(crate) fn take_user<const LOOPS: bool>(ctx: *mut core::ffi::c_void, cpu: *mut Cpu, tid: u32) {
    // SAFETY: this CPU's entry. Where this program may be preempted, the word is the next thread's by then, and its
    // number another one.
    if unsafe { (&raw const (*cpu).wanted).read_volatile() } != tid {
        return;
    }
    let Some(slot) = Slot::of(tid) else { return };
    let Some(id) = slot.take_wanted() else { return };
    let Some(scratch) = WAIT_USER.get_ptr_mut(0) else {
        drops::count(DropReason::NoScratch);
        return;
    };
    // SAFETY: a per-CPU slot that this program alone writes, and it is not run twice at a time on a CPU.
    let scratch = unsafe { &mut *scratch };
    let frames = scratch.frames.as_mut_ptr();
    let saved = |walk: &mut Walk| walk.saved(kernel::user_regs()?);
    // SAFETY: `frames` is a map value with room for that.
    let user = unsafe { unwind::user_stack::<LOOPS>(ctx, Walker::SysExit, slot.tgid(), frames, saved) };
    let bytes = user.bytes;
    let verdict = u32::from(user.verdict) | u32::from(user.stale) << 8 | u32::from(user.python_frames) << 16;
    scratch.header = WaitUser { kind: KIND_USER, id, frames: (bytes / 8) as u32, verdict };
    // SAFETY: header and frames are in the scratch area.
    let sent = unsafe {
        bpf_ringbuf_output(
            core::ptr::addr_of!(WAITS).cast_mut().cast(),
            core::ptr::from_ref(scratch).cast_mut().cast(),
            (size_of::<WaitUser>() + bytes) as u64,
            u64::from(BPF_RB_NO_WAKEUP),
        )
    };
    if sent != 0 {
        drops::count(DropReason::WaitRingFull);
    }
}
