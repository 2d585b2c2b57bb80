//! Up a user stack that was copied, by the rules that the kernel side goes by (`agent-ebpf/src/unwind/climb.rs`).

use agent_common::abi::oncpu::MAX_FRAMES;
use agent_common::abi::unwind::{
    KIND_RBP, KIND_RSP, KIND_WIDE, RBP_AT_CFA, RBP_AT_RBP, RBP_AT_RSP, Rule, SPECIAL_END, SPECIAL_GAP,
    SPECIAL_PLT, SPECIAL_SIGNAL, Verdict, WideRule, signal_frame,
};

/// A frame by frame pointer is at most this large, or the register held something else.
const MAX_FRAME: u64 = 1 << 20;

/// Registers and stack of a thread in user mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Instruction pointer.
    pub pc: u64,
    /// Stack pointer: where `stack` begins.
    pub sp: u64,
    /// Frame pointer, or whatever rbp held.
    pub bp: u64,
    /// Words of the stack.
    pub stack: Box<[u64]>,
}

/// What is known of an address of code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Code {
    /// How to go on from there.
    pub(super) rule: Rule,
    /// The rule that it refers to, if it does.
    pub(super) wide: Option<WideRule>,
    /// What to say where there is no rule and frame pointers lead nowhere.
    pub(super) reason: Verdict,
}

/// Frames, leaf first, and how the walk ended. `code` tells of an address; nothing is mapped where it says nothing.
pub(super) fn walk(copied: &Copied, mut code: impl FnMut(u64) -> Option<Code>) -> (Vec<u64>, Verdict) {
    let mut walk = Walk {
        copied,
        pc: copied.pc,
        sp: copied.sp,
        bp: copied.bp,
        exact: true,
        pointers: false,
        guess: None,
    };
    let mut frames = Vec::new();
    while frames.len() < MAX_FRAMES {
        // A return address is behind the call, which may be the last instruction of its function.
        let at = if walk.exact { walk.pc } else { walk.pc.wrapping_sub(1) };
        let found = code(at);
        if let (None, Some(guess)) = (found, walk.guess) {
            return (frames, guess);
        }
        // Whoever names the frames takes 1 off all but the leaf.
        frames.push(if frames.is_empty() { walk.pc } else { at.wrapping_add(1) });
        walk.exact = false;
        let found = found.unwrap_or(Code { rule: Rule::GAP, wide: None, reason: Verdict::NoMapping });
        if let Err(verdict) = walk.climb(found, at) {
            return (frames, verdict);
        }
    }
    (frames, Verdict::Truncated)
}

struct Walk<'a> {
    copied: &'a Copied,
    pc: u64,
    sp: u64,
    bp: u64,
    /// `pc` is where it was interrupted, not a return address.
    exact: bool,
    /// Frame pointers were followed.
    pointers: bool,
    /// What to say if `pc` leads nowhere: it came from a frame pointer that need not have been one.
    guess: Option<Verdict>,
}

