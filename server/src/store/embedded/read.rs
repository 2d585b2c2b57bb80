//! Reading the store, in the process that writes it or in another one.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use agent_common::units::{DurNs, UnixNs};
use agent_common::wire::line::FieldValue;
use agent_common::wire::stored::Stored;
use rusqlite::Connection;

use super::row::{Cell, Item, Kind, Row};
use super::slot::{self, Slot};
use super::summary::{self, Summary, Way, way};
use super::varint::Damaged;
use super::{catalogue, info, schema, stream};
use crate::store::StoreError;

/// Most samples that [`Reader::query`] returns: 40 MB.
const MAX_SAMPLES: usize = 1_000_000;
/// Most samples that [`Reader::query_steps`] puts together: 128 MB while it does.
const MAX_STEP_SAMPLES: usize = 8_000_000;

/// Called with series, time and value, and what else is known of a step's; returns how many there were.
trait Each: FnMut(u32, i64, Cell<'_>, Option<(Kind, Summary)>) -> usize {}
impl<T: FnMut(u32, i64, Cell<'_>, Option<(Kind, Summary)>) -> usize> Each for T {}

/// Times and values of each series.
type Found<T> = Vec<(Tags, Vec<(i64, T)>)>;

/// Tags of a series, sorted by name.
pub type Tags = Vec<(String, String)>;

/// What to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Measurement, e.g. `s7mpa_process`.
    pub measurement: String,
    /// Field, e.g. `oncpu_user_ns`.
    pub field: String,
    /// Tags that a series must have, with these values.
    pub tags: Vec<(String, String)>,
    /// First time.
    pub from: UnixNs,
    /// Time past the last.
    pub to: UnixNs,
}

/// One value of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// When.
    pub time: UnixNs,
    /// What.
    pub value: FieldValue,
}

/// One series of a selection.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// All its tags, sorted by name.
    pub tags: Tags,
    /// Its samples, ascending in time, one for each time.
    pub samples: Vec<Sample>,
}

/// The samples of a series between `start` and `start + step`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Multiple of the step.
    pub start: UnixNs,
    /// Samples that are numbers or booleans (1 and 0).
    pub count: u64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// Sum.
    pub sum: f64,
    /// Last in time.
    pub last: f64,
}

/// A [`Step`] without its time.
type Part = Step;

impl Step {
    fn append(&mut self, next: &Self) {
        self.count += next.count;
        self.min = self.min.min(next.min);
        self.max = self.max.max(next.max);
        self.sum += next.sum;
        self.last = next.last;
    }
}

/// How much is in the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Windows whose points are there.
    pub windows: u64,
    /// Points (lines).
    pub points: u64,
    /// Values.
    pub samples: u64,
    /// Of the windows, those still at the head.
    pub head_windows: u64,
}

/// A connection for queries. It sees what was committed before each query began.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    conn: Connection,
}

