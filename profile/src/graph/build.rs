//! Blocks → the tree.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use agent_common::text::cleaned;

use super::{Graph, Node, root};
use crate::block::{Block, Group, Looked, NodeId, Shown};
use crate::frame::{Frame, Kind};
use crate::options::Roots;

/// Which of two graphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that is drawn.
    Shown,
    /// The one to compare with.
    Base,
}

/// A graph in the making.
#[derive(Debug)]
pub struct Builder {
    max_nodes: usize,
    frames: Vec<Frame>,
    frame_ids: HashMap<Frame, u32>,
    /// Each after its parent.
    nodes: Vec<Open>,
    ids: HashMap<(u32, u32), u32>,
    cut: u64,
    compares: bool,
}

/// A node whose depth is not known yet.
#[derive(Debug, Clone, Copy, Default)]
struct Open {
    parent: u32,
    sums: Node,
}

impl Builder {
    /// An empty graph of so many nodes at most: further stacks are cut to what is known of them, and counted.
    #[must_use]
    pub fn new(max_nodes: usize) -> Self {
        let mut new = Self {
            max_nodes,
            frames: Vec::new(),
            frame_ids: HashMap::new(),
            nodes: vec![Open::default()],
            ids: HashMap::new(),
            cut: 0,
            compares: false,
        };
        new.frame(root());
        new
    }

    /// Adds what is shown of a block. `roots` says what stands below the stacks of a process; threads are not known.
    pub fn add(&mut self, side: Side, block: &Block, shown: &Shown<'_>, roots: Roots) {
        self.compares |= side == Side::Base;
        let left_out = shown.left_out(&block.trie);
        let frames: Vec<Option<u32>> = block
            .trie
            .frames
            .iter()
            .map(|frame| {
                shown.passes(frame).then(|| self.frame(Frame { source: None, ..with_clean_names(frame) }))
            })
            .collect();
        let mut stacks = Stacks { block, frames, known: HashMap::new() };
        let mut below: Vec<Option<u32>> = vec![None; block.groups.len()];
        for looked in Looked::ALL.into_iter().filter(|looked| shown.has(*looked)) {
            let top = shown.top(looked).map(|top| self.frame(top));
            for entry in block.entries(looked) {
                let weight = shown.weight(looked, entry);
                if weight == 0 || left_out[entry.node as usize] {
                    continue;
                }
                let group = entry.group as usize;
                let base = *below[group].get_or_insert_with(|| self.below(&block.groups[group], roots));
                let (mut node, mut whole) = stacks.node(self, base, entry.node);
                if let Some(top) = top.filter(|_| whole) {
                    (node, whole) = self.child(node, top).map_or((node, false), |child| (child, true));
                }
                if !whole {
                    self.cut = self.cut.saturating_add(weight);
                }
                let sums = &mut self.nodes[node as usize].sums;
                match side {
                    Side::Shown => {
                        sums.own = sums.own.saturating_add(weight);
                        sums.samples = sums.samples.saturating_add(entry.samples);
                    }
                    Side::Base => sums.base_own = sums.base_own.saturating_add(weight),
                }
            }
        }
    }

    /// The graph.
    #[must_use]
    pub fn finish(mut self) -> Graph {
        for at in (0..self.nodes.len()).rev() {
            let Open { parent, sums } = &mut self.nodes[at];
            sums.value = sums.value.saturating_add(sums.own);
            sums.base = sums.base.saturating_add(sums.base_own);
            let (parent, sums) = (*parent as usize, *sums);
            if at > 0 {
                let up = &mut self.nodes[parent].sums;
                up.value = up.value.saturating_add(sums.value);
                up.base = up.base.saturating_add(sums.base);
                up.samples = up.samples.saturating_add(sums.samples);
            }
        }
        // Children by parent, those of one parent by name: the last comes off the stack first.
        let rank = self.ranks();
        let mut order: Vec<u32> = (1..self.nodes.len() as u32).collect();
        let key = |at: &u32| {
            let node = &self.nodes[*at as usize];
            (node.parent, std::cmp::Reverse(rank[node.sums.frame as usize]))
        };
        order.sort_unstable_by_key(key);
        let mut first = vec![0_usize; self.nodes.len() + 1];
        for at in &order {
            first[self.nodes[*at as usize].parent as usize + 1] += 1;
        }
        for at in 1..first.len() {
            first[at] += first[at - 1];
        }
        let mut nodes = Vec::with_capacity(self.nodes.len());
        let mut open = vec![(0_u32, 0_u32)];
        while let Some((at, depth)) = open.pop() {
            let sums = self.nodes[at as usize].sums;
            if at > 0 && sums.value == 0 && sums.base == 0 {
                continue;
            }
            nodes.push(Node { depth, ..sums });
            let children = &order[first[at as usize]..first[at as usize + 1]];
            open.extend(children.iter().map(|child| (*child, depth + 1)));
        }
        Graph { frames: self.frames, nodes, cut: self.cut, compares: self.compares }
    }

