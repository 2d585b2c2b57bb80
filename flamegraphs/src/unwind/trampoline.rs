//! Signal trampolines that nothing describes: musl's, and those of programs that bring their own.
//!
//! A handler returns to one; above its return address lies what the kernel saved of the code that it interrupted. All
//! there is to a trampoline is the system call `rt_sigreturn`, which no other code makes.

use super::elf::Segment;
use super::frames::{Function, Rows};
use crate::elf::Bytes;

/// `mov $15, %eax` or `%rax`, less the beginnings in which they differ, and `syscall`.
const CALL: [u8; 6] = [0x0f, 0, 0, 0, 0x0f, 0x05];
/// The beginnings: `mov $…, %rax`, `mov $…, %eax`.
const LOADS: [&[u8]; 2] = [&[0x48, 0xc7, 0xc0], &[0xb8]];
/// The longer of the two.
const LONGEST: u64 = 9;

/// Code of one file that is searched, bytes: some 30 ms.
const MAX_SEARCHED: u64 = 64 << 20;
/// Code in memory at a time.
const PIECE: u64 = 1 << 20;

/// Adds the trampolines in the code of `file` that `found` does not describe.
pub(super) fn add(found: &mut Vec<Function>, file: &(impl Bytes + ?Sized), segments: &[Segment]) {
    let mut described: Vec<(u64, u64)> = found.iter().map(|f| (f.start, f.end)).collect();
    described.sort_unstable();
    let mut left = MAX_SEARCHED;
    for segment in segments {
        let end = segment.vaddr.saturating_add(segment.size);
        for (from, to) in gaps(&described, (segment.vaddr, end)) {
            if to - from < LONGEST - 2 || left < to - from {
                continue;
            }
            left -= to - from;
            search(found, file, segment, (from, to));
        }
    }
}

/// What lies between the sorted `ranges` from `from` to `to`.
fn gaps(ranges: &[(u64, u64)], (from, to): (u64, u64)) -> Vec<(u64, u64)> {
    let mut gaps = Vec::new();
    let mut done = from;
    for &(start, end) in ranges.iter().filter(|(start, end)| *end > from && *start < to) {
        if start > done {
            gaps.push((done, start));
        }
        done = done.max(end);
    }
    if done < to {
        gaps.push((done, to));
    }
    gaps
}

fn search(
    found: &mut Vec<Function>,
    file: &(impl Bytes + ?Sized),
    segment: &Segment,
    (from, to): (u64, u64),
) {
    let mut at = from;
    while at < to {
        let len = (to - at).min(PIECE);
        let Some(code) = segment.offset_of(at).and_then(|offset| file.bytes(offset, len)) else { return };
        for place in memchr::memmem::find_iter(&code, &CALL) {
            let load = LOADS.iter().find(|load| code[..place].ends_with(load));
            let Some(load) = load else { continue };
            // Whoever is returned to is looked for by the byte before its return address: a `nop` that is there for it.
            let start = (at + (place - load.len()) as u64).saturating_sub(1).max(from);
            let end = at + (place + CALL.len()) as u64;
            found.push(Function { start, end, rows: Rows::Signal });
        }
        if at + len >= to {
            return;
        }
        // One that lies across two pieces is whole in the next.
        at += len - (LONGEST - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MUSL: [u8; 10] = [0x90, 0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05];
    const SHORT: [u8; 8] = [0x90, 0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05];
    const BASE: u64 = 0x1000;

    /// Start and end of the trampolines found in `code`, of which `described` is.
    fn found(code: &[u8], described: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let mut functions: Vec<Function> = Vec::new();
        for &(start, end) in described {
            functions.push(Function { start: BASE + start, end: BASE + end, rows: Rows::At(0, 0) });
        }
        let segment = Segment { offset: 0, vaddr: BASE, size: code.len() as u64 };
        add(&mut functions, code, &[segment]);
        let new = &functions[described.len()..];
        new.iter().map(|function| (function.start - BASE, function.end - BASE)).collect()
    }

    #[test]
    fn both_ways_to_write_one_are_found_from_the_byte_before_on() {
        assert_eq!(found(&MUSL, &[]), [(0, 10)]);
        assert_eq!(found(&SHORT, &[]), [(0, 8)]);
        // Without a byte before it.
        assert_eq!(found(&MUSL[1..], &[]), [(0, 9)]);
        // Another system call, and another number.
        assert_eq!(found(&[0x90, 0xb8, 0x0e, 0, 0, 0, 0x0f, 0x05], &[]), []);
        assert_eq!(found(&[0x90, 0xb9, 0x0f, 0, 0, 0, 0x0f, 0x05], &[]), []);
    }

    #[test]
    fn code_that_is_described_is_not_searched() {
        let code = [&[0x90; 20][..], &MUSL, &[0x90; 20], &SHORT].concat();
        assert_eq!(found(&code, &[]), [(20, 30), (50, 58)]);
        assert_eq!(found(&code, &[(10, 40)]), [(50, 58)]);
        assert_eq!(found(&code, &[(0, 21), (55, 58)]), [(21, 30)]);
    }

    #[test]
    fn one_that_lies_across_two_pieces_is_found_once() {
        for shift in 0..LONGEST as usize + 2 {
            let mut code = vec![0x90; PIECE as usize + 100];
            let at = PIECE as usize - shift;
            code[at..at + MUSL.len()].copy_from_slice(&MUSL);
            let found = found(&code, &[]);
            assert_eq!(found, [(at as u64, at as u64 + 10)], "{shift} bytes before the border");
        }
    }
}
