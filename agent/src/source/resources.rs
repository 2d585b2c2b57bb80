//! What the resource probes counted, as differences: one file for each subsystem, one struct for all.

use std::collections::HashMap;
use std::hash::Hash;
use std::io;
use std::sync::Arc;

use agent_common::abi::resources::{OpenKey, OpenValue};
use agent_common::units::{MonoNs, Tgid};
use diagnosis::window::{BlockIoRow, IrqRow, LockRow, MemoryRow, NetRow, OomKill, SignalRow, TaskSample};

use super::blockio::BlockIoSource;
use super::irq::IrqSource;
use super::locks::LockSource;
use super::memory::MemorySource;
use super::net::NetSource;
use super::signals::SignalSource;
use crate::bpf::{Counters, Probes};

/// Windows without a change after which a key is deleted.
const IDLE_WINDOWS: u32 = 60;
/// The same while more than three quarters of the map are in use.
const IDLE_WINDOWS_FULL: u32 = 2;

/// The resource part of a window.
#[derive(Debug, Default)]
pub struct ResourceRows {
    /// Block requests.
    pub blockio: Vec<BlockIoRow>,
    /// Reclaim, compaction, write-back throttling.
    pub memory: Vec<MemoryRow>,
    /// Processes killed for memory.
    pub oom_kills: Vec<OomKill>,
    /// Trouble of sockets.
    pub net: Vec<NetRow>,
    /// Network namespaces whose listening sockets are not watched.
    pub unwatched_namespaces: usize,
    /// Interrupt time by CPU.
    pub irqs: Vec<IrqRow>,
    /// Signals that end, dump or stop.
    pub signals: Vec<SignalRow>,
    /// Kernel locks waited for.
    pub locks: Vec<LockRow>,
}

/// What is known when a window closes.
#[expect(missing_debug_implementations, reason = "a function has none")]
pub struct Closing<'a> {
    /// Its number, as the programs know it.
    pub window: u32,
    /// Its end.
    pub end: MonoNs,
    /// Processes as `/proc` showed them last.
    pub tasks: &'a [Arc<TaskSample>],
    /// Name of a process.
    pub comm: &'a mut dyn FnMut(Tgid) -> Arc<str>,
}

/// Counters and the values they had.
#[derive(Debug)]
pub struct ResourceSource {
    blockio: BlockIoSource,
    memory: MemorySource,
    net: NetSource,
    irq: IrqSource,
    signals: SignalSource,
    locks: LockSource,
    complained: bool,
}

impl Default for ResourceSource {
    fn default() -> Self {
        Self::new()
    }
}

impl ResourceSource {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            blockio: BlockIoSource::default(),
            memory: MemorySource::new(),
            net: NetSource::new(),
            irq: IrqSource::default(),
            signals: SignalSource::default(),
            locks: LockSource::default(),
            complained: false,
        }
    }

    /// Reads everything. What cannot be read is said once, and read again with the next window.
    pub fn close(&mut self, probes: &mut Probes, closing: &mut Closing<'_>) -> ResourceRows {
        let maps = probes.resources();
        let mut rows = ResourceRows { irqs: self.irq.take(&maps.irqs()), ..ResourceRows::default() };
        let read = (|| -> io::Result<()> {
            rows.blockio = self.blockio.take(maps, closing)?;
            rows.signals = self.signals.take(maps, closing)?;
            let mut open = Vec::new();
            // Counters before what is open: both orders are exact over two windows, this one is never negative.
            let memory = self.memory.counted(maps)?;
            let locks = self.locks.counted(maps)?;
            maps.open.read(|key: &OpenKey, value: &OpenValue| open.push((*key, *value)))?;
            rows.memory = self.memory.rows(memory, &open, closing);
            rows.oom_kills = MemorySource::kills(maps, closing)?;
            rows.locks = self.locks.rows(locks, &open, closing);
            rows.net = self.net.take(maps, closing)?;
            rows.unwatched_namespaces = self.net.unwatched();
            Ok(())
        })();
        if let Err(error) = read
            && !std::mem::replace(&mut self.complained, true)
        {
            tracing::warn!(%error, "cannot read the counters of the resource probes");
        }
        rows
    }
}

/// Cumulative counters of the kernel as differences.
#[derive(Debug)]
pub(super) struct Differences<K, V> {
    last: HashMap<K, (V, u32)>,
    round: u32,
}

impl<K, V> Default for Differences<K, V> {
    fn default() -> Self {
        Self { last: HashMap::new(), round: 0 }
    }
}

