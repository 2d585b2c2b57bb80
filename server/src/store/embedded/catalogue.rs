//! Names to ids: series (measurement and tags) and fields.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use agent_common::wire::line::{self, Line, Template, Value};
use rusqlite::{OptionalExtension as _, Transaction};

use super::row::{Cell, RowWriter};
use super::slot::damaged;
use super::varint::{Bytes, Damaged, put};
use crate::store::push;

/// Series whose id is kept in memory, about 250 bytes each: 16 MiB. Above it the memory is emptied and filled again
/// from the tables, which costs one look-up for each series that still reports.
const MAX_CACHED_SERIES: usize = 1 << 16;
/// Field lists kept in memory; one for each shape of line that the collectors write.
const MAX_SHAPES: usize = 256;

/// Ids as the tables have them. Must be emptied when a transaction that asked it is rolled back.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    series: Vec<Known>,
    /// Measurement and tags as they stand in lines, to the number in `series`.
    numbers: HashMap<Arc<str>, u32>,
    /// Number of the series whose line came last, and of the one that is likely next.
    last: u32,
    likely: u32,
    shapes: Vec<Shape>,
    fields: HashMap<Box<str>, u32>,
    sets: FieldSets,
}

#[derive(Debug, Clone)]
struct Known {
    key: Arc<str>,
    series: u32,
    /// Number of the shape that its last line had: most lines of a series have the same fields in the same order.
    shape: u32,
    /// Number of the set of all fields that it ever had, as its row in the table has it.
    set: u32,
    /// Number of the series whose line came after its own: most windows have the same series in the same order.
    next: u32,
}

/// The fields of a line.
#[derive(Debug)]
struct Shape {
    names: Vec<Box<str>>,
    ids: Vec<u32>,
    template: Option<Template>,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) points: u64,
    pub(super) samples: u64,
    /// Least and greatest time, Unix ns.
    pub(super) times: (i64, i64),
}

impl Counted {
    fn add(&mut self, time: i64, samples: usize) {
        let (first, last) = self.times;
        self.times = if self.points == 0 { (time, time) } else { (first.min(time), last.max(time)) };
        self.points += 1;
        self.samples += samples as u64;
    }
}

impl Catalogue {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Writes the lines of a window that ends at this time into the row.
    pub(super) fn write(
        &mut self,
        tx: &Transaction<'_>,
        row: &mut RowWriter,
        text: &str,
        end_ns: i64,
    ) -> rusqlite::Result<Counted> {
        let mut counted = Counted { points: 0, samples: 0, times: (end_ns, end_ns) };
        let mut rest = text;
        row.clear();
        while !rest.is_empty() {
            if let Some((time, samples, len)) = self.write_likely(row, rest, end_ns) {
                counted.add(time, samples);
                rest = rest.get(len..).unwrap_or_default();
                continue;
            }
            row.abandon();
            let mut lines = line::lines(rest);
            let Some(line) = lines.next() else { break };
            rest = lines.rest();
            // `Window` lets only well-formed lines in.
            let Ok(line) = line else { continue };
            let time = super::time(line.time.0);
            let number = self.known(tx, &line)?;
            let known = &self.series[number as usize];
            row.begin();
            for ((_, value), id) in line.fields.iter().zip(&self.shapes[known.shape as usize].ids) {
                row.field(*id, cell(value));
            }
            row.end(known.series, time.wrapping_sub(end_ns));
            self.came(number);
            counted.add(time, line.fields.len());
        }
        Ok(counted)
    }

    /// Writes the first line, if it is that of the series that is likely next and looks like its last one: returns its time,
    /// how many fields it has, and its length.
    fn write_likely(&mut self, row: &mut RowWriter, text: &str, end_ns: i64) -> Option<(i64, usize, usize)> {
        let known = self.series.get(self.likely as usize)?;
        let fields = text.strip_prefix(&*known.key)?.strip_prefix(' ')?;
        let shape = &self.shapes[known.shape as usize];
        row.begin();
        let each = |number: usize, value: Value<'_>| row.field(shape.ids[number], cell(&value));
        let (time, len) = shape.template.as_ref()?.read(fields, each)?;
        let time = super::time(time.0);
        row.end(known.series, time.wrapping_sub(end_ns));
        let (samples, len) = (shape.ids.len(), known.key.len() + 1 + len);
        (self.last, self.likely) = (self.likely, known.next);
        Some((time, samples, len))
    }