    /// The place of each frame in the order of names.
    fn ranks(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.frames.len() as u32).collect();
        let key = |at: u32| {
            let frame = &self.frames[at as usize];
            (&frame.name, frame.kind, &frame.module)
        };
        order.sort_unstable_by(|a, b| key(*a).cmp(&key(*b)));
        let mut ranks = vec![0; order.len()];
        for (rank, at) in (0..).zip(&order) {
            ranks[*at as usize] = rank;
        }
        ranks
    }

    /// The node that the stacks of a process stand on.
    fn below(&mut self, group: &Group, roots: Roots) -> u32 {
        let named = |name: Arc<str>| Frame::new(clean(&name).unwrap_or(name), Kind::Root);
        let comm = || named(Arc::clone(&group.comm));
        let path = match roots {
            Roots::None => vec![],
            Roots::Group => vec![named(group.place()), comm()],
            Roots::Process if group.tgid != 0 => vec![named(format!("{}-{}", group.comm, group.tgid).into())],
            Roots::Comm | Roots::Process | Roots::Thread => vec![comm()],
        };
        let mut node = 0;
        for frame in path {
            let frame = self.frame(frame);
            node = self.child(node, frame).unwrap_or(node);
        }
        node
    }

    fn frame(&mut self, frame: Frame) -> u32 {
        let (ids, frames) = (&mut self.frame_ids, &mut self.frames);
        crate::timeline::intern(ids, frames, frame)
    }

    /// The node with one more frame; `None` if it is new and there are too many.
    fn child(&mut self, parent: u32, frame: u32) -> Option<u32> {
        if let Some(&known) = self.ids.get(&(parent, frame)) {
            return Some(known);
        }
        if self.nodes.len() >= self.max_nodes {
            return None;
        }
        let id = self.nodes.len() as u32;
        self.nodes.push(Open { parent, sums: Node { frame, ..Node::default() } });
        self.ids.insert((parent, frame), id);
        Some(id)
    }
}

/// Stacks of a block as nodes: each is looked for once.
struct Stacks<'b> {
    block: &'b Block,
    /// The frames that are shown, by their number in the block.
    frames: Vec<Option<u32>>,
    known: HashMap<(u32, NodeId), (u32, bool)>,
}

impl Stacks<'_> {
    /// The node of a stack that stands on `base`, and whether that is all of it.
    fn node(&mut self, to: &mut Builder, base: u32, id: NodeId) -> (u32, bool) {
        let mut open = Vec::new();
        let mut at = id;
        let mut found = loop {
            if let Some(known) = self.known.get(&(base, at)) {
                break *known;
            }
            let Some(node) = self.block.trie.node(at) else { break (base, true) };
            open.push((at, node.frame));
            at = node.parent;
        };
        for (at, frame) in open.into_iter().rev() {
            if let (Some(frame), (parent, true)) = (self.frames[frame as usize], found) {
                found = to.child(parent, frame).map_or((parent, false), |child| (child, true));
            }
            self.known.insert((base, at), found);
        }
        found
    }
}

/// Names are other users' words.
fn with_clean_names(frame: &Frame) -> Frame {
    let mut frame = frame.clone();
    if let Some(name) = clean(&frame.name) {
        frame.name = name;
    }
    if let Some(module) = frame.module.as_ref().and_then(|module| clean(module)) {
        frame.module = Some(module);
    }
    frame
}

fn clean(text: &str) -> Option<Arc<str>> {
    match cleaned(text) {
        Cow::Owned(clean) => Some(clean.into()),
        Cow::Borrowed(_) => None,
    }
}
