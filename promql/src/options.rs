//! What a query may cost.

use std::cell::Cell;
use std::rc::Rc;

use crate::error::{QueryError, Result};

/// Bounds of a query, and the two spans that Prometheus takes from its configuration.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// How old the newest sample of a series may be, ms. Prometheus: 5 min.
    pub lookback_ms: i64,
    /// Step of a subquery that names none, ms. Prometheus: its evaluation interval, 1 min.
    pub subquery_step_ms: i64,
    /// Most steps of a range query. Prometheus: 11,000, which is a week by minutes.
    pub max_points: usize,
    /// Most series that a query reads, all its selectors together.
    pub max_series: usize,
    /// Most memory for values, bytes: one series of samples, and the intermediate results.
    pub max_bytes: usize,
    /// Whether the time is over. The query asks at each series and each 256 steps; it reads no clock itself.
    pub expired: Option<&'a dyn Fn() -> bool>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            lookback_ms: 300_000,
            subquery_step_ms: 60_000,
            max_points: 11_000,
            max_series: 5_000,
            max_bytes: 64 << 20,
            expired: None,
        }
    }
}

impl Options<'_> {
    /// Fails when the time is over.
    pub(crate) fn check_time(&self) -> Result<()> {
        if self.expired.is_some_and(|expired| expired()) { Err(QueryError::Timeout) } else { Ok(()) }
    }
}

/// Memory that values take now, in bytes.
pub(crate) struct Budget {
    used: Cell<usize>,
    limit: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Rc<Self> {
        Rc::new(Self { used: Cell::new(0), limit })
    }

    /// Takes so many bytes until the charge is dropped.
    pub(crate) fn take(self: &Rc<Self>, bytes: usize) -> Result<Charge> {
        let mut charge = Charge { budget: Rc::clone(self), bytes: 0 };
        charge.add(bytes)?;
        Ok(charge)
    }
}

/// A part of a [`Budget`].
pub(crate) struct Charge {
    budget: Rc<Budget>,
    bytes: usize,
}

impl Charge {
    pub(crate) fn add(&mut self, bytes: usize) -> Result<()> {
        let used = self.budget.used.get().saturating_add(bytes);
        if used > self.budget.limit {
            return Err(QueryError::TooMuchMemory { limit: self.budget.limit });
        }
        self.budget.used.set(used);
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.used.set(self.budget.used.get() - self.bytes);
    }
}