    /// Remembers that a line of this series came.
    fn came(&mut self, number: u32) {
        if let Some(before) = self.series.get_mut(self.last as usize) {
            before.next = number;
        }
        self.last = number;
        self.likely = self.series[number as usize].next;
    }

    /// The number of a line's series, whose shape is then the line's.
    fn known(&mut self, tx: &Transaction<'_>, line: &Line<'_>) -> rusqlite::Result<u32> {
        let shape = self.shape(tx, line)?;
        let number = match self.numbers.get(line.key) {
            Some(number) => *number,
            None => self.find(tx, line)?,
        };
        let known = &mut self.series[number as usize];
        known.shape = shape;
        let set = self.sets.with(known.set, &self.shapes[shape as usize].ids);
        if set != known.set {
            known.set = set;
            tx.prepare_cached("UPDATE series SET fields = ? WHERE id = ?")?
                .execute((pack_fields(self.sets.get(set)), known.series))?;
        }
        Ok(number)
    }

    /// Takes a series into memory.
    fn find(&mut self, tx: &Transaction<'_>, line: &Line<'_>) -> rusqlite::Result<u32> {
        let (series, fields) = find_series(tx, line)?;
        if self.series.len() >= MAX_CACHED_SERIES {
            self.series.clear();
            self.numbers.clear();
        }
        let number = self.series.len() as u32;
        let key: Arc<str> = line.key.into();
        let set = self.sets.number(fields);
        self.series.push(Known { key: Arc::clone(&key), series, shape: 0, set, next: number + 1 });
        self.numbers.insert(key, number);
        Ok(number)
    }

    /// The number of the line's shape.
    fn shape(&mut self, tx: &Transaction<'_>, line: &Line<'_>) -> rusqlite::Result<u32> {
        let template = Template::of(line);
        let is = |shape: &Shape| shape.template == template && same_names(&shape.names, line);
        if let Some(at) = self.shapes.iter().position(is) {
            return Ok(at as u32);
        }
        let ids = line.fields.iter().map(|(name, _)| self.field(tx, name)).collect::<Result<_, _>>()?;
        if self.shapes.len() >= MAX_SHAPES {
            self.shapes.clear();
            self.series.clear();
            self.numbers.clear();
            self.sets = FieldSets::default();
        }
        let names = line.fields.iter().map(|(name, _)| Box::from(name.as_ref())).collect();
        self.shapes.push(Shape { names, ids, template });
        Ok(self.shapes.len() as u32 - 1)
    }

    fn field(&mut self, tx: &Transaction<'_>, name: &str) -> rusqlite::Result<u32> {
        if let Some(id) = self.fields.get(name) {
            return Ok(*id);
        }
        let found =
            tx.prepare_cached("SELECT id FROM field WHERE name = ?")?.query_row([name], |row| row.get(0));
        let id = match found.optional()? {
            Some(id) => id,
            None => tx
                .prepare_cached("INSERT INTO field(name) VALUES (?) RETURNING id")?
                .query_row([name], |r| r.get(0))?,
        };
        self.fields.insert(name.into(), id);
        Ok(id)
    }
}

fn same_names(names: &[Box<str>], line: &Line<'_>) -> bool {
    names.len() == line.fields.len() && names.iter().zip(&line.fields).all(|(a, (b, _))| **a == **b)
}

fn cell<'a>(value: &'a Value<'_>) -> Cell<'a> {
    match value {
        Value::Int(v) => Cell::Int(*v),
        Value::Float(v) => Cell::Float(v.to_bits()),
        Value::Bool(v) => Cell::Bool(*v),
        Value::Text(v) => Cell::Text(v),
    }
}

/// The series' row, made when there is none, and the fields that it had so far.
fn find_series(tx: &Transaction<'_>, line: &Line<'_>) -> rusqlite::Result<(u32, Vec<u32>)> {
    let measurement = line.measurement();
    let tags = canonical(line);
    let found = tx
        .prepare_cached("SELECT id, fields FROM series WHERE measurement = ? AND tags = ?")?
        .query_row((&*measurement, &tags), |row| {
            let fields = row.get_ref(1)?.as_blob_or_null()?.map_or(Ok(Vec::new()), unpack_fields);
            Ok((row.get(0)?, fields.map_err(damaged)?))
        });
    match found.optional()? {
        Some(found) => Ok(found),
        None => tx
            .prepare_cached("INSERT INTO series(measurement, tags) VALUES (?, ?) RETURNING id")?
            .query_row((&*measurement, &tags), |row| Ok((row.get(0)?, Vec::new()))),
    }
}

