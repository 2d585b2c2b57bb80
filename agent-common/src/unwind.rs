//! One step up a user stack, from a frame to its caller's: the same code in the BPF program and in user space, over another
//! memory.
//!
//! In BPF each function here is inlined, and whatever its [`Stack`] does for the verifier stays in there.

use crate::abi::unwind::{
    KIND_RBP, KIND_RSP, KIND_WIDE, RBP_AT_CFA, RBP_AT_RBP, RBP_AT_RSP, Rule, SPECIAL_END, SPECIAL_GAP,
    SPECIAL_PLT, SPECIAL_SIGNAL, Verdict, WideRule, signal_frame,
};

/// Words read of a stack at once at most: from the return address down to where rbp usually is, below five other registers.
pub const WORDS: usize = 8;
/// A frame by frame pointer is at most this large, or the register held something else.
pub const MAX_FRAME: u64 = 1 << 20;

/// The memory of a thread's stack.
pub trait Stack {
    /// Reads so many words from an address on, [`WORDS`] at most: their place for [`Self::word`], or why there are none.
    fn read(&mut self, words: u32, from: u64) -> Result<u32, Verdict>;

    /// A word of what was read last.
    fn word(&self, place: u32) -> u64;
}

/// The registers of a frame, and how they were found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Frame {
    /// Instruction pointer.
    pub pc: u64,
    /// Stack pointer.
    pub sp: u64,
    /// Frame pointer, or whatever rbp holds.
    pub bp: u64,
    /// 1: `pc` is where it was interrupted, not a return address.
    pub exact: u32,
    /// 1: frame pointers were followed.
    pub pointers: u32,
    /// What to say if `pc` leads nowhere, since it came from a frame pointer that need not have been one: a [`Verdict`]; 0: it
    /// did not.
    pub guess: u32,
    /// Padding.
    pub pad: u32,
}

impl Frame {
    /// The frame that a thread is in.
    #[must_use]
    #[inline(always)]
    pub const fn begin(pc: u64, sp: u64, bp: u64) -> Self {
        Self { pc, sp, bp, exact: 1, pointers: 0, guess: 0, pad: 0 }
    }

    /// The address that its rule is looked up by: a return address is behind the call, which may be the last instruction
    /// of its function.
    #[must_use]
    #[inline(always)]
    pub const fn at(&self) -> u64 {
        self.pc.wrapping_sub(self.exact as u64 & 1 ^ 1)
    }

    /// To the caller of the frame whose code at `at` says `rule`; `wide` has the rules that do not fit into a row, `reason`
    /// is what there is where there is no rule. An error is how the walk ended.
    #[inline(always)]
    pub fn climb<'w>(
        &mut self,
        stack: &mut impl Stack,
        (rule, wide): (Rule, impl FnOnce(u32) -> Option<&'w WideRule>),
        at: u64,
        reason: Verdict,
    ) -> Result<(), Verdict> {
        let kind = rule.kind();
        if kind == KIND_RSP || kind == KIND_RBP {
            let base = if kind == KIND_RSP { self.sp } else { self.bp };
            return self.frame(stack, base.wrapping_add(u64::from(rule.middle()) * 8), rule.low());
        }
        if kind == KIND_WIDE {
            let Some(wide) = wide(rule.index()) else { return Err(Verdict::Unsupported) };
            return self.wide(stack, wide);
        }
        match rule.middle() {
            SPECIAL_GAP => self.pointer(stack, reason),
            SPECIAL_END => Err(self.top()),
            SPECIAL_SIGNAL => self.signal(stack),
            SPECIAL_PLT => {
                let pushed = if at & 15 >= u64::from(rule.low()) { 8 } else { 0 };
                self.frame(stack, self.sp.wrapping_add(8 + pushed), 0)
            }
            _ => Err(Verdict::Unsupported),
        }
    }

