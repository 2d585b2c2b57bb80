//! The arrays of entries: from an entry's index in the file to its offset.

use super::file::{File, Kind};
use super::header::{u32_at, u64_at};
use super::{Fault, ReadAt};

/// An array's object header, and the offset of the next array.
const ARRAY_HEADER_BYTES: u64 = 24;
/// Arrays in a file. journald makes each twice as long as all before, so a real file has some 30.
const MAX_ARRAYS: usize = 1024;
/// Offsets read at once: 4 KiB of them.
const WINDOW: u64 = 512;

struct Array {
    offset: u64,
    /// Index of its first entry.
    first: u64,
    slots: u64,
    /// Where it ends; the next begins there or later.
    end: u64,
}

#[derive(Default)]
pub(super) struct Chain {
    arrays: Vec<Array>,
    /// Offsets of entries from `window_first` on. An offset that the header counts never changes.
    window: Vec<u64>,
    window_first: u64,
    bytes: Vec<u8>,
}

impl Chain {
    /// Where the entry of an index below the header's count is. A fault means that no later one can be found either.
    pub(super) fn offset_of<R: ReadAt>(&mut self, file: &mut File<R>, index: u64) -> Result<u64, Fault> {
        let known = index.checked_sub(self.window_first).and_then(|at| self.window.get(at as usize));
        let offset = match known {
            Some(offset) => *offset,
            None => self.read(file, index)?,
        };
        // journald fills a slot before it counts it. After a crash some may be empty: there the entries end.
        if offset == 0 { Err(Fault::Damaged) } else { Ok(offset) }
    }

    fn read<R: ReadAt>(&mut self, file: &mut File<R>, index: u64) -> Result<u64, Fault> {
        let array = self.array_of(file, index)?;
        let skipped = index - array.first;
        let wanted = WINDOW.min(array.slots - skipped).min(file.header.entries.saturating_sub(index).max(1));
        let item = if file.header.is_compact() { 4 } else { 8 };
        let offset = array.offset + ARRAY_HEADER_BYTES + skipped * item;
        self.window.clear();
        self.window_first = index;
        self.bytes.resize((wanted * item) as usize, 0);
        if let Err(fault) = file.copy_changing(offset, &mut self.bytes) {
            // The file may end within the window.
            self.bytes.truncate(item as usize);
            file.copy_changing(offset, &mut self.bytes).map_err(|_| fault)?;
        }
        let items = self.bytes.chunks_exact(item as usize);
        self.window
            .extend(items.map(|one| if item == 4 { u64::from(u32_at(one, 0)) } else { u64_at(one, 0) }));
        self.window.first().copied().ok_or(Fault::Damaged)
    }

    /// The array that has an index; reads on in the chain as far as that needs.
    fn array_of<R: ReadAt>(&mut self, file: &mut File<R>, index: u64) -> Result<&Array, Fault> {
        loop {
            let total = self.arrays.last().map_or(0, |last| last.first + last.slots);
            if index < total {
                let after = self.arrays.partition_point(|array| array.first <= index);
                return self.arrays.get(after.wrapping_sub(1)).ok_or(Fault::Damaged);
            }
            let (offset, lowest) = match self.arrays.last() {
                Some(last) => {
                    let mut next = [0; 8];
                    file.copy_changing(last.offset + 16, &mut next)?;
                    (u64::from_le_bytes(next), last.end)
                }
                None => (file.header.entry_array_offset, 0),
            };
            // Arrays are added at the end of the file: a chain that goes back is damaged, and could be a circle.
            if offset < lowest || self.arrays.len() >= MAX_ARRAYS {
                return Err(Fault::Damaged);
            }
            let size = file.object(offset, Kind::EntryArray, ARRAY_HEADER_BYTES)?.size;
            let item = if file.header.is_compact() { 4 } else { 8 };
            let slots = (size - ARRAY_HEADER_BYTES) / item;
            self.arrays.push(Array { offset, first: total, slots, end: offset + size });
        }
    }
}
