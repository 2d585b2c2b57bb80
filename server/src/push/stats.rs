//! Counts of what was pushed.

use std::sync::Mutex;
use std::sync::PoisonError;

use super::report::{Reason, Report};

/// Since the server part started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PushStats {
    /// Samples that were stored.
    pub samples: u64,
    /// Transactions that stored them.
    pub writes: u64,
    /// Requests that were not stored: the store failed, or too much was waiting.
    pub failures: u64,
    /// Texts, exemplars and native histograms.
    pub left_out: u64,
    refused: [u64; Reason::ALL.len()],
}

impl PushStats {
    /// Samples or lines refused for a reason.
    pub fn refused(&self, reason: Reason) -> u64 {
        self.refused[reason as usize]
    }
}

/// The same, shared.
#[derive(Debug, Default)]
pub(super) struct Counts(Mutex<PushStats>);

impl Counts {
    pub(super) fn get(&self) -> PushStats {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut PushStats)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn report(&self, report: &Report) {
        self.change(|stats| {
            stats.left_out += report.left_out;
            for reason in Reason::ALL {
                stats.refused[reason as usize] += report.refused(reason);
            }
        });
    }
}
