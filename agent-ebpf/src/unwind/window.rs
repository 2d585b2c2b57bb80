//! A thread's stack, read in pieces that are good for several frames.

use core::arch::asm;
use core::ffi::c_void;

use agent_common::abi::unwind::Verdict;
use agent_common::unwind::{Stack, WORDS};
use aya_ebpf::helpers::generated::bpf_probe_read_user;

/// Words of a stack read at once, a power of two: a copy of 64 words takes little longer than one of 8.
const WINDOW: usize = 64;
const WINDOW_BYTES: u64 = WINDOW as u64 * 8;

/// What was read of a stack last.
#[repr(C)]
pub(super) struct Window {
    /// The stack from here on is in `words`, so many bytes.
    at: u64,
    bytes: u64,
    /// 1: the stack ends sooner than a whole window.
    narrow: u64,
    words: [u64; WINDOW],
}

/// `value & MASK`, where the compiler would find the mask needless and the verifier needs it.
#[inline(always)]
fn masked<const MASK: u64>(mut value: u64) -> u64 {
    // SAFETY: arithmetic on a register.
    unsafe { asm!("{0} &= {1}", inout(reg) value, const MASK, options(nomem, nostack, pure)) };
    value
}

/// Reads words of the user's memory to a place with room for 127 bytes.
#[inline(always)]
pub(super) fn read(to: *mut c_void, words: u32, from: u64) -> bool {
    // What callers checked the compiler knows, but the verifier before 6.16 does not: of `words - 1 < 8` it learns
    // nothing about `words`.
    let bytes = masked::<127>(u64::from(words) * 8);
    const { assert!(WORDS * 8 < 128) };
    // SAFETY: the helper checks the address; there is room.
    unsafe { bpf_probe_read_user(to, bytes as u32, from as *const c_void) == 0 }
}

impl Window {
    /// Nothing was read yet.
    #[inline(always)]
    pub(super) fn clear(&mut self) {
        (self.bytes, self.narrow) = (0, 0);
    }
}

impl Stack for Window {
    #[inline(always)]
    fn read(&mut self, words: u32, from: u64) -> Result<u32, Verdict> {
        let (offset, bytes) = (from.wrapping_sub(self.at), u64::from(words) * 8);
        if offset & 7 == 0 && offset < WINDOW_BYTES && offset + bytes <= self.bytes {
            return Ok((offset >> 3) as u32);
        }
        self.at = from;
        self.bytes = WINDOW_BYTES;
        let to = self.words.as_mut_ptr().cast::<c_void>();
        // SAFETY: the helper checks the address; there is room for that.
        if self.narrow == 0
            && unsafe { bpf_probe_read_user(to, WINDOW_BYTES as u32, from as *const c_void) } == 0
        {
            return Ok(0);
        }
        // The stack ends before that.
        self.narrow = 1;
        self.bytes = if read(to, words, from) { bytes } else { 0 };
        if self.bytes != 0 { Ok(0) } else { Err(Verdict::Fault) }
    }

    #[inline(always)]
    fn word(&self, place: u32) -> u64 {
        let place = masked::<{ WINDOW as u64 - 1 }>(u64::from(place));
        // Once more for the compiler, which else has it panic.
        self.words[place as usize & (WINDOW - 1)]
    }
}
