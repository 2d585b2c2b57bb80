//! Making the columns.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

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

/// A column while its values come.
#[derive(Default)]
struct Growing<'a> {
    /// Each value once, or, once they are too many, all of them.
    values: Vec<u8>,
    index: Vec<u8>,
    /// 255 at most, so what they hash to is no matter.
    known: HashMap<&'a [u8], u8, BuildHasherDefault<Quick>>,
    last: Option<(&'a [u8], u8)>,
    plain: bool,
}

/// [`crate::block::filter::hash_of`].
#[derive(Default)]
struct Quick(u64);

impl Hasher for Quick {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 ^= crate::block::filter::hash_of(bytes);
    }
}

impl<'a> Growing<'a> {
    /// A value with its [`END`].
    fn push(&mut self, value: &'a [u8]) {
        if self.plain {
            self.values.extend_from_slice(value);
            return;
        }
        let at = match self.last {
            Some((last, at)) if last == value => at,
            _ => match self.known.get(value) {
                Some(at) => *at,
                None if self.known.len() == MAX_DISTINCT => {
                    self.spread();
                    self.values.extend_from_slice(value);
                    return;
                }
                None => {
                    let at = self.known.len() as u8;
                    self.known.insert(value, at);
                    self.values.extend_from_slice(value);
                    at
                }
            },
        };
        self.last = Some((value, at));
        self.index.push(at);
    }

    /// All values one after the other, as each is another.
    fn spread(&mut self) {
        let once = std::mem::take(&mut self.values);
        let spans = Column { values: &once, index: None }.spans();
        for (start, end) in self.index.drain(..).filter_map(|at| spans.get(usize::from(at))) {
            self.values.extend_from_slice(&once[*start as usize..=*end as usize]);
        }
        self.plain = true;
    }

    /// Each value twice at least: else the index costs more than it saves.
    fn settle(&mut self) {
        if !self.plain && self.index.len() < 2 * self.known.len() {
            self.spread();
        }
    }
}

/// The columns of lines whose fields are `line`: per line its shape and, one after the other, its values with their [`END`].
pub(crate) fn encode<'a>(
    names: &[String],
    lines: usize,
    line: impl Fn(usize) -> (&'a [u8], &'a [u8]),
) -> Encoded {
    let mut encoded = Encoded { head: Vec::new(), groups: Vec::new(), places: Vec::new() };
    let mut columns: Vec<Growing<'_>> = Vec::new();
    columns.resize_with(names.len(), Growing::default);
    let mut shared = Vec::new();
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
            let mut ends = memchr::memchr_iter(END, rest);
            let values = 1 + usize::from(*column == SHARED);
            let end = ends.nth(values - 1).map_or(rest.len(), |end| end + 1);
            let (value, after) = rest.split_at(end);
            match columns.get_mut(usize::from(*column)) {
                Some(column) => column.push(value),
                None => shared.extend_from_slice(value),
            }
            rest = after;
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
    for column in &mut columns {
        column.settle();
        encoded.place(&column.values, (!column.plain).then_some(&column.index));
    }
    if !shared.is_empty() {
        encoded.place(&shared, None);
    }
    encoded
}

impl Encoded {
    /// Puts a column behind the others.
    fn place(&mut self, values: &[u8], index: Option<&Vec<u8>>) {
        let full = self.groups.last().is_some_and(|group| group.len() >= GROUP_BYTES);
        if full || self.groups.is_empty() {
            self.groups.push(Vec::new());
        }
        let number = self.groups.len() - 1;
        let group = &mut self.groups[number];
        let start = group.len();
        group.extend_from_slice(values);
        group.extend_from_slice(index.map_or(&[], Vec::as_slice));
        self.places.push((number, start, values.len(), index.map(Vec::len)));
        let length = (group.len() - start) as u64;
        put(&mut self.head, length << 2 | u64::from(full) << 1 | u64::from(index.is_some()));
    }
}
