//! The mappings of one process by address and time: after a library is unloaded, another one may get its addresses.
//!
//! There are two sources. `/proc/PID/maps` has the mappings of now: a mapping that a reading shows for the first time was made
//! at some time since the last reading. An event of the kernel has the exact time of a mapping, but arrives some time later.

use std::ops::Range;

/// Changes kept of one process, 80 B each: of a program that loads and unloads every 20 ms those of 20 s.
const MAX_GONE: usize = 1024;

/// When something changed: after the first time and not after the second. `CLOCK_MONOTONIC` ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Turn {
    after: u64,
    until: u64,
}

impl Turn {
    const BEFORE: Self = Self::at(0);
    const NEVER: Self = Self::at(u64::MAX);

    const fn at(at: u64) -> Self {
        Self { after: at, until: at }
    }

    /// The event of this time may be what was seen as this change.
    fn may_be(self, at: u64) -> bool {
        self.after <= at && at <= self.until
    }
}

/// A mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Region<T> {
    pub(super) range: Range<u64>,
    /// Offset of its start in the file.
    pub(super) offset: u64,
    pub(super) target: T,
}

impl<T: PartialEq> Region<T> {
    /// The code at `addr` is that of `other`, which covers it too.
    fn same_at(&self, addr: u64, other: &Self) -> bool {
        let place = |region: &Self| region.offset.wrapping_add(addr.wrapping_sub(region.range.start));
        self.range.contains(&addr) && self.target == other.target && place(self) == place(other)
    }

    /// A part of it; not an empty one.
    fn part(&self, range: Range<u64>) -> Option<Self>
    where
        T: Clone,
    {
        let offset = self.offset.wrapping_add(range.start.wrapping_sub(self.range.start));
        (range.start < range.end).then(|| Self { offset, range, target: self.target.clone() })
    }
}

/// One that is, or was, there.
#[derive(Debug, Clone)]
struct Placed<T> {
    region: Region<T>,
    from: Turn,
    to: Turn,
}

/// All mappings of a process that are known.
#[derive(Debug, Clone)]
pub(super) struct Space<T> {
    /// What is there, by address.
    now: Vec<Placed<T>>,
    /// What was, in the order in which it went.
    gone: Vec<Placed<T>>,
    /// When it was last looked at; 0: never.
    looked: u64,
    /// Up to here some of what is gone is forgotten.
    forgotten: u64,
}

impl<T> Default for Space<T> {
    fn default() -> Self {
        Self { now: Vec::new(), gone: Vec::new(), looked: 0, forgotten: 0 }
    }
}

impl<T: Clone + PartialEq> Space<T> {
    /// Nothing is known of it.
    pub(super) fn is_empty(&self) -> bool {
        self.now.is_empty() && self.gone.is_empty()
    }

    /// What a process has that this one forked a moment ago, after `since`: what went before that was never its own.
    pub(super) fn of_child(&self, since: u64) -> Self {
        let recent = self.gone.iter().filter(|placed| placed.to.until >= since);
        Self { now: self.now.clone(), gone: recent.cloned().collect(), ..*self }
    }

    /// Memory of it.
    pub(super) fn bytes(&self) -> usize {
        (self.now.capacity() + self.gone.capacity()) * size_of::<Placed<T>>()
    }

    /// All regions, those that are there first.
    pub(super) fn regions(&self) -> impl Iterator<Item = &Region<T>> {
        self.now.iter().chain(self.gone.iter().rev()).map(|placed| &placed.region)
    }

    /// What is there now.
    pub(super) fn present(&self) -> impl Iterator<Item = &Region<T>> {
        self.now.iter().map(|placed| &placed.region)
    }

