//! Go's own function table, `.gopclntab`: the runtime needs it for its stack traces, so it is there even in a stripped
//! program. Layouts of Go 1.16 and later (src/runtime/symtab.go, `pcHeader`).

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::elf::Image;
use crate::elf::{u32_at, u64_at};

/// Larger tables are not read; Kubernetes' programs have some 20 MiB.
const MAX_TABLE: u64 = 64 << 20;
/// A function's name is shorter.
const MAX_NAME: usize = 4096;

const GO_1_16: u32 = 0xffff_fffa;
const GO_1_18: u32 = 0xffff_fff0;
const GO_1_20: u32 = 0xffff_fff1;

/// A function table in memory.
#[derive(Debug)]
pub(super) struct GoTable {
    bytes: Vec<u8>,
    /// Address that entries count from; 0 where they are addresses themselves.
    base: u64,
    /// Entries: an address and the place of the function's record, of this many bytes each.
    width: usize,
    count: usize,
    /// Where the table of functions and that of names begin.
    functions: usize,
    names: usize,
}

impl GoTable {
    /// The table of `file`, if it is a program of 64 bits with one that we know.
    pub(super) fn read(file: &File, image: &Image) -> Option<Self> {
        let (offset, size) = image.pclntab().filter(|(_, size)| *size <= MAX_TABLE)?;
        let mut bytes = vec![0; size as usize];
        file.read_exact_at(&mut bytes, offset).ok()?;
        Self::parse(bytes, image.text_addr())
    }

    /// `text` is the address of `.text`, for programs whose header is filled in by the dynamic linker.
    pub(super) fn parse(bytes: Vec<u8>, text: u64) -> Option<Self> {
        let magic = u32_at(&bytes, 0)?;
        if *bytes.get(7)? != 8 {
            return None;
        }
        let word = |at: usize| u64_at(&bytes, 8 + at * 8);
        let place = |at: usize| usize::try_from(word(at)?).ok();
        let (base, width, names, functions) = match magic {
            GO_1_16 => (0, 8, place(2)?, place(6)?),
            GO_1_18 | GO_1_20 => {
                let start = word(2)?;
                (if start == 0 { text } else { start }, 4, place(3)?, place(7)?)
            }
            _ => return None,
        };
        let room = bytes.len().checked_sub(functions)? / (2 * width);
        let count = place(0)?.min(room);
        Some(Self { bytes, base, width, count, functions, names })
    }

    /// The function that covers `addr`.
    pub(super) fn find(&self, addr: u64) -> Option<String> {
        let addr = addr.checked_sub(self.base)?;
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.word(2 * middle)? <= addr {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        // Behind the last function's entry stands where it ends.
        if low == 0 || (low == self.count && self.word(2 * self.count).is_none_or(|end| addr >= end)) {
            return None;
        }
        let record = self.functions.checked_add(usize::try_from(self.word(2 * low - 1)?).ok()?)?;
        // The record begins with the entry again.
        let name = u32_at(&self.bytes, record.checked_add(self.width)?)? as usize;
        let tail = self.bytes.get(self.names.checked_add(name)?..)?;
        let end = tail.iter().take(MAX_NAME).position(|byte| *byte == 0).filter(|end| *end > 0)?;
        Some(String::from_utf8_lossy(&tail[..end]).into_owned())
    }

    /// Memory.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn word(&self, index: usize) -> Option<u64> {
        let at = self.functions + index * self.width;
        if self.width == 8 { u64_at(&self.bytes, at) } else { u32_at(&self.bytes, at).map(u64::from) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `main.a` from 0x1000 and `main.b` from 0x1040 to 0x1080, in the layout of 1.20.
    fn table(start: u64) -> Vec<u8> {
        let mut bytes = GO_1_20.to_le_bytes().to_vec();
        bytes.extend([0, 0, 1, 8]);
        let (names, functions) = (72_u64, 96_u64);
        for word in [2, 0, start, names, 0, 0, 0, functions] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(b"main.a\0main.b\0");
        bytes.resize(96, 0);
        for word in [0_u32, 20, 0x40, 28, 0x80, 0, 0, 0x40, 7] {
            bytes.extend(word.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn functions_are_found_by_address_up_to_the_end() {
        for (start, text) in [(0x1000, 7), (0, 0x1000)] {
            let table = GoTable::parse(table(start), text).unwrap();
            let at = |addr| table.find(addr);
            assert_eq!(at(0x1000).as_deref(), Some("main.a"));
            assert_eq!(at(0x103f).as_deref(), Some("main.a"));
            assert_eq!(at(0x107f).as_deref(), Some("main.b"));
            assert_eq!((at(0x1080), at(0xfff), at(u64::MAX)), (None, None, None));
        }
    }

    #[test]
    fn a_scrambled_table_gives_less_but_no_panic() {
        let whole = table(0x1000);
        let mut seed = 9_u64;
        for round in 0..3_000 {
            let mut bytes = whole.clone();
            for _ in 0..3 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = (seed >> 33) as usize % bytes.len();
                bytes[at] = (seed >> 20) as u8;
            }
            bytes.truncate(bytes.len() - round % 40);
            if let Some(table) = GoTable::parse(bytes, 0x1000) {
                let _ = [0, 0x1000, 0x1050, u64::MAX].map(|addr| table.find(addr));
            }
        }
    }
}
