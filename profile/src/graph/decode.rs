//! Bytes → a part of a graph. The bytes may be anything.

use std::sync::Arc;

use agent_common::varint::{Bytes, Damaged};

use super::encode::{COLUMNS, MAGIC, VERSION};
use super::{Graph, Node};
use crate::frame::{Frame, Kind};

impl Graph {
    /// Reads what [`super::View::encode`] wrote: the graph, and what it is of.
    pub fn decode(bytes: &[u8]) -> Result<(Self, String), Damaged> {
        let mut bytes = Bytes(bytes);
        if bytes.take(MAGIC.len())? != MAGIC || bytes.byte()? != VERSION {
            return Err(Damaged("no flame graph of this version"));
        }
        let about = text(&mut bytes)?.to_owned();
        let count = bytes.count()?;
        let strings: Vec<Arc<str>> =
            (0..count).map(|_| text(&mut bytes).map(Arc::from)).collect::<Result<_, _>>()?;
        let string = |at: u64| {
            let found = usize::try_from(at).ok().and_then(|at| strings.get(at));
            found.cloned().ok_or(Damaged("a string that is not there"))
        };
        let count = bytes.count()?;
        let numbers = |bytes: &mut Bytes<'_>| -> Result<Vec<u64>, Damaged> {
            (0..count).map(|_| bytes.varint()).collect()
        };
        let names = numbers(&mut bytes)?;
        let kinds = bytes.take(count)?;
        let modules = numbers(&mut bytes)?;
        let mut frames = Vec::with_capacity(count);
        for ((name, kind), module) in names.into_iter().zip(kinds).zip(modules) {
            let kind = *Kind::ALL.get(usize::from(*kind)).ok_or(Damaged("a kind of frame"))?;
            let module = module.checked_sub(1).map(string).transpose()?;
            frames.push(Frame { module, ..Frame::new(string(name)?, kind) });
        }
        let mut nodes = vec![Node::default(); bytes.count()?];
        let mut compares = false;
        for _ in 0..bytes.count()? {
            let number = bytes.byte()?;
            let length = bytes.count()?;
            let mut column = Bytes(bytes.take(length)?);
            let Some(known) = COLUMNS.iter().find(|known| known.number == number) else { continue };
            compares |= known.of_difference;
            for node in &mut nodes {
                let value = column.varint()?;
                let small = u32::try_from(value).map_err(|_| Damaged("a number too large"));
                match known.name {
                    "depth" => node.depth = small?,
                    "frame" => node.frame = small?,
                    "value" => node.value = value,
                    "own" => node.own = value,
                    "samples" => node.samples = value,
                    "base" => node.base = value,
                    _ => node.base_own = value,
                }
            }
        }
        let mut depth = None;
        for node in &nodes {
            if node.frame as usize >= frames.len()
                || depth.map_or(node.depth != 0, |last| node.depth > last + 1)
            {
                return Err(Damaged("a node without its frame or its parent"));
            }
            depth = Some(node.depth);
        }
        Ok((Self { frames, nodes, cut: 0, compares }, about))
    }
}

fn text<'b>(bytes: &mut Bytes<'b>) -> Result<&'b str, Damaged> {
    let length = bytes.count()?;
    std::str::from_utf8(bytes.take(length)?).map_err(|_| Damaged("text"))
}
