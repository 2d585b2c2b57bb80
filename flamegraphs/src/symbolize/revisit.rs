//! When to look at a process again: libraries are loaded, and a JIT opens its dump, after the first sample; if the
//! process then exits, its mappings of the beginning would be all we have.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

/// Times between looks. Programs load most of what they load in their first seconds; a look takes some 50 µs, so a
/// thousand processes cost 1 ms a second.
const AFTER: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(15), Duration::from_mins(1)];

/// Processes to look at again, by time.
#[derive(Debug, Default)]
pub(super) struct Revisits {
    /// One queue for each of [`AFTER`]: each is in order by itself.
    due: [VecDeque<(Instant, u32)>; AFTER.len()],
    known: HashSet<u32>,
}

impl Revisits {
    /// `tgid` was observed at `now`.
    pub(super) fn observed(&mut self, tgid: u32, now: Instant) {
        if self.known.insert(tgid) {
            self.due[0].push_back((now + AFTER[0], tgid));
        }
    }

    /// Time until the next look.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        let next = self.due.iter().filter_map(|queue| queue.front()).map(|(at, _)| *at).min()?;
        Some(next.saturating_duration_since(now))
    }

    /// A process whose time has come. Say with [`Self::again`] whether it lives.
    pub(super) fn next(&mut self, now: Instant) -> Option<(usize, u32)> {
        let stage = self.due.iter().position(|queue| queue.front().is_some_and(|(at, _)| *at <= now))?;
        self.due[stage].pop_front().map(|(_, tgid)| (stage, tgid))
    }

    /// It was looked at: look again if it lives.
    pub(super) fn again(&mut self, stage: usize, tgid: u32, alive: bool, now: Instant) {
        if alive {
            let stage = (stage + 1).min(AFTER.len() - 1);
            self.due[stage].push_back((now + AFTER[stage], tgid));
        } else {
            self.known.remove(&tgid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_become_rarer_until_the_process_is_gone() {
        let (mut revisits, start) = (Revisits::default(), Instant::now());
        assert_eq!(revisits.wait(start), None);
        revisits.observed(7, start);
        revisits.observed(7, start);
        let mut looks = Vec::new();
        for second in 0..150 {
            let now = start + Duration::from_secs(second);
            while let Some((stage, tgid)) = revisits.next(now) {
                looks.push(second);
                revisits.again(stage, tgid, second < 100, now);
            }
        }
        assert_eq!(looks, [1, 5, 20, 80, 140]);
        assert_eq!(revisits.wait(start), None);
        revisits.observed(7, start);
        assert_eq!(revisits.wait(start), Some(AFTER[0]), "the number may be another process'");
    }
}
