//! Two profiles → what changed. Pure.
//!
//! ```
//! use flamegraphs::{SvgOptions, diff::Difference, read, svg};
//! use profile::FoldOptions;
//!
//! let options = FoldOptions::default();
//! let before = read::folded(&b"app;main;parse 6\napp;main;write 4\n"[..], &options)?;
//! let after = read::folded(&b"app;main;parse 1\napp;main;write 4\n"[..], &options)?;
//! let difference = Difference::new(&before, &after);
//! let most = &difference.changes()[0];
//! assert_eq!((most.frame.as_str(), most.before_pct, most.after_pct), ("parse", 60.0, 20.0));
//! let mut picture = Vec::new();
//! svg::write_difference(&difference, &SvgOptions::default(), &mut picture)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::cmp::Ordering;
use std::collections::HashMap;

use profile::Folded;

/// Stacks of two profiles side by side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Stack, weight before, weight after; frame-wise sorted.
    pub stacks: Vec<(String, u64, u64)>,
}

/// A function's own part of the whole, in per cent: the stacks that end in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The frame.
    pub frame: String,
    /// Of all before.
    pub before_pct: f64,
    /// Of all after.
    pub after_pct: f64,
}

impl Change {
    /// Points of per cent more than before; negative if less.
    #[must_use]
    pub fn points(&self) -> f64 {
        self.after_pct - self.before_pct
    }
}

impl Difference {
    /// Joins two profiles, whose stacks must be sorted frame by frame as [`profile::fold`] and [`crate::read`] do.
    #[must_use]
    pub fn new(before: &Folded, after: &Folded) -> Self {
        let (mut left, mut right) = (before.stacks.iter().peekable(), after.stacks.iter().peekable());
        let mut stacks = Vec::with_capacity(left.len().max(right.len()));
        loop {
            let order = match (left.peek(), right.peek()) {
                (Some((a, _)), Some((b, _))) => a.split(';').cmp(b.split(';')),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return Self { stacks },
            };
            let old = if order.is_le() { left.next() } else { None };
            let new = if order.is_ge() { right.next() } else { None };
            if let Some((stack, _)) = old.or(new) {
                let weight = |one: Option<&(String, u64)>| one.map_or(0, |(_, weight)| *weight);
                stacks.push((stack.clone(), weight(old), weight(new)));
            }
        }
    }

    /// Sums of the weights, before and after.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        self.stacks.iter().fold((0_u64, 0_u64), |(old, new), (_, before, after)| {
            (old.saturating_add(*before), new.saturating_add(*after))
        })
    }

    /// Scales what was before to the total of after, so that a longer profile is not a slower one. Without either
    /// it changes nothing.
    #[must_use]
    pub fn normalized(mut self) -> Self {
        let (old, new) = self.totals();
        if old > 0 && new > 0 {
            for (_, before, _) in &mut self.stacks {
                let scaled = u128::from(*before) * u128::from(new) + u128::from(old) / 2;
                *before = (scaled / u128::from(old)) as u64;
            }
        }
        self
    }

    /// Functions by their own parts, the largest change first.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        let (old, new) = self.totals();
        let mut own: HashMap<&str, (u64, u64)> = HashMap::new();
        for (stack, before, after) in &self.stacks {
            let leaf = stack.rsplit(';').next().unwrap_or(stack);
            let sum = own.entry(leaf).or_default();
            sum.0 = sum.0.saturating_add(*before);
            sum.1 = sum.1.saturating_add(*after);
        }
        let pct = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 };
        let mut changes: Vec<Change> = own
            .into_iter()
            .map(|(frame, (before, after))| Change {
                frame: frame.to_owned(),
                before_pct: pct(before, old),
                after_pct: pct(after, new),
            })
            .collect();
        changes.sort_by(|a, b| {
            b.points().abs().total_cmp(&a.points().abs()).then_with(|| a.frame.cmp(&b.frame))
        });
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(stacks: &[(&str, u64)]) -> Folded {
        let stacks = stacks.iter().map(|(stack, weight)| ((*stack).to_owned(), *weight)).collect();
        Folded { stacks, ..Folded::default() }
    }

    #[test]
    fn each_stack_of_either_is_there_once() {
        let before = folded(&[("a;foo", 1), ("a;foo;bar", 2), ("a;foo.part.0", 3)]);
        let after = folded(&[("a;foo;bar", 5), ("a;zoo", 7)]);
        let difference = Difference::new(&before, &after);
        let stacks: Vec<_> =
            difference.stacks.iter().map(|(stack, old, new)| (stack.as_str(), *old, *new)).collect();
        assert_eq!(stacks, [("a;foo", 1, 0), ("a;foo;bar", 2, 5), ("a;foo.part.0", 3, 0), ("a;zoo", 0, 7)]);
        assert_eq!(difference.totals(), (6, 12));
    }

    #[test]
    fn a_profile_twice_as_long_is_no_change() {
        let before = folded(&[("a;b", 30), ("a;c", 10)]);
        let after = folded(&[("a;b", 60), ("a;c", 20)]);
        let difference = Difference::new(&before, &after).normalized();
        assert!(difference.stacks.iter().all(|(_, old, new)| old == new), "{difference:?}");
        assert!(difference.changes().iter().all(|change| change.points() == 0.0));
        let empty = Difference::new(&before, &Folded::default());
        assert_eq!(empty.clone().normalized(), empty);
    }

    #[test]
    fn what_is_gone_is_a_change_too() {
        let changes = Difference::new(&folded(&[("a;b", 1), ("a;c", 3)]), &folded(&[("a;b", 1)])).changes();
        let seen: Vec<_> =
            changes.iter().map(|one| (one.frame.as_str(), one.before_pct, one.after_pct)).collect();
        assert_eq!(seen, [("b", 25.0, 100.0), ("c", 75.0, 0.0)]);
    }
}
