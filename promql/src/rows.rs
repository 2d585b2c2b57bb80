//! Intermediate results: series with one value a step.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;

use crate::error::{QueryError, Result};
use crate::labels::Labels;
use crate::options::{Budget, Charge};
use crate::reader::{STALE, is_stale};

/// Stands for no value at a step. It cannot be confused with one: selectors leave stale markers out, and arithmetic makes no
/// signalling NaN.
pub(crate) const ABSENT: f64 = STALE;

/// Whether a series has no value at a step.
pub(crate) fn is_absent(value: f64) -> bool {
    is_stale(value)
}

/// Moments at which an expression is evaluated, Unix time in ms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Steps {
    pub(crate) from_ms: i64,
    pub(crate) step_ms: i64,
    pub(crate) count: usize,
}

impl Steps {
    pub(crate) fn at(&self, step: usize) -> i64 {
        self.from_ms + self.step_ms * step as i64
    }

    pub(crate) fn last(&self) -> i64 {
        self.at(self.count.saturating_sub(1))
    }
}

/// A series with one value a step, or [`ABSENT`].
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) labels: Labels,
    pub(crate) points: Vec<f64>,
}

impl Row {
    pub(crate) fn is_empty(&self) -> bool {
        self.points.iter().all(|value| is_absent(*value))
    }
}

/// Series that are held at the same time, counted against the memory of the query.
pub(crate) struct Rows {
    rows: Vec<Row>,
    charge: Charge,
}

impl Rows {
    pub(crate) fn new(budget: &Rc<Budget>) -> Result<Self> {
        Ok(Self { rows: Vec::new(), charge: budget.take(0)? })
    }

    pub(crate) fn push(&mut self, row: Row) -> Result<()> {
        self.charge.add(row.points.len() * size_of::<f64>() + row.labels.bytes())?;
        self.rows.push(row);
        Ok(())
    }

    pub(crate) fn sort(&mut self) {
        self.rows.sort_by(|a, b| a.labels.cmp(&b.labels));
    }

    /// Hands the rows over one by one; their memory counts until all are.
    pub(crate) fn drain(self, mut sink: impl FnMut(Row) -> Result<()>) -> Result<()> {
        let Self { rows, charge } = self;
        let result = rows.into_iter().try_for_each(&mut sink);
        drop(charge);
        result
    }
}

impl std::ops::Deref for Rows {
    type Target = [Row];

    fn deref(&self) -> &[Row] {
        &self.rows
    }
}

/// Rows of which those with the same labels become one, as long as they never have a value at the same step.
pub(crate) struct Merged {
    rows: Rows,
    places: HashMap<Labels, usize>,
}

impl Merged {
    pub(crate) fn new(budget: &Rc<Budget>) -> Result<Self> {
        Ok(Self { rows: Rows::new(budget)?, places: HashMap::new() })
    }

    /// Adds a row. Fails where one with the same labels has a value at the same step.
    pub(crate) fn push(&mut self, row: Row) -> Result<()> {
        match self.places.entry(row.labels.clone()) {
            Entry::Vacant(place) => {
                place.insert(self.rows.len());
                self.rows.push(row)
            }
            Entry::Occupied(place) => {
                let present = &mut self.rows.rows[*place.get()].points;
                for (own, new) in present.iter_mut().zip(row.points).filter(|(_, new)| !is_absent(*new)) {
                    if !is_absent(*own) {
                        return Err(QueryError::SameLabels(row.labels.to_string()));
                    }
                    *own = new;
                }
                Ok(())
            }
        }
    }

    pub(crate) fn rows(self) -> Rows {
        self.rows
    }
}
