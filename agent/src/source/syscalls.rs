//! Syscalls from the probes: cumulative counters in, differences per (process, call) out.

use std::collections::{HashMap, HashSet};

use agent_common::abi::syscalls::{FLAG_COMPAT, SyscallKey, SyscallValue, UNTIMED, bucket_floor};
use agent_common::units::DurNs;
use diagnosis::window::SyscallAbi;

/// Differences of one (process, call) since the last window; [`diagnosis::window::SyscallRow`] without the name.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Delta {
    /// Calls that returned.
    pub count: u64,
    /// Of these, with an errno: how many with which.
    pub errnos: HashMap<u16, u64>,
    /// Of `count`, with a time.
    pub timed: u64,
    /// Time in them.
    pub total: DurNs,
    /// Longest.
    pub max: DurNs,
    /// Calls per latency bucket.
    pub histogram: HashMap<u8, u64>,
}

/// Who called what: the process as [`agent_common::abi::process::numbered`] has it.
pub type CallKey = (u32, SyscallAbi, u16);

/// What was read of one counter so far.
#[derive(Debug, Clone, Copy)]
struct Last {
    value: SyscallValue,
    /// Number of the reading that saw it.
    turn: u32,
}

/// Keeps the last value of every counter.
#[derive(Debug, Default)]
pub struct SyscallSource {
    last: HashMap<SyscallKey, Last>,
    deltas: HashMap<CallKey, Delta>,
    dead: HashSet<u32>,
    turn: u32,
}

impl SyscallSource {
    /// Starts a reading. `ended`: processes that have ended before it and made no call since.
    pub fn begin(&mut self, ended: impl IntoIterator<Item = u32>) {
        self.turn = self.turn.wrapping_add(1);
        self.dead.extend(ended);
    }

    /// Takes one counter of the reading. Cumulative; a value below the last one lags and is left for the next reading.
    pub fn counter(&mut self, key: &SyscallKey, value: &SyscallValue) {
        let last = self.last.entry(*key).or_insert(Last { value: SyscallValue::default(), turn: self.turn });
        last.turn = self.turn;
        if value.count <= last.value.count {
            return;
        }
        let count = value.count - last.value.count;
        let abi = if key.flags & FLAG_COMPAT != 0 { SyscallAbi::Compat } else { SyscallAbi::Native };
        let delta = self.deltas.entry((key.process, abi, key.nr)).or_default();
        delta.count += count;
        if key.errno != 0 {
            *delta.errnos.entry(key.errno).or_default() += count;
        }
        if key.bucket != UNTIMED {
            delta.timed += count;
            delta.total.0 += value.total_ns.saturating_sub(last.value.total_ns);
            *delta.histogram.entry(key.bucket).or_default() += count;
            // The kernel keeps the maximum over the counter's life. If it rose, it is this window's; if not, this
            // window's is somewhere in the bucket, and the bucket's floor is the honest figure.
            let max = if value.max_ns > last.value.max_ns { value.max_ns } else { bucket_floor(key.bucket) };
            delta.max = delta.max.max(DurNs(max));
        }
        last.value = *value;
    }

    /// Ends a reading. Returns counters of ended processes to delete in the kernel's hash: what they hold is read.
    /// `cached` returns the part of a key's count that is still in its cache slot. It will be written back into the hash later
    /// and must not be taken for new counts then.
    pub fn end(&mut self, cached: impl Fn(&SyscallKey) -> Option<SyscallValue>) -> Vec<SyscallKey> {
        let turn = self.turn;
        let mut delete = Vec::new();
        let mut waiting = HashSet::new();
        self.last.retain(|key, last| {
            if !self.dead.contains(&key.process) {
                return true;
            }
            // Unseen once may be a slot that changed hands during the reading; unseen twice is gone everywhere.
            let unseen = turn.wrapping_sub(last.turn);
            if unseen == 0 {
                delete.push(*key);
                last.value = cached(key).unwrap_or_default();
            }
            let keep = unseen < 2;
            if keep {
                waiting.insert(key.process);
            }
            keep
        });
        self.dead = waiting;
        delete
    }

