//! Which units of a program's debug info have the code at some addresses.
//!
//! addr2line parses the head of every unit, 500 bytes and a list of files each: of a program of 100 MiB that takes as much memory. So the
//! others are hidden from it.

use super::{Dwarf, Unit};

/// Units that are looked into together have so many bytes at most, or there is but one. What is parsed takes as much again.
const MAX_TOGETHER: u64 = 2 << 20;
/// Ranges of addresses of one program at most, 24 bytes each.
const MAX_RANGES: usize = 1 << 20;
/// Two pieces of one unit that are no further apart are one: functions are aligned to 16 bytes.
const GAP: u64 = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    begin: u64,
    end: u64,
    unit: u32,
}

/// Where a unit is.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Where its header says where its abbreviations are, in the file.
    abbreviations: u64,
    bytes: u64,
    /// It does not say which addresses it has: it may have any, or what others refer to.
    shared: bool,
}

/// All units of a program.
#[derive(Debug)]
pub(super) struct Units {
    places: Vec<Place>,
    /// By their beginning.
    ranges: Vec<Range>,
    /// The furthest end of the ranges up to each.
    ends: Vec<u64>,
}

/// Addresses to ask for together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Their number.
    pub(super) addrs: usize,
    /// Where the headers of all other units say where their abbreviations are, sorted.
    pub(super) hidden: Vec<u64>,
}

impl Units {
    /// Those of `dwarf`, whose `.debug_info` begins at `offset` of its file. `None` where there are more units or ranges than
    /// [`super::MAX_UNITS`] and [`MAX_RANGES`].
    pub(super) fn read(dwarf: &Dwarf, offset: u64) -> Option<Self> {
        let (mut places, mut ranges) = (Vec::new(), Vec::new());
        let mut units = dwarf.units();
        while let Ok(Some(header)) = units.next() {
            if places.len() >= super::MAX_UNITS {
                return None;
            }
            let Some(at) = header.debug_info_offset() else { continue };
            // Length, version, from version 5 on kind and size of an address; then it.
            let before =
                usize::from(header.format().initial_length_size()) + if header.version() < 5 { 2 } else { 4 };
            let number = u32::try_from(places.len()).ok()?;
            let bytes = header.length_including_self() as u64;
            let unit = dwarf.unit(header).ok();
            // Where the linker has left out all functions of a unit it says that it has none: addr2line would read all its lines.
            let shared = !unit.as_ref().is_some_and(says_ranges);
            if let Some(unit) = &unit {
                take(dwarf, unit, number, &mut ranges);
            }
            let abbreviations = offset.saturating_add((at.0 + before) as u64);
            places.push(Place { abbreviations, bytes, shared });
            if ranges.len() > MAX_RANGES {
                return None;
            }
        }
        Some(Self::new(places, ranges))
    }

    fn new(places: Vec<Place>, mut ranges: Vec<Range>) -> Self {
        ranges.sort_unstable_by_key(|range| (range.begin, range.end));
        ranges.dedup_by(|next, last| {
            let joins = next.unit == last.unit && next.begin <= last.end.saturating_add(GAP);
            if joins {
                last.end = last.end.max(next.end);
            }
            joins
        });
        ranges.shrink_to_fit();
        let ends = ranges.iter().scan(0, |furthest, range| {
            *furthest = range.end.max(*furthest);
            Some(*furthest)
        });
        Self { ends: ends.collect(), places, ranges }
    }

    /// Memory.
    pub(super) fn bytes(&self) -> u64 {
        (size_of_val(&*self.places) + size_of_val(&*self.ranges) + size_of_val(&*self.ends)) as u64
    }

    /// Divides `addrs`, sorted.
    pub(super) fn parts(&self, addrs: &[u64]) -> Vec<Part> {
        let mut parts = Vec::new();
        let (mut needed, mut begin) = (Vec::new(), 0);
        for (at, &addr) in addrs.iter().enumerate() {
            let before = needed.len();
            self.need(addr, &mut needed);
            if needed.len() > before && at > begin && self.bytes_of(&needed) > MAX_TOGETHER {
                parts.push(self.part(&needed[..before], at - begin));
                begin = at;
                needed.clear();
                self.need(addr, &mut needed);
            }
        }
        parts.push(self.part(&needed, addrs.len() - begin));
        parts
    }

    /// Adds the units with code at `addr`, each once.
    fn need(&self, addr: u64, needed: &mut Vec<u32>) {
        for unit in self.of(addr) {
            if !needed.contains(&unit) {
                needed.push(unit);
            }
        }
    }

