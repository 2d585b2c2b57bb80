//! Columns of fields.
//!
//! Each of the first 64 names of a block has a column of values; all further ones share one of names and values in turn. A line's
//! *shape* is the list of the columns that its fields lie in; a program writes few shapes. A column of few different values is kept
//! as these and a byte a line: then a search tests each value once.

mod encode;

use std::borrow::Cow;

use super::bytes::Input;
use super::codec::Section;
use super::numbers::read_index;
use super::{BlockError, Codec, END, Header, MAX_FIELD_VALUES, MAX_NAMED_FIELDS};

pub(super) use encode::encode;

/// Column that the fields share that have none of their own.
pub(super) const SHARED: u8 = MAX_NAMED_FIELDS as u8;
/// Columns are compressed together until they have so many bytes: then one field can be read without most others.
const GROUP_BYTES: usize = 64 << 10;
/// Different values of a column that is kept as these and an index.
const MAX_DISTINCT: usize = 255;

/// Where a column lies.
#[derive(Debug, Clone)]
struct Place {
    group: usize,
    start: usize,
    length: usize,
    distinct: bool,
    /// Values that the lines have of it; of the shared column name and value count as two.
    values: usize,
}

/// The fields of a block's lines. Columns are decompressed when they are first asked for.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    names: Vec<String>,
    shapes: Vec<Box<[u8]>>,
    /// Per line its shape; empty if there is one alone.
    shape_of: Vec<u16>,
    lines: usize,
    places: Vec<Place>,
    groups: Vec<(Section<'a>, Option<Vec<u8>>)>,
}

/// The values of one column.
#[derive(Debug, Clone, Copy)]
pub struct Column<'a> {
    /// The values, each ended by [`END`]; if there is an index, each once.
    pub values: &'a [u8],
    /// Per field that lies in this column, in the order of lines, which of the values it has.
    pub index: Option<&'a [u8]>,
}

impl<'a> Column<'a> {
    /// Where each value begins and ends.
    #[must_use]
    pub fn spans(&self) -> Vec<(u32, u32)> {
        let mut start = 0;
        let ends = memchr::memchr_iter(END, self.values);
        ends.map(|end| (std::mem::replace(&mut start, end as u32 + 1), end as u32)).collect()
    }

    /// The values, each once if there is an index.
    pub fn each(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = self.values;
        std::iter::from_fn(move || {
            let end = memchr::memchr(END, rest)?;
            let (value, after) = (&rest[..end], &rest[end + 1..]);
            rest = after;
            Some(value)
        })
    }
}

impl<'a> Fields<'a> {
    /// `head`: the decompressed section of names and shapes.
    pub(super) fn read(head: &[u8], header: &Header, groups: &[Section<'a>]) -> Result<Self, BlockError> {
        let lines = header.lines as usize;
        let mut input = Input::new(head, "fields");
        let mut fields = Self {
            names: Vec::new(),
            shapes: Vec::new(),
            shape_of: Vec::new(),
            lines,
            places: Vec::new(),
            groups: groups.iter().map(|section| (*section, None)).collect(),
        };
        if head.is_empty() {
            return if groups.is_empty() {
                Ok(fields)
            } else {
                Err(BlockError::Damaged { what: "columns of no field" })
            };
        }
        for _ in 0..input.at_most(MAX_NAMED_FIELDS, "names of fields")? {
            fields.names.push(input.text()?.to_owned());
        }
        let columns = usize::from(SHARED) + 1;
        for _ in 0..input.at_most(lines, "shapes of lines")? {
            let length = input.at_most(MAX_FIELD_VALUES, "fields of a line")?;
            let shape = input.take(length)?;
            if shape.iter().any(|column| *column != SHARED && usize::from(*column) >= fields.names.len()) {
                return Err(BlockError::Damaged { what: "a field has no name" });
            }
            fields.shapes.push(shape.into());
        }
        fields.shape_of = read_index(&mut input, lines, fields.shapes.len())?;
        let mut values = vec![0_usize; columns];
        let mut all = 0;
        for line in 0..lines {
            let shape = fields.shape(line);
            all += shape.len();
            if all > MAX_FIELD_VALUES {
                let (value, max) = (all as u64, MAX_FIELD_VALUES as u64);
                return Err(BlockError::Limit { what: "values of fields or more", value, max });
            }
            for column in shape {
                values[usize::from(*column)] += 1 + usize::from(*column == SHARED);
            }
        }
        let (mut group, mut start) = (0, 0);
        let stored =
            (0..fields.names.len()).chain((values[usize::from(SHARED)] > 0).then_some(SHARED.into()));
        for column in stored {
            let entry = input.number()?;
            if entry & 2 != 0 {
                (group, start) = (group + 1, 0);
            }
            let length = (entry >> 2) as usize;
            let values = values[column];
            fields.places.push(Place { group, start, length, distinct: entry & 1 != 0, values });
            start = start.saturating_add(length);
        }
        input.end()?;
        Ok(fields)
    }

    /// Names that have a column of their own. [`Self::column`] takes their index.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether any line has a field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether there are names without a column of their own; then column `names().len()` has names and values in turn.
    #[must_use]
    pub fn has_shared(&self) -> bool {
        self.places.len() > self.names.len()
    }

    pub(super) fn shape(&self, line: usize) -> &[u8] {
        let shape = self.shape_of.get(line).map_or(0, |shape| usize::from(*shape));
        self.shapes.get(shape).map_or(&[], |shape| &**shape)
    }

    /// Per value of a column the line that has it; of the shared one per pair.
    #[must_use]
    pub fn lines_of(&self, column: usize) -> Vec<u16> {
        let wanted = if column == self.names.len() { SHARED } else { column as u8 };
        if self.shapes.len() == 1 && bytes_equal(&self.shapes[0], wanted) == 1 {
            return (0..self.lines as u16).collect();
        }
        let mut lines = Vec::new();
        for line in 0..self.lines {
            let times = bytes_equal(self.shape(line), wanted);
            lines.extend(std::iter::repeat_n(line as u16, times));
        }
        lines
    }

    /// The values of a column: index into [`Self::names`], or their number for the shared one.
    pub fn column(&mut self, column: usize, codec: &mut Codec) -> Result<Column<'_>, BlockError> {
        const WRONG: BlockError = BlockError::Damaged { what: "a column has other values than its lines" };
        let place = self.places.get(column).ok_or(BlockError::Damaged { what: "no such column" })?;
        let (section, decoded) = self.groups.get_mut(place.group).ok_or(WRONG)?;
        let bytes = if let Some(bytes) = decoded {
            bytes
        } else {
            let mut bytes = Vec::new();
            codec.get(section, &mut bytes)?;
            decoded.insert(bytes)
        };
        let end = place.start.checked_add(place.length).ok_or(WRONG)?;
        let bytes = bytes.get(place.start..end).ok_or(WRONG)?;
        if !place.distinct {
            let whole = bytes.last().is_none_or(|last| *last == END);
            if !whole || memchr::memchr_iter(END, bytes).count() != place.values {
                return Err(WRONG);
            }
            return Ok(Column { values: bytes, index: None });
        }
        let (values, index) =
            bytes.split_at_checked(bytes.len() - place.values.min(bytes.len())).ok_or(WRONG)?;
        let distinct = memchr::memchr_iter(END, values).count();
        let whole = values.last().is_some_and(|last| *last == END) && index.len() == place.values;
        if !whole || index.iter().any(|at| usize::from(*at) >= distinct) || column == self.names.len() {
            return Err(WRONG);
        }
        Ok(Column { values, index: Some(index) })
    }

