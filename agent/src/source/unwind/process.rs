//! The mappings of one process, in the form that the kernel side reads.

use agent_common::abi::unwind::{
    MAPPED_BARE, MAPPED_JIT, MAPPED_PENDING, MAPPED_TABLE, Mapping, PAGE_BITS, PROCESS_MAPPINGS,
};
use flamegraphs::maps;
use flamegraphs::unwind::Segment;

use super::tables::{Loaded, TableId};

const PAGE: u64 = 1 << PAGE_BITS;

/// What is at a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A file with a table.
    Table(TableId),
    /// A file without unwind information.
    Bare,
    /// Generated code.
    Jit,
    /// A file whose table there was no room for.
    Pending,
    /// A large file, whose table is made when no other process waits.
    Large,
}

/// Mappings and the tables they use, each once.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) mappings: Vec<Mapping>,
    pub(super) tables: Vec<TableId>,
    /// Address of CPython's list of interpreters, and its layout.
    pub(super) python: Option<(u64, u32)>,
    /// Mappings left out, beyond the limit.
    pub(super) left_out: usize,
}

impl Plan {
    /// In the order of addresses, as `/proc/PID/maps` has them.
    pub(super) fn add(&mut self, mapping: &maps::Mapping, found: Found, loaded: Option<&Loaded>) {
        // `[vsyscall]`, whose code the kernel emulates. The search compares signed numbers: with it there, the library below
        // was never found.
        if mapping.start >= 1 << 63 {
            return;
        }
        if self.mappings.len() >= PROCESS_MAPPINGS as usize {
            self.left_out += 1;
            return;
        }
        let plain = |kind| Mapping { start: mapping.start, end: mapping.end, bias: 0, pages: 0, kind };
        let entry = match (found, loaded) {
            (Found::Table(_), Some(loaded)) => translate(mapping, loaded).unwrap_or(plain(MAPPED_BARE)),
            (Found::Jit, _) => plain(MAPPED_JIT),
            (Found::Pending | Found::Large, _) => plain(MAPPED_PENDING),
            (Found::Bare | Found::Table(_), _) => plain(MAPPED_BARE),
        };
        self.mappings.push(entry);
    }
}

pub(super) fn translate(mapping: &maps::Mapping, loaded: &Loaded) -> Option<Mapping> {
    let vaddr = vaddr(&loaded.segments, mapping.offset)?;
    let bias = mapping.start.wrapping_sub(vaddr);
    // Only what the table has pages for.
    let first = loaded.first_page << PAGE_BITS;
    let end = first + u64::from(loaded.page_count()) * PAGE;
    let (from, to) = (vaddr.max(first), (vaddr + (mapping.end - mapping.start)).min(end));
    (from < to).then(|| Mapping {
        start: bias.wrapping_add(from),
        end: bias.wrapping_add(to),
        bias,
        pages: loaded.page_zero(),
        kind: MAPPED_TABLE,
    })
}

/// The address in the file's own address space of what is mapped from `offset` on. Segments are mapped by whole pages.
fn vaddr(segments: &[Segment], offset: u64) -> Option<u64> {
    let segment = segments.iter().find(|segment| {
        let (from, to) = (segment.offset & !(PAGE - 1), segment.offset.saturating_add(segment.size));
        from <= offset && offset < to
    })?;
    Some(segment.vaddr.wrapping_add(offset.wrapping_sub(segment.offset)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_above_user_memory_is_left_out() {
        let mut plan = Plan::default();
        for start in [0x1000, 0xffff_ffff_ff60_0000] {
            let backing = maps::Backing::Special("[vsyscall]".to_owned());
            let mapping = maps::Mapping { start, end: start + 0x1000, offset: 0, backing };
            plan.add(&mapping, Found::Bare, None);
        }
        assert_eq!(plan.mappings.iter().map(|mapping| mapping.start).collect::<Vec<_>>(), [0x1000]);
    }

    #[test]
    fn a_mapping_begins_where_its_segments_page_begins() {
        let segments = [
            Segment { offset: 0x1040, vaddr: 0x40_1040, size: 0x2000 },
            Segment { offset: 0x5000, vaddr: 0x40_6000, size: 0x100 },
        ];
        assert_eq!(vaddr(&segments, 0x1000), Some(0x40_1000));
        assert_eq!(vaddr(&segments, 0x2000), Some(0x40_2000));
        assert_eq!(vaddr(&segments, 0x5000), Some(0x40_6000));
        assert_eq!(vaddr(&segments, 0x4000), None);
    }
}
