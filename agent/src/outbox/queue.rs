//! One stream's items.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use agent_common::pair::{Item, Kind};

use super::Counts;

/// Most items that were dropped while a relay had them, and may still acknowledge them: 18 hours of windows. Beyond that the oldest
/// count as lost.
const MAX_UNCERTAIN: usize = 65_536;

/// An item that is kept.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) item: Arc<Item>,
    /// Memory that it costs.
    pub(super) cost: usize,
    /// The relay has it. States stay until they are over.
    pub(super) acked: bool,
}

/// The items of one stream.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) next_seq: u64,
    pub(super) items: BTreeMap<u64, Entry>,
    /// Numbers of those that this relay was not sent.
    pub(super) unsent: BTreeSet<u64>,
    /// Highest number that this relay was sent.
    pub(super) sent_max: u64,
    /// Number of the latest state of a key.
    pub(super) by_key: HashMap<String, u64>,
    /// Dropped after they were sent, not acknowledged yet.
    uncertain: BTreeSet<u64>,
    pub(super) counts: Counts,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            next_seq: 1,
            items: BTreeMap::new(),
            unsent: BTreeSet::new(),
            sent_max: 0,
            by_key: HashMap::new(),
            uncertain: BTreeSet::new(),
            counts: Counts::default(),
        }
    }
}

impl Queue {
    /// The least number that is not acknowledged and not dropped.
    pub(super) fn settled(&self) -> u64 {
        let kept = self.items.first_key_value().map(|(seq, _)| *seq);
        kept.into_iter().chain(self.uncertain.first().copied()).min().unwrap_or(self.next_seq)
    }

    /// Drops the state that this one replaces. Returns the memory that it cost.
    pub(super) fn replace(&mut self, key: &str, seq: u64) -> usize {
        let Some(old) = self.by_key.insert(key.to_owned(), seq) else { return 0 };
        self.unsent.remove(&old);
        let Some(entry) = self.items.remove(&old) else { return 0 };
        self.counts.replaced += u64::from(!entry.acked);
        entry.cost
    }

    /// Drops the oldest item. Returns the memory that it cost.
    pub(super) fn evict_oldest(&mut self) -> usize {
        let Some((seq, entry)) = self.items.pop_first() else { return 0 };
        if self.by_key.get(&entry.item.head.key) == Some(&seq) {
            self.by_key.remove(&entry.item.head.key);
        }
        let unsent = self.unsent.remove(&seq);
        if entry.acked {
            // The relay goes on with it as long as it lives.
        } else if unsent {
            self.counts.lost += 1;
        } else {
            self.uncertain.insert(seq);
            if self.uncertain.len() > MAX_UNCERTAIN {
                self.uncertain.pop_first();
                self.counts.lost += 1;
            }
        }
        entry.cost
    }

    pub(super) fn connected(&mut self) {
        self.unsent = self.items.keys().copied().collect();
        self.sent_max = 0;
    }

    pub(super) fn disconnected(&mut self) {
        self.counts.lost += std::mem::take(&mut self.uncertain).len() as u64;
    }

    pub(super) fn next_to_send(&mut self) -> Option<Arc<Item>> {
        let seq = self.unsent.pop_first()?;
        self.sent_max = self.sent_max.max(seq);
        self.items.get(&seq).map(|entry| Arc::clone(&entry.item))
    }

    /// Drops the items of an acknowledged range. Returns the memory that they cost. Its time depends on the kept items, not on the
    /// range.
    pub(super) fn ack(&mut self, from: u64, to: u64) -> usize {
        let late: Vec<u64> = self.uncertain.range(from..=to).copied().collect();
        for seq in late {
            self.uncertain.remove(&seq);
            self.counts.acked += 1;
        }
        let acked: Vec<u64> = self.items.range(from..=to).map(|(seq, _)| *seq).collect();
        let mut freed = 0;
        for seq in acked {
            // Another relay was sent it; this one was not yet, and cannot have it.
            if self.unsent.contains(&seq) {
                continue;
            }
            let Some(entry) = self.items.get_mut(&seq) else { continue };
            self.counts.acked += u64::from(!std::mem::replace(&mut entry.acked, true));
            let head = &entry.item.head;
            if head.stream.kind() == Kind::State && !head.over {
                continue;
            }
            if self.by_key.get(&head.key) == Some(&seq) {
                self.by_key.remove(&head.key);
            }
            freed += self.items.remove(&seq).map_or(0, |entry| entry.cost);
        }
        freed
    }

    pub(super) fn counts(&self) -> Counts {
        let waiting = self.items.values().filter(|entry| !entry.acked).count() as u64;
        Counts { waiting, ..self.counts }
    }
}
