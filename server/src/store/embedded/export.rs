//! The store as text, piece by piece: line protocol slot by slot, `OpenMetrics` metric by metric.

mod openmetrics;

use std::collections::HashMap;
use std::io::Write;

use agent_common::units::UnixNs;
use agent_common::wire::line::{self, FieldValue, Point};
use promql::{Labels, Matcher, NAME};

use super::builder::Builder;
use super::chunk::Aggregate;
use super::read::value;
use super::row::{Item, Row};
use super::slot::{self, Slot};
use super::view::metric_name;
use super::{Reader, catalogue};
use crate::store::StoreError;

/// What to export.
#[derive(Debug, Clone, Default)]
pub struct Export {
    /// First time.
    pub from: UnixNs,
    /// Time past the last.
    pub to: UnixNs,
    /// Series that fulfil all conditions of one set or another; without any it is all.
    pub sets: Vec<Vec<Matcher>>,
}

/// What was exported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exported {
    /// Lines of points.
    pub points: u64,
    /// Values.
    pub samples: u64,
}

/// Why an export ended.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The text cannot be written.
    #[error("cannot write")]
    Write(#[from] std::io::Error),
}

/// What is wanted of a series: its measurement, tags, and of each field whether it is.
struct Wanted {
    measurement: String,
    tags: Vec<(String, String)>,
}

/// Names and conditions.
struct Names<'a> {
    conn: &'a rusqlite::Connection,
    fields: HashMap<u32, String>,
    series: HashMap<u32, Option<Wanted>>,
    sets: &'a [Vec<Matcher>],
}

/// Fields of a point, by id.
type Values = Vec<(u32, FieldValue)>;

/// Series whose names are kept: some 20 MB.
const MAX_NAMES: usize = 50_000;

impl Names<'_> {
    fn series(&mut self, id: u32) -> rusqlite::Result<Option<&Wanted>> {
        if self.series.len() > MAX_NAMES {
            self.series.clear();
        }
        if !self.series.contains_key(&id) {
            let found = self
                .conn
                .prepare_cached("SELECT measurement, tags FROM series WHERE id = ?")?
                .query_row([id], |row| {
                    let tags = catalogue::tags(row.get_ref(1)?.as_str()?);
                    Ok(Wanted { measurement: row.get(0)?, tags })
                });
            let found = rusqlite::OptionalExtension::optional(found)?;
            self.series.insert(id, found);
        }
        Ok(self.series[&id].as_ref())
    }

    /// Whether a field of a series is wanted.
    fn wants(sets: &[Vec<Matcher>], series: &Wanted, field: &str) -> bool {
        if sets.is_empty() {
            return true;
        }
        let tags = series.tags.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into()));
        let mut labels = Labels::new(tags);
        // A counter is asked for by either of its names.
        let mut named = |total: bool| {
            labels.set(NAME, metric_name(&series.measurement, field, total));
            sets.iter().any(|matchers| labels.fulfil(matchers))
        };
        named(false) || named(true)
    }
}

