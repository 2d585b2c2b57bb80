//! A flame graph as a tree: what a page draws. Blocks go in ([`Builder`]); a part comes out that is small enough to send
//! ([`Graph::view`]), as bytes ([`View::encode`]) or as lists.
//!
//! What is narrower than asked for is cut, and every node says how much of it is hidden. A node has an id that depends on
//! the names on its path alone ([`child_id`]): whoever zooms asks for what is below it, and a link to it leads to the same place
//! in the graph of another time.

mod build;
mod decode;
mod encode;
#[cfg(test)]
mod tests;

use crate::frame::{Frame, Kind};

pub use build::{Builder, Side};
pub use encode::{COLUMNS, Column, MAGIC, VERSION};

/// Id of the root of all stacks: the begin of both halves of [`child_id`].
pub const ROOT_ID: u64 = 0x811c_9dc5_9e37_79b9;

/// The id of a node from that of its parent: two hashes of 32 bits, each of which takes byte after byte as
/// `(hash ^ byte) * factor`, so that a browser can compute it, too. The bytes are those of the name, a byte with the number of
/// the kind, those of the module, and 255.
#[must_use]
pub fn child_id(parent: u64, frame: &Frame) -> u64 {
    const FACTORS: [u32; 2] = [0x0100_0193, 0x85eb_ca6b];
    let module = frame.module.as_deref().unwrap_or_default();
    let bytes = || frame.name.bytes().chain([frame.kind as u8]).chain(module.bytes()).chain([255]);
    let [high, low] = [(parent >> 32) as u32, parent as u32];
    let hash = |begin: u32, factor: u32| {
        bytes().fold(begin, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(factor))
    };
    u64::from(hash(high, FACTORS[0])) << 32 | u64::from(hash(low, FACTORS[1]))
}

/// A frame in its place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Node {
    /// Frames below it; 0 for the root of all.
    pub depth: u32,
    /// Index of its frame.
    pub frame: u32,
    /// Its weight, with what stands on it: samples, or ns.
    pub value: u64,
    /// Without what stands on it.
    pub own: u64,
    /// Samples and waits behind the weight.
    pub samples: u64,
    /// The weight in the graph to compare with.
    pub base: u64,
    /// Of that, without what stands on it.
    pub base_own: u64,
}

/// A whole flame graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// Its frames, each once; the first is the root of all.
    pub frames: Vec<Frame>,
    /// Its nodes in preorder, those of one parent by name. The first is the root of all.
    pub nodes: Vec<Node>,
    /// Weight of the stacks that were cut, since there were too many of them.
    pub cut: u64,
    /// It is a difference: `base` counts.
    pub compares: bool,
}

/// Which part of a graph.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// What stands on this node, with the nodes on the way to it.
    pub under: u64,
    /// Nodes whose share of that node is less are left out …
    pub least_share: f64,
    /// … and the narrowest, as long as there are more than this.
    pub max_nodes: usize,
}

impl Default for Part {
    fn default() -> Self {
        Self { under: ROOT_ID, least_share: 0.0, max_nodes: usize::MAX }
    }
}

/// A part of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The part. What of a node's value is neither its own nor its children's is hidden.
    pub graph: Graph,
    /// Index of the node that was asked for.
    pub root: u32,
    /// Nodes that are left out for being narrow.
    pub hidden: u64,
}

impl Graph {
    /// The frame of a node.
    #[must_use]
    pub fn frame(&self, node: &Node) -> &Frame {
        &self.frames[node.frame as usize]
    }

    /// A part of it; `None` if there is no such node.
    #[must_use]
    pub fn view(&self, part: &Part) -> Option<View> {
        let (path, range) = self.find(part.under)?;
        let root = &self.nodes[*path.last()?];
        let share = |node: &Node| {
            let of = |value: u64, whole: u64| if whole == 0 { 0.0 } else { value as f64 / whole as f64 };
            of(node.value, root.value).max(of(node.base, root.base))
        };
        let inner = &self.nodes[range];
        let mut shares: Vec<f64> = inner.iter().map(share).collect();
        let mut above = None;
        if shares.len() > part.max_nodes {
            let (_, most, _) = shares.select_nth_unstable_by(part.max_nodes, |a, b| b.total_cmp(a));
            above = Some(*most);
        }
        // A node is never narrower than what stands on it: what is kept is a tree.
        let keeps = |node: &&Node| {
            let share = share(node);
            share >= part.least_share && above.is_none_or(|above| share > above)
        };
        let mut nodes: Vec<Node> = path.iter().map(|at| self.nodes[*at]).collect();
        let depth = path.len() as u32 - 1;
        nodes.extend(inner.iter().filter(keeps));
        let hidden = (path.len() + inner.len() - nodes.len()) as u64;
        Some(View { graph: self.of_nodes(nodes), root: depth, hidden })
    }

    /// Indices of the nodes on the way to one, itself included, and those of what stands on it.
    fn find(&self, id: u64) -> Option<(Vec<usize>, std::ops::Range<usize>)> {
        let mut path: Vec<(usize, u64)> = Vec::new();
        let mut found = None;
        for (at, node) in self.nodes.iter().enumerate() {
            path.truncate(node.depth as usize);
            let own = path.last().map_or(ROOT_ID, |(_, parent)| child_id(*parent, self.frame(node)));
            path.push((at, own));
            if own == id {
                found = Some(at);
                break;
            }
        }
        let at = found?;
        let depth = self.nodes[at].depth;
        let end = self.nodes[at + 1..].iter().position(|node| node.depth <= depth);
        let end = end.map_or(self.nodes.len(), |more| at + 1 + more);
        Some((path.into_iter().map(|(at, _)| at).collect(), at + 1..end))
    }

    /// The graph of some of its nodes, with the frames that they need.
    fn of_nodes(&self, mut nodes: Vec<Node>) -> Self {
        let mut ids: Vec<Option<u32>> = vec![None; self.frames.len()];
        let mut frames = Vec::new();
        for node in &mut nodes {
            node.frame = *ids[node.frame as usize].get_or_insert_with(|| {
                frames.push(self.frames[node.frame as usize].clone());
                frames.len() as u32 - 1
            });
        }
        Self { frames, nodes, cut: self.cut, compares: self.compares }
    }
}

/// The frame below all others.
fn root() -> Frame {
    Frame::new("all", Kind::Root)
}
