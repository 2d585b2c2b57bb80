//! From a frame to its caller's.

use core::arch::asm;
use core::ffi::c_void;

use agent_common::abi::unwind::{
    KIND_RBP, KIND_RSP, KIND_WIDE, RBP_AT_CFA, RBP_AT_RBP, RBP_AT_RSP, Rule, SPECIAL_END, SPECIAL_GAP,
    SPECIAL_PLT, SPECIAL_SIGNAL, Verdict, WideRule, signal_frame,
};
use aya_ebpf::helpers::generated::bpf_probe_read_user;

use super::{DONE, GO_ON, PT_REGS, WORDS, Walk, tables};

/// A frame by frame pointer is at most this large, or the register held something else.
const MAX_FRAME: u64 = 1 << 20;

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

    /// Reads words of the user's stack into the first of [`Walk::words`].
    #[inline(always)]
    pub(super) fn read(&mut self, words: u32, from: u64) -> bool {
        let mut bytes = u64::from(words) * 8;
        // What callers checked the compiler knows, but the verifier before 6.16 does not: of `words - 1 < 8` it learns
        // nothing about `words`.
        // SAFETY: arithmetic on a register.
        unsafe { asm!("{0} &= 127", inout(reg) bytes, options(nomem, nostack, pure)) };
        const { assert!(WORDS * 8 < 128 && 127 <= PT_REGS * 8) };
        // SAFETY: the helper checks the address; there is room for 127 bytes.
        unsafe {
            bpf_probe_read_user(self.words.as_mut_ptr().cast(), bytes as u32, from as *const c_void) == 0
        }
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
        if words > WORDS as u32 || !self.read(words, cfa.wrapping_sub(u64::from(words) * 8)) {
            return self.end(Verdict::Fault);
        }
        let bp = self.words[0];
        let pc = self.words[(words.wrapping_sub(1) & 7) as usize];
        if near {
            if below != 0 {
                self.bp = bp;
            }
        } else {
            if !self.read(1, cfa.wrapping_sub(u64::from(below) * 8)) {
                return self.end(Verdict::Fault);
            }
            self.bp = self.words[0];
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
            if !self.read(1, cfa) {
                return self.end(Verdict::Fault);
            }
            cfa = self.words[0].wrapping_add(i64::from(rule.add) as u64);
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
            if !self.read(1, base.wrapping_add(i64::from(rule.rbp_offset) as u64)) {
                return self.end(Verdict::Fault);
            }
            self.bp = self.words[0];
        }
        if !self.read(1, cfa.wrapping_sub(8)) {
            return self.end(Verdict::Fault);
        }
        self.go_on(self.words[0], cfa)
    }

    /// The kernel has put the registers of whoever was interrupted on the stack, perhaps on another one.
    #[inline(always)]
    fn signal(&mut self) -> i64 {
        const FIRST: u64 = signal_frame::RBP;
        const COUNT: u64 = (signal_frame::RIP - FIRST) / 8 + 1;
        const { assert!(COUNT as usize <= WORDS) };
        if !self.read(COUNT as u32, self.sp.wrapping_add(FIRST)) {
            return self.end(Verdict::Fault);
        }
        self.bp = self.words[0];
        let sp = self.words[(signal_frame::RSP - FIRST) as usize / 8];
        let pc = self.words[(signal_frame::RIP - FIRST) as usize / 8];
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
        if bp < self.sp || bp - self.sp > MAX_FRAME || bp & 7 != 0 || !self.read(2, bp) {
            return self.end(reason);
        }
        self.bp = self.words[0];
        let pc = self.words[1];
        self.pointers = 1;
        let go_on = self.go_on(pc, bp + 16);
        self.guess = reason as u32;
        go_on
    }
}
