//! User stacks without frame pointers, by tables that user space makes of `.eh_frame`: see `agent_common::abi::unwind`.

mod python;
mod tables;
mod window;

use core::ffi::c_void;

use agent_common::abi::oncpu::{COPIED_BYTES, MAX_FRAMES};
use agent_common::abi::python::PythonVerdict;
use agent_common::abi::unwind::{MAPPED_BARE, MAPPED_JIT, MAPPED_PENDING, MAPPED_TABLE, Rule, Verdict};
use agent_common::unwind::Frame;
use aya_ebpf::bindings::BPF_F_USER_STACK;
use aya_ebpf::helpers::bpf_get_stack;
use aya_ebpf::helpers::generated::{bpf_loop, bpf_probe_read_kernel, bpf_probe_read_user};
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;

pub(crate) use self::tables::{forget_process, inherit_process, want};
use self::window::Window;
use crate::kernel::KernelPtr;

/// Who walks: a CPU's timer may interrupt a program on a tracepoint, and an interrupt wakes somebody meanwhile.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Walker {
    /// The sampling timer.
    Oncpu = 0,
    /// The end of a system call.
    SysExit = 1,
    /// Who wakes a thread.
    Waking = 2,
    /// The begin of `exit_group`.
    SysEnter = 3,
    /// The delivery of a fatal signal.
    Signal = 4,
    /// The end of a process.
    ProcessEnd = 5,
}

/// Walkers.
const WALKERS: u32 = 6;

/// Index of a frame, as the verifier believes it.
const FRAMES_MASK: u32 = 127;

/// Words of `struct pt_regs` of x86-64.
const PT_REGS: usize = 21;
/// `__USER_CS`, and `__USER32_CS` of a 32-bit process.
const USER_CS: u64 = 0x33;
const USER32_CS: u64 = 0x23;

/// A walk under way. In a map, since registers and stack of a program forget in a loop what the verifier must know.
#[repr(C)]
pub(crate) struct Walk {
    frame: Frame,
    /// The mapping that the last frame was in.
    start: u64,
    len: u64,
    bias: u64,
    pages: u32,
    kind: u32,
    /// The process' mappings.
    first: u32,
    count: u32,
    frames: u32,
    verdict: u32,
    /// 1: user space should look at the process' mappings again.
    stale: u32,
    /// 1: the process may have more mapped than is known.
    young: u32,
    /// Instruction, stack and frame pointer that it began with.
    begin: [u64; 3],
    python: python::Walk,
    words: [u64; PT_REGS],
    window: Window,
}

/// 1008 B a CPU and walker.
#[map]
static UNWIND_WALK: PerCpuArray<Walk> = PerCpuArray::with_max_entries(WALKERS, 0);

/// Results of a step, as `bpf_loop` wants them.
const GO_ON: i64 = 0;
const DONE: i64 = 1;

/// Neither a mapping that is known nor one of the `MAPPED_*`.
const UNMAPPED: u32 = u32::MAX;

/// What a step works on.
#[repr(C)]
struct Step {
    walk: *mut Walk,
    frames: *mut u64,
}

/// Registers of the frame to begin with.
#[derive(Clone, Copy)]
pub(crate) struct Regs {
    pub(crate) cs: u64,
    pub(crate) pc: u64,
    pub(crate) sp: u64,
    pub(crate) bp: u64,
}

/// A user stack that was taken.
pub(crate) struct UserStack {
    pub(crate) bytes: usize,
    /// A [`Verdict`].
    pub(crate) verdict: u8,
    /// User space should look at the process' mappings.
    pub(crate) stale: bool,
    /// A [`PythonVerdict`].
    pub(crate) python: u8,
    /// How many of them are Python's.
    pub(crate) python_frames: u8,
    /// User space may know better: [`copy_stack`] is for it.
    pub(crate) elsewhere: bool,
}

/// Bytes of the longest stack.
const STACK_BYTES: u32 = (MAX_FRAMES * 8) as u32;

/// Room for a user stack: as many Python frames behind as many native ones, by the verifier's bounds.
pub(crate) const USER_BYTES: usize = 2 * (FRAMES_MASK as usize + 1) * 8;

/// Room for a stack that is copied, with its registers.
pub(crate) const COPY_BYTES: usize = COPIED_BYTES + 24;

