//! Stacks by content: paths in a trie of frames.

use std::collections::HashMap;

use crate::frame::{Frame, Kind};

/// A place in a [`Trie`]; 0 is the root, the stack without frames.
pub type NodeId = u32;

/// One more frame on top of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Node {
    /// The stack below it; less than its own id.
    pub parent: NodeId,
    /// Index of the frame.
    pub frame: u32,
}

/// Frames, each once, and stacks, each once. Frames have no lines: a function is one frame.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trie {
    /// The frames.
    pub frames: Vec<Frame>,
    /// The node with id 1 is the first.
    pub nodes: Vec<Node>,
}

impl Trie {
    /// The node; `None` for the root.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<Node> {
        self.nodes.get((id as usize).checked_sub(1)?).copied()
    }

    /// Indices of the frames of a stack, leaf first.
    pub fn path(&self, id: NodeId) -> impl Iterator<Item = u32> + '_ {
        std::iter::successors(self.node(id), |node| self.node(node.parent)).map(|node| node.frame)
    }
}

/// A trie in the making.
#[derive(Debug, Clone, Default)]
pub struct Interner {
    trie: Trie,
    frames: HashMap<Frame, u32>,
    nodes: HashMap<Node, NodeId>,
}

impl Interner {
    /// Goes on with a trie.
    #[must_use]
    pub fn new(trie: Trie) -> Self {
        let frames = trie.frames.iter().zip(0..).map(|(frame, id)| (frame.clone(), id)).collect();
        let nodes = trie.nodes.iter().zip(1..).map(|(node, id)| (*node, id)).collect();
        Self { trie, frames, nodes }
    }

    /// What it is so far.
    #[must_use]
    pub const fn trie(&self) -> &Trie {
        &self.trie
    }

    /// The trie.
    #[must_use]
    pub fn finish(self) -> Trie {
        self.trie
    }

    /// The number of a frame, whatever its line; `None` if it is new and there are `most` stacks already.
    fn frame(&mut self, frame: &Frame, most: usize) -> Option<u32> {
        if frame.source.is_some() {
            return self.frame(&Frame { source: None, ..frame.clone() }, most);
        }
        if let Some(&id) = self.frames.get(frame) {
            return Some(id);
        }
        if self.trie.nodes.len() >= most {
            return None;
        }
        let id = self.trie.frames.len() as u32;
        self.trie.frames.push(frame.clone());
        self.frames.insert(frame.clone(), id);
        Some(id)
    }

    /// The stack with one more frame on top; `None` if it is new and there are `most` already.
    pub fn child(&mut self, parent: NodeId, frame: u32, most: usize) -> Option<NodeId> {
        let node = Node { parent, frame };
        if let Some(&id) = self.nodes.get(&node) {
            return Some(id);
        }
        if self.trie.nodes.len() >= most {
            return None;
        }
        self.trie.nodes.push(node);
        let id = self.trie.nodes.len() as NodeId;
        self.nodes.insert(node, id);
        Some(id)
    }

    /// A stack that is cut here. Who ended a wait has its name at the very top: without it the rest of its stack says nothing of
    /// who that is, and goes as a whole.
    fn cut(&self, mut node: NodeId) -> NodeId {
        while let Some(at) = self.trie.node(node)
            && self.trie.frames[at.frame as usize].kind == Kind::Waker
        {
            node = at.parent;
        }
        node
    }

    /// The longest part of a stack, root first, that there is room for, and whether that is all of it.
    pub fn stack(
        &mut self,
        path: impl IntoIterator<Item = u32>,
        frames: &mut FrameIds<'_>,
        most: usize,
    ) -> (NodeId, bool) {
        let mut node = 0;
        for (depth, frame) in path.into_iter().enumerate() {
            let frame = frames.get(frame, self, most).filter(|_| depth < super::MAX_DEPTH);
            match frame.and_then(|frame| self.child(node, frame, most)) {
                Some(child) => node = child,
                None => return (self.cut(node), false),
            }
        }
        (node, true)
    }
}

/// Frames of another list as those of a trie: each is asked for once, when a stack needs it.
#[derive(Debug)]
pub struct FrameIds<'f> {
    from: &'f [Frame],
    ids: Vec<Option<u32>>,
}

impl<'f> FrameIds<'f> {
    /// None is asked for yet.
    #[must_use]
    pub fn new(from: &'f [Frame]) -> Self {
        Self { from, ids: vec![None; from.len()] }
    }

    /// The frame in `to`. `None`: it is new, and there are `most` stacks already: none that is new has room either, and names
    /// must not pile up for stacks that are cut.
    fn get(&mut self, id: u32, to: &mut Interner, most: usize) -> Option<u32> {
        let known = &mut self.ids[id as usize];
        if known.is_none() {
            *known = to.frame(&self.from[id as usize], most);
        }
        *known
    }
}

/// Nodes of one trie as those of another: each is asked for once.
#[derive(Debug)]
pub struct Translated<'t> {
    from: &'t Trie,
    nodes: Vec<Option<(NodeId, bool)>>,
    frames: FrameIds<'t>,
}

impl<'t> Translated<'t> {
    /// None is asked for yet.
    #[must_use]
    pub fn new(from: &'t Trie) -> Self {
        let mut nodes = vec![None; from.nodes.len() + 1];
        nodes[0] = Some((0, true));
        Self { from, nodes, frames: FrameIds::new(&from.frames) }
    }

    /// The node in `to`, and whether it is the whole stack.
    pub fn get(&mut self, id: NodeId, to: &mut Interner, most: usize) -> (NodeId, bool) {
        let mut open = Vec::new();
        let mut at = id;
        let mut known = loop {
            if let Some(known) = self.nodes.get(at as usize).copied().flatten() {
                break known;
            }
            let Some(node) = self.from.node(at) else { break (0, true) };
            open.push((at, node.frame));
            at = node.parent;
        };
        while let Some((id, frame)) = open.pop() {
            known = match known {
                (below, true) => {
                    let frame = self.frames.get(frame, to, most);
                    let child = frame.and_then(|frame| to.child(below, frame, most));
                    child.map_or_else(|| (to.cut(below), false), |child| (child, true))
                }
                cut => cut,
            };
            self.nodes[id as usize] = Some(known);
        }
        known
    }
}
