//! What the stores in SQLite files have in common: one writer, used by a thread at a time, and upkeep beside writing.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use link::Backoff;

use super::StoreError;

/// Messages kept for [`crate::store::Health::warnings`].
const MAX_WARNINGS: usize = 8;

/// A writer until it is closed.
#[derive(Debug)]
pub(super) struct Shared<W>(Mutex<Option<W>>);

impl<W> Shared<W> {
    pub(super) fn new(writer: W) -> Self {
        Self(Mutex::new(Some(writer)))
    }

    /// For one thread; `None` when it is closed.
    pub(super) fn lock(&self) -> MutexGuard<'_, Option<W>> {
        // A panic in between has rolled its transaction back; what is remembered is emptied by the next error or open.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with it.
    pub(super) fn with<T>(
        &self,
        work: impl FnOnce(&mut W) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        work(self.lock().as_mut().ok_or(StoreError::Closed)?)
    }
}

/// When upkeep (rolling, putting together, deleting) may be tried: what fails must not be tried with every write.
#[derive(Debug)]
pub(super) struct Upkeep {
    backoff: Backoff,
    from: Instant,
    warnings: VecDeque<String>,
}

impl Default for Upkeep {
    fn default() -> Self {
        Self {
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_mins(1)),
            from: Instant::now(),
            warnings: VecDeque::new(),
        }
    }
}

impl Upkeep {
    /// Whether it may be tried.
    pub(super) fn is_due(&self) -> bool {
        Instant::now() >= self.from
    }

    /// Tried again after this time.
    pub(super) fn pause(&mut self, time: Duration) {
        self.from = Instant::now() + time;
    }

    /// The next failure is the first again.
    pub(super) fn succeeded(&mut self) {
        self.backoff.succeeded();
    }

    /// Tried again later, each time it fails; the text is a warning.
    pub(super) fn failed(&mut self, text: String) {
        let wait = self.backoff.failed();
        self.pause(wait);
        tracing::warn!("{text}");
        self.warnings.truncate(MAX_WARNINGS - 1);
        self.warnings.push_front(text);
    }

    /// What went wrong, newest first.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.warnings.iter().cloned().collect()
    }
}