    fn bytes_of(&self, units: &[u32]) -> u64 {
        units.iter().map(|unit| self.places[*unit as usize].bytes).sum()
    }

    fn part(&self, needed: &[u32], addrs: usize) -> Part {
        let hidden =
            (0..).zip(&self.places).filter(|(number, place)| !place.shared && !needed.contains(number));
        // They are in the order of the file.
        Part { addrs, hidden: hidden.map(|(_, place)| place.abbreviations).collect() }
    }

    /// The units with code at `addr`.
    fn of(&self, addr: u64) -> impl Iterator<Item = u32> {
        let last = self.ranges.partition_point(|range| range.begin <= addr);
        let before = self.ranges[..last].iter().zip(&self.ends).rev();
        before
            .take_while(move |(_, furthest)| **furthest > addr)
            .filter(move |(range, _)| range.end > addr)
            .map(|(range, _)| range.unit)
    }
}

/// Whether it says where its code is.
fn says_ranges(unit: &Unit) -> bool {
    let root = unit.entry(unit.header.root_offset());
    root.is_ok_and(|root| {
        root.attrs().iter().any(|attr| matches!(attr.name(), gimli::DW_AT_low_pc | gimli::DW_AT_ranges))
    })
}

/// Adds the ranges of a unit.
fn take(dwarf: &Dwarf, unit: &Unit, number: u32, into: &mut Vec<Range>) {
    let Ok(mut ranges) = dwarf.unit_ranges(unit) else { return };
    while let Ok(Some(gimli::Range { begin, end })) = ranges.next() {
        if into.len() > MAX_RANGES {
            return;
        }
        if begin < end {
            into.push(Range { begin, end, unit: number });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs::File;

    use super::super::Sources;
    use super::*;
    use crate::elf::Elf;

    fn units(ranges: &[(u64, u64, u32)], bytes: &[u64]) -> Units {
        let ranges = ranges.iter().map(|&(begin, end, unit)| Range { begin, end, unit });
        let place = |(at, &bytes): (u64, &u64)| Place { abbreviations: 100 * at, bytes, shared: bytes == 0 };
        Units::new((0..).zip(bytes).map(place).collect(), ranges.collect())
    }

    #[test]
    fn the_units_of_an_address_are_found_where_ranges_overlap() {
        let units = units(&[(0, 1000, 0), (10, 20, 1), (15, 30, 2), (40, 50, 1)], &[1, 1, 1]);
        let of = |addr| units.of(addr).collect::<Vec<_>>();
        assert_eq!(of(16), [2, 1, 0]);
        assert_eq!(of(35), [0]);
        assert_eq!(of(999), [0]);
        assert!(of(1000).is_empty());
    }

    #[test]
    fn addresses_are_asked_for_in_parts_of_bounded_size_and_shared_units_are_never_hidden() {
        let large = MAX_TOGETHER / 2 + 1;
        let units = units(&[(0, 10, 0), (10, 20, 1), (20, 30, 2)], &[large, 10, large, 0]);
        let parts = units.parts(&[1, 2, 11, 21, 22, 99]);
        let want = [(3, vec![200]), (3, vec![0, 100])].map(|(addrs, hidden)| Part { addrs, hidden });
        assert_eq!(parts, want);
        assert_eq!(units.parts(&[99]), [Part { addrs: 1, hidden: vec![0, 100, 200] }]);
    }

    #[test]
    fn one_address_needs_few_units_also_where_the_linker_left_out_most_functions() {
        let file = File::open("/proc/self/exe").unwrap();
        let elf = Elf::read(&file).unwrap();
        let (dwarf, info) = Sources { left: Cell::new(1 << 30) }.paged(&file, &elf).unwrap();
        let units = Units::read(&dwarf, info.offset).unwrap();
        let hidden = units.parts(&[elf.entry]).remove(0).hidden;
        let is_shown = |place: &&Place| hidden.binary_search(&place.abbreviations).is_err();
        let all: u64 = units.places.iter().map(|place| place.bytes).sum();
        let shown: u64 = units.places.iter().filter(is_shown).map(|place| place.bytes).sum();
        assert!(shown * 10 < all, "{shown} of {all} bytes");
    }

    #[test]
    fn a_unit_that_two_parts_need_counts_in_both() {
        let part = |twentieths: u64| MAX_TOGETHER / 20 * twentieths;
        let units = units(&[(0, 40, 0), (10, 20, 1), (20, 30, 2)], &[part(15), part(6), part(3)]);
        let counts: Vec<usize> = units.parts(&[1, 11, 21]).iter().map(|part| part.addrs).collect();
        assert_eq!(counts, [1, 1, 1], "the second has 21 parts of 20 already");
    }
}