impl<K: Copy + Default + Eq + Hash, V: Copy + Default + PartialEq> Differences<K, V> {
    /// Reads the map, whose room is `room` entries: keys that changed, with the values before and now. Keys that have
    /// not changed for long are deleted: were one counted in the µs between the last look and its deletion, that
    /// would be lost.
    pub(super) fn step(&mut self, counters: &mut Counters<K, V>, room: u32) -> io::Result<Vec<(K, V, V)>> {
        self.round += 1;
        let (last, round) = (&mut self.last, self.round);
        let mut changed = Vec::new();
        counters.read(|key, now| {
            let entry = last.entry(*key).or_insert((V::default(), round));
            if entry.0 != *now {
                changed.push((*key, entry.0, *now));
                *entry = (*now, round);
            }
        })?;
        let patience = if last.len() > room as usize / 4 * 3 { IDLE_WINDOWS_FULL } else { IDLE_WINDOWS };
        let mut old: Vec<K> = Vec::new();
        last.retain(|key, (value, changed)| {
            let keep = round - *changed < patience || counters.get(key).is_some_and(|now| now != *value);
            if !keep {
                old.push(*key);
            }
            keep
        });
        if !old.is_empty() {
            counters.delete(&old)?;
        }
        Ok(changed)
    }
}

/// Time in work that has not ended: in the window it is spent, not in the one it ends.
///
/// The kernel adds the whole time at the end; what was credited before is then taken off again, so that the sum
/// over all windows is the kernel's.
#[derive(Debug)]
pub(super) struct Open<Id, K> {
    credited: HashMap<Id, (K, u64)>,
    due: HashMap<K, i64>,
    /// Below 0, from the window before.
    carried: HashMap<K, i64>,
}

impl<Id, K> Default for Open<Id, K> {
    fn default() -> Self {
        Self { credited: HashMap::new(), due: HashMap::new(), carried: HashMap::new() }
    }
}

impl<Id: Eq + Hash, K: Copy + Eq + Hash> Open<Id, K> {
    /// What is open at the end of the window: identity, key, time spent so far.
    pub(super) fn settle(&mut self, open: impl Iterator<Item = (Id, K, u64)>) {
        let mut now = HashMap::new();
        for (id, key, spent) in open {
            let before = self.credited.remove(&id).map_or(0, |(_, ns)| ns);
            *self.due.entry(key).or_default() += spent as i64 - before as i64;
            now.insert(id, (key, spent));
        }
        for (key, ns) in std::mem::replace(&mut self.credited, now).into_values() {
            *self.due.entry(key).or_default() -= ns as i64;
        }
        self.due.retain(|_, ns| *ns != 0);
    }

    /// Time of a key in this window: what the kernel counted, and what is open. A remainder below 0 is carried on for one
    /// window: by then what ended between two readings is in the kernel's count, and what is not in it was lost.
    pub(super) fn time(&mut self, key: &K, counted: u64) -> u64 {
        let own = counted as i64 + self.due.remove(key).unwrap_or(0);
        let sum = own + self.carried.remove(key).unwrap_or(0);
        if own < 0 {
            self.carried.insert(*key, own);
        }
        sum.max(0) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_work_is_in_the_windows_it_spans_and_counted_once() {
        let mut open: Open<u32, &str> = Open::default();
        open.settle([(7, "a", 400)].into_iter());
        assert_eq!(open.time(&"a", 100), 500, "ended work and open work");
        open.settle([(7, "a", 1400)].into_iter());
        assert_eq!(open.time(&"a", 0), 1000, "open all through the window");
        open.settle(std::iter::empty());
        assert_eq!(open.time(&"a", 1500), 100, "the kernel counts it whole");
        assert!(open.credited.is_empty() && open.due.is_empty());
    }

    #[test]
    fn work_that_ends_between_the_two_readings_is_carried_on() {
        let mut open: Open<u32, &str> = Open::default();
        open.settle([(7, "a", 400)].into_iter());
        assert_eq!(open.time(&"a", 0), 400);
        // Gone from the open ones, not yet in the counter as it was read.
        open.settle(std::iter::empty());
        assert_eq!(open.time(&"a", 0), 0);
        open.settle(std::iter::empty());
        assert_eq!(open.time(&"a", 500), 100);
    }

    #[test]
    fn work_whose_end_was_not_counted_is_not_taken_off_for_good() {
        let mut open: Open<u32, &str> = Open::default();
        open.settle([(7, "a", 90_000)].into_iter());
        assert_eq!(open.time(&"a", 0), 90_000);
        open.settle(std::iter::empty());
        assert_eq!(open.time(&"a", 100), 0);
        open.settle(std::iter::empty());
        assert_eq!(open.time(&"a", 100), 0, "as if it had ended between two readings");
        open.settle(std::iter::empty());
        assert_eq!(open.time(&"a", 100), 100);
    }
}
