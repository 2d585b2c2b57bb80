//! Making the columns.

use std::collections::HashMap;

use super::{Column, GROUP_BYTES, MAX_DISTINCT, SHARED};
use crate::block::END;
use crate::block::bytes::{put, put_text};
use crate::block::numbers::put_index;

/// A block's fields, ready to be compressed.
pub(crate) struct Encoded {
    /// Names, shapes, and where the columns lie.
    pub(crate) head: Vec<u8>,
    /// The columns, so many of them together.
    pub(crate) groups: Vec<Vec<u8>>,
    /// Per column: group, start, length of its values, length of its index.
    places: Vec<(usize, usize, usize, Option<usize>)>,
}

impl Encoded {
    /// The columns in the order of names, then the shared one if there is one.
    pub(crate) fn columns(&self) -> impl Iterator<Item = Column<'_>> {
        self.places.iter().map(|(group, start, values, index)| {
            let bytes = &self.groups[*group][*start..];
            let (values, rest) = bytes.split_at(*values);
            Column { values, index: index.map(|length| &rest[..length]) }
        })
    }
}

/// The columns of lines whose fields are `cells`: per line its shape and, one after the other, its values with their [`END`].
pub(crate) fn encode<'a>(
    names: &[String],
    lines: usize,
    line: impl Fn(usize) -> (&'a [u8], &'a [u8]),
) -> Encoded {
    let mut encoded = Encoded { head: Vec::new(), groups: Vec::new(), places: Vec::new() };
    let mut columns: Vec<Vec<u8>> = vec![Vec::new(); usize::from(SHARED) + 1];
    let mut known: HashMap<&[u8], u16> = HashMap::new();
    let mut shapes: Vec<&[u8]> = Vec::new();
    let mut shape_of: Vec<u16> = Vec::with_capacity(lines);
    for at in 0..lines {
        let (shape, mut rest) = line(at);
        let same = shape_of.last().copied().filter(|last| shapes[usize::from(*last)] == shape);
        shape_of.push(same.unwrap_or_else(|| {
            *known.entry(shape).or_insert_with(|| {
                shapes.push(shape);
                (shapes.len() - 1) as u16
            })
        }));
        for column in shape {
            for _ in 0..=usize::from(*column == SHARED) {
                let end = memchr::memchr(END, rest).map_or(rest.len(), |end| end + 1);
                let (value, after) = rest.split_at(end);
                columns[usize::from(*column)].extend_from_slice(value);
                rest = after;
            }
        }
    }
    if shapes.iter().all(|shape| shape.is_empty()) {
        return encoded;
    }
    put(&mut encoded.head, names.len() as u64);
    for name in names {
        put_text(&mut encoded.head, name.as_bytes());
    }
    put(&mut encoded.head, shapes.len() as u64);
    for shape in &shapes {
        put_text(&mut encoded.head, shape);
    }
    put_index(&mut encoded.head, &shape_of, shapes.len());
    let shared = std::mem::take(&mut columns[usize::from(SHARED)]);
    columns.truncate(names.len());
    for column in columns {
        let found = distinct(&column);
        encoded.place(&column, found);
    }
    if !shared.is_empty() {
        encoded.place(&shared, None);
    }
    encoded
}

impl Encoded {
    /// Puts a column behind the others. `found`: its different values, and per value which it is.
    fn place(&mut self, column: &[u8], found: Option<(Vec<u8>, Vec<u8>)>) {
        let full = self.groups.last().is_some_and(|group| group.len() >= GROUP_BYTES);
        if full || self.groups.is_empty() {
            self.groups.push(Vec::new());
        }
        let number = self.groups.len() - 1;
        let group = &mut self.groups[number];
        let start = group.len();
        let is_distinct = found.is_some();
        if let Some((values, index)) = found {
            group.extend_from_slice(&values);
            group.extend_from_slice(&index);
            self.places.push((number, start, values.len(), Some(index.len())));
        } else {
            group.extend_from_slice(column);
            self.places.push((number, start, column.len(), None));
        }
        let length = (group.len() - start) as u64;
        put(&mut self.head, length << 2 | u64::from(full) << 1 | u64::from(is_distinct));
    }
}

/// The different values of a column and per value which it is, if there are few.
fn distinct(column: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut known: HashMap<&[u8], u8> = HashMap::new();
    let (mut values, mut index) = (Vec::new(), Vec::new());
    let mut last: Option<(&[u8], u8)> = None;
    for value in (Column { values: column, index: None }).each() {
        let at = match last {
            Some((before, at)) if before == value => at,
            _ => match known.get(value) {
                Some(at) => *at,
                None if known.len() == MAX_DISTINCT => return None,
                None => {
                    let at = known.len() as u8;
                    known.insert(value, at);
                    values.extend_from_slice(value);
                    values.push(END);
                    at
                }
            },
        };
        last = Some((value, at));
        index.push(at);
    }
    // Each value twice at least: else the index costs more than it saves.
    (index.len() >= 2 * known.len() && !known.is_empty()).then_some((values, index))
}