    /// A look at time `at` has shown `regions`, sorted by address, and nothing else.
    pub(super) fn seen(&mut self, at: u64, regions: Vec<Region<T>>) {
        let turn = if self.looked == 0 {
            Turn::BEFORE
        } else {
            Turn { after: self.looked, until: at.max(self.looked) }
        };
        let old = std::mem::take(&mut self.now);
        self.now.reserve_exact(regions.len());
        for region in regions {
            let start = region.range.start;
            let before = covering(&old, start).filter(|old| old.region.same_at(start, &region));
            let from = before.map_or(turn, |old| old.from);
            self.now.push(Placed { region, from, to: Turn::NEVER });
        }
        for old in old {
            let start = old.region.range.start;
            // What a part of has been unmapped is there all the same.
            if !covering(&self.now, start).is_some_and(|new| new.region.same_at(start, &old.region)) {
                self.gone.push(Placed { to: turn, ..old });
            }
        }
        self.looked = self.looked.max(at);
        self.trim();
    }

    /// At time `at` it mapped `region`, in place of what was there.
    pub(super) fn mapped(&mut self, at: u64, region: Region<T>) {
        let start = region.range.start;
        // It was seen already, when is not known so well.
        let known = |placed: &&mut Placed<T>| placed.region.same_at(start, &region) && placed.from.may_be(at);
        if let Some(known) = self.now.iter_mut().chain(&mut self.gone).find(known)
            && known.from != Turn::BEFORE
        {
            let was = std::mem::replace(&mut known.from, Turn::at(at));
            let overlaps = |placed: &&mut Placed<T>| overlap(&placed.region.range, &region.range);
            self.gone.iter_mut().filter(overlaps).filter(|p| p.to == was).for_each(|p| p.to = Turn::at(at));
            return;
        }
        // What was there at that time, and what has followed it.
        let there = |placed: &&mut Placed<T>| {
            overlap(&placed.region.range, &region.range) && placed.from.until <= at && at < placed.to.until
        };
        if let Some(past) = self.gone.iter_mut().find(there) {
            if past.region.same_at(start, &region) {
                return;
            }
            let to = std::mem::replace(&mut past.to, Turn::at(at));
            self.gone.push(Placed { region, from: Turn::at(at), to });
        } else {
            let again = |placed: &Placed<T>| {
                placed.region.same_at(start, &region) && placed.region.range.end >= region.range.end
            };
            // Its protection has changed, or it was away for a moment.
            if covering(&self.now, start).is_some_and(again) {
                return;
            }
            let is_newer = |placed: &Placed<T>| placed.from.after > at && placed.from != Turn::BEFORE;
            let mut to = Turn::NEVER;
            let mut kept = Vec::with_capacity(self.now.len() + 1);
            for placed in std::mem::take(&mut self.now) {
                if !overlap(&placed.region.range, &region.range) {
                    kept.push(placed);
                } else if is_newer(&placed) {
                    to = placed.from;
                    kept.push(placed);
                } else {
                    let (old, new) = (placed.region.range.clone(), region.range.clone());
                    let middle = new.start.max(old.start)..new.end.min(old.end);
                    let part = |range| Some(Placed { region: placed.region.part(range)?, ..placed.clone() });
                    kept.extend([old.start..middle.start, middle.end..old.end].into_iter().filter_map(part));
                    self.gone.extend(part(middle).map(|gone| Placed { to: Turn::at(at), ..gone }));
                }
            }
            self.now = kept;
            let new = Placed { region, from: Turn::at(at), to };
            if to == Turn::NEVER { self.now.push(new) } else { self.gone.push(new) }
        }
        self.now.sort_by_key(|placed| placed.region.range.start);
        self.trim();
    }

    /// At time `at` it began to run another program: nothing of what was there is.
    pub(super) fn began(&mut self, at: u64) {
        let old = self.now.extract_if(.., |placed| placed.from.after < at || placed.from == Turn::BEFORE);
        let old: Vec<_> = old.map(|placed| Placed { to: Turn::at(at), ..placed }).collect();
        self.gone.extend(old);
        self.looked = self.looked.max(at);
        self.trim();
    }