impl Reader {
    /// Opens the database file of a running or stopped store.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { path: path.to_owned(), conn: schema::open_read_only(path)? })
    }

    /// The samples of the selected series, ordered by tags.
    pub fn query(&self, selection: &Selection) -> Result<Vec<Series>, StoreError> {
        let found = self.collect(selection, MAX_SAMPLES, |cell, _| Some(value(cell)))?;
        let samples = |samples: Vec<(i64, FieldValue)>| {
            samples
                .into_iter()
                .map(|(time, value)| Sample { time: UnixNs(time.cast_unsigned()), value })
                .collect()
        };
        Ok(found.into_iter().map(|(tags, found)| Series { tags, samples: samples(found) }).collect())
    }

    /// The same, put together over steps of time.
    pub fn query_steps(
        &self,
        selection: &Selection,
        step: DurNs,
    ) -> Result<Vec<(Tags, Vec<Step>)>, StoreError> {
        let step = step.0.max(1);
        let counter = way(&selection.measurement, &selection.field) == Way::Sum;
        let steps = |parts: Vec<(i64, Part)>| {
            let mut out: Vec<Step> = Vec::new();
            for (time, part) in parts {
                let time = time.cast_unsigned();
                let start = UnixNs(time - time % step);
                match out.last_mut() {
                    Some(last) if last.start == start => last.append(&part),
                    _ => out.push(Step { start, ..part }),
                }
            }
            out
        };
        let found = self.collect(selection, MAX_STEP_SAMPLES, |cell, one| part(cell, one, counter))?;
        Ok(found.into_iter().map(|(tags, samples)| (tags, steps(samples))).collect())
    }

    /// Reads head and slots in one snapshot: a window that the server moves from head to slots during the reading is seen in
    /// exactly one of the two.
    fn collect<T>(
        &self,
        selection: &Selection,
        limit: usize,
        convert: impl Fn(Cell<'_>, Option<(Kind, Summary)>) -> Option<T>,
    ) -> Result<Found<T>, StoreError> {
        let tx = self.conn.unchecked_transaction().map_err(|e| self.error(e))?;
        let series = self.matching(selection)?;
        let Some(field) = self.field(&selection.field)? else { return Ok(Vec::new()) };
        if series.is_empty() {
            return Ok(Vec::new());
        }
        let span = super::time(selection.from.0)..super::time(selection.to.0);
        let mut found: HashMap<u32, Vec<(i64, T)>> = HashMap::new();
        let mut count = 0;
        let mut each = |id: u32, time: i64, cell: Cell<'_>, summary: Option<(Kind, Summary)>| {
            if span.contains(&time)
                && let Some(value) = convert(cell, summary)
            {
                count += 1;
                found.entry(id).or_default().push((time, value));
            }
            count
        };
        let result = self.slots(&tx, &series, field, &span, limit, &mut each);
        result.and_then(|()| self.head(&tx, &series, field, &span, limit, &mut each))?;
        let mut all = Vec::with_capacity(found.len());
        for (id, mut samples) in found {
            order(&mut samples, |(time, _)| *time);
            all.push((series[&id].clone(), samples));
        }
        all.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(all)
    }

    fn slots(
        &self,
        tx: &Connection,
        series: &HashMap<u32, Tags>,
        field: u32,
        span: &Range<i64>,
        limit: usize,
        each: &mut impl Each,
    ) -> Result<(), StoreError> {
        let (Some(first), Some(last)) = (series.keys().min(), series.keys().max()) else { return Ok(()) };
        let keys = ((field, *first), (field, *last));
        let sql = format!("{} WHERE last_ns >= ? AND first_ns < ? ORDER BY id", slot::SELECT);
        let mut statement = tx.prepare_cached(&sql).map_err(|e| self.error(e))?;
        let mut rows = statement.query([span.start, span.end]).map_err(|e| self.error(e))?;
        while let Some(row) = rows.next().map_err(|e| self.error(e))? {
            let slot = Slot::read(row).map_err(|e| self.error(e))?;
            let mut count = 0;
            slot.summaries(
                tx,
                keys,
                |(_, id)| series.contains_key(&id),
                |(_, id), time, cell, one| {
                    count = each(id, time, cell, one);
                },
            )
            .map_err(|e| self.error(e))?;
            if count > limit {
                return Err(StoreError::TooMuch { limit });
            }
        }
        Ok(())
    }

    fn head(
        &self,
        tx: &Connection,
        series: &HashMap<u32, Tags>,
        field: u32,
        span: &Range<i64>,
        limit: usize,
        each: &mut impl Each,
    ) -> Result<(), StoreError> {
        let sql = |e| self.error(e);
        let mut statement = tx
            .prepare_cached("SELECT end_ns, body FROM head WHERE last_ns >= ? AND first_ns < ? ORDER BY id")
            .map_err(sql)?;
        let mut rows = statement.query([span.start, span.end]).map_err(sql)?;
        while let Some(row) = rows.next().map_err(sql)? {
            let end: i64 = row.get(0).map_err(sql)?;
            let body = row.get_ref(1).and_then(|v| Ok(v.as_blob()?)).map_err(sql)?;
            let window = Row::unpack(body).map_err(|e| schema::damaged(&self.path, e))?;
            let (mut at, mut count) = (None, 0);
            let item = |item: Item<'_>| match item {
                Item::Point(id, distance) => {
                    at = series.contains_key(&id).then_some((id, end.wrapping_add(distance)));
                }
                Item::Field(id, cell) if id == field => {
                    if let Some((series, time)) = at {
                        count = each(series, time, cell, None);
                    }
                }
                Item::Field(..) => {}
            };
            window.read(item).map_err(|e| schema::damaged(&self.path, e))?;
            if count > limit {
                return Err(StoreError::TooMuch { limit });
            }
        }
        Ok(())
    }

    /// The measurements, in order.
    pub fn measurements(&self) -> Result<Vec<String>, StoreError> {
        self.texts("SELECT DISTINCT measurement FROM series ORDER BY measurement")
    }

    /// The names of all fields, of whatever measurement.
    pub fn fields(&self) -> Result<Vec<String>, StoreError> {
        self.texts("SELECT name FROM field ORDER BY name")
    }

    /// The tags of all series of a measurement.
    pub fn series(&self, measurement: &str) -> Result<Vec<Tags>, StoreError> {
        let selection = Selection { measurement: measurement.to_owned(), ..Selection::default() };
        let mut all: Vec<_> = self.matching(&selection)?.into_values().collect();
        all.sort();
        Ok(all)
    }

    /// Counts what is there.
    pub fn counts(&self) -> Result<Counts, StoreError> {
        info::counts(&self.conn).map_err(|e| self.error(e))
    }

    /// The windows of each (host, stream) that were written, whether retention has deleted them since or not.
    pub fn stored(&self) -> Result<Vec<(String, Stored)>, StoreError> {
        let read = || -> rusqlite::Result<_> {
            let mut statement =
                self.conn.prepare_cached("SELECT host, name, stored FROM stream ORDER BY host, name")?;
            let stored = |row: &rusqlite::Row<'_>| {
                let name: String = row.get(1)?;
                Ok((row.get(0)?, Stored::new(name, &stream::ranges(row, 2)?)))
            };
            statement.query_map([], stored)?.collect()
        };
        read().map_err(|e| self.error(e))
    }

    fn matching(&self, selection: &Selection) -> Result<HashMap<u32, Tags>, StoreError> {
        let read = || -> rusqlite::Result<HashMap<_, _>> {
            let mut statement =
                self.conn.prepare_cached("SELECT id, tags FROM series WHERE measurement = ?")?;
            let mut rows = statement.query([&selection.measurement])?;
            let mut found = HashMap::new();
            while let Some(row) = rows.next()? {
                let tags = catalogue::tags(row.get_ref(1)?.as_str()?);
                if selection.tags.iter().all(|wanted| tags.contains(wanted)) {
                    found.insert(row.get(0)?, tags);
                }
            }
            Ok(found)
        };
        read().map_err(|e| self.error(e))
    }

    fn field(&self, name: &str) -> Result<Option<u32>, StoreError> {
        use rusqlite::OptionalExtension as _;
        self.conn
            .query_row("SELECT id FROM field WHERE name = ?", [name], |row| row.get(0))
            .optional()
            .map_err(|e| self.error(e))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn conn(&self) -> &Connection {
        &self.conn
    }

    pub(super) fn texts(&self, sql: &str) -> Result<Vec<String>, StoreError> {
        let read = || -> rusqlite::Result<Vec<String>> {
            self.conn.prepare_cached(sql)?.query_map([], |row| row.get(0))?.collect()
        };
        read().map_err(|e| self.error(e))
    }

    pub(super) fn damaged(&self, source: Damaged) -> StoreError {
        schema::damaged(&self.path, source)
    }

    pub(super) fn error(&self, source: rusqlite::Error) -> StoreError {
        schema::error("cannot read", &self.path, source)
    }
}

