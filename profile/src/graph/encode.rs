//! A part of a graph as bytes, small and quick to read for a page.
//!
//! ```text
//! "S7FG"  version: a byte, 1
//! length, that many bytes of JSON: what the graph is of
//! count of strings; each: length, UTF-8
//! count of frames; of each the index of its name; of each its kind, a byte (the number in `Kind::ALL`); of each the index of
//!     its module plus one, 0 for none
//! count of nodes, count of columns; each column: its number (a byte), its length in bytes, a number for each node
//! ```
//!
//! Numbers without a size are LEB128 (`agent_common::varint`). Nodes are in preorder, so the depth says who the parent is: the last
//! one before it with a smaller depth. A reader passes over columns that it does not know.

use std::collections::HashMap;

use agent_common::varint::put;

use super::{Node, View};

/// The first bytes.
pub const MAGIC: [u8; 4] = *b"S7FG";
/// What follows them.
pub const VERSION: u8 = 1;

/// A column of numbers, one a node.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its number in the bytes.
    pub number: u8,
    /// Its name in lists.
    pub name: &'static str,
    /// Only differences have it.
    pub of_difference: bool,
    /// Its number of a node.
    pub get: fn(&Node) -> u64,
}

/// All columns.
pub const COLUMNS: [Column; 7] = [
    Column { number: 1, name: "depth", of_difference: false, get: |node| u64::from(node.depth) },
    Column { number: 2, name: "frame", of_difference: false, get: |node| u64::from(node.frame) },
    Column { number: 3, name: "value", of_difference: false, get: |node| node.value },
    Column { number: 4, name: "own", of_difference: false, get: |node| node.own },
    Column { number: 5, name: "samples", of_difference: false, get: |node| node.samples },
    Column { number: 6, name: "base", of_difference: true, get: |node| node.base },
    Column { number: 7, name: "base_own", of_difference: true, get: |node| node.base_own },
];

impl View {
    /// The columns that it has.
    pub fn columns(&self) -> impl Iterator<Item = &'static Column> {
        let compares = self.graph.compares;
        COLUMNS.iter().filter(move |column| compares || !column.of_difference)
    }

    /// Its bytes. `about` is JSON that says what it is of.
    #[must_use]
    pub fn encode(&self, about: &str) -> Vec<u8> {
        let graph = &self.graph;
        let mut strings: Vec<&str> = Vec::new();
        let mut ids: HashMap<&str, u64> = HashMap::new();
        let mut string = |text| {
            *ids.entry(text).or_insert_with(|| {
                strings.push(text);
                strings.len() as u64 - 1
            })
        };
        let names: Vec<u64> = graph.frames.iter().map(|frame| string(&*frame.name)).collect();
        let modules = graph.frames.iter().map(|frame| frame.module.as_deref().map_or(0, |m| string(m) + 1));
        let modules: Vec<u64> = modules.collect();
        let mut out = Vec::with_capacity(about.len() + 8 * graph.nodes.len() + 32 * strings.len());
        out.extend_from_slice(&MAGIC);
        out.push(VERSION);
        put_text(&mut out, about);
        put(&mut out, strings.len() as u64);
        for text in &strings {
            put_text(&mut out, text);
        }
        put(&mut out, graph.frames.len() as u64);
        for name in names {
            put(&mut out, name);
        }
        out.extend(graph.frames.iter().map(|frame| frame.kind as u8));
        for module in modules {
            put(&mut out, module);
        }
        put(&mut out, graph.nodes.len() as u64);
        put(&mut out, self.columns().count() as u64);
        for column in self.columns() {
            let mut numbers = Vec::with_capacity(graph.nodes.len());
            for node in &graph.nodes {
                put(&mut numbers, (column.get)(node));
            }
            out.push(column.number);
            put(&mut out, numbers.len() as u64);
            out.append(&mut numbers);
        }
        out
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}