    /// The outermost frame is there.
    #[inline(always)]
    const fn top(&self) -> Verdict {
        if self.pointers == 0 { Verdict::Complete } else { Verdict::FramePointers }
    }

    #[inline(always)]
    fn go_on(&mut self, pc: u64, sp: u64) -> Result<(), Verdict> {
        self.exact = 0;
        self.guess = 0;
        self.pc = pc;
        self.sp = sp;
        if pc == 0 { Err(self.top()) } else { Ok(()) }
    }

    /// The caller's registers, from CFA and the place of rbp, in words below it.
    #[inline(always)]
    fn frame(&mut self, stack: &mut impl Stack, cfa: u64, below: u32) -> Result<(), Verdict> {
        if cfa <= self.sp {
            return Err(Verdict::Astray);
        }
        let near = below <= WORDS as u32;
        // What lies between the two is read along: in BPF one call is dearer than six words.
        let words = if near && below != 0 { below & 15 } else { 1 };
        if words > WORDS as u32 {
            return Err(Verdict::Fault);
        }
        let at = stack.read(words, cfa.wrapping_sub(u64::from(words) * 8))?;
        let pc = stack.word(at + words - 1);
        if near {
            if below != 0 {
                self.bp = stack.word(at);
            }
        } else {
            let at = stack.read(1, cfa.wrapping_sub(u64::from(below) * 8))?;
            self.bp = stack.word(at);
        }
        self.go_on(pc, cfa)
    }

    #[inline(always)]
    fn wide(&mut self, stack: &mut impl Stack, rule: &WideRule) -> Result<(), Verdict> {
        let base = if u32::from(rule.base) == KIND_RSP { self.sp } else { self.bp };
        let mut cfa = base.wrapping_add(i64::from(rule.offset) as u64);
        if rule.deref != 0 {
            let at = stack.read(1, cfa)?;
            cfa = stack.word(at).wrapping_add(i64::from(rule.add) as u64);
        }
        if cfa <= self.sp {
            return Err(Verdict::Astray);
        }
        let base = match rule.rbp {
            RBP_AT_CFA => cfa,
            RBP_AT_RBP => self.bp,
            RBP_AT_RSP => self.sp,
            _ => 0,
        };
        if base != 0 {
            let at = stack.read(1, base.wrapping_add(i64::from(rule.rbp_offset) as u64))?;
            self.bp = stack.word(at);
        }
        let at = stack.read(1, cfa.wrapping_sub(8))?;
        self.go_on(stack.word(at), cfa)
    }

    /// The kernel has put the registers of whoever was interrupted on the stack, perhaps on another one.
    #[inline(always)]
    fn signal(&mut self, stack: &mut impl Stack) -> Result<(), Verdict> {
        const FIRST: u64 = signal_frame::RBP;
        const COUNT: u64 = (signal_frame::RIP - FIRST) / 8 + 1;
        const { assert!(COUNT as usize <= WORDS) };
        let at = stack.read(COUNT as u32, self.sp.wrapping_add(FIRST))?;
        self.bp = stack.word(at);
        let sp = stack.word(at + (signal_frame::RSP - FIRST) as u32 / 8);
        let pc = stack.word(at + (signal_frame::RIP - FIRST) as u32 / 8);
        self.go_on(pc, sp)?;
        self.exact = 1;
        Ok(())
    }

    /// By frame pointer, of which it is not known whether it is one.
    #[inline(always)]
    fn pointer(&mut self, stack: &mut impl Stack, reason: Verdict) -> Result<(), Verdict> {
        let (bp, guess) = (self.bp, self.guess);
        if bp == 0 && guess != 0 {
            return Err(Verdict::FramePointers);
        }
        if bp < self.sp || bp - self.sp > MAX_FRAME || bp & 7 != 0 {
            return Err(reason);
        }
        let Ok(at) = stack.read(2, bp) else { return Err(reason) };
        let (next, pc) = (stack.word(at), stack.word(at + 1));
        if pc == 0 && (next != 0 || guess == 0) {
            // A register that points to zeroes is no end of a stack: only one that was followed here is.
            return Err(reason);
        }
        self.bp = next;
        self.pointers = 1;
        self.go_on(pc, bp + 16)?;
        self.guess = reason as u32;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words from an address on.
    struct Words<'a>(u64, &'a [u64]);

