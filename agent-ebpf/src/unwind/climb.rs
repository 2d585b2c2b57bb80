//! From a frame to its caller's.

use core::arch::asm;
use core::ffi::c_void;

use agent_common::abi::unwind::{
    KIND_RBP, KIND_RSP, KIND_WIDE, RBP_AT_CFA, RBP_AT_RBP, RBP_AT_RSP, Rule, SPECIAL_END, SPECIAL_GAP,
    SPECIAL_PLT, SPECIAL_SIGNAL, Verdict, WideRule, signal_frame,
};
use aya_ebpf::helpers::generated::bpf_probe_read_user;

use super::{DONE, GO_ON, PT_REGS, WINDOW, WORDS, Walk, tables};

/// A frame by frame pointer is at most this large, or the register held something else.
const MAX_FRAME: u64 = 1 << 20;

/// `value & MASK`, where the compiler would find the mask needless and the verifier needs it.
#[inline(always)]
fn masked<const MASK: u64>(mut value: u64) -> u64 {
    // SAFETY: arithmetic on a register.
    unsafe { asm!("{0} &= {1}", inout(reg) value, const MASK, options(nomem, nostack, pure)) };
    value
}

/// Reads words of the user's memory to a place with room for 127 bytes.
#[inline(always)]
fn read(to: *mut c_void, words: u32, from: u64) -> bool {
    // What callers checked the compiler knows, but the verifier before 6.16 does not: of `words - 1 < 8` it learns
    // nothing about `words`.
    let bytes = masked::<127>(u64::from(words) * 8);
    const { assert!(WORDS * 8 < 128) };
    // SAFETY: the helper checks the address; there is room.
    unsafe { bpf_probe_read_user(to, bytes as u32, from as *const c_void) == 0 }
}

const WINDOW_BYTES: u64 = WINDOW as u64 * 8;

impl Walk {
    /// To the caller of the frame whose code at `at` says `rule`. `reason`: what there is where there is no rule.
    #[inline(always)]
    pub(super) fn climb(&mut self, rule: Rule, at: u64, reason: Verdict) -> i64 {
        let kind = rule.kind();
        if kind == KIND_RSP || kind == KIND_RBP {
            let base = if kind == KIND_RSP { self.sp } else { self.bp };
            return self.frame(base.wrapping_add(u64::from(rule.middle()) * 8), rule.low());
        }
        if kind == KIND_WIDE {
            let Some(wide) = tables::wide(rule.index()) else { return self.end(Verdict::Unsupported) };
            return self.wide(wide);
        }
        match rule.middle() {
            SPECIAL_GAP => self.pointer(reason),
            SPECIAL_END => {
                self.end(if self.pointers == 0 { Verdict::Complete } else { Verdict::FramePointers })
            }
            SPECIAL_SIGNAL => self.signal(),
            SPECIAL_PLT => {
                let pushed = if at & 15 >= u64::from(rule.low()) { 8 } else { 0 };
                self.frame(self.sp.wrapping_add(8 + pushed), 0)
            }
            _ => self.end(Verdict::Unsupported),
        }
    }

    #[inline(always)]
    pub(super) fn end(&mut self, verdict: Verdict) -> i64 {
        self.verdict = verdict as u32;
        DONE
    }

    /// Reads words of the user's memory into the first of [`Walk::words`].
    #[inline(always)]
    pub(super) fn read(&mut self, words: u32, from: u64) -> bool {
        const { assert!(127 <= PT_REGS * 8) };
        read(self.words.as_mut_ptr().cast(), words, from)
    }

    /// Words of the user's stack, of which more is read along: their place, for [`Self::word_at`].
    #[inline(always)]
    fn stack(&mut self, words: u32, from: u64) -> Option<u32> {
        let (offset, bytes) = (from.wrapping_sub(self.window_at), u64::from(words) * 8);
        if offset & 7 == 0 && offset < WINDOW_BYTES && offset + bytes <= self.window_bytes {
            return Some((offset >> 3) as u32);
        }
        self.window_at = from;
        self.window_bytes = WINDOW_BYTES;
        let to = self.window.as_mut_ptr().cast::<c_void>();
        // SAFETY: the helper checks the address; there is room for that.
        if self.narrow == 0
            && unsafe { bpf_probe_read_user(to, WINDOW_BYTES as u32, from as *const c_void) } == 0
        {
            return Some(0);
        }
        // The stack ends before that.
        self.narrow = 1;
        self.window_bytes = if read(to, words, from) { bytes } else { 0 };
        (self.window_bytes != 0).then_some(0)
    }

