//! When a process that has died is started again.

use std::time::{Duration, Instant};

/// First wait; doubled up to the second.
const FIRST: Duration = Duration::from_millis(500);
const MAX: Duration = Duration::from_secs(30);
/// A process that ran for so long was healthy: the next wait is the first again.
const HEALTHY_AFTER: Duration = Duration::from_mins(1);

/// Starts of one process.
#[derive(Debug)]
pub(super) struct Restart {
    due: Instant,
    started: Instant,
    wait: Duration,
}

impl Restart {
    /// It has not been started yet.
    pub(super) fn new(now: Instant) -> Self {
        Self { due: now, started: now, wait: FIRST }
    }

    /// It has been started.
    pub(super) fn started(&mut self, now: Instant) {
        self.started = now;
    }

    /// It has died, or could not be started. True if it was healthy before.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        let was_healthy = now.saturating_duration_since(self.started) >= HEALTHY_AFTER;
        if was_healthy {
            self.wait = FIRST;
        }
        self.due = now + self.wait;
        // It does not count as running any more.
        self.started = now;
        self.wait = (self.wait * 2).min(MAX);
        was_healthy
    }

    /// Shall it be started now?
    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_bound_and_begins_anew_after_a_healthy_run() {
        let mut now = Instant::now();
        let mut restart = Restart::new(now);
        assert!(restart.is_due(now));
        for wait in [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000].map(Duration::from_millis) {
            restart.started(now);
            now += Duration::from_secs(1);
            assert!(!restart.failed(now));
            assert!(!restart.is_due(now + wait / 2));
            now += wait;
            assert!(restart.is_due(now));
        }
        restart.started(now);
        now += HEALTHY_AFTER;
        assert!(restart.failed(now));
        assert!(restart.is_due(now + FIRST));
    }
}
