//! Writing what programs push.
//!
//! All pushed samples are windows of one stream of the store's own, [`PUSHED_STREAM`]. Other than those of collectors they say
//! nothing of series that they lack: a series ends with the stale marker, which is a value like others (`view/samples.rs`).
//! Series and fields are counted in pairs, as Prometheus does: labels are a row of `series`, each metric is a field of it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use rusqlite::{OptionalExtension as _, Transaction, TransactionBehavior};

use super::catalogue::{pack_fields, unpack_fields};
use super::row::{Cell, RowWriter};
use super::slot::damaged;
use super::stream::{MAX_RANGES, find_stream, pack_ranges};
use super::{Writer, roll, seq_bits};
use crate::store::push::{Batch, PUSHED, PushLimits, Pushed, STALE};

/// Host and name of the stream: no host and no collector's stream can have them.
pub(super) const PUSHED_STREAM: (&str, &str) = ("(pushed)", "push");
/// Sets of labels that are kept in memory, about 300 bytes each: 20 MiB. Above it the memory is emptied and filled again.
const MAX_KNOWN: usize = 1 << 16;
/// Names of metrics and fields in the store; each query looks at all of them.
const MAX_NAMES: u64 = 10_000;
/// Nanoseconds of a millisecond.
const MS: i64 = 1_000_000;

/// What is remembered of pushed series. Must be emptied when a transaction that asked it is rolled back, and when retention has
/// deleted series.
#[derive(Debug, Default)]
pub(super) struct Known {
    labels: HashMap<Arc<str>, Labels>,
    metrics: HashMap<Arc<str>, u32>,
    /// Series and names in the store, if they were counted.
    counts: Option<(u64, u64)>,
}

/// The row of a set of labels.
#[derive(Debug)]
struct Labels {
    series: u32,
    /// Ids of its fields.
    fields: HashSet<u32>,
    /// Whether the row has to be written.
    changed: bool,
}

/// How many new series there may be: as many as in a minute at once, and then as they come back.
#[derive(Debug)]
pub(super) struct Allowance {
    left: f64,
    since: Instant,
}

impl Allowance {
    pub(super) fn new(limits: PushLimits) -> Self {
        Self { left: limits.new_series_per_minute.into(), since: Instant::now() }
    }

    fn refill(&mut self, limits: PushLimits) {
        let now = Instant::now();
        let most = f64::from(limits.new_series_per_minute);
        let more = now.duration_since(self.since).as_secs_f64() * most / 60.0;
        (self.left, self.since) = ((self.left + more).min(most), now);
    }
}

/// A sample on its way into a row: slot, series, time, field, value.
type Placed = (i64, u32, i64, u32, u64);

/// Why a series is not made.
enum Full {
    TooMany,
    TooFast,
    /// It would begin with its end.
    Ended,
}

impl Writer {
    /// Writes batches in one transaction.
    pub(super) fn push(&mut self, batches: &[Batch], limits: PushLimits) -> rusqlite::Result<Vec<Pushed>> {
        self.allowance.refill(limits);
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (known, allowance) = (&mut self.pushed, &mut self.allowance);
        let mut pushes =
            Pushes { tx: &tx, known, allowance, limits, placed: Vec::new(), changed: Vec::new() };
        let done = batches.iter().map(|batch| pushes.take(batch)).collect::<rusqlite::Result<Vec<_>>>()?;
        pushes.write_fields()?;
        let mut placed = pushes.placed;
        // Stable: of two of one time the later stays.
        placed.sort_by_key(|(slot, series, time, field, _)| (*slot, *series, *time, *field));
        let key = (PUSHED_STREAM.0.to_owned(), PUSHED_STREAM.1.to_owned());
        if !self.streams.contains_key(&key) {
            let stream = find_stream(&tx, PUSHED_STREAM.0, PUSHED_STREAM.1)?;
            self.streams.insert(key.clone(), stream);
        }
        // SANITY: it is there, or was put there above.
        let stream = self.streams.get_mut(&key).expect("a known stream");
        for slot in placed.chunk_by(|a, b| a.0 == b.0) {
            let seq = stream.stored.highest() + 1;
            stream.stored.insert(seq);
            let end_ns = slot.iter().map(|(_, _, time, ..)| *time).max().unwrap_or_default();
            stream.arrived(end_ns);
            let id = roll::head_ids(stream.id).0 + self.next;
            self.next += 1;
            write_row(&tx, &mut self.row, (stream.id, id, seq), end_ns, slot)?;
        }
        stream.stored.cut(MAX_RANGES);
        tx.prepare_cached("UPDATE stream SET stored = ? WHERE id = ?")?
            .execute((pack_ranges(&stream.stored), stream.id))?;
        tx.commit()?;
        Ok(done)
    }
}

