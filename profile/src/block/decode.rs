//! Bytes as blocks. They may be hostile: every length is at most what is left, every index has been written before it.

use std::sync::Arc;

use agent_common::units::{BootNs, DurNs, UnixNs};
use agent_common::varint::{Bytes, Damaged};

use super::counters::Counters;
use super::encode::{MAGIC, VERSION};
use super::{Block, Entry, Group, MAX_COLUMNS, MAX_DEPTH, MAX_TEXT, Node, NodeId, Trie};
use crate::frame::{Frame, Kind};

/// Most alerts that one block is the evidence of.
const MAX_ALERTS: usize = 4_096;
/// Most counts of what is covered.
const MAX_COUNTERS: usize = 256;

fn text<'a>(bytes: &mut Bytes<'a>) -> Result<&'a str, Damaged> {
    bytes
        .text()
        .and_then(|text| if text.len() <= MAX_TEXT { Ok(text) } else { Err(Damaged("a text too long")) })
}

fn texts(bytes: &mut Bytes<'_>) -> Result<Vec<Arc<str>>, Damaged> {
    let count = bytes.count()?;
    let mut texts = Vec::with_capacity(count);
    for _ in 0..count {
        texts.push(text(bytes)?.into());
    }
    Ok(texts)
}

/// The text of the next index.
fn of<'t>(texts: &'t [Arc<str>], bytes: &mut Bytes<'_>) -> Result<&'t Arc<str>, Damaged> {
    texts.get(bytes.index()? as usize).ok_or(Damaged("no such text"))
}

/// Reads frames.
pub fn take_frames(bytes: &mut Bytes<'_>) -> Result<Vec<Frame>, Damaged> {
    let texts = texts(bytes)?;
    let count = bytes.count()?;
    let mut frames = Vec::with_capacity(count);
    for _ in 0..count {
        let name = Arc::clone(of(&texts, bytes)?);
        let module = match bytes.index()?.checked_sub(1) {
            None => None,
            Some(id) => Some(Arc::clone(texts.get(id as usize).ok_or(Damaged("no such text"))?)),
        };
        let kind = *Kind::ALL.get(bytes.index()? as usize).ok_or(Damaged("no such kind of frame"))?;
        frames.push(Frame { name, kind, module, source: None });
    }
    Ok(frames)
}

/// Reads groups.
pub fn take_groups(bytes: &mut Bytes<'_>) -> Result<Vec<Group>, Damaged> {
    let texts = texts(bytes)?;
    let count = bytes.count()?;
    let mut groups = Vec::with_capacity(count);
    for _ in 0..count {
        let (tgid, start) = (bytes.index()?, BootNs(bytes.varint()?));
        let mut next = || of(&texts, bytes).cloned();
        groups.push(Group { tgid, start, comm: next()?, cgroup: next()?, container: next()? });
    }
    Ok(groups)
}

/// Reads nodes behind those that there are; `frames` is how many frames there are, `depths` how deep the nodes lie.
pub fn take_nodes(
    bytes: &mut Bytes<'_>,
    frames: usize,
    nodes: &mut Vec<Node>,
    depths: &mut Vec<u16>,
) -> Result<(), Damaged> {
    let count = bytes.count()?;
    for _ in 0..count {
        let id = nodes.len() as u64 + 1;
        let parent = id.checked_sub(bytes.varint()?).filter(|parent| *parent < id);
        let parent = parent.ok_or(Damaged("a stack on one that is not there"))? as NodeId;
        let frame = bytes.index()?;
        let below = (parent as usize).checked_sub(1).map_or(0, |at| depths[at]);
        if frame as usize >= frames {
            return Err(Damaged("no such frame"));
        }
        if usize::from(below) >= MAX_DEPTH {
            return Err(Damaged("a stack too deep"));
        }
        nodes.push(Node { parent, frame });
        depths.push(below + 1);
    }
    Ok(())
}

