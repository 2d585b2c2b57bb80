//! A column while it grows.

use crate::store::embedded::chunk::Aggregate;
use crate::store::embedded::column::Column;
use crate::store::embedded::row::Kind;

/// A column of a series, and the indices of the times at which it has its values.
#[derive(Debug)]
pub(in crate::store::embedded) struct Placed {
    pub(in crate::store::embedded) field: u32,
    pub(in crate::store::embedded) aggregate: Aggregate,
    /// Empty as long as the values stand at the first times without a gap: most columns never need it, and writing to
    /// thousands of columns in turn is what rolling waits for.
    pub(super) places: Vec<u32>,
    pub(in crate::store::embedded) column: Column,
}

impl Placed {
    pub(super) fn new(field: u32, aggregate: Aggregate, kind: Kind) -> Self {
        Self::with(field, aggregate, Vec::new(), Column::new(kind))
    }

    /// With values at these places, in order.
    pub(in crate::store::embedded) fn with(
        field: u32,
        aggregate: Aggregate,
        places: Vec<u32>,
        column: Column,
    ) -> Self {
        Self { field, aggregate, places, column }
    }

    /// The place of the last value.
    fn last(&self) -> Option<u32> {
        self.places.last().copied().or((self.column.values.len() as u32).checked_sub(1))
    }

    /// Puts values at ascending places; returns at how many there was none just before.
    pub(super) fn extend(&mut self, places: &[u32], values: impl ExactSizeIterator<Item = u64>) -> usize {
        if self.places.is_empty()
            && places.first().is_some_and(|first| *first as usize == self.column.values.len())
            && places.is_sorted_by(|a, b| a + 1 == *b)
        {
            let new = values.len();
            self.column.values.extend(values);
            return new;
        }
        places.iter().zip(values).map(|(at, value)| usize::from(self.push(*at, value))).sum()
    }

    /// Puts a value at a place, over the one that was put there just before; says whether there was none.
    pub(super) fn push(&mut self, at: u32, value: u64) -> bool {
        if self.last() == Some(at) {
            // SANITY: it has a last place.
            *self.column.values.last_mut().expect("as many values as places") = value;
            return false;
        }
        if !self.places.is_empty() || at as usize != self.column.values.len() {
            self.write_out();
            self.places.push(at);
        }
        self.column.values.push(value);
        true
    }

    /// Makes the places explicit.
    pub(super) fn write_out(&mut self) {
        if self.places.is_empty() {
            self.places = (0..self.column.values.len() as u32).collect();
        }
    }

    /// Brings the values into the order of their places, and of two at one place keeps the later; returns how many went.
    pub(super) fn order(&mut self) -> usize {
        if self.places.is_sorted_by(|a, b| a < b) {
            return 0;
        }
        let mut pairs: Vec<(u32, u64)> =
            self.places.iter().copied().zip(self.column.values.iter().copied()).collect();
        // Stable, then the last of equals.
        pairs.sort_by_key(|(at, _)| *at);
        pairs.reverse();
        pairs.dedup_by_key(|(at, _)| *at);
        pairs.reverse();
        let gone = self.places.len() - pairs.len();
        (self.places, self.column.values) = pairs.into_iter().unzip();
        gone
    }

    /// Each place and value.
    pub(in crate::store::embedded) fn iter(&self) -> impl Iterator<Item = (u32, u64)> {
        let dense = if self.places.is_empty() { self.column.values.len() as u32 } else { 0 };
        self.places.iter().copied().chain(0..dense).zip(self.column.values.iter().copied())
    }

    /// Whether it has values at the same times.
    pub(super) fn beside(&self, other: &Self) -> bool {
        self.places == other.places && self.column.values.len() == other.column.values.len()
    }

    pub(super) fn is_everywhere(&self, times: usize) -> bool {
        self.column.values.len() == times
    }

    /// The places of its values.
    pub(in crate::store::embedded) fn explicit(&self) -> std::borrow::Cow<'_, [u32]> {
        if self.places.is_empty() {
            (0..self.column.values.len() as u32).collect::<Vec<_>>().into()
        } else {
            (&self.places).into()
        }
    }
}