    /// A process has begun. Where one before it had the same number and generation, what is counted from now on belongs to it.
    pub fn alive(&mut self, process: u32) {
        self.dead.remove(&process);
    }

    /// Differences since the last call.
    pub fn take(&mut self) -> HashMap<CallKey, Delta> {
        std::mem::take(&mut self.deltas)
    }

    /// Counters known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.last.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.last.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_common::abi::syscalls::bucket_of;

    const KEY: SyscallKey = SyscallKey { process: 7, nr: 39, cpu: 0, bucket: 20, flags: 0, errno: 0 };

    fn value(count: u64) -> SyscallValue {
        SyscallValue { count, total_ns: count * 100, max_ns: 100 }
    }

    #[test]
    fn differences_add_up_over_cpus_outcomes_and_buckets() {
        let mut source = SyscallSource::default();
        let bucket = bucket_of(1000);
        source.begin([]);
        source.counter(&KEY, &value(10));
        source.counter(&SyscallKey { cpu: 1, errno: 2, bucket, ..KEY }, &value(5));
        source.end(|_| None);
        let deltas = source.take();
        let delta = &deltas[&(7, SyscallAbi::Native, 39)];
        assert_eq!((delta.count, delta.timed, delta.total), (15, 15, DurNs(1500)));
        assert_eq!(delta.errnos, HashMap::from([(2, 5)]));
        assert_eq!(delta.histogram, HashMap::from([(20, 10), (bucket, 5)]));
    }

    #[test]
    fn a_value_that_lags_is_neither_negative_nor_counted_twice() {
        let mut source = SyscallSource::default();
        let mut sum = 0;
        for seen in [10, 4, 10, 30, 0, 31] {
            source.begin([]);
            source.counter(&KEY, &value(seen));
            source.end(|_| None);
            sum += source.take().values().map(|d| d.count).sum::<u64>();
        }
        assert_eq!(sum, 31);
    }

    #[test]
    fn counts_of_an_ended_process_written_back_late_are_not_counted_again() {
        let mut source = SyscallSource::default();
        source.begin([7]);
        source.counter(&KEY, &value(10));
        // 6 in the hash, 4 still in the cache: the hash entry goes.
        assert_eq!(source.end(|_| Some(value(4))), [KEY]);
        assert_eq!(source.take().len(), 1);
        source.begin([]);
        source.counter(&KEY, &value(4));
        source.end(|_| Some(value(4)));
        // The slot changes hands during this reading: the key is left out.
        source.begin([]);
        source.end(|_| None);
        // Written back: seen in the hash, deleted again.
        source.begin([]);
        source.counter(&KEY, &value(4));
        assert_eq!(source.end(|_| None), [KEY]);
        assert!(source.take().is_empty());
        for _ in 0..2 {
            source.begin([]);
            assert!(source.end(|_| None).is_empty());
        }
        assert!(source.is_empty());
    }

    #[test]
    fn a_number_in_use_again_counts_from_what_the_cache_still_holds() {
        let mut source = SyscallSource::default();
        source.begin([7]);
        source.counter(&KEY, &value(10));
        source.end(|_| Some(value(4)));
        source.take();
        source.alive(7);
        source.begin([]);
        source.counter(&KEY, &value(9));
        assert!(source.end(|_| None).is_empty());
        assert_eq!(source.take().values().map(|d| d.count).sum::<u64>(), 5);
    }

    #[test]
    fn untimed_calls_are_counted_without_a_time() {
        let mut source = SyscallSource::default();
        source.begin([]);
        source.counter(
            &SyscallKey { bucket: UNTIMED, ..KEY },
            &SyscallValue { count: 4, total_ns: 0, max_ns: 0 },
        );
        source.end(|_| None);
        let deltas = source.take();
        let delta = &deltas[&(7, SyscallAbi::Native, 39)];
        assert_eq!((delta.count, delta.timed, delta.total), (4, 0, DurNs(0)));
        assert!(delta.histogram.is_empty());
    }
}