impl Walk<'_> {
    /// The word at an address of the stack; what is deeper than was copied cannot be read.
    fn word(&self, at: u64) -> Result<u64, Verdict> {
        let offset = at.wrapping_sub(self.copied.sp);
        let word = self.copied.stack.get(usize::try_from(offset / 8).unwrap_or(usize::MAX));
        match word {
            Some(word) if offset.is_multiple_of(8) => Ok(*word),
            // More than was copied: the rest of the stack is there, but not here.
            None if offset < MAX_FRAME => Err(Verdict::Truncated),
            _ => Err(Verdict::Fault),
        }
    }

    fn climb(&mut self, Code { rule, wide, reason }: Code, at: u64) -> Result<(), Verdict> {
        match rule.kind() {
            kind @ (KIND_RSP | KIND_RBP) => {
                let base = if kind == KIND_RSP { self.sp } else { self.bp };
                self.frame(base.wrapping_add(u64::from(rule.middle()) * 8), rule.low())
            }
            KIND_WIDE => self.wide(wide.ok_or(Verdict::Unsupported)?),
            _ => match rule.middle() {
                SPECIAL_GAP => self.pointer(reason),
                SPECIAL_END => Err(self.top()),
                SPECIAL_SIGNAL => self.signal(),
                SPECIAL_PLT => {
                    let pushed = if at & 15 >= u64::from(rule.low()) { 8 } else { 0 };
                    self.frame(self.sp.wrapping_add(8 + pushed), 0)
                }
                _ => Err(Verdict::Unsupported),
            },
        }
    }

    /// The outermost frame is there.
    fn top(&self) -> Verdict {
        if self.pointers { Verdict::FramePointers } else { Verdict::Complete }
    }

    fn go_on(&mut self, pc: u64, sp: u64) -> Result<(), Verdict> {
        (self.pc, self.sp, self.guess) = (pc, sp, None);
        if pc == 0 { Err(self.top()) } else { Ok(()) }
    }

    /// The caller's registers, from CFA and the place of rbp, in words below it.
    fn frame(&mut self, cfa: u64, below: u32) -> Result<(), Verdict> {
        if cfa <= self.sp {
            return Err(Verdict::Astray);
        }
        if below != 0 {
            self.bp = self.word(cfa.wrapping_sub(u64::from(below) * 8))?;
        }
        let pc = self.word(cfa.wrapping_sub(8))?;
        self.go_on(pc, cfa)
    }

    fn wide(&mut self, rule: WideRule) -> Result<(), Verdict> {
        let base = if u32::from(rule.base) == KIND_RSP { self.sp } else { self.bp };
        let mut cfa = base.wrapping_add(i64::from(rule.offset) as u64);
        if rule.deref != 0 {
            cfa = self.word(cfa)?.wrapping_add(i64::from(rule.add) as u64);
        }
        if cfa <= self.sp {
            return Err(Verdict::Astray);
        }
        let base = match rule.rbp {
            RBP_AT_CFA => Some(cfa),
            RBP_AT_RBP => Some(self.bp),
            RBP_AT_RSP => Some(self.sp),
            _ => None,
        };
        if let Some(base) = base {
            self.bp = self.word(base.wrapping_add(i64::from(rule.rbp_offset) as u64))?;
        }
        let pc = self.word(cfa.wrapping_sub(8))?;
        self.go_on(pc, cfa)
    }

    /// The kernel has put the registers of whoever was interrupted on the stack, perhaps on another one.
    fn signal(&mut self) -> Result<(), Verdict> {
        let register = |offset| self.word(self.sp.wrapping_add(offset));
        let (bp, sp) = (register(signal_frame::RBP)?, register(signal_frame::RSP)?);
        let pc = register(signal_frame::RIP)?;
        (self.bp, self.exact) = (bp, true);
        self.go_on(pc, sp)
    }

    /// By frame pointer.
    fn pointer(&mut self, reason: Verdict) -> Result<(), Verdict> {
        let bp = self.bp;
        if bp == 0 && self.guess.is_some() {
            return Err(Verdict::FramePointers);
        }
        if bp < self.sp || bp - self.sp > MAX_FRAME || bp & 7 != 0 {
            return Err(reason);
        }
        let (Ok(next), Ok(pc)) = (self.word(bp), self.word(bp + 8)) else { return Err(reason) };
        (self.bp, self.pointers) = (next, true);
        self.go_on(pc, bp + 16)?;
        self.guess = Some(reason);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(cfa: i64, rbp: i64) -> Code {
        Code { rule: Rule::narrow(KIND_RSP, cfa, rbp).unwrap(), wide: None, reason: Verdict::NoTable }
    }

    fn copied(stack: &[u64]) -> Copied {
        Copied { pc: 0x1000, sp: 0x7f00, bp: 0, stack: stack.into() }
    }

    #[test]
    fn frames_are_climbed_by_their_rules_to_the_outermost() {
        // 0x1000 has saved rbp and 8 bytes more; 0x2000 has nothing but its return address; 0x3000 is the outermost.
        let stack = copied(&[11, 22, 0x2000, 0x3000, 0]);
        let code = |at: u64| {
            Some(match at {
                0x1000 => rule(24, 16),
                0x1fff => rule(8, 0),
                0x2fff => Code { rule: Rule::END, wide: None, reason: Verdict::NoTable },
                _ => return None,
            })
        };
        assert_eq!(walk(&stack, code), (vec![0x1000, 0x2000, 0x3000], Verdict::Complete));
    }

    #[test]
    fn what_was_not_copied_is_said_to_be_cut() {
        assert_eq!(walk(&copied(&[1]), |_| Some(rule(64, 0))), (vec![0x1000], Verdict::Truncated));
        assert_eq!(walk(&copied(&[]), |_| None), (vec![0x1000], Verdict::NoMapping));
        let endless: Vec<u64> = vec![0x1000; 1000];
        let (frames, verdict) = walk(&copied(&endless), |_| Some(rule(8, 0)));
        assert_eq!((frames.len(), verdict), (MAX_FRAMES, Verdict::Truncated));
    }

    #[test]
    fn frame_pointers_are_followed_where_nothing_is_described() {
        // rbp → (0, 0x2000): its caller is the outermost by its rule.
        let stack = Copied { bp: 0x7f08, ..copied(&[5, 0, 0x2000, 7]) };
        let code = |at: u64| {
            let end = Code { rule: Rule::END, wide: None, reason: Verdict::NoTable };
            Some(if at == 0x1fff { end } else { Code { rule: Rule::GAP, ..end } })
        };
        assert_eq!(walk(&stack, code), (vec![0x1000, 0x2000], Verdict::FramePointers));
    }
}
