//! Walks a copied user stack by the same steps as the kernel side.

use agent_common::abi::oncpu::MAX_FRAMES;
use agent_common::abi::unwind::{Rule, Verdict, WideRule};
use agent_common::unwind::{Frame, MAX_FRAME, Stack};

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

/// Frames, leaf first, and how the walk ended. `code` returns what is known of an address; `None` where nothing is mapped.
pub(super) fn walk(copied: &Copied, mut code: impl FnMut(u64) -> Option<Code>) -> (Vec<u64>, Verdict) {
    let mut frame = Frame::begin(copied.pc, copied.sp, copied.bp);
    let mut stack = Words(copied);
    let mut frames = Vec::new();
    while frames.len() < MAX_FRAMES {
        let at = frame.at();
        let found = code(at);
        if found.is_none() && frame.guess != 0 {
            return (frames, Verdict::of(frame.guess as u8).unwrap_or(Verdict::NoMapping));
        }
        // Whoever names the frames takes 1 off all but the leaf.
        frames.push(if frames.is_empty() { frame.pc } else { at.wrapping_add(1) });
        let nothing = Code { rule: Rule::GAP, wide: None, reason: Verdict::NoMapping };
        let Code { rule, wide, reason } = found.unwrap_or(nothing);
        if let Err(verdict) = frame.climb(&mut stack, (rule, |_| wide.as_ref()), at, reason) {
            return (frames, verdict);
        }
    }
    (frames, Verdict::Truncated)
}

/// The stack that was copied.
struct Words<'a>(&'a Copied);

impl Stack for Words<'_> {
    /// What is deeper than was copied cannot be read.
    fn read(&mut self, words: u32, from: u64) -> Result<u32, Verdict> {
        let offset = from.wrapping_sub(self.0.sp);
        let (place, len) = (offset / 8, self.0.stack.len() as u64);
        if offset.is_multiple_of(8) && place < len && u64::from(words) <= len - place {
            return Ok(place as u32);
        }
        // More than was copied: the rest of the stack is there, but not here.
        let deeper = offset.is_multiple_of(8) && offset < MAX_FRAME;
        Err(if deeper { Verdict::Truncated } else { Verdict::Fault })
    }

    fn word(&self, place: u32) -> u64 {
        self.0.stack.get(place as usize).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_common::abi::unwind::KIND_RSP;

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
