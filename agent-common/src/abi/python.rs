//! CPython's own frames: what the kernel side knows of an interpreter's structures, and how it tells of a frame.
//!
//! `UNWIND_PROCS` says of a process whether it is one ([`super::unwind::ProcessMaps::python`]) and which of
//! `PYTHON_LAYOUTS` holds; the frames follow the native ones in a sample, leaf first, one [`PythonFrame`] each.

use crate::assert_abi;

/// Python frames taken of one stack at most.
pub const MAX_PYTHON_FRAMES: usize = 127;
/// Threads of a process that are looked at for the one that runs: 50 ns each.
pub const MAX_THREADS: u32 = 1024;
/// Distinct layouts at most: builds of CPython, 56 B each.
pub const LAYOUTS: u32 = 32;

/// All frames are entered from C: one native call of the interpreter's loop a Python frame (3.9, 3.10).
pub const ENTRY_ALWAYS: u32 = 0;
/// [`PythonLayout::entry_byte`] is not 0 in a frame that was entered from C (3.11).
pub const ENTRY_FLAG: u32 = 1;
/// A frame of its own, whose [`PythonLayout::entry_byte`] is [`OWNED_BY_C`], lies below one that was entered from C
/// (since 3.12).
pub const ENTRY_BELOW: u32 = 2;
/// `FRAME_OWNED_BY_CSTACK`.
pub const OWNED_BY_C: u64 = 3;

/// Where a build of CPython has what is followed, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct PythonLayout {
    /// `PyInterpreterState.next`
    pub interp_next: u32,
    /// `PyInterpreterState.threads.head`
    pub interp_threads: u32,
    /// `PyThreadState.next`
    pub thread_next: u32,
    /// `PyThreadState.thread_id`: what `pthread_self` says, which is the thread's FS base.
    pub thread_id: u32,
    /// `PyThreadState.current_frame`, `.frame` (3.9, 3.10), or `.cframe` (3.11, 3.12)
    pub thread_frame: u32,
    /// `_PyCFrame.current_frame` + 1; 0: `thread_frame` is the frame.
    pub cframe: u32,
    /// Words that are read of a frame: all that the next five are in.
    pub frame_words: u32,
    /// Its code object; a word, as the next two.
    pub frame_code: u32,
    /// The frame below it.
    pub frame_previous: u32,
    /// Where it is in its code: an address, or `f_lasti` (3.9, 3.10).
    pub frame_instr: u32,
    /// What tells an entry frame.
    pub entry_byte: u32,
    /// One of the `ENTRY_*`.
    pub entry: u32,
    /// `PyCodeObject.co_code_adaptive`, what an address is relative to; 0: `frame_instr` is an `i32`, in instructions or,
    /// with `lasti_bytes`, in bytes.
    pub code_start: u32,
    /// 1: `f_lasti` counts bytes, two an instruction (3.9).
    pub lasti_bytes: u32,
}
assert_abi!(
    PythonLayout,
    size = 56,
    align = 4,
    fields = [u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32]
);

/// A Python frame in one word: code object, instruction, whether it was entered from C. No address of user space has the
/// highest bit set, and none of the kernel has the third highest clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct PythonFrame(pub u64);

impl PythonFrame {
    const TAG: u64 = 1 << 63;
    const ENTRY: u64 = 1 << 62;
    const CLEAR: u64 = 1 << 61;
    const INSTR_SHIFT: u32 = 44;
    /// An instruction beyond what there is room for.
    pub const FAR: u64 = (1 << 17) - 1;

    /// `code` is a multiple of 8 below 2^47; 0: no frame, only a mark that the one above was entered from C.
    #[must_use]
    #[inline(always)]
    pub const fn new(code: u64, instr: u64, entry: bool) -> Self {
        let instr = if instr > Self::FAR { Self::FAR } else { instr };
        let entry = if entry { Self::ENTRY } else { 0 };
        Self(Self::TAG | entry | instr << Self::INSTR_SHIFT | code >> 3 & ((1 << Self::INSTR_SHIFT) - 1))
    }

    /// The frame in a word of a stack; `None` if it is an address.
    #[must_use]
    #[inline(always)]
    pub const fn of(word: u64) -> Option<Self> {
        if word & (Self::TAG | Self::CLEAR) == Self::TAG { Some(Self(word)) } else { None }
    }

    /// Address of the code object.
    #[must_use]
    pub const fn code(self) -> u64 {
        (self.0 & ((1 << Self::INSTR_SHIFT) - 1)) << 3
    }

    /// Instruction (two bytes each) that it is at; `None`: too far into the code.
    #[must_use]
    pub const fn instr(self) -> Option<u32> {
        let instr = self.0 >> Self::INSTR_SHIFT & Self::FAR;
        if instr == Self::FAR { None } else { Some(instr as u32) }
    }

    /// The frame below it belongs to another native call of the interpreter's loop.
    #[must_use]
    pub const fn is_entry(self) -> bool {
        self.0 & Self::ENTRY != 0
    }
}

/// How the walk up a thread's Python frames ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PythonVerdict {
    /// There was none: not a Python process, or one whose native stack could not be walked either.
    None = 0,
    /// At the outermost frame.
    Complete = 1,
    /// The deepest [`MAX_PYTHON_FRAMES`] were taken; there are more.
    Truncated = 2,
    /// The thread runs no Python code, or was not among [`MAX_THREADS`].
    NoThread = 3,
    /// The interpreter's structures could not be read, or are not what its version has.
    Fault = 4,
}

impl PythonVerdict {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::None, Self::Complete, Self::Truncated, Self::NoThread, Self::Fault];

    /// Stable identifier used in reports and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Complete => "complete",
            Self::Truncated => "truncated",
            Self::NoThread => "no_thread",
            Self::Fault => "fault",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_out_of_its_word_as_it_went_in() {
        for (code, instr, entry) in
            [(0x7fff_ffff_fff8, 0, true), (0x55d0_1234_5670, 70_000, false), (0, 0, true)]
        {
            let frame = PythonFrame::of(PythonFrame::new(code, instr, entry).0).expect("a frame");
            assert_eq!((frame.code(), frame.instr(), frame.is_entry()), (code, Some(instr as u32), entry));
        }
        assert_eq!(PythonFrame::new(8, 1 << 40, false).instr(), None);
        assert_eq!(PythonFrame::new(8, 1 << 40, false).code(), 8);
    }

    #[test]
    fn an_address_is_no_frame() {
        for addr in [0, 0x7fff_ffff_ffff, 0xffff_8000_0000_0000, 0xffff_ffff_ff60_0000, 0xff00_0000_0000_0000]
        {
            assert_eq!(PythonFrame::of(addr), None, "{addr:#x}");
        }
    }

    #[test]
    fn verdicts_have_the_numbers_of_their_places() {
        for (number, verdict) in PythonVerdict::ALL.into_iter().enumerate() {
            assert_eq!(verdict as usize, number);
        }
    }
}
