//! The store as PromQL reads it.
//!
//! A field of a measurement is a metric, `<measurement>_<field>`; its labels are the tags. A number is itself, a boolean 1 or
//! 0; texts are left out. A counter is there twice: under its name with the amounts of the windows, and as
//! `<measurement>_<field>_total` with their running sum ([`total`](super::total)), which never falls: each process has
//! series of its own, those of a new one begin with nothing. Slots that were rolled before version 3 have no running sums.
//!
//! What rules record and programs push keeps its own name: measurements [`RECORDED`](crate::store::RECORDED) and [`PUSHED`](crate::store::PUSHED), the
//! field is the metric. Where both have a series of the same labels, it is that of the rule.
//!
//! A series that a window lacks has ended ([`samples`](crate::store::samples)): it gets the stale marker at that window's end. Pushed
//! series end with a marker that was pushed.

mod gather;
mod names;

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use promql::{Labels, Matcher, NAME, ReadError, Series, SeriesIter, Span};
use rusqlite::{Connection, Transaction};

use self::gather::{Column, Gathered, Slots, Unpacked};
pub(super) use self::names::metric_name;
use self::names::{Metric, Plan};
use super::roll::SLOT_NS;
use super::step::MINUTE;
use super::{Reader, catalogue, total};
use crate::store::StoreError;
use crate::store::samples::{self, times};

/// Encoded bytes that one pass over the slots may take into memory: 24 hours of 250 busy series. What is above waits for
/// another pass.
const PASS_BYTES: usize = 24 << 20;
/// Most series that are listed: some 500 bytes each.
const MAX_LISTED: usize = 100_000;
/// From so many series on, a query looks up those of its span one by one.
const MANY_SERIES: u32 = 20_000;

const _: () = assert!(samples::MAX_STEP_NS == MINUTE.ns);

/// A state of the store that does not change: all queries of it see the same windows.
#[derive(Debug)]
pub struct View<'a> {
    reader: &'a Reader,
    tx: Transaction<'a>,
    pass_bytes: usize,
    end: End<'a>,
    pushed: bool,
    unpacked: Unpacked,
}

/// Whether a query's time is over.
#[derive(Clone, Copy)]
struct End<'a>(Option<&'a dyn Fn() -> bool>);

impl std::fmt::Debug for End<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "an end" } else { "none" })
    }
}

impl Reader {
    /// The store as it is at the first query. The writer's log grows as long as the view lives. A reader has one at a time.
    pub fn view(&self) -> Result<View<'_>, StoreError> {
        self.view_in_passes(PASS_BYTES)
    }

    /// The same, with so many encoded bytes of values in memory at most, or one series: the less, the more often a query reads
    /// the slots.
    pub fn view_in_passes(&self, pass_bytes: usize) -> Result<View<'_>, StoreError> {
        let tx = self.conn().unchecked_transaction().map_err(|e| self.error(e))?;
        Ok(View { reader: self, tx, pass_bytes, end: End(None), pushed: true, unpacked: Unpacked::default() })
    }
}

impl<'a> View<'a> {
    /// Gives up in the middle of reading when this says so.
    #[must_use]
    pub fn until(self, over: &'a dyn Fn() -> bool) -> Self {
        Self { end: End(Some(over)), ..self }
    }

    /// Without what programs have pushed.
    #[must_use]
    pub fn without_pushed(self) -> Self {
        Self { pushed: false, ..self }
    }
}

impl View<'_> {
    fn failed(&self, source: rusqlite::Error) -> ReadError {
        if self.end.0.is_some_and(|over| over()) {
            return ReadError { message: "its time is over".to_owned() };
        }
        let error = self.reader.error(source);
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        ReadError { message: format!("{error}{cause}") }
    }
}

