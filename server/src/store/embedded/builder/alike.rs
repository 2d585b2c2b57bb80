//! Windows that look alike, one after the other: their values side by side, to be taken apart column by column. Writing to
//! thousands of columns in turn, window by window, is what rolling would wait for.

use std::collections::HashMap;
use std::ops::Range;

use crate::store::embedded::column::Column;
use crate::store::embedded::row::{Cell, Frame, Kind, Row, cell};
use crate::store::embedded::varint::Damaged;

/// Values kept before they are taken apart: 4 MiB.
const MAX_VALUES: usize = 512 << 10;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Alike {
    look: Vec<u8>,
    frame: Frame,
    /// Kinds of a window's values.
    kinds: Vec<Kind>,
    /// The distances of times from the windows' ends that there are, and which of them each point has.
    distances: Vec<i64>,
    distance_of: Vec<u32>,
    /// Values of one window after the other; texts by their number.
    values: Vec<u64>,
    /// Places of the times of one window after the other.
    places: Vec<u32>,
    texts: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u64>,
}

impl Alike {
    /// None yet, of the look of this one.
    pub(super) fn of(row: &Row) -> Result<Self, Damaged> {
        let mut alike =
            Self { look: row.look().to_vec(), frame: Frame::read(row.look())?, ..Self::default() };
        for point in &alike.frame.points {
            let fields = &alike.frame.fields[point.fields.0..point.fields.1];
            alike.kinds.extend(fields.iter().map(|field| Kind::from_bits(*field as u8)));
            let known = alike.distances.iter().rposition(|distance| *distance == point.distance);
            let number = known.unwrap_or_else(|| {
                alike.distances.push(point.distance);
                alike.distances.len() - 1
            });
            alike.distance_of.push(number as u32);
        }
        Ok(alike)
    }

    /// Whether a row can be added.
    pub(super) fn takes(&self, row: &Row) -> bool {
        self.look == row.look() && self.values.len() < MAX_VALUES
    }

    /// Adds the values of a row; its places must follow.
    pub(super) fn add(&mut self, row: &Row) -> Result<(), Damaged> {
        let begin = self.values.len();
        let read = self.read(row);
        if read.is_err() {
            self.values.truncate(begin);
        }
        read
    }

    fn read(&mut self, row: &Row) -> Result<(), Damaged> {
        let mut bytes = row.values();
        self.values.reserve(self.kinds.len());
        for kind in &self.kinds {
            let value = match cell(*kind, &mut bytes)? {
                Cell::Int(v) => v.cast_unsigned(),
                Cell::Float(v) => v,
                Cell::Bool(v) => u64::from(v),
                Cell::Text(text) => {
                    if let Some(number) = self.numbers.get(text) {
                        *number
                    } else {
                        let number = self.texts.len() as u64;
                        self.texts.push(text.into());
                        self.numbers.insert(text.into(), number);
                        number
                    }
                }
            };
            self.values.push(value);
        }
        if bytes.is_empty() { Ok(()) } else { Err(Damaged("values left over")) }
    }

    pub(super) fn add_place(&mut self, place: u32) {
        self.places.push(place);
    }

    pub(super) fn distances(&self) -> &[i64] {
        &self.distances
    }

    pub(super) fn samples(&self) -> usize {
        self.values.len()
    }

    /// The places of all windows, by the number of the distance.
    pub(super) fn places(&self) -> Vec<Vec<u32>> {
        let count = self.distances.len();
        (0..count).map(|number| self.places.iter().skip(number).step_by(count).copied().collect()).collect()
    }

    pub(super) fn points(&self) -> usize {
        self.frame.points.len()
    }

    /// Series, number of its distance and of its fields.
    pub(super) fn point(&self, number: usize) -> (u32, usize, Range<usize>) {
        let point = &self.frame.points[number];
        (point.series, self.distance_of[number] as usize, point.fields.0..point.fields.1)
    }

    /// Id × 4 + kind.
    pub(super) fn field(&self, number: usize) -> u32 {
        self.frame.fields[number]
    }

    /// One value of each window.
    pub(super) fn values(&self, number: usize) -> impl ExactSizeIterator<Item = u64> {
        // None there: no window was added.
        let values = self.values.get(number..).unwrap_or_default();
        values.iter().step_by(self.kinds.len().max(1)).copied()
    }

    /// Makes the texts of a value what they are in a column.
    pub(super) fn number_texts(&mut self, number: usize, column: &mut Column) {
        for at in (number..self.values.len()).step_by(self.kinds.len()) {
            self.values[at] = column.text(&self.texts[self.values[at] as usize]);
        }
    }
}