/// Takes the user stack of the current thread, of thread group `tgid`, leaf first, the native frames, then Python's. By frame
/// pointers where its tables are not known, and without `LOOPS`, where there is no `bpf_loop`: following the walk step by step
/// would be more than the verifiers of those kernels take.
///
/// # Safety
/// `frames` must be a place in a map value with room for [`USER_BYTES`].
#[inline(always)]
pub(crate) unsafe fn user_stack<const LOOPS: bool>(
    ctx: *mut c_void,
    walker: Walker,
    tgid: u32,
    frames: *mut u8,
    regs: impl FnOnce(&mut Walk) -> Option<Regs>,
) -> UserStack {
    let mut verdict = Verdict::NoTables as u8;
    if LOOPS
        && let Some(walk) = Walk::of(walker)
        && let Some(regs) = regs(walk)
    {
        // SAFETY: as promised.
        verdict = unsafe { walk.take(regs, tgid, frames.cast()) };
        if !Verdict::by_kernel(verdict) {
            let python_frames = walk.python.frames();
            return UserStack {
                bytes: (walk.frames() + python_frames) as usize * 8,
                verdict,
                stale: walk.is_stale(),
                python: walk.python.verdict(),
                python_frames: python_frames as u8,
                elsewhere: walk.young != 0 && verdict == Verdict::NoMapping as u8,
            };
        }
    }
    // SAFETY: as promised.
    let user = unsafe { bpf_get_stack(ctx, frames.cast(), STACK_BYTES, u64::from(BPF_F_USER_STACK)) };
    let bytes = if user > 0 { user as usize & 0x3ff } else { 0 };
    let stale = verdict == Verdict::NoProcess as u8;
    UserStack { bytes, verdict, stale, python: PythonVerdict::None as u8, python_frames: 0, elsewhere: stale }
}

/// Copies registers and stack of a thread whose process is not known, or not known well, for user space to walk: it knows the
/// mappings by the time it reads this. Bytes copied. To be called where [`user_stack`] has just said so.
///
/// # Safety
/// `to` must be a place in a map value with room for [`COPY_BYTES`].
#[inline(always)]
pub(crate) unsafe fn copy_stack(walker: Walker, to: *mut u8) -> usize {
    // SAFETY: as promised.
    unsafe { copy_stack_above(walker, to, 0) }
}

/// The same from `above` bytes above the stack pointer on: what is below may be a guard page that has just been hit.
///
/// # Safety
/// As of [`copy_stack`].
#[inline(always)]
pub(crate) unsafe fn copy_stack_above(walker: Walker, to: *mut u8, above: u64) -> usize {
    let Some(walk) = Walk::of(walker) else { return 0 };
    // SAFETY: as promised.
    unsafe { to.cast::<[u64; 3]>().write(walk.begin) };
    let begin = walk.begin[1].wrapping_add(above);
    let mut copied = 0;
    // Ever smaller pieces: a read fails as a whole where the stack ends before.
    let mut piece = COPIED_BYTES / 2;
    while piece >= COPIED_BYTES / 32 {
        let from = begin.wrapping_add(copied as u64) as *const c_void;
        // SAFETY: as promised: the pieces add up to less than COPIED_BYTES. The helper checks the address.
        if unsafe { bpf_probe_read_user(to.add(24 + copied).cast(), piece as u32, from) } == 0 {
            copied += piece;
        }
        piece /= 2;
    }
    24 + copied
}