impl View<'_> {
    /// Calls with the tags of each series that fulfils the conditions in this span, and its metrics.
    fn each(
        &self,
        matchers: &[Matcher],
        span: Span,
        each: impl FnMut(&str, &mut dyn Iterator<Item = &Metric>),
    ) -> Result<(), ReadError> {
        let failed = |e| self.failed(e);
        let plan = Plan::new(&self.tx, matchers, self.pushed).map_err(failed)?;
        let Range { start, end } = times(span);
        // A series that begins just after has a running sum before.
        let end = end.saturating_add(samples::AFTER_NS);
        let alive = gather::alive(&self.tx, &(start..end)).map_err(failed)?;
        plan.each(&self.tx, matchers, &alive, each).map_err(failed)
    }

    /// Whether looking at the series of a span beats looking at all.
    fn has_many_series(&self) -> rusqlite::Result<bool> {
        let last: Option<u32> = self.tx.query_row("SELECT max(id) FROM series", [], |row| row.get(0))?;
        Ok(last.is_some_and(|last| last > MANY_SERIES))
    }
}

impl promql::Reader for View<'_> {
    fn select(&self, matchers: &[Matcher], span: Span) -> Result<SeriesIter<'_>, ReadError> {
        let failed = |e| self.failed(e);
        let mut plan = Plan::new(&self.tx, matchers, self.pushed).map_err(failed)?;
        let times = times(span);
        let first = total::first(&self.tx, times.start).map_err(failed)?;
        let read = if plan.has_totals() {
            // The amounts since the last sums that are kept, and the window after the last: a series that is in it again
            // has its sum in the last, too.
            first.saturating_mul(SLOT_NS)..times.end.saturating_add(samples::AFTER_NS)
        } else {
            times
        };
        let slots = Slots::find(&self.tx, read, plan.has_totals()).map_err(failed)?;
        let alive = if self.has_many_series().map_err(failed)? {
            Some(slots.alive(&self.tx, plan.has_totals()).map_err(failed)?)
        } else {
            None
        };
        let waiting = plan.series(&self.tx, matchers, alive.as_ref()).map_err(failed)?;
        Ok(Box::new(Selected {
            view: self,
            plan,
            span,
            first,
            slots,
            waiting,
            found: VecDeque::new(),
            ready: None,
            of: None,
        }))
    }

    fn series(&self, matchers: &[Matcher], span: Span) -> Result<Vec<Labels>, ReadError> {
        let mut all = Vec::new();
        let mut more = false;
        self.each(matchers, span, |tags, metrics| {
            more |= all.len() >= MAX_LISTED;
            if !more {
                let labels = labels(tags);
                all.extend(metrics.map(|metric| with_name(&labels, &metric.name)));
            }
        })?;
        if more {
            let message =
                format!("there are more than {MAX_LISTED} such series: say more of those that are meant");
            return Err(ReadError { message });
        }
        Ok(all)
    }

    fn label_names(&self, matchers: &[Matcher], span: Span) -> Result<Vec<String>, ReadError> {
        let mut all = BTreeSet::new();
        self.each(matchers, span, |tags, metrics| {
            if metrics.next().is_some() {
                all.insert(NAME.to_owned());
                all.extend(catalogue::tags(tags).into_iter().map(|(name, _)| name));
            }
        })?;
        Ok(all.into_iter().collect())
    }

    fn label_values(&self, label: &str, matchers: &[Matcher], span: Span) -> Result<Vec<String>, ReadError> {
        let mut all = BTreeSet::new();
        self.each(matchers, span, |tags, metrics| {
            if label == NAME {
                for metric in metrics {
                    if !all.contains(&*metric.name) {
                        all.insert(metric.name.to_string());
                    }
                }
            } else if metrics.next().is_some() {
                let value = catalogue::tag(tags, label).unwrap_or_default();
                if !value.is_empty() && !all.contains(&*value) {
                    all.insert(value.into_owned());
                }
            }
        })?;
        Ok(all.into_iter().collect())
    }
}