/// Sets of field ids, each once: series of one measurement have few different ones.
#[derive(Debug, Default)]
struct FieldSets {
    sets: Vec<Vec<u32>>,
    numbers: HashMap<Vec<u32>, u32>,
}

impl FieldSets {
    /// The number of a set; it must be in order.
    fn number(&mut self, fields: Vec<u32>) -> u32 {
        *self.numbers.entry(fields).or_insert_with_key(|fields| {
            self.sets.push(fields.clone());
            self.sets.len() as u32 - 1
        })
    }

    fn get(&self, number: u32) -> &[u32] {
        &self.sets[number as usize]
    }

    /// The number of the set that has these fields, too.
    fn with(&mut self, number: u32, shape: &[u32]) -> u32 {
        let known = self.get(number);
        if shape.iter().all(|field| known.binary_search(field).is_ok()) {
            return number;
        }
        let mut fields: Vec<u32> = known.iter().chain(shape).copied().collect();
        fields.sort_unstable();
        fields.dedup();
        self.number(fields)
    }
}

/// Ids of fields, ascending, as varints: the distance of each.
pub(super) fn pack_fields(fields: &[u32]) -> Vec<u8> {
    let (mut out, mut last) = (Vec::new(), 0);
    for field in fields {
        put(&mut out, u64::from(field - last));
        last = *field;
    }
    out
}

/// Reads what [`pack_fields`] wrote.
pub(super) fn unpack_fields(packed: &[u8]) -> Result<Vec<u32>, Damaged> {
    let (mut bytes, mut last) = (Bytes(packed), 0_u32);
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        last = last.checked_add(bytes.index()?).ok_or(Damaged("field"))?;
        fields.push(last);
    }
    Ok(fields)
}

/// The tags sorted by name and escaped, so that their order in the line does not make another series.
fn canonical(line: &Line<'_>) -> String {
    let mut tags: Vec<_> = line.tags().collect();
    tags.sort();
    push::canonical(&tags)
}

/// The value of a tag of a canonical text.
pub(super) fn tag<'a>(canonical: &'a str, name: &str) -> Option<Cow<'a, str>> {
    if canonical.contains('\\') {
        return tags(canonical).into_iter().rfind(|(key, _)| key == name).map(|(_, value)| value.into());
    }
    let mut tags = canonical.rsplit(',').filter_map(|tag| tag.split_once('='));
    tags.find(|(key, _)| *key == name).map(|(_, value)| value.into())
}

/// The tags of a canonical text.
pub(super) fn tags(canonical: &str) -> Vec<(String, String)> {
    if !canonical.contains('\\') {
        let tags = canonical.split(',').filter_map(|tag| tag.split_once('='));
        return tags.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    }
    let mut tags = Vec::new();
    let (mut key, mut text) = (None, String::new());
    let mut chars = canonical.chars();
    let mut next = || match chars.next() {
        Some('\\') => chars.next().map(|c| (c, true)),
        other => other.map(|c| (c, false)),
    };
    while let Some((c, escaped)) = next() {
        match c {
            '=' if !escaped && key.is_none() => key = Some(std::mem::take(&mut text)),
            ',' if !escaped => tags.push((key.take().unwrap_or_default(), std::mem::take(&mut text))),
            c => text.push(c),
        }
    }
    if let Some(key) = key {
        tags.push((key, text));
    }
    tags
}

#[cfg(test)]
mod tests {
    use agent_common::wire::line;

    use super::*;

    #[test]
    fn the_order_of_tags_does_not_matter_and_odd_ones_come_back() {
        let text = |tags: &str| {
            let text = format!("m,{tags} a=1i 5");
            canonical(&line::lines(&text).next().expect("a line").expect("well-formed"))
        };
        assert_eq!(text("b=2,a=1"), text("a=1,b=2"));
        let odd = text("b\\,=x\\=\\ y,a\\=\\,=\\x2d,c=a\\\\b");
        assert_eq!(
            tags(&odd),
            [("a=,", "\\x2d"), ("b,", "x= y"), ("c", "a\\\\b")].map(|(k, v)| (k.to_owned(), v.to_owned()))
        );
        assert_eq!((tag(&odd, "b,").as_deref(), tag(&odd, "b")), (Some("x= y"), None));
        assert_eq!((tag("a=1,bc=2", "bc").as_deref(), tag("a=1,bc=2", "c")), (Some("2"), None));
        assert_eq!(tags(""), []);
    }
}