    /// Decodes all columns, so that [`Self::all`] can read them.
    pub(super) fn load(&mut self, codec: &mut Codec) -> Result<(), BlockError> {
        for column in 0..self.places.len() {
            self.column(column, codec)?;
        }
        Ok(())
    }

    /// A column after [`Self::load`].
    fn loaded(&self, column: usize) -> Column<'_> {
        let empty = Column { values: &[], index: None };
        let Some(place) = self.places.get(column) else { return empty };
        let Some((_, Some(bytes))) = self.groups.get(place.group) else { return empty };
        let Some(bytes) = bytes.get(place.start..place.start + place.length) else { return empty };
        if !place.distinct {
            return Column { values: bytes, index: None };
        }
        let (values, index) = bytes.split_at(bytes.len().saturating_sub(place.values));
        Column { values, index: Some(index) }
    }

    /// Where each line's fields lie, for reading whole lines. After [`Self::load`].
    pub(super) fn cells(&self) -> Cells {
        let mut next = vec![0_u32; usize::from(SHARED) + 1];
        let mut cells = Cells { first: Vec::with_capacity(self.lines + 1), ..Cells::default() };
        cells.first.push(0);
        if !self.is_empty() {
            for line in 0..self.lines {
                for column in self.shape(line) {
                    let next = &mut next[usize::from(*column)];
                    cells.values.push(*next);
                    *next += 1 + u32::from(*column == SHARED);
                }
                cells.first.push(cells.values.len() as u32);
            }
        }
        cells.spans = (0..self.places.len()).map(|column| self.loaded(column).spans()).collect();
        cells
    }

    /// A line's fields, in their order. What is not UTF-8 (only a hostile block has that) is replaced.
    pub(super) fn of_line<'s>(
        &'s self,
        cells: &Cells,
        line: usize,
        out: &mut Vec<(Cow<'s, str>, Cow<'s, str>)>,
    ) {
        out.clear();
        let Some(first) = cells.first.get(line) else { return };
        for (column, value) in
            self.shape(line).iter().zip(cells.values.get(*first as usize..).unwrap_or_default())
        {
            let shared = *column == SHARED;
            let at = if shared { self.names.len() } else { usize::from(*column) };
            let column = self.loaded(at);
            let text = |value: u32| {
                let value = value as usize;
                let value =
                    column.index.map_or(Some(value), |index| index.get(value).map(|at| usize::from(*at)));
                let span = value.and_then(|value| cells.spans.get(at)?.get(value));
                let bytes = span.and_then(|(start, end)| column.values.get(*start as usize..*end as usize));
                String::from_utf8_lossy(bytes.unwrap_or_default())
            };
            if shared {
                out.push((text(*value), text(value + 1)));
            } else {
                out.push((Cow::Borrowed(&*self.names[at]), text(*value)));
            }
        }
    }
}

fn bytes_equal(bytes: &[u8], wanted: u8) -> usize {
    memchr::memchr_iter(wanted, bytes).count()
}

/// Where each line's fields lie in their columns.
#[derive(Debug, Clone, Default)]
pub(super) struct Cells {
    /// Per line its first field in `values`.
    first: Vec<u32>,
    /// Per field, which of its column's values it has.
    values: Vec<u32>,
    /// Per column, where each value begins and ends.
    spans: Vec<Vec<(u32, u32)>>,
}