/// The series of a selection, one after the other.
struct Selected<'a> {
    view: &'a View<'a>,
    plan: Plan,
    span: Span,
    /// Number of the first slot whose amounts are read for running sums.
    first: i64,
    slots: Slots,
    /// Ids of series that were not read yet, in order.
    waiting: Vec<u32>,
    /// Columns that were read, not decoded yet.
    found: VecDeque<Column>,
    /// The running sums of the column whose amounts came last.
    ready: Option<Series>,
    /// The series of the last column, and its labels without a name.
    of: Option<(u32, Labels)>,
}

impl Selected<'_> {
    /// Reads the columns of as many series as fit into memory; false: there are no more.
    fn gather(&mut self) -> rusqlite::Result<bool> {
        if self.waiting.is_empty() {
            return Ok(false);
        }
        let View { tx, pass_bytes, end, unpacked, .. } = self.view;
        let waiting = std::mem::take(&mut self.waiting);
        let Gathered { columns, deferred } =
            gather::gather(tx, &self.slots, (&self.plan, unpacked), waiting, *pass_bytes, || {
                end.0.is_some_and(|over| over())
            })?;
        (self.found, self.waiting) = (columns, deferred);
        Ok(true)
    }

    /// The series that a column makes: its values, its running sum.
    fn decode(&mut self, column: &Column) -> rusqlite::Result<(Option<Series>, Option<Series>)> {
        let conn = &self.view.tx;
        let raw = column.samples(&self.slots).map_err(super::slot::damaged)?;
        // The columns of a series come one after the other.
        let labels = match self.of.take().filter(|(series, _)| *series == column.series) {
            Some((_, labels)) => labels,
            None => labels_of(conn, column.series)?,
        };
        let (_, labels) = self.of.insert((column.series, labels));
        let named = |name: &Arc<str>| with_name(labels, name);
        let metrics = self.plan.metrics(column.series, column.field);
        let mut made = [None, None];
        for metric in metrics {
            let samples = if metric.total {
                let base = total::before(conn, column.series, column.field, self.first)?;
                samples::running(&raw, self.slots.windows(), self.span, base)
            } else {
                samples::levels(&raw, self.slots.windows(), self.span)
            };
            if !samples.is_empty() {
                made[usize::from(metric.total)] = Some(Series { labels: named(&metric.name), samples });
            }
        }
        let [values, sums] = made;
        Ok((values, sums))
    }
}

impl Iterator for Selected<'_> {
    type Item = Result<Series, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(series) = self.ready.take() {
                return Some(Ok(series));
            }
            let step = match self.found.pop_front() {
                Some(column) => self.decode(&column).map(Some),
                None => self.gather().map(|more| more.then_some((None, None))),
            };
            match step {
                Ok(Some((values, sums))) => {
                    self.ready = sums;
                    if let Some(values) = values {
                        return Some(Ok(values));
                    }
                }
                Ok(None) => return None,
                Err(error) => {
                    self.found.clear();
                    self.waiting.clear();
                    return Some(Err(self.view.failed(error)));
                }
            }
        }
    }
}

/// Labels of a series, without a metric's name.
fn labels_of(conn: &Connection, series: u32) -> rusqlite::Result<Labels> {
    let mut statement = conn.prepare_cached("SELECT tags FROM series WHERE id = ?")?;
    statement.query_row([series], |row| Ok(labels(row.get_ref(0)?.as_str()?)))
}

/// Labels of canonical tags.
fn labels(tags: &str) -> Labels {
    Labels::new(catalogue::tags(tags).into_iter().map(|(name, value)| (Arc::from(name), Arc::from(value))))
}

fn with_name(labels: &Labels, name: &Arc<str>) -> Labels {
    static LABEL: LazyLock<Arc<str>> = LazyLock::new(|| NAME.into());
    let mut labels = labels.clone();
    labels.set(Arc::clone(&LABEL), Arc::clone(name));
    labels
}