    /// What was at `addr` at time `at` (0: not known when): more than one where that is not known, the likeliest first; none
    /// where nothing ever was there.
    pub(super) fn find(&self, addr: u64, at: u64) -> Vec<&Region<T>> {
        let all = self.now.iter().chain(self.gone.iter().rev());
        let mut all = all.filter(|placed| placed.region.range.contains(&addr)).peekable();
        let Some(first) = all.peek().copied() else { return Vec::new() };
        let rest: Vec<&Placed<T>> = all.collect();
        if rest.iter().all(|placed| placed.region.same_at(addr, &first.region)) {
            return vec![&first.region];
        }
        let unknown = at == 0 || at <= self.forgotten;
        let certain = |placed: &&&Placed<T>| placed.from.until <= at && at < placed.to.after;
        if !unknown && let Some(certain) = rest.iter().find(certain) {
            return vec![&certain.region];
        }
        let possible = |placed: &&&Placed<T>| unknown || placed.from.after <= at && at <= placed.to.until;
        let mut found: Vec<&Region<T>> = Vec::new();
        for placed in rest.iter().filter(possible) {
            if !found.iter().any(|known| known.same_at(addr, &placed.region)) {
                found.push(&placed.region);
            }
        }
        if found.is_empty() {
            // Between two, or before the first: what was there next before or after.
            let distance = |placed: &&&Placed<T>| {
                placed.from.after.saturating_sub(at).max(at.saturating_sub(placed.to.until))
            };
            found.extend(rest.iter().min_by_key(distance).map(|placed| &placed.region));
        }
        found
    }

    /// More than one thing was at `addr`.
    pub(super) fn is_contested(&self, addr: u64) -> bool {
        let mut all = self.now.iter().chain(&self.gone).filter(|placed| placed.region.range.contains(&addr));
        let Some(first) = all.next() else { return false };
        !all.all(|placed| placed.region.same_at(addr, &first.region))
    }