/// One transaction's.
struct Pushes<'a> {
    tx: &'a Transaction<'a>,
    known: &'a mut Known,
    allowance: &'a mut Allowance,
    limits: PushLimits,
    placed: Vec<Placed>,
    /// Labels whose rows have to be written.
    changed: Vec<Arc<str>>,
}

impl Pushes<'_> {
    fn take(&mut self, batch: &Batch) -> rusqlite::Result<Pushed> {
        let mut done = Pushed::default();
        let mut places: HashMap<(u32, u32), Result<(u32, u32), Full>> = HashMap::new();
        for sample in batch.samples() {
            let key = (sample.labels, sample.metric);
            let (labels, metric) = (batch.labels_of(key.0), batch.metric_of(key.1));
            let is_end = sample.value.to_bits() == STALE.to_bits();
            let is_asked = match places.get(&key) {
                None => true,
                Some(Err(Full::Ended)) => !is_end,
                Some(_) => false,
            };
            if is_asked {
                places.insert(key, self.place(labels, metric, is_end)?);
            }
            match &places[&key] {
                Ok((series, field)) => {
                    let time = sample.at_ms.saturating_mul(MS);
                    self.placed.push((roll::slot_of(time), *series, time, *field, sample.value.to_bits()));
                    done.samples += 1;
                }
                Err(Full::Ended) => {}
                Err(Full::TooMany) => done.too_many.add(metric, labels),
                Err(Full::TooFast) => done.too_fast.add(metric, labels),
            }
        }
        let missing = places.values().filter(|place| matches!(place, Err(Full::TooFast))).count();
        if missing > 0 {
            let per_second = f64::from(self.limits.new_series_per_minute.max(1)) / 60.0;
            done.retry_after_s = (missing as f64 / per_second).ceil().clamp(1.0, 60.0) as u64;
        }
        Ok(done)
    }

    /// Ids of a series and its field, made where there is room.
    fn place(
        &mut self,
        labels: &Arc<str>,
        metric: &Arc<str>,
        is_end: bool,
    ) -> rusqlite::Result<Result<(u32, u32), Full>> {
        let field = self.metric(metric)?;
        let found = self.labels(labels)?;
        if let (Some(series), Some(field)) = (found, field)
            && self.known.labels[labels].fields.contains(&field)
        {
            return Ok(Ok((series, field)));
        }
        if is_end {
            return Ok(Err(Full::Ended));
        }
        let (series, names) = self.counts()?;
        if series >= self.limits.max_series || (field.is_none() && names >= MAX_NAMES) {
            return Ok(Err(Full::TooMany));
        }
        if self.allowance.left < 1.0 {
            return Ok(Err(Full::TooFast));
        }
        self.allowance.left -= 1.0;
        let new_name = u64::from(field.is_none());
        let field = match field {
            Some(field) => field,
            None => self.make_metric(metric)?,
        };
        self.known.counts = Some((series + 1, names + new_name));
        if found.is_none() {
            let series = self
                .tx
                .prepare_cached("INSERT INTO series(measurement, tags) VALUES (?, ?) RETURNING id")?
                .query_row((PUSHED, &**labels), |row| row.get(0))?;
            self.remember(labels, Labels { series, fields: HashSet::new(), changed: false });
        }
        // SANITY: it was found or remembered above.
        let own = self.known.labels.get_mut(labels).expect("known labels");
        own.fields.insert(field);
        if !std::mem::replace(&mut own.changed, true) {
            self.changed.push(Arc::clone(labels));
        }
        Ok(Ok((own.series, field)))
    }

    fn metric(&mut self, name: &Arc<str>) -> rusqlite::Result<Option<u32>> {
        if let Some(id) = self.known.metrics.get(name) {
            return Ok(Some(*id));
        }
        let found: Option<u32> = self
            .tx
            .prepare_cached("SELECT id FROM field WHERE name = ?")?
            .query_row([&**name], |row| row.get(0))
            .optional()?;
        if let Some(id) = found {
            self.known.metrics.insert(Arc::clone(name), id);
        }
        Ok(found)
    }

    fn make_metric(&mut self, name: &Arc<str>) -> rusqlite::Result<u32> {
        let id = self
            .tx
            .prepare_cached("INSERT INTO field(name) VALUES (?) RETURNING id")?
            .query_row([&**name], |row| row.get(0))?;
        self.known.metrics.insert(Arc::clone(name), id);
        Ok(id)
    }

    /// The id of a set of labels, which is then in memory.
    fn labels(&mut self, labels: &Arc<str>) -> rusqlite::Result<Option<u32>> {
        if let Some(known) = self.known.labels.get(labels) {
            return Ok(Some(known.series));
        }
        let found = self
            .tx
            .prepare_cached("SELECT id, fields FROM series WHERE measurement = ? AND tags = ?")?
            .query_row((PUSHED, &**labels), |row| {
                let fields = row.get_ref(1)?.as_blob_or_null()?.map_or(Ok(Vec::new()), unpack_fields);
                Ok((row.get(0)?, fields.map_err(damaged)?))
            })
            .optional()?;
        let Some((series, fields)) = found else { return Ok(None) };
        self.remember(labels, Labels { series, fields: fields.into_iter().collect(), changed: false });
        Ok(Some(series))
    }

    fn remember(&mut self, labels: &Arc<str>, own: Labels) {
        // Those that changed stay until they are written.
        if self.known.labels.len() >= MAX_KNOWN + self.changed.len() {
            self.known.labels.retain(|_, known| known.changed);
        }
        self.known.labels.insert(Arc::clone(labels), own);
    }

    /// How many series there are, and names of all fields.
    fn counts(&mut self) -> rusqlite::Result<(u64, u64)> {
        if let Some(counts) = self.known.counts {
            return Ok(counts);
        }
        let names: i64 = self.tx.query_row("SELECT count(*) FROM field", [], |row| row.get(0))?;
        let mut statement = self.tx.prepare_cached("SELECT fields FROM series WHERE measurement = ?")?;
        let mut rows = statement.query([PUSHED])?;
        let mut series = 0;
        while let Some(row) = rows.next()? {
            let fields = row.get_ref(0)?.as_blob_or_null()?.map_or(Ok(Vec::new()), unpack_fields);
            series += fields.map_err(damaged)?.len() as u64;
        }
        let counts = (series, names.cast_unsigned());
        self.known.counts = Some(counts);
        Ok(counts)
    }

    /// Writes which fields series have now.
    fn write_fields(&mut self) -> rusqlite::Result<()> {
        let mut statement = self.tx.prepare_cached("UPDATE series SET fields = ? WHERE id = ?")?;
        for labels in &self.changed {
            let Some(own) = self.known.labels.get_mut(labels) else { continue };
            let mut fields: Vec<u32> = own.fields.iter().copied().collect();
            fields.sort_unstable();
            statement.execute((pack_fields(&fields), own.series))?;
            own.changed = false;
        }
        Ok(())
    }
}

/// Writes sorted samples of one slot as a row of the head.
fn write_row(
    tx: &Transaction<'_>,
    row: &mut RowWriter,
    (stream, id, seq): (i64, i64, u64),
    end_ns: i64,
    samples: &[Placed],
) -> rusqlite::Result<()> {
    row.clear();
    let (mut points, mut count) = (0_i64, 0_i64);
    for point in samples.chunk_by(|a, b| (a.1, a.2) == (b.1, b.2)) {
        let (_, series, time, ..) = point[0];
        row.begin();
        // Of one field the last.
        for same in point.chunk_by(|a, b| a.3 == b.3) {
            let (.., field, bits) = same[same.len() - 1];
            row.field(field, Cell::Float(bits));
            count += 1;
        }
        row.end(series, time.wrapping_sub(end_ns));
        points += 1;
    }
    let first_ns = samples.iter().map(|(_, _, time, ..)| *time).min().unwrap_or(end_ns);
    let body = row.finish().map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
    tx.prepare_cached(
        "INSERT INTO head(id, stream, seq, end_ns, first_ns, last_ns, points, samples, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute((id, stream, seq_bits(seq), end_ns, first_ns, end_ns, points, count, body))?;
    Ok(())
}
