//! A block: the stacks of a span of time as data. It is what travels to the server, what the server keeps, and what a
//! question about the past is answered with.
//!
//! Samples lie in it as counts: how many of a stack and process fell into each of its *columns*, parts of equal length.
//! Stacks are paths in a [`Trie`] of frames, root first; processes are [`Group`]s. [`Builder`] makes blocks, of timelines or of
//! other blocks; [`Block::encode`] and [`Block::decode`] turn them into bytes and back; [`Block::timeline`] makes of them
//! what every picture and file is written from.

mod build;
mod counters;
mod decode;
mod encode;
mod show;
mod split;
#[cfg(test)]
mod tests;
mod trie;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use agent_common::units::{BootNs, DurNs, UnixNs};

pub use build::Builder;
pub use counters::{CUT_SAMPLES, CUT_WAITS, Counters};
pub use decode::{take_entries, take_frames, take_groups, take_nodes};
pub use encode::{put_entries, put_frames, put_groups, put_nodes};
pub use show::Shown;
pub use split::{MAX_MESSAGE, pack, pack_whole, unpack};
pub use trie::{FrameIds, Interner, Node, NodeId, Translated, Trie};

/// Most columns of a block.
pub const MAX_COLUMNS: u32 = 64;
/// Deepest stack: the frames of a wait and of who ended it, with all that is inlined. A deeper one is cut.
pub const MAX_DEPTH: usize = 2_048;
/// Longest text: names are cut to 256 bytes where they are made.
pub const MAX_TEXT: usize = 4_096;

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Looked {
    /// What ran when the timer ticked.
    Cpu,
    /// Waits that ended. On top of the stack stand the reason and, upside down, the stack that ended it.
    Wait,
}

impl Looked {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Cpu, Self::Wait];

    /// In one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Wait => "wait",
        }
    }
}

/// Whose stacks: a process under one name. One that executes another program is a group of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// The process.
    pub tgid: u32,
    /// When it began; 0: not known.
    pub start: BootNs,
    /// Its name.
    pub comm: Arc<str>,
    /// Path of its cgroup; empty: not known.
    pub cgroup: Arc<str>,
    /// Id of its container; empty: it is in none.
    pub container: Arc<str>,
}

/// Stands for what is in no container and no service.
const HOST: &str = "[host]";
/// Digits of a container's id, as its runtime shows it.
const SHORT_ID_DIGITS: usize = 12;

/// The place of a process in this cgroup and container: the first digits of the container's id, a service, or the host.
#[must_use]
pub fn place_of(cgroup: &str, container: Option<&str>) -> String {
    if let Some(id) = container {
        return id.chars().take(SHORT_ID_DIGITS).collect();
    }
    let unit = cgroup.rsplit('/').find(|part| part.ends_with(".service"));
    unit.unwrap_or(HOST).to_owned()
}

impl Group {
    /// What its processes belong to.
    #[must_use]
    pub fn place(&self) -> Arc<str> {
        if self.cgroup.is_empty() && self.container.is_empty() {
            return "[not known]".into();
        }
        place_of(&self.cgroup, Some(&*self.container).filter(|id| !id.is_empty())).into()
    }
}

/// How often a stack of a process was seen in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// Index of the group.
    pub group: u32,
    /// The stack.
    pub node: NodeId,
    /// The column.
    pub column: u32,
    /// Samples, or waits.
    pub samples: u64,
    /// Time that they stand for.
    pub ns: u64,
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Block {
    /// Start of the first column.
    pub from: UnixNs,
    /// Length of a column.
    pub column: DurNs,
    /// How many there are.
    pub columns: u32,
    /// On-CPU samples a second and CPU.
    pub rate_hz: u32,
    /// Ids of the alerts that it is the evidence of; empty: it is a part of the history.
    pub alerts: Vec<String>,
    /// What it covers.
    pub counters: Counters,
    /// The processes.
    pub groups: Vec<Group>,
    /// The stacks.
    pub trie: Trie,
    /// On-CPU samples, in order of group, stack and column.
    pub cpu: Vec<Entry>,
    /// Waits, in the same order.
    pub waits: Vec<Entry>,
}

impl Block {
    /// What was looked at in this way.
    #[must_use]
    pub fn entries(&self, looked: Looked) -> &[Entry] {
        match looked {
            Looked::Cpu => &self.cpu,
            Looked::Wait => &self.waits,
        }
    }

    /// End of the last column.
    #[must_use]
    pub fn to(&self) -> UnixNs {
        UnixNs(self.from.0.saturating_add(self.column.0.saturating_mul(u64::from(self.columns))))
    }

    /// Samples, or waits, and the time that they stand for.
    #[must_use]
    pub fn total(&self, looked: Looked) -> (u64, u64) {
        let add = |(samples, ns): (u64, u64), one: &Entry| {
            (samples.saturating_add(one.samples), ns.saturating_add(one.ns))
        };
        self.entries(looked).iter().fold((0, 0), add)
    }

    /// There is no stack in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cpu.is_empty() && self.waits.is_empty()
    }

    /// The block with these entries alone, and of the rest what they need.
    #[must_use]
    pub fn only(&self, keep: impl Fn(Looked, &Entry) -> bool) -> Self {
        let mut part = Builder::new(self.from, self.column, self.columns, self.rate_hz, usize::MAX);
        part.add_block(self, |looked, entry| keep(looked, entry).then_some(entry.column));
        let mut part = part.finish();
        part.alerts.clone_from(&self.alerts);
        part
    }

    /// The block with the heaviest `most` stacks of each kind, by their weight in all columns.
    #[must_use]
    pub fn top(&self, most: usize) -> Self {
        let mut kept: [BTreeSet<(u32, NodeId)>; 2] = Default::default();
        for (looked, kept) in Looked::ALL.into_iter().zip(&mut kept) {
            let mut sums: BTreeMap<(u32, NodeId), u64> = BTreeMap::new();
            for entry in self.entries(looked) {
                let weight = if looked == Looked::Cpu { entry.samples } else { entry.ns };
                *sums.entry((entry.group, entry.node)).or_default() += weight;
            }
            let mut order: Vec<_> = sums.into_iter().collect();
            order.sort_by_key(|(key, weight)| (std::cmp::Reverse(*weight), *key));
            kept.extend(order.into_iter().take(most).map(|(key, _)| key));
        }
        self.only(|looked, entry| {
            let kept = if looked == Looked::Cpu { &kept[0] } else { &kept[1] };
            kept.contains(&(entry.group, entry.node))
        })
    }
}