impl Reader {
    /// Writes the points as line protocol, in slots of their times: what is older than a day with what is left of it, one
    /// point in ten seconds or a minute, sums of counters and the last of levels. `progress` is called with how many slots of how
    /// many are done.
    pub fn export_lines(
        &self,
        what: &Export,
        out: &mut dyn Write,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Exported, ExportError> {
        let sql = |e| ExportError::Store(self.error(e));
        let tx = self.conn().unchecked_transaction().map_err(sql)?;
        let span = (super::time(what.from.0), super::time(what.to.0));
        let mut names =
            Names { conn: &tx, fields: fields(&tx).map_err(sql)?, series: HashMap::new(), sets: &what.sets };
        let mut exported = Exported::default();
        let ids: Vec<i64> = tx
            .prepare("SELECT id FROM slot WHERE last_ns >= ? AND first_ns < ? ORDER BY end_ns, id")
            .and_then(|mut statement| statement.query_map(span, |row| row.get(0))?.collect())
            .map_err(sql)?;
        let select = format!("{} WHERE id = ?", slot::SELECT);
        for (done, id) in ids.iter().enumerate() {
            let builder = tx
                .prepare_cached(&select)
                .and_then(|mut statement| statement.query_row([id], Slot::read))
                .and_then(|slot| {
                    let mut builder = Builder::default();
                    let places = builder.add_slot(&slot.times, slot.ends());
                    let all = ((0, 0), (u32::MAX, u32::MAX));
                    slot.columns(
                        &tx,
                        all,
                        |_| true,
                        |packed| match packed.aggregate {
                            Aggregate::Value => builder.add_column(&packed, &places),
                            _ => Ok(()),
                        },
                    )?;
                    builder.order();
                    Ok(builder)
                })
                .map_err(sql)?;
            self.export_slot(&mut names, &builder, span, out, &mut exported)?;
            progress(done as u64 + 1, ids.len() as u64);
        }
        let mut statement = tx
            .prepare("SELECT end_ns, body FROM head WHERE last_ns >= ? AND first_ns < ? ORDER BY id")
            .map_err(sql)?;
        let mut rows = statement.query(span).map_err(sql)?;
        while let Some(row) = rows.next().map_err(sql)? {
            let end: i64 = row.get(0).map_err(sql)?;
            let body = row.get_ref(1).and_then(|body| Ok(body.as_blob()?)).map_err(sql)?;
            let window = Row::unpack(body).map_err(|e| self.damaged(e))?;
            let mut points: Vec<(u32, i64, Values)> = Vec::new();
            let each = |item: Item<'_>| match item {
                Item::Point(series, distance) => {
                    points.push((series, end.wrapping_add(distance), Vec::new()));
                }
                Item::Field(field, cell) => {
                    if let Some((_, _, fields)) = points.last_mut() {
                        fields.push((field, value(cell)));
                    }
                }
            };
            window.read(each).map_err(|e| self.damaged(e))?;
            for (series, time, fields) in points {
                if (span.0..span.1).contains(&time) {
                    self.export_point(&mut names, (series, time), fields.into_iter(), out, &mut exported)?;
                }
            }
        }
        Ok(exported)
    }

    fn export_slot(
        &self,
        names: &mut Names<'_>,
        builder: &Builder,
        span: (i64, i64),
        out: &mut dyn Write,
        exported: &mut Exported,
    ) -> Result<(), ExportError> {
        for (series, columns) in builder.series() {
            let mut at: Vec<_> = columns.iter().map(|placed| (placed, placed.iter().peekable())).collect();
            while let Some(place) = at.iter_mut().filter_map(|(_, next)| Some(next.peek()?.0)).min() {
                let mut fields = Vec::new();
                for (placed, values) in &mut at {
                    if let Some((_, bits)) = values.next_if(|(own, _)| *own == place) {
                        fields.push((placed.field, value(placed.column.cell(bits))));
                    }
                }
                let time = builder.times()[place as usize];
                if (span.0..span.1).contains(&time) {
                    self.export_point(names, (*series, time), fields.into_iter(), out, exported)?;
                }
            }
        }
        Ok(())
    }

    fn export_point(
        &self,
        names: &mut Names<'_>,
        (series, time): (u32, i64),
        values: impl Iterator<Item = (u32, FieldValue)>,
        out: &mut dyn Write,
        exported: &mut Exported,
    ) -> Result<(), ExportError> {
        let sets = names.sets;
        names.series(series).map_err(|e| self.error(e))?;
        let Some(Some(wanted)) = names.series.get(&series) else { return Ok(()) };
        let mut point = Point::new(wanted.measurement.clone(), UnixNs(time.cast_unsigned()));
        for (field, value) in values {
            let Some(name) = names.fields.get(&field) else { continue };
            if Names::wants(sets, wanted, name) {
                point = point.field(name.clone(), value);
            }
        }
        if point.fields.is_empty() {
            return Ok(());
        }
        for (name, value) in &wanted.tags {
            point = point.tag(name.clone(), value.clone());
        }
        exported.points += 1;
        exported.samples += point.fields.len() as u64;
        out.write_all(line::encode(&[point]).as_bytes())?;
        Ok(())
    }
}

fn fields(conn: &rusqlite::Connection) -> rusqlite::Result<HashMap<u32, String>> {
    conn.prepare("SELECT id, name FROM field")?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}