    /// A word of the window.
    #[inline(always)]
    fn word_at(&self, place: u32) -> u64 {
        let place = masked::<{ WINDOW as u64 - 1 }>(u64::from(place));
        // Once more for the compiler, which else has it panic.
        self.window[place as usize & (WINDOW - 1)]
    }

    /// The caller's registers, from CFA and the place of rbp, in words below it.
    #[inline(always)]
    fn frame(&mut self, cfa: u64, below: u32) -> i64 {
        if cfa <= self.sp {
            return self.end(Verdict::Astray);
        }
        let near = below <= WORDS as u32;
        // What lies between the two is read along: one call is dearer than six words.
        let words = if near && below != 0 { below & 15 } else { 1 };
        if words > WORDS as u32 {
            return self.end(Verdict::Fault);
        }
        let Some(at) = self.stack(words, cfa.wrapping_sub(u64::from(words) * 8)) else {
            return self.end(Verdict::Fault);
        };
        let pc = self.word_at(at + words - 1);
        if near {
            if below != 0 {
                self.bp = self.word_at(at);
            }
        } else {
            let Some(at) = self.stack(1, cfa.wrapping_sub(u64::from(below) * 8)) else {
                return self.end(Verdict::Fault);
            };
            self.bp = self.word_at(at);
        }
        self.go_on(pc, cfa)
    }

    #[inline(always)]
    fn go_on(&mut self, pc: u64, sp: u64) -> i64 {
        self.guess = 0;
        self.pc = pc;
        self.sp = sp;
        if pc == 0 {
            return self.end(if self.pointers == 0 { Verdict::Complete } else { Verdict::FramePointers });
        }
        GO_ON
    }

    #[inline(always)]
    fn wide(&mut self, rule: &WideRule) -> i64 {
        let base = if u32::from(rule.base) == KIND_RSP { self.sp } else { self.bp };
        let mut cfa = base.wrapping_add(i64::from(rule.offset) as u64);
        if rule.deref != 0 {
            let Some(at) = self.stack(1, cfa) else { return self.end(Verdict::Fault) };
            cfa = self.word_at(at).wrapping_add(i64::from(rule.add) as u64);
        }
        if cfa <= self.sp {
            return self.end(Verdict::Astray);
        }
        let base = match rule.rbp {
            RBP_AT_CFA => cfa,
            RBP_AT_RBP => self.bp,
            RBP_AT_RSP => self.sp,
            _ => 0,
        };
        if base != 0 {
            let Some(at) = self.stack(1, base.wrapping_add(i64::from(rule.rbp_offset) as u64)) else {
                return self.end(Verdict::Fault);
            };
            self.bp = self.word_at(at);
        }
        let Some(at) = self.stack(1, cfa.wrapping_sub(8)) else { return self.end(Verdict::Fault) };
        self.go_on(self.word_at(at), cfa)
    }

    /// The kernel has put the registers of whoever was interrupted on the stack, perhaps on another one.
    #[inline(always)]
    fn signal(&mut self) -> i64 {
        const FIRST: u64 = signal_frame::RBP;
        const COUNT: u64 = (signal_frame::RIP - FIRST) / 8 + 1;
        const { assert!(COUNT as usize <= WORDS) };
        let Some(at) = self.stack(COUNT as u32, self.sp.wrapping_add(FIRST)) else {
            return self.end(Verdict::Fault);
        };
        self.bp = self.word_at(at);
        let sp = self.word_at(at + (signal_frame::RSP - FIRST) as u32 / 8);
        let pc = self.word_at(at + (signal_frame::RIP - FIRST) as u32 / 8);
        self.exact = 1;
        self.go_on(pc, sp)
    }

    /// By frame pointer.
    #[inline(always)]
    fn pointer(&mut self, reason: Verdict) -> i64 {
        let bp = self.bp;
        if bp == 0 && self.guess != 0 {
            return self.end(Verdict::FramePointers);
        }
        if bp < self.sp || bp - self.sp > MAX_FRAME || bp & 7 != 0 {
            return self.end(reason);
        }
        let Some(at) = self.stack(2, bp) else { return self.end(reason) };
        self.bp = self.word_at(at);
        let pc = self.word_at(at + 1);
        self.pointers = 1;
        let go_on = self.go_on(pc, bp + 16);
        self.guess = reason as u32;
        go_on
    }
}