/// Reads entries of the groups that `wanted` names, in order of group, stack and column. `tick_ns` is the time of a sample,
/// where the entries have none. There are `groups` groups, `nodes` stacks beside the empty one, and `columns`.
pub fn take_entries(
    bytes: &mut Bytes<'_>,
    tick_ns: Option<u64>,
    (groups, nodes, columns): (usize, usize, u32),
    wanted: impl Fn(u32) -> bool,
    mut each: impl FnMut(Entry),
) -> Result<(), Damaged> {
    let count = bytes.count()?;
    let mut id: u32 = 0;
    for nth in 0..count {
        let more = bytes.index()?;
        id = id.checked_add(more).filter(|_| nth == 0 || more > 0).ok_or(Damaged("groups out of order"))?;
        if id as usize >= groups {
            return Err(Damaged("no such group"));
        }
        let length = bytes.count()?;
        let mut own = Bytes(bytes.take(length)?);
        if !wanted(id) {
            continue;
        }
        let (mut node, mut first): (u32, bool) = (0, true);
        while !own.is_empty() {
            let more = own.index()?;
            node =
                node.checked_add(more).filter(|_| first || more > 0).ok_or(Damaged("stacks out of order"))?;
            first = false;
            let mut bits = own.varint()?;
            if node as usize > nodes || bits == 0 || (columns < 64 && bits >> columns > 0) {
                return Err(Damaged("no such stack or column"));
            }
            while bits != 0 {
                let column = bits.trailing_zeros();
                bits &= bits - 1;
                let samples = own.varint()?;
                let ns = match tick_ns {
                    Some(tick_ns) => samples.saturating_mul(tick_ns),
                    None => own.varint()?,
                };
                each(Entry { group: id, node, column, samples, ns });
            }
        }
    }
    Ok(())
}

impl Block {
    /// Reads a block.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut bytes = Bytes(bytes);
        if bytes.take(MAGIC.len())? != MAGIC {
            return Err(Damaged("no block"));
        }
        if bytes.varint()? != VERSION {
            return Err(Damaged("a block of another version"));
        }
        let (from, column) = (UnixNs(bytes.varint()?), DurNs(bytes.varint()?));
        let (columns, rate_hz) = (bytes.index()?, bytes.index()?);
        let fits = from.0.checked_add(column.0.saturating_mul(u64::from(columns)));
        if !(1..=MAX_COLUMNS).contains(&columns)
            || column.0 == 0
            || fits.is_none_or(|to| to > i64::MAX as u64)
        {
            return Err(Damaged("columns that there cannot be"));
        }
        let alerts = bytes.count()?;
        let alerts = (0..alerts.min(MAX_ALERTS + 1)).map(|_| text(&mut bytes).map(str::to_owned));
        let alerts: Vec<String> = alerts.collect::<Result<_, _>>()?;
        let count = bytes.count()?;
        if alerts.len() > MAX_ALERTS || count > MAX_COUNTERS {
            return Err(Damaged("too many alerts or counts"));
        }
        let mut counters = Counters::new();
        for _ in 0..count {
            let name = text(&mut bytes)?.to_owned();
            counters.insert(name, bytes.varint()?);
        }
        let frames = take_frames(&mut bytes)?;
        let groups = take_groups(&mut bytes)?;
        let (mut nodes, mut depths) = (Vec::new(), Vec::new());
        take_nodes(&mut bytes, frames.len(), &mut nodes, &mut depths)?;
        let mut block = Self {
            from,
            column,
            columns,
            rate_hz,
            alerts,
            counters,
            groups,
            trie: Trie { frames, nodes },
            ..Self::default()
        };
        let tick_ns = (bytes.varint()? == 0).then(|| 1_000_000_000 / u64::from(rate_hz.max(1)));
        let sizes = (block.groups.len(), block.trie.nodes.len(), columns);
        take_entries(&mut bytes, tick_ns, sizes, |_| true, |entry| block.cpu.push(entry))?;
        take_entries(&mut bytes, None, sizes, |_| true, |entry| block.waits.push(entry))?;
        if bytes.is_empty() { Ok(block) } else { Err(Damaged("more than a block")) }
    }
}