/// Ascending in time, each time once: of those of one time the last counts, which came later.
pub(super) fn order<T>(samples: &mut Vec<T>, time: impl Fn(&T) -> i64) {
    if !samples.is_sorted_by(|a, b| time(a) < time(b)) {
        // Stable.
        samples.sort_by_key(&time);
        samples.reverse();
        samples.dedup_by_key(|sample| time(sample));
        samples.reverse();
    }
}

/// As the line protocol has it.
pub(super) fn value(cell: Cell<'_>) -> FieldValue {
    match cell {
        Cell::Int(v) => FieldValue::Int(v),
        Cell::Float(bits) => FieldValue::Float(f64::from_bits(bits)),
        Cell::Bool(v) => FieldValue::Bool(v),
        Cell::Text(v) => FieldValue::Text(v.to_owned()),
    }
}

/// A value, or what is left of those of a step; a text is none.
fn part(cell: Cell<'_>, summary: Option<(Kind, Summary)>, counter: bool) -> Option<Part> {
    let value = match cell {
        Cell::Int(v) => v as f64,
        Cell::Float(bits) => f64::from_bits(bits),
        Cell::Bool(v) => f64::from(u8::from(v)),
        Cell::Text(_) => return None,
    };
    let one = Step { start: UnixNs(0), count: 1, min: value, max: value, sum: value, last: value };
    let Some((kind, summary)) = summary else { return Some(one) };
    let count = summary.count.max(1).cast_unsigned();
    if counter {
        // Of the amounts the sum alone is known.
        let mean = value / count as f64;
        return Some(Step { count, min: mean, max: mean, last: mean, ..one });
    }
    let number = |value| summary::number(kind, value);
    let (min, max) = (number(summary.least), number(summary.greatest));
    Some(Step { count, min, max, sum: summary.sum(kind), ..one })
}
