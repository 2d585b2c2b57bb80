//! Blocks in the making, of timelines or of other blocks.

use std::collections::HashMap;

use agent_common::units::{DurNs, UnixNs};

use super::counters::{CUT_SAMPLES, CUT_WAITS, Counters, count, put_names};
use super::trie::{FrameIds, Interner, Translated};
use super::{Block, Entry, Group, Looked, NodeId};
use crate::timeline::{Thread, Timeline};

/// Group, stack, column.
type Key = (u32, NodeId, u32);

/// A block in the making.
#[derive(Debug, Clone)]
pub struct Builder {
    from: UnixNs,
    column: DurNs,
    columns: u32,
    rate_hz: u32,
    max_nodes: usize,
    counters: Counters,
    groups: Vec<Group>,
    group_ids: HashMap<Group, u32>,
    interner: Interner,
    cpu: HashMap<Key, (u64, u64)>,
    waits: HashMap<Key, (u64, u64)>,
}

impl Builder {
    /// An empty block of `columns` columns of this length, the first of which begins at `from`. When its trie has
    /// `max_nodes`, new stacks are cut to what is known of them; [`CUT_SAMPLES`] counts that.
    #[must_use]
    pub fn new(from: UnixNs, column: DurNs, columns: u32, rate_hz: u32, max_nodes: usize) -> Self {
        Self {
            from,
            column,
            columns,
            rate_hz,
            max_nodes,
            counters: Counters::new(),
            groups: Vec::new(),
            group_ids: HashMap::new(),
            interner: Interner::default(),
            cpu: HashMap::new(),
            waits: HashMap::new(),
        }
    }

    /// Start of the first column.
    #[must_use]
    pub const fn from(&self) -> UnixNs {
        self.from
    }

    /// How many distinct stacks there are, those included on which others stand.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.interner.trie().nodes.len()
    }

    /// Adds to a count of what is covered.
    pub fn count(&mut self, name: impl Into<String>, more: u64) {
        count(&mut self.counters, name.into(), more);
    }

    /// Adds the points of a timeline to a column. A point weighs samples, or ns of a wait.
    pub fn add(
        &mut self,
        looked: Looked,
        column: u32,
        timeline: &Timeline,
        mut group: impl FnMut(&Thread) -> Group,
    ) {
        put_names(&mut self.counters, looked, &timeline.names);
        let groups: Vec<u32> = timeline.threads.iter().map(|thread| self.group(group(thread))).collect();
        let mut frames = FrameIds::new(&timeline.frames);
        let mut nodes: Vec<Option<(NodeId, bool)>> = vec![None; timeline.stacks.len()];
        for point in &timeline.points {
            let (stack, thread) = (point.stack as usize, point.thread as usize);
            let (node, whole) = *nodes[stack].get_or_insert_with(|| {
                self.interner.stack(timeline.stacks[stack].iter().copied(), &mut frames, self.max_nodes)
            });
            let (samples, ns) = match looked {
                Looked::Cpu => (point.weight, point.weight.saturating_mul(self.tick_ns())),
                Looked::Wait => (1, point.weight),
            };
            self.put(looked, (groups[thread], node, column.min(self.columns.saturating_sub(1))), samples, ns);
            if !whole {
                self.count_cut(looked, samples);
            }
        }
    }

    /// Adds the entries of a block in the column that `place` says, where it says one.
    pub fn add_block(&mut self, block: &Block, place: impl Fn(Looked, &Entry) -> Option<u32>) {
        let mut translated = Translated::new(&block.trie);
        let mut groups: Vec<Option<u32>> = vec![None; block.groups.len()];
        for looked in Looked::ALL {
            for entry in block.entries(looked) {
                let Some(column) = place(looked, entry) else { continue };
                let (node, whole) = translated.get(entry.node, &mut self.interner, self.max_nodes);
                let known = &mut groups[entry.group as usize];
                let group = match *known {
                    Some(group) => group,
                    None => *known.insert(self.group(block.groups[entry.group as usize].clone())),
                };
                self.put(looked, (group, node, column), entry.samples, entry.ns);
                if !whole {
                    self.count_cut(looked, entry.samples);
                }
            }
        }
    }

    /// Adds the counts of what is covered.
    pub fn add_counters(&mut self, counters: &Counters) {
        for (name, more) in counters {
            count(&mut self.counters, name.clone(), *more);
        }
    }

    /// The block.
    #[must_use]
    pub fn finish(self) -> Block {
        let sorted = |sums: HashMap<Key, (u64, u64)>| {
            let mut entries: Vec<Entry> = sums
                .into_iter()
                .map(|((group, node, column), (samples, ns))| Entry { group, node, column, samples, ns })
                .collect();
            entries.sort_unstable();
            entries
        };
        Block {
            from: self.from,
            column: self.column,
            columns: self.columns,
            rate_hz: self.rate_hz,
            alerts: Vec::new(),
            counters: self.counters,
            groups: self.groups,
            trie: self.interner.finish(),
            cpu: sorted(self.cpu),
            waits: sorted(self.waits),
        }
    }

    fn tick_ns(&self) -> u64 {
        1_000_000_000 / u64::from(self.rate_hz.max(1))
    }

    fn group(&mut self, group: Group) -> u32 {
        if let Some(&id) = self.group_ids.get(&group) {
            return id;
        }
        let id = self.groups.len() as u32;
        self.groups.push(group.clone());
        self.group_ids.insert(group, id);
        id
    }

    fn put(&mut self, looked: Looked, key: Key, samples: u64, ns: u64) {
        let sums = match looked {
            Looked::Cpu => &mut self.cpu,
            Looked::Wait => &mut self.waits,
        };
        let sum = sums.entry(key).or_default();
        *sum = (sum.0.saturating_add(samples), sum.1.saturating_add(ns));
    }

    fn count_cut(&mut self, looked: Looked, samples: u64) {
        let name = if looked == Looked::Cpu { CUT_SAMPLES } else { CUT_WAITS };
        count(&mut self.counters, name.to_owned(), samples);
    }
}
