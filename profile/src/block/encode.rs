//! Blocks as bytes.
//!
//! ```text
//! "S7PB" | version | from_ns | column_ns | columns | rate_hz | alerts | counters
//!        | texts | frames: name, module + 1, kind | groups: tgid, start, comm, cgroup, container
//!        | nodes: own id − parent's, frame
//!        | entries of on-CPU samples | entries of waits
//! ```
//! All numbers are variable-length integers; before each list stands its length. A text is an index into `texts`. Entries lie
//! process by process, with the bytes that a process takes before them, so that one alone can be read: ids as distances,
//! the columns as bits, then for each column the samples, and the time where it does not follow from the rate: that of waits, and
//! of on-CPU samples where a number before them says so.

use std::collections::HashMap;

use agent_common::varint::put;

use super::{Block, Entry, Group, Node};
use crate::frame::{Frame, Kind};

/// First bytes of a block.
pub(super) const MAGIC: &[u8; 4] = b"S7PB";
/// Version of what follows them.
pub(super) const VERSION: u64 = 1;

/// Texts, each once, in the order of first use.
#[derive(Default)]
struct Texts<'b> {
    ids: HashMap<&'b str, u64>,
    bytes: Vec<u8>,
}

impl<'b> Texts<'b> {
    fn id(&mut self, text: &'b str) -> u64 {
        let next = self.ids.len() as u64;
        *self.ids.entry(text).or_insert_with(|| {
            put_text(&mut self.bytes, text);
            next
        })
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Writes texts before what refers to them.
fn with_texts<'b>(out: &mut Vec<u8>, write: impl FnOnce(&mut Texts<'b>, &mut Vec<u8>)) {
    let (mut texts, mut rest) = (Texts::default(), Vec::new());
    write(&mut texts, &mut rest);
    put(out, texts.ids.len() as u64);
    out.append(&mut texts.bytes);
    out.append(&mut rest);
}

/// Writes frames.
pub fn put_frames(out: &mut Vec<u8>, frames: &[Frame]) {
    with_texts(out, |texts, out| {
        put(out, frames.len() as u64);
        for frame in frames {
            put(out, texts.id(&frame.name));
            put(out, frame.module.as_deref().map_or(0, |module| texts.id(module) + 1));
            let kind = Kind::ALL.iter().position(|kind| *kind == frame.kind);
            put(out, kind.unwrap_or_default() as u64);
        }
    });
}

/// Writes groups.
pub fn put_groups(out: &mut Vec<u8>, groups: &[Group]) {
    with_texts(out, |texts, out| {
        put(out, groups.len() as u64);
        for group in groups {
            put(out, u64::from(group.tgid));
            put(out, group.start.0);
            for text in [&group.comm, &group.cgroup, &group.container] {
                put(out, texts.id(text));
            }
        }
    });
}

/// Writes nodes, the first of which comes after `before` others.
pub fn put_nodes(out: &mut Vec<u8>, before: usize, nodes: &[Node]) {
    put(out, nodes.len() as u64);
    for (id, node) in (before as u64 + 1..).zip(nodes) {
        put(out, id - u64::from(node.parent));
        put(out, u64::from(node.frame));
    }
}

/// Writes entries, which are in order of group, stack and column, each with its time or without.
pub fn put_entries(out: &mut Vec<u8>, with_time: bool, entries: &[Entry]) {
    let mut bytes = Vec::new();
    let groups: Vec<&[Entry]> = entries.chunk_by(|a, b| a.group == b.group).collect();
    put(out, groups.len() as u64);
    let mut before = 0;
    for group in groups {
        let id = group[0].group;
        put(out, u64::from(id - before));
        before = id;
        bytes.clear();
        let mut last = 0;
        for stack in group.chunk_by(|a, b| a.node == b.node) {
            let node = stack[0].node;
            put(&mut bytes, u64::from(node - last));
            last = node;
            put(&mut bytes, stack.iter().fold(0, |bits, entry| bits | 1 << (entry.column & 63)));
            for entry in stack {
                put(&mut bytes, entry.samples);
                if with_time {
                    put(&mut bytes, entry.ns);
                }
            }
        }
        put(out, bytes.len() as u64);
        out.extend_from_slice(&bytes);
    }
}

impl Block {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        for number in [VERSION, self.from.0, self.column.0, u64::from(self.columns), u64::from(self.rate_hz)]
        {
            put(&mut out, number);
        }
        put(&mut out, self.alerts.len() as u64);
        for alert in &self.alerts {
            put_text(&mut out, alert);
        }
        put(&mut out, self.counters.len() as u64);
        for (name, count) in &self.counters {
            put_text(&mut out, name);
            put(&mut out, *count);
        }
        put_frames(&mut out, &self.trie.frames);
        put_groups(&mut out, &self.groups);
        put_nodes(&mut out, 0, &self.trie.nodes);
        let tick_ns = 1_000_000_000 / u64::from(self.rate_hz.max(1));
        // Of several rates, it is none of one.
        let with_time = self.cpu.iter().any(|entry| entry.ns != entry.samples.saturating_mul(tick_ns));
        put(&mut out, u64::from(with_time));
        put_entries(&mut out, with_time, &self.cpu);
        put_entries(&mut out, true, &self.waits);
        out
    }
}
