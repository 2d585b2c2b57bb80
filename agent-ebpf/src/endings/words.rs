//! What a process wrote last to its standard output and error: read as the call returns, sent nowhere.

use core::ffi::c_void;

use agent_common::abi::endings::{
    LastWords, PROCESSES_KEPT, WORDS_BUFFERS, WORDS_BYTES, WORDS_MAX, WORDS_STARTS, WordsHeader,
};
use agent_common::abi::syscalls::FLAG_COMPAT;
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::helpers::generated::bpf_probe_read_user;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, LruHashMap};

use crate::kernel::CurrentTask;

#[map]
static LAST_WORDS: LruHashMap<u32, LastWords> = LruHashMap::with_max_entries(PROCESSES_KEPT, 0);

/// What an entry begins with: never written.
#[map]
static NO_WORDS: Array<LastWords> = Array::with_max_entries(1, 0);

/// Descriptors whose writes are kept, a bit each: standard output and error.
const FDS: u32 = 1 << 1 | 1 << 2;

/// `write`, `pwrite64`, `writev`, of the 64-bit calls.
const WRITES: u64 = 1 << 1 | 1 << 18 | 1 << 20;
const WRITEV: u16 = 20;
/// `write` and `writev` of the 32-bit calls.
const COMPAT_WRITE: u16 = 4;
const COMPAT_WRITEV: u16 = 146;

/// Whether this call writes.
#[inline(always)]
pub(super) fn writes(nr: u16, flags: u8) -> bool {
    if flags & FLAG_COMPAT != 0 {
        return nr == COMPAT_WRITE || nr == COMPAT_WRITEV;
    }
    nr < 64 && WRITES >> nr & 1 != 0
}

/// A write of `process` returned.
#[inline(always)]
pub(super) fn wrote(current: &impl CurrentTask, process: u32, nr: u16, flags: u8) {
    let compat = flags & FLAG_COMPAT != 0;
    let fd = current.argument::<0>(compat) as u32;
    if fd > 31 || FDS >> fd & 1 == 0 {
        return;
    }
    let written = current.second();
    if written <= 0 {
        return;
    }
    let Some(words) = super::entry(&LAST_WORDS, process, &NO_WORDS) else { return };
    let from = current.argument::<1>(compat);
    if nr == WRITEV && !compat {
        let buffers = current.argument::<2>(false);
        for index in 0..WORDS_BUFFERS as u64 {
            if index >= buffers {
                break;
            }
            let mut vector = [0_u64; 2];
            let at = (from + index * 16) as *const c_void;
            // SAFETY: the helper checks the address; a vector has 16 bytes.
            if unsafe { bpf_probe_read_user(vector.as_mut_ptr().cast(), 16, at) } != 0 {
                break;
            }
            add(words, fd, vector[0], vector[1]);
        }
    } else if !compat || nr == COMPAT_WRITE {
        add(words, fd, from, written as u64);
    }
}

/// Keeps the first bytes of a buffer.
#[inline(always)]
fn add(words: *mut LastWords, fd: u32, from: u64, whole: u64) {
    const HEADER: usize = size_of::<WordsHeader>();
    if whole == 0 {
        return;
    }
    // Behind the comparison once more by a mask, which the verifiers before 6.16 want.
    let kept = if whole < WORDS_MAX as u64 { whole } else { WORDS_MAX as u64 };
    // SAFETY: a map value. Other threads may write it at the same time: every place is checked before it is used.
    unsafe {
        let mut next = (&raw const (*words).next).read_volatile() as usize;
        if next > WORDS_BYTES - HEADER - WORDS_MAX {
            next = 0;
        }
        let place = (&raw mut (*words).data).cast::<u8>().add(next);
        let text = place.add(HEADER);
        if bpf_probe_read_user(text.cast(), super::masked::<0x1ff>(kept) as u32, from as *const c_void) != 0 {
            return;
        }
        let header = place.cast::<u32>();
        let now = bpf_ktime_get_ns();
        header.write_volatile(now as u32);
        header.add(1).write_volatile((now >> 32) as u32);
        header.add(2).write_volatile(whole as u32);
        header.add(3).write_volatile(kept as u32 | fd << 16);
        let count = (&raw const (*words).count).read_volatile();
        let start = (&raw mut (*words).starts).cast::<u16>().add(count as usize & (WORDS_STARTS - 1));
        start.write_volatile(next as u16);
        (&raw mut (*words).next).write_volatile((next + HEADER + (kept as usize + 7 & !7)) as u32);
        (&raw mut (*words).count).write_volatile(count.wrapping_add(1));
    }
}

/// Whether there are words of a process.
#[inline(always)]
pub(super) fn are_kept(process: u32) -> bool {
    LAST_WORDS.get_ptr(process).is_some()
}

#[inline(always)]
pub(super) fn forget(process: u32) {
    let _ = LAST_WORDS.remove(process);
}