    impl Stack for Words<'_> {
        fn read(&mut self, words: u32, from: u64) -> Result<u32, Verdict> {
            let place = from.wrapping_sub(self.0) / 8;
            let end = place.saturating_add(words.into());
            if !from.is_multiple_of(8) || end > self.1.len() as u64 {
                Err(Verdict::Fault)
            } else {
                Ok(place as u32)
            }
        }

        fn word(&self, place: u32) -> u64 {
            self.1[place as usize]
        }
    }

    fn climbed(frame: Frame, words: &[u64], rule: Rule) -> Result<Frame, Verdict> {
        let mut frame = frame;
        let mut stack = Words(0x7f00, words);
        frame.climb(&mut stack, (rule, |_| None), frame.at(), Verdict::NoTable).map(|()| frame)
    }

    const BEGIN: Frame = Frame::begin(0x1000, 0x7f00, 0x7f08);

    #[test]
    fn a_frame_pointer_to_zeroes_is_not_the_end_of_a_stack() {
        // Whatever rbp held pointed to a structure that was cleared.
        assert_eq!(climbed(BEGIN, &[5, 0, 0], Rule::GAP), Err(Verdict::NoTable));
        // Followed from a frame pointer before, it is.
        let second = Frame { guess: Verdict::NoTable as u32, pointers: 1, ..BEGIN };
        assert_eq!(climbed(second, &[5, 0, 0], Rule::GAP), Err(Verdict::FramePointers));
        assert_eq!(climbed(second, &[5, 9, 0], Rule::GAP), Err(Verdict::NoTable));
        let next = climbed(BEGIN, &[5, 0, 0x2000], Rule::GAP).unwrap();
        assert_eq!((next.pc, next.sp, next.bp, next.at()), (0x2000, 0x7f18, 0, 0x1fff));
    }

    #[test]
    fn a_signal_frame_has_the_registers_of_what_was_interrupted() {
        let mut words = [0; 30];
        words[signal_frame::RBP as usize / 8] = 0x10;
        words[signal_frame::RSP as usize / 8] = 0x6000;
        words[signal_frame::RIP as usize / 8] = 0x3000;
        let next = climbed(BEGIN, &words, Rule::SIGNAL).unwrap();
        // The instruction itself, not the one before, and on another stack.
        assert_eq!((next.pc, next.sp, next.bp, next.at()), (0x3000, 0x6000, 0x10, 0x3000));
    }

    #[test]
    fn a_callers_frame_lies_above_and_what_cannot_be_read_is_said() {
        let rule = |cfa, rbp| Rule::narrow(KIND_RSP, cfa, rbp).unwrap();
        assert_eq!(climbed(BEGIN, &[1], rule(64, 0)), Err(Verdict::Fault));
        let rbp = Rule::narrow(KIND_RBP, 8, 0).unwrap();
        assert_eq!(climbed(Frame { bp: 0x7000, ..BEGIN }, &[1], rbp), Err(Verdict::Astray));
        let next = climbed(BEGIN, &[11, 22, 0x2000], rule(24, 16)).unwrap();
        assert_eq!((next.pc, next.sp, next.bp), (0x2000, 0x7f18, 22));
        assert_eq!(climbed(BEGIN, &[0], rule(8, 0)), Err(Verdict::Complete));
        assert_eq!(climbed(BEGIN, &[0], Rule::END), Err(Verdict::Complete));
        assert_eq!(climbed(BEGIN, &[0], Rule::UNSUPPORTED), Err(Verdict::Unsupported));
    }
}
