//! Waiting times between attempts.

use std::time::Duration;

/// Waiting times between attempts: doubling from `first` to `most`, each shortened by up to a half at random so that
/// many ingesters do not come back at the same instant.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
    state: u64,
}

impl Backoff {
    /// A back-off without failures.
    pub fn new(first: Duration, most: Duration) -> Self {
        use std::hash::{BuildHasher as _, RandomState};
        // The hasher's keys are random for each process and instance: enough for jitter, and no crate for it.
        Self { first, most, failures: 0, state: RandomState::new().hash_one(0) | 1 }
    }

    /// Counts a failure and returns how long to wait.
    pub fn failed(&mut self) -> Duration {
        let full = self.first.saturating_mul(1 << self.failures.min(20)).min(self.most);
        self.failures = self.failures.saturating_add(1);
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        full.mul_f64(1.0 - (self.state >> 11) as f64 / (1_u64 << 53) as f64 / 2.0)
    }

    /// Begins again after a success.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_bound_and_jitters_downward() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        for full in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            let wait = backoff.failed();
            assert!(
                wait <= Duration::from_millis(full) && wait >= Duration::from_millis(full / 2),
                "{wait:?}"
            );
        }
        backoff.succeeded();
        assert!(backoff.failed() <= Duration::from_millis(100));
    }
}