    fn trim(&mut self) {
        let over = self.gone.len().saturating_sub(MAX_GONE);
        // A quarter at once, so that this is not paid for at each change.
        let over = if over > 0 { over + MAX_GONE / 4 } else { 0 };
        for gone in self.gone.drain(..over) {
            self.forgotten = self.forgotten.max(gone.to.until);
        }
    }
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

/// The one that covers `addr`; they are sorted.
fn covering<T>(placed: &[Placed<T>], addr: u64) -> Option<&Placed<T>> {
    let next = placed.partition_point(|placed| placed.region.range.start <= addr);
    placed.get(next.checked_sub(1)?).filter(|placed| placed.region.range.contains(&addr))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(start: u64, target: &'static str) -> Region<&'static str> {
        Region { range: start..start + 0x100, offset: 0, target }
    }

    fn found(space: &Space<&'static str>, at: u64) -> String {
        space.find(0x1010, at).iter().map(|region| region.target).collect::<Vec<_>>().join(" or ")
    }

    #[test]
    fn each_time_has_the_library_that_was_mapped_then() {
        let mut space = Space::default();
        space.seen(50, vec![region(0x1000, "alpha"), region(0x2000, "libc")]);
        for (at, name) in [(100, "beta"), (200, "alpha"), (300, "beta")] {
            space.mapped(at, region(0x1000, name));
        }
        let names = [99, 100, 199, 200, 299, 300, 900].map(|at| found(&space, at));
        assert_eq!(names, ["alpha", "beta", "beta", "alpha", "alpha", "beta", "beta"]);
        assert!(space.is_contested(0x1010) && !space.is_contested(0x2010) && !space.is_contested(0x5000));
        assert_eq!(found(&space, 0), "beta or alpha", "without a time");
        assert_eq!(space.find(0x2010, 0).len(), 1);
    }

    #[test]
    fn looks_alone_leave_it_open_what_was_there_between_them() {
        let mut space = Space::default();
        space.seen(100, vec![region(0x1000, "alpha")]);
        space.seen(200, vec![region(0x1000, "beta")]);
        assert_eq!([99, 150, 201].map(|at| found(&space, at)), ["alpha", "beta or alpha", "beta"]);
        // The kernel's word comes later, and settles it.
        space.mapped(170, region(0x1000, "beta"));
        assert_eq!([150, 169, 170].map(|at| found(&space, at)), ["alpha", "alpha", "beta"]);
    }

    #[test]
    fn events_that_come_after_a_look_find_their_place() {
        let mut space = Space::default();
        space.seen(100, vec![region(0x1000, "alpha")]);
        // At 150 beta, at 170 gamma, seen as gamma at 200; then beta again, seen before its event arrives.
        space.seen(200, vec![region(0x1000, "gamma")]);
        space.seen(300, vec![region(0x1000, "beta")]);
        for (at, name) in [(150, "beta"), (170, "gamma"), (250, "beta")] {
            space.mapped(at, region(0x1000, name));
        }
        let names = [120, 160, 180, 240, 260].map(|at| found(&space, at));
        assert_eq!(names, ["alpha", "beta", "gamma", "gamma", "beta"]);
    }

    #[test]
    fn a_program_that_follows_another_has_its_own_mappings() {
        let mut space = Space::default();
        space.seen(50, vec![region(0x1000, "bash")]);
        space.began(100);
        space.mapped(101, region(0x1000, "make"));
        assert_eq!([99, 101, 150].map(|at| found(&space, at)), ["bash", "make", "make"]);
        space.seen(150, vec![region(0x1000, "make"), region(0x3000, "libz")]);
        assert_eq!([99, 150].map(|at| found(&space, at)), ["bash", "make"]);
        assert_eq!(space.find(0x3010, 60).len(), 1, "what is seen late is named for what came before it");
    }

    #[test]
    fn what_is_mapped_over_a_part_leaves_the_rest() {
        let mut space = Space::default();
        let whole = Region { range: 0x1000..0x4000, offset: 0x1000, target: "old" };
        space.seen(50, vec![whole]);
        space.mapped(100, region(0x2000, "new"));
        let found = |space: &Space<&'static str>, addr, at| {
            let found = space.find(addr, at);
            found.iter().map(|region| (region.target, region.range.start, region.offset)).collect::<Vec<_>>()
        };
        let at = |addr, at| found(&space, addr, at);
        assert_eq!(at(0x2010, 150), [("new", 0x2000, 0)]);
        assert_eq!(at(0x2010, 60), [("old", 0x2000, 0x2000)]);
        assert_eq!(at(0x3010, 150), [("old", 0x2100, 0x2100)]);
        assert_eq!(at(0x1010, 150), [("old", 0x1000, 0x1000)]);
        // mprotect, and a library that comes back at once.
        space.mapped(200, Region { range: 0x2000..0x2100, offset: 0, target: "new" });
        assert_eq!(found(&space, 0x2010, 250), [("new", 0x2000, 0)]);
    }

    #[test]
    fn a_child_has_what_its_parent_had_when_it_was_forked() {
        let mut parent = Space::default();
        parent.seen(1, vec![region(0x1000, "alpha")]);
        for turn in 1..=100 {
            parent.mapped(turn * 10, region(0x1000, if turn % 2 == 0 { "alpha" } else { "beta" }));
        }
        // Forked at 955, heard of at 1001.
        let mut child = parent.of_child(950);
        assert_eq!([955, 975, 1001].map(|at| found(&child, at)), ["beta", "beta", "alpha"]);
        assert!(child.gone.len() < 10 && child.bytes() < parent.bytes() / 4);
        child.began(1100);
        assert_eq!(found(&child, 960), "alpha");
    }

    #[test]
    fn what_was_forgotten_is_not_guessed() {
        let mut space = Space::default();
        space.seen(1, vec![region(0x1000, "alpha")]);
        for turn in 1..=2 * MAX_GONE as u64 {
            space.mapped(turn * 10, region(0x1000, if turn % 2 == 0 { "alpha" } else { "beta" }));
        }
        assert!(space.gone.len() <= MAX_GONE);
        assert_eq!(found(&space, 15), "alpha or beta");
        let last = 2 * MAX_GONE as u64 * 10;
        assert_eq!([last - 5, last + 5].map(|at| found(&space, at)), ["beta", "alpha"]);
    }
}
