//! The end-to-end acknowledgement: what the store has.

use serde::{Deserialize, Serialize};

/// Most ranges in a [`Stored`] message, about 2 KiB of JSON. One range is the rule; each further one is a gap.
pub const MAX_RANGES: usize = 64;

/// Payload of `s7mpa/v1/<host>/stored` (retained): windows of one stream that are in the store.
///
/// Ranges are inclusive, ascending and disjoint. An ingester that owns the store reports from the first number
/// it ever stored; one of many on a shared subscription reports what it wrote itself. The collector takes the
/// union, so a lost message only means that a window is sent again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The stream ([`super::head::WindowHead::stream`]).
    pub stream: String,
    /// Highest number up to which nothing is missing (0: none).
    pub contiguous: u64,
    /// What is stored, newest ranges first kept when the list is cut to 64.
    pub ranges: Vec<(u64, u64)>,
}

impl Stored {
    /// The message for what is in `set`.
    pub fn new(stream: impl Into<String>, set: &RangeSet) -> Self {
        let cut = set.ranges.len().saturating_sub(MAX_RANGES);
        Self { stream: stream.into(), contiguous: set.contiguous(), ranges: set.ranges[cut..].to_vec() }
    }

    /// Everything that the message says is stored.
    pub fn to_set(&self) -> RangeSet {
        let mut set: RangeSet = self.ranges.iter().copied().collect();
        if self.contiguous > 0 {
            set.insert_range(1, self.contiguous);
        }
        set
    }

    /// Whether the message says that this window is stored.
    pub fn contains(&self, seq: u64) -> bool {
        (1..=self.contiguous).contains(&seq) || self.ranges.iter().any(|&(lo, hi)| (lo..=hi).contains(&seq))
    }
}

/// A set of window numbers as inclusive, ascending, disjoint ranges that do not touch. Numbers begin with 1; 0 is
/// never in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeSet {
    ranges: Vec<(u64, u64)>,
}

impl RangeSet {
    /// The ranges.
    pub fn ranges(&self) -> &[(u64, u64)] {
        &self.ranges
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Count of numbers.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|(lo, hi)| hi - lo + 1).sum()
    }

    /// Whether `seq` is in it.
    pub fn contains(&self, seq: u64) -> bool {
        self.contains_range(seq, seq)
    }

    /// Whether all from `lo` to `hi` are in it, both included. So it is when `lo > hi`.
    pub fn contains_range(&self, lo: u64, hi: u64) -> bool {
        let after = self.ranges.partition_point(|&(first, _)| first <= lo);
        lo > hi || (after > 0 && hi <= self.ranges[after - 1].1)
    }

    /// Adds one number; `false` when it was there (or is 0).
    pub fn insert(&mut self, seq: u64) -> bool {
        if seq == 0 || self.contains(seq) {
            return false;
        }
        self.insert_range(seq, seq);
        true
    }

    /// Adds the numbers from `lo` to `hi`, both included. Nothing when `lo > hi`.
    pub fn insert_range(&mut self, lo: u64, hi: u64) {
        let lo = lo.max(1);
        if lo > hi {
            return;
        }
        // The ranges that overlap or touch the new one melt into it.
        let first = self.ranges.partition_point(|&(_, h)| h.saturating_add(1) < lo);
        let last = self.ranges.partition_point(|&(l, _)| l <= hi.saturating_add(1));
        let melted =
            self.ranges[first..last].iter().fold((lo, hi), |(lo, hi), &(l, h)| (lo.min(l), hi.max(h)));
        self.ranges.splice(first..last, [melted]);
    }

    /// Adds everything of `other`.
    pub fn merge(&mut self, other: &Self) {
        for &(lo, hi) in &other.ranges {
            self.insert_range(lo, hi);
        }
    }

    /// The number up to which all from 1 on are in it; 0 when 1 is missing.
    pub fn contiguous(&self) -> u64 {
        match self.ranges.first() {
            Some(&(1, hi)) => hi,
            _ => 0,
        }
    }

    /// Highest number; 0 when empty.
    pub fn highest(&self) -> u64 {
        self.ranges.last().map_or(0, |&(_, hi)| hi)
    }

    /// Keeps the newest `most` ranges and returns how many were forgotten.
    pub fn cut(&mut self, most: usize) -> usize {
        let cut = self.ranges.len().saturating_sub(most);
        self.ranges.drain(..cut);
        cut
    }
}

impl FromIterator<(u64, u64)> for RangeSet {
    /// From ranges in any order, overlapping or empty: what a message from outside may hold.
    fn from_iter<T: IntoIterator<Item = (u64, u64)>>(ranges: T) -> Self {
        let mut set = Self::default();
        for (lo, hi) in ranges {
            set.insert_range(lo, hi);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ranges_melt_when_the_gap_closes() {
        let mut set = RangeSet::default();
        for seq in [1, 2, 4, 7] {
            assert!(set.insert(seq));
        }
        assert_eq!(set.ranges(), [(1, 2), (4, 4), (7, 7)]);
        assert!(!set.insert(4));
        assert!(!set.insert(0));
        assert_eq!(set.contiguous(), 2);
        assert!(set.insert(3));
        assert_eq!((set.ranges(), set.contiguous(), set.len()), (&[(1, 4), (7, 7)][..], 4, 5));
        set.insert_range(5, u64::MAX);
        assert_eq!(set.ranges(), [(1, u64::MAX)]);
    }

    #[test]
    fn agrees_with_a_plain_set() {
        let mut state = 1_u64;
        let mut set = RangeSet::default();
        let mut plain = BTreeSet::new();
        for _ in 0..2_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let lo = (state >> 33) % 500;
            let hi = lo + (state >> 60) % 4;
            set.insert_range(lo, hi);
            plain.extend(lo.max(1)..=hi);
            assert!(set.ranges().windows(2).all(|w| w[0].1 + 1 < w[1].0), "{set:?}");
            assert_eq!(set.len(), plain.len() as u64);
            assert!((0..510).all(|seq| set.contains(seq) == plain.contains(&seq)));
            assert_eq!(
                set.contains_range(lo, hi + 2),
                (lo.max(1)..=hi + 2).all(|seq| plain.contains(&seq)) && lo > 0
            );
        }
    }

    #[test]
    fn the_message_is_cut_to_the_newest_ranges() {
        let set: RangeSet = (0..100).map(|i| (1 + i * 10, 5 + i * 10)).collect();
        let stored = Stored::new("s", &set);
        assert_eq!((stored.contiguous, stored.ranges.len()), (5, MAX_RANGES));
        assert_eq!(stored.ranges.last(), Some(&(991, 995)));
        assert!(stored.contains(3) && stored.contains(993) && !stored.contains(12) && !stored.contains(0));
        assert_eq!(stored.to_set().contiguous(), 5);
        let json = serde_json::to_string(&stored).expect("json");
        assert_eq!(serde_json::from_str::<Stored>(&json).expect("back"), stored);
    }

    #[test]
    fn a_message_from_outside_may_hold_anything() {
        let stored =
            Stored { stream: String::new(), contiguous: 3, ranges: vec![(9, 2), (0, 0), (8, 9), (2, 5)] };
        assert_eq!(stored.to_set().ranges(), [(1, 5), (8, 9)]);
    }
}
