//! Names to ids: series (measurement and tags) and fields.

use std::collections::HashMap;

use agent_common::wire::line::{Line, Value};
use rusqlite::{OptionalExtension as _, Transaction};

use super::row::{Cell, RowWriter};
use super::slot::damaged;
use super::varint::{Bytes, Damaged, put};

/// Series whose id is kept in memory, about 250 bytes each: 16 MiB. Above it the memory is emptied and filled again
/// from the tables, which costs one look-up for each series that still reports.
const MAX_CACHED_SERIES: usize = 1 << 16;
/// Field lists kept in memory; one for each shape of line that the collectors write.
const MAX_SHAPES: usize = 256;

/// Ids as the tables have them. Must be emptied when a transaction that asked it is rolled back.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    series: HashMap<Box<str>, Known>,
    shapes: Vec<Vec<(Box<str>, u32)>>,
    fields: HashMap<Box<str>, u32>,
    sets: FieldSets,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    series: u32,
    /// Index of the field list that its last line had: most lines of a series have the same fields in the same order,
    /// so comparing names replaces a hash look-up for each value.
    shape: u32,
    /// Number of the set of all fields that it ever had, as its row in the table has it.
    set: u32,
}

impl Catalogue {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Appends a line to the row and returns the count of its fields.
    pub(super) fn write(
        &mut self,
        tx: &Transaction<'_>,
        row: &mut RowWriter,
        line: &Line<'_>,
        end_ns: i64,
    ) -> rusqlite::Result<u64> {
        let known = self.known(tx, line)?;
        row.point(known.series, line.time.0 as i64 - end_ns, line.fields.len());
        let shape = &self.shapes[known.shape as usize];
        for ((_, value), (_, field)) in line.fields.iter().zip(shape) {
            let cell = match value {
                Value::Int(v) => Cell::Int(*v),
                Value::Float(v) => Cell::Float(v.to_bits()),
                Value::Bool(v) => Cell::Bool(*v),
                Value::Text(v) => Cell::Text(v),
            };
            row.field(*field, cell);
        }
        Ok(line.fields.len() as u64)
    }

    fn known(&mut self, tx: &Transaction<'_>, line: &Line<'_>) -> rusqlite::Result<Known> {
        if let Some(known) = self.series.get(line.key)
            && same_names(&self.shapes[known.shape as usize], line)
        {
            return Ok(*known);
        }
        let shape = self.shape(tx, line)?;
        let mut known = if let Some(known) = self.series.get(line.key) {
            *known
        } else {
            let (series, fields) = find_series(tx, line)?;
            Known { series, shape, set: self.sets.number(fields) }
        };
        known.shape = shape;
        let set = self.sets.with(known.set, &self.shapes[shape as usize]);
        if set != known.set {
            known.set = set;
            tx.prepare_cached("UPDATE series SET fields = ? WHERE id = ?")?
                .execute((pack_fields(self.sets.get(set)), known.series))?;
        }
        if let Some(cached) = self.series.get_mut(line.key) {
            *cached = known;
            return Ok(known);
        }
        if self.series.len() >= MAX_CACHED_SERIES {
            self.series.clear();
        }
        self.series.insert(line.key.into(), known);
        Ok(known)
    }

    fn shape(&mut self, tx: &Transaction<'_>, line: &Line<'_>) -> rusqlite::Result<u32> {
        if let Some(at) = self.shapes.iter().position(|shape| same_names(shape, line)) {
            return Ok(at as u32);
        }
        let mut shape = Vec::with_capacity(line.fields.len());
        for (name, _) in &line.fields {
            shape.push((Box::from(name.as_ref()), self.field(tx, name)?));
        }
        if self.shapes.len() >= MAX_SHAPES {
            self.shapes.clear();
            self.series.clear();
            self.sets = FieldSets::default();
        }
        self.shapes.push(shape);
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

fn same_names(shape: &[(Box<str>, u32)], line: &Line<'_>) -> bool {
    shape.len() == line.fields.len() && shape.iter().zip(&line.fields).all(|((a, _), (b, _))| **a == **b)
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
    fn with(&mut self, number: u32, shape: &[(Box<str>, u32)]) -> u32 {
        let known = self.get(number);
        let new = |field: &u32| known.binary_search(field).is_err();
        if !shape.iter().any(|(_, field)| new(field)) {
            return number;
        }
        let mut fields: Vec<u32> =
            known.iter().copied().chain(shape.iter().map(|(_, field)| *field)).collect();
        fields.sort_unstable();
        fields.dedup();
        self.number(fields)
    }
}

/// Ids of fields, ascending, as varints: the distance of each.
fn pack_fields(fields: &[u32]) -> Vec<u8> {
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
    let mut out = String::with_capacity(line.key.len());
    for (key, value) in tags {
        if !out.is_empty() {
            out.push(',');
        }
        escape(&mut out, &key);
        out.push('=');
        escape(&mut out, &value);
    }
    out
}

fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        if matches!(c, ',' | '=' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
}

/// The tags of a canonical text.
pub(super) fn tags(canonical: &str) -> Vec<(String, String)> {
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
        assert_eq!(tags(""), []);
    }
}