impl Walk {
    fn of(walker: Walker) -> Option<&'static mut Self> {
        let walk = UNWIND_WALK.get_ptr_mut(walker as u32)?;
        // SAFETY: a per-CPU slot that one program uses.
        Some(unsafe { &mut *walk })
    }

    /// Registers of user mode from a `struct pt_regs` in kernel memory.
    #[inline(always)]
    pub(crate) fn saved(&mut self, regs: KernelPtr) -> Option<Regs> {
        // SAFETY: the helper checks the address; there is room for it.
        let failed = unsafe {
            bpf_probe_read_kernel(self.words.as_mut_ptr().cast(), (PT_REGS * 8) as u32, regs.0.cast())
        };
        if failed != 0 {
            return None;
        }
        let [_, _, _, _, bp, _, _, _, _, _, _, _, _, _, _, _, pc, cs, _, sp, _] = self.words;
        Some(Regs { cs, pc, sp, bp })
    }

    /// Takes the user stack of thread group `tgid`, leaf first, by `bpf_loop` (since 5.17).
    ///
    /// # Safety
    /// `frames` must be a place in a map value with room for [`USER_BYTES`].
    #[inline(always)]
    unsafe fn take(&mut self, regs: Regs, tgid: u32, frames: *mut u64) -> u8 {
        self.frames = 0;
        self.stale = 0;
        self.python.clear();
        match regs.cs {
            USER_CS => {}
            USER32_CS => return Verdict::Compat as u8,
            _ => return Verdict::None as u8,
        }
        // Workers of io_uring look like this.
        if regs.pc == 0 {
            return Verdict::None as u8;
        }
        self.frame = Frame::begin(regs.pc, regs.sp, regs.bp);
        self.begin = [regs.pc, regs.sp, regs.bp];
        let Some(maps) = tables::process(tgid) else { return Verdict::NoProcess as u8 };
        (self.first, self.count, self.young) = (maps.first, maps.count, maps.young);
        (self.start, self.len) = (0, 0);
        self.window.clear();
        self.verdict = Verdict::Truncated as u32;
        let mut step = Step { walk: self, frames };
        // SAFETY: the callback takes what it is given here.
        unsafe { bpf_loop(MAX_FRAMES as u32, next_frame as *mut c_void, (&raw mut step).cast(), 0) };
        if maps.python != 0 {
            self.take_python(&maps, &mut step);
        }
        self.verdict as u8
    }

    /// Frames taken.
    #[inline(always)]
    fn frames(&self) -> u32 {
        self.frames & FRAMES_MASK
    }

    /// Whether mappings were met that user space does not know or has no table for.
    #[inline(always)]
    fn is_stale(&self) -> bool {
        self.stale != 0
    }

    /// Notes the frame at `pc` and goes on to its caller.
    ///
    /// # Safety
    /// As of [`Self::take`].
    #[inline(always)]
    unsafe fn step(&mut self, frames: *mut u64) -> i64 {
        let (taken, at) = (self.frames, self.frame.at());
        if at.wrapping_sub(self.start) >= self.len && !self.enter(at) {
            return DONE;
        }
        // Whoever names the frames takes 1 off all but the leaf.
        let shown = if taken == 0 { self.frame.pc } else { at + 1 };
        // SAFETY: as promised.
        unsafe { frames.add((taken & FRAMES_MASK) as usize).write_volatile(shown) };
        self.frames = taken + 1;
        let (rule, reason) = match self.kind {
            MAPPED_TABLE => (tables::rule(self.pages, at.wrapping_sub(self.bias)), Verdict::NoTable),
            MAPPED_BARE => (Rule::GAP, Verdict::NoTable),
            MAPPED_JIT => (Rule::GAP, Verdict::Jit),
            MAPPED_PENDING => (Rule::GAP, Verdict::Pending),
            _ => (Rule::GAP, Verdict::NoMapping),
        };
        match self.frame.climb(&mut self.window, (rule, tables::wide), at, reason) {
            Ok(()) => GO_ON,
            Err(verdict) => {
                self.verdict = verdict as u32;
                DONE
            }
        }
    }

    /// Reads words of the user's memory into the first of [`Walk::words`].
    #[inline(always)]
    fn read(&mut self, words: u32, from: u64) -> bool {
        const { assert!(127 <= PT_REGS * 8) };
        window::read(self.words.as_mut_ptr().cast(), words, from)
    }

    /// Finds the mapping of `at`. False where the address is but a guess that led nowhere.
    #[inline(always)]
    fn enter(&mut self, at: u64) -> bool {
        if let Some(mapping) = tables::mapping(self.first, self.count, at)
            && at.wrapping_sub(mapping.start) < mapping.end.wrapping_sub(mapping.start)
        {
            self.start = mapping.start;
            self.len = mapping.end.wrapping_sub(mapping.start);
            self.bias = mapping.bias;
            self.pages = mapping.pages;
            self.kind = mapping.kind;
            self.stale |= u32::from(mapping.kind == MAPPED_PENDING);
            return true;
        }
        if self.frame.guess != 0 {
            self.verdict = self.frame.guess;
            return false;
        }
        // Code that has come since: frame pointers.
        (self.start, self.len) = (0, 0);
        self.kind = UNMAPPED;
        self.stale = 1;
        true
    }
}

/// Callback of `bpf_loop`.
extern "C" fn next_frame(_index: u32, step: *mut c_void) -> i64 {
    let step = step.cast::<Step>();
    // SAFETY: `take` made it.
    unsafe { (*(*step).walk).step((*step).frames) }
}
