//! How much may come, and how fast.

use std::time::Instant;

/// A bucket of tokens.
#[derive(Debug)]
pub(super) struct Budget {
    most: f64,
    per_s: f64,
    tokens: f64,
    filled: Instant,
}

impl Budget {
    /// A full one, which is refilled with so many tokens a second.
    pub(super) fn new(most: u32, per_s: u32, now: Instant) -> Self {
        let most = f64::from(most);
        Self { most, per_s: per_s.into(), tokens: most, filled: now }
    }

    /// Takes one; false: there is none.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let more = now.duration_since(self.filled).as_secs_f64() * self.per_s;
        self.tokens = (self.tokens + more).min(self.most);
        self.filled = now;
        let is_there = self.tokens >= 1.0;
        if is_there {
            self.tokens -= 1.0;
        }
        is_there
    }
}
