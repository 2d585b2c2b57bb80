//! Reading the store, in the process that writes it or in another one.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use agent_common::units::{DurNs, UnixNs};
use agent_common::wire::line::FieldValue;
use rusqlite::Connection;

use super::row::{Cell, Item, read, unpack};
use super::{catalogue, schema};
use crate::store::StoreError;

/// Most samples that one query returns: 64 MB.
pub(crate) const MAX_SAMPLES: usize = 4_000_000;

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
    pub tags: Vec<(String, String)>,
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
        let mut found: BTreeMap<u32, BTreeMap<i64, FieldValue>> = BTreeMap::new();
        let mut samples = 0_usize;
        let tx = self.conn.unchecked_transaction().map_err(|e| self.error(e))?;
        let series = self.matching(selection)?;
        let Some(field) = self.field(&selection.field)? else { return Ok(Vec::new()) };
        let (from, to) = (super::time(selection.from.0), super::time(selection.to.0));
        let mut statement = tx
            .prepare_cached("SELECT end_ns, body FROM head WHERE last_ns >= ? AND first_ns < ? ORDER BY id")
            .map_err(|e| self.error(e))?;
        let mut rows = statement.query([from, to]).map_err(|e| self.error(e))?;
        while let Some(row) = rows.next().map_err(|e| self.error(e))? {
            let end: i64 = row.get(0).map_err(|e| self.error(e))?;
            let body = row.get_ref(1).and_then(|v| Ok(v.as_blob()?)).map_err(|e| self.error(e))?;
            let raw = unpack(body).map_err(|e| schema::damaged(&self.path, e))?;
            let mut at = None;
            read(&raw, |item| match item {
                Item::Point(id, distance) => {
                    let time = end.wrapping_add(distance);
                    at = (series.contains_key(&id) && (from..to).contains(&time)).then_some((id, time));
                }
                Item::Field(id, cell) => {
                    if let Some((series, time)) = at
                        && id == field
                    {
                        samples += 1;
                        found.entry(series).or_default().insert(time, value(cell));
                    }
                }
            })
            .map_err(|e| schema::damaged(&self.path, e))?;
            if samples > MAX_SAMPLES {
                return Err(StoreError::TooMuch { limit: MAX_SAMPLES });
            }
        }
        let mut all: Vec<Series> = found
            .into_iter()
            .map(|(id, samples)| Series {
                tags: series[&id].clone(),
                samples: samples
                    .into_iter()
                    .map(|(time, value)| Sample { time: UnixNs(time.cast_unsigned()), value })
                    .collect(),
            })
            .collect();
        all.sort_by(|a, b| a.tags.cmp(&b.tags));
        Ok(all)
    }

    /// The same, put together over steps of time.
    pub fn query_steps(
        &self,
        selection: &Selection,
        step: DurNs,
    ) -> Result<Vec<(Vec<(String, String)>, Vec<Step>)>, StoreError> {
        let step = step.0.max(1);
        let steps = |samples: Vec<Sample>| {
            let mut out: Vec<Step> = Vec::new();
            for sample in samples {
                let Some(value) = number(&sample.value) else { continue };
                let start = UnixNs(sample.time.0 - sample.time.0 % step);
                match out.last_mut() {
                    Some(last) if last.start == start => {
                        last.count += 1;
                        last.min = last.min.min(value);
                        last.max = last.max.max(value);
                        last.sum += value;
                        last.last = value;
                    }
                    _ => out.push(Step { start, count: 1, min: value, max: value, sum: value, last: value }),
                }
            }
            out
        };
        Ok(self.query(selection)?.into_iter().map(|series| (series.tags, steps(series.samples))).collect())
    }

    /// The measurements, each with its fields' names... in order.
    pub fn measurements(&self) -> Result<Vec<String>, StoreError> {
        self.texts("SELECT DISTINCT measurement FROM series ORDER BY measurement")
    }

    /// The names of all fields, of whatever measurement.
    pub fn fields(&self) -> Result<Vec<String>, StoreError> {
        self.texts("SELECT name FROM field ORDER BY name")
    }

    /// The tags of all series of a measurement.
    pub fn series(&self, measurement: &str) -> Result<Vec<Vec<(String, String)>>, StoreError> {
        let selection = Selection { measurement: measurement.to_owned(), ..Selection::default() };
        let mut all: Vec<_> = self.matching(&selection)?.into_values().collect();
        all.sort();
        Ok(all)
    }

    /// Counts what is there.
    pub fn counts(&self) -> Result<Counts, StoreError> {
        self.conn
            .query_row(
                "SELECT h.n + s.n, h.points + s.points, h.samples + s.samples, h.n FROM
                 (SELECT count(*) n, coalesce(sum(points), 0) points, coalesce(sum(samples), 0) samples FROM head) h,
                 (SELECT coalesce(sum(windows), 0) n, coalesce(sum(points), 0) points, coalesce(sum(samples), 0) samples
                  FROM slot) s",
                [],
                |row| {
                    let count = |at| row.get::<_, i64>(at).map(i64::cast_unsigned);
                    Ok(Counts { windows: count(0)?, points: count(1)?, samples: count(2)?, head_windows: count(3)? })
                },
            )
            .map_err(|e| self.error(e))
    }

    fn matching(&self, selection: &Selection) -> Result<HashMap<u32, Vec<(String, String)>>, StoreError> {
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

    fn texts(&self, sql: &str) -> Result<Vec<String>, StoreError> {
        let read = || -> rusqlite::Result<Vec<String>> {
            self.conn.prepare_cached(sql)?.query_map([], |row| row.get(0))?.collect()
        };
        read().map_err(|e| self.error(e))
    }

    fn error(&self, source: rusqlite::Error) -> StoreError {
        schema::error("cannot read", &self.path, source)
    }
}

fn value(cell: Cell<'_>) -> FieldValue {
    match cell {
        Cell::Int(v) => FieldValue::Int(v),
        Cell::Float(bits) => FieldValue::Float(f64::from_bits(bits)),
        Cell::Bool(v) => FieldValue::Bool(v),
        Cell::Text(v) => FieldValue::Text(v.to_owned()),
    }
}

fn number(value: &FieldValue) -> Option<f64> {
    match value {
        FieldValue::Int(v) => Some(*v as f64),
        FieldValue::Float(v) => Some(*v),
        FieldValue::Bool(v) => Some(f64::from(u8::from(*v))),
        FieldValue::Text(_) => None,
    }
}
