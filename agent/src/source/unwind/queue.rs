//! Which process the unwind thread reads next.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use agent_common::units::Tgid;

use super::files::Sizes;

/// Longest time that a large file waits for its table while other processes are queued: a build always starts another one.
const MAX_LATER: Duration = Duration::from_millis(300);

/// Processes to read, each once. Those with a large file without a table come after all others, or after [`MAX_LATER`].
#[derive(Debug, Default)]
pub(super) struct Queue {
    first: VecDeque<Tgid>,
    later: VecDeque<(Instant, Tgid)>,
    queued: HashSet<Tgid>,
}

impl Queue {
    /// Adds a process, unless it is there.
    pub(super) fn push(&mut self, tgid: Tgid) {
        if self.queued.insert(tgid) {
            self.first.push_back(tgid);
        }
    }

    /// Adds a process that was just taken, and has a large file left.
    pub(super) fn push_later(&mut self, tgid: Tgid, now: Instant) {
        if self.queued.insert(tgid) {
            self.later.push_back((now, tgid));
        }
    }

    /// Takes the next process, and the sizes of files that get a table this time.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Tgid, Sizes)> {
        let waited = self.later.front().is_some_and(|(since, _)| now.duration_since(*since) > MAX_LATER);
        let next = match self.first.pop_front_if(|_| !waited) {
            Some(tgid) => (tgid, Sizes::Small),
            None => (self.later.pop_front()?.1, Sizes::All),
        };
        self.queued.remove(&next.0);
        Some(next)
    }

    /// Removes a process that has ended.
    pub(super) fn remove(&mut self, tgid: Tgid) {
        if self.queued.remove(&tgid) {
            self.first.retain(|queued| *queued != tgid);
            self.later.retain(|(_, queued)| *queued != tgid);
        }
    }

    /// Sizes of files that may get a table now, whichever process has them.
    pub(super) fn sizes(&self) -> Sizes {
        if self.first.is_empty() { Sizes::All } else { Sizes::Small }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queued.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_a_large_file_waits_for_the_others_but_not_for_ever() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.push_later(Tgid(1), now);
        queue.push(Tgid(2));
        queue.push(Tgid(2));
        queue.push(Tgid(3));
        assert_eq!((queue.pop(now), queue.sizes()), (Some((Tgid(2), Sizes::Small)), Sizes::Small));
        let late = now + MAX_LATER + Duration::from_millis(1);
        assert_eq!(queue.pop(late), Some((Tgid(1), Sizes::All)), "it has waited for long enough");
        assert_eq!(queue.pop(late), Some((Tgid(3), Sizes::Small)));
        queue.push_later(Tgid(3), late);
        assert_eq!(queue.pop(late), Some((Tgid(3), Sizes::All)), "no other process waits");
        assert!(queue.pop(late).is_none() && queue.is_empty());
    }

    #[test]
    fn a_process_that_has_ended_is_not_read() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.push(Tgid(1));
        queue.push_later(Tgid(2), now);
        queue.remove(Tgid(1));
        queue.remove(Tgid(2));
        assert!(queue.is_empty() && queue.pop(now).is_none());
    }
}
