//! Which metrics and series conditions on labels mean, by the catalogue alone.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use agent_common::wire::registry::{self, Unit};
use promql::{Matcher, NAME};
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::store::embedded::slot::damaged;
use crate::store::embedded::{catalogue, total};
use crate::store::{PUSHED, RECORDED};

/// What the name of a running sum ends with.
const TOTAL: &str = "_total";
/// The measurements: one look into the index for each, however many series they have.
const MEASUREMENTS: &str = "WITH RECURSIVE one(name) AS (
    SELECT min(measurement) FROM series UNION ALL
    SELECT (SELECT min(measurement) FROM series WHERE measurement > one.name) FROM one WHERE one.name IS NOT NULL)
SELECT name FROM one WHERE name IS NOT NULL";

/// Whether a field of the measurement is a metric under its own name: what rules record, what programs push.
fn has_own_names(measurement: &str) -> bool {
    [RECORDED, PUSHED].contains(&measurement)
}

/// What a field of a measurement is called as a metric, or its running sum. What rules record and programs push has its own name.
pub(in crate::store::embedded) fn metric_name(measurement: &str, field: &str, total: bool) -> String {
    if has_own_names(measurement) {
        return field.to_owned();
    }
    format!("{measurement}_{field}{}", if total { TOTAL } else { "" })
}

/// A metric that is wanted.
#[derive(Debug, Clone)]
pub(super) struct Metric {
    pub(super) field: u32,
    /// Its running sum, not its values.
    pub(super) total: bool,
    pub(super) name: Arc<str>,
}

/// The metrics that the conditions on the name leave, by measurement.
#[derive(Debug)]
pub(super) struct Plan {
    measurements: Vec<(String, Vec<Metric>)>,
    /// Series id to its measurement's place; filled by [`Plan::series`].
    of: HashMap<u32, usize>,
    /// Pushed series and fields that rules record, too; likewise.
    hidden: HashSet<(u32, u32)>,
}

impl Plan {
    pub(super) fn new(conn: &Connection, matchers: &[Matcher], pushed: bool) -> rusqlite::Result<Self> {
        let on_name: Vec<&Matcher> = matchers.iter().filter(|matcher| matcher.label == NAME).collect();
        // The names that are asked for, or what they begin with, spare making all names.
        let asked = on_name.iter().find_map(|matcher| matcher.values());
        let beginnings: Vec<&str> = on_name.iter().map(|matcher| matcher.beginning()).collect();
        let mut all_fields = None;
        let mut measurements = Vec::new();
        let mut statement = conn.prepare_cached(MEASUREMENTS)?;
        let mut by_name = conn.prepare_cached("SELECT id FROM field WHERE name = ?")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let measurement: String = row.get(0)?;
            if measurement == PUSHED && !pushed {
                continue;
            }
            let begin = if has_own_names(&measurement) { String::new() } else { format!("{measurement}_") };
            let can_be = |wanted: &&str| wanted.starts_with(&begin) || begin.starts_with(wanted);
            if !beginnings.iter().all(can_be) {
                continue;
            }
            let counters: HashSet<&str> = total::counters(&measurement).collect();
            let mut metrics = Vec::new();
            let mut offer = |id: u32, field: &str, total: bool| {
                let name = metric_name(&measurement, field, total);
                if on_name.iter().all(|matcher| matcher.matches(&name)) {
                    metrics.push(Metric { field: id, total, name: name.into() });
                }
            };
            if let Some(asked) = &asked {
                for rest in asked.iter().filter_map(|name| name.strip_prefix(&begin)) {
                    let sum = rest.strip_suffix(TOTAL).filter(|field| counters.contains(field));
                    for (field, total) in std::iter::once((rest, false)).chain(sum.map(|field| (field, true)))
                    {
                        if let Some(id) = by_name.query_row([field], |row| row.get(0)).optional()? {
                            offer(id, field, total);
                        }
                    }
                }
            } else {
                let fields = match &all_fields {
                    Some(fields) => fields,
                    None => all_fields.insert(every_field(conn)?),
                };
                for (id, field) in fields {
                    offer(*id, field, false);
                    if counters.contains(field.as_str()) {
                        offer(*id, field, true);
                    }
                }
            }
            if !metrics.is_empty() {
                metrics.sort_by_key(|metric| (metric.field, metric.total));
                measurements.push((measurement, metrics));
            }
        }
        Ok(Self { measurements, of: HashMap::new(), hidden: HashSet::new() })
    }

    /// Ids of the series of these measurements that fulfil the other conditions, in order; of those alone that are `alive`, if
    /// that is known.
    pub(super) fn series(
        &mut self,
        conn: &Connection,
        matchers: &[Matcher],
        alive: Option<&HashSet<u32>>,
    ) -> rusqlite::Result<Vec<u32>> {
        let mut all = Vec::new();
        let Self { measurements, of, .. } = self;
        let measurements = &*measurements;
        let mut add = |place: usize, row: &Row<'_>| -> rusqlite::Result<()> {
            let (id, tags): (u32, _) = (row.get(0)?, row.get_ref(1)?.as_str()?);
            let (_, metrics) = &measurements[place];
            if has_any(row, metrics)? && fulfils(tags, matchers) {
                all.push(id);
                of.insert(id, place);
            }
            Ok(())
        };
        if let Some(alive) = alive {
            let places: HashMap<&str, usize> =
                measurements.iter().enumerate().map(|(place, (name, _))| (name.as_str(), place)).collect();
            let mut statement =
                conn.prepare_cached("SELECT id, tags, fields, measurement FROM series WHERE id = ?")?;
            for id in alive {
                let mut rows = statement.query([id])?;
                let Some(row) = rows.next()? else { continue };
                if let Some(place) = places.get(row.get_ref(3)?.as_str()?) {
                    add(*place, row)?;
                }
            }
        } else {
            let mut statement =
                conn.prepare_cached("SELECT id, tags, fields FROM series WHERE measurement = ?")?;
            for (place, (measurement, _)) in measurements.iter().enumerate() {
                let mut rows = statement.query([measurement])?;
                while let Some(row) = rows.next()? {
                    add(place, row)?;
                }
            }
        }
        self.hide(conn)?;
        all.sort_unstable();
        Ok(all)
    }

    /// Finds the pushed series that rules record, too.
    fn hide(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        if ![RECORDED, PUSHED].iter().all(|own| self.measurements.iter().any(|(name, _)| name == own)) {
            return Ok(());
        }
        let mut twins = conn.prepare_cached(
            "SELECT pushed.id, recorded.fields FROM series recorded JOIN series pushed ON pushed.measurement = ?2 AND pushed.tags = recorded.tags
             WHERE recorded.measurement = ?1",
        )?;
        let mut rows = twins.query([RECORDED, PUSHED])?;
        while let Some(row) = rows.next()? {
            let series: u32 = row.get(0)?;
            let fields = row.get_ref(1)?.as_blob_or_null()?.map_or(Ok(Vec::new()), catalogue::unpack_fields);
            self.hidden.extend(fields.map_err(damaged)?.into_iter().map(|field| (series, field)));
        }
        Ok(())
    }

    /// Calls with the tags and metrics of those of these series that are alive and fulfil the other conditions.
    pub(super) fn each(
        &self,
        conn: &Connection,
        matchers: &[Matcher],
        alive: &HashSet<u32>,
        mut each: impl FnMut(&str, &mut dyn Iterator<Item = &Metric>),
    ) -> rusqlite::Result<()> {
        for (measurement, metrics) in &self.measurements {
            let texts = texts(conn, measurement)?;
            let known = known(conn, measurement)?;
            let mut statement =
                conn.prepare_cached("SELECT id, tags, fields FROM series WHERE measurement = ?")?;
            let mut rows = statement.query([measurement])?;
            while let Some(row) = rows.next()? {
                let tags = row.get_ref(1)?.as_str()?;
                if !alive.contains(&row.get(0)?) || !fulfils(tags, matchers) {
                    continue;
                }
                let fields = match row.get_ref(2)?.as_blob_or_null()? {
                    Some(packed) => catalogue::unpack_fields(packed).map_err(damaged)?,
                    None => known.clone(),
                };
                let has = |metric: &&Metric| {
                    fields.binary_search(&metric.field).is_ok() && !texts.contains(&metric.field)
                };
                each(tags, &mut metrics.iter().filter(has));
            }
        }
        Ok(())
    }

    /// Whether running sums are wanted.
    pub(super) fn has_totals(&self) -> bool {
        self.measurements.iter().flat_map(|(_, metrics)| metrics).any(|metric| metric.total)
    }

    /// The fields that are wanted, in order.
    pub(super) fn fields(&self) -> Vec<u32> {
        let metrics = self.measurements.iter().flat_map(|(_, metrics)| metrics);
        let mut fields: Vec<u32> = metrics.map(|metric| metric.field).collect();
        fields.sort_unstable();
        fields.dedup();
        fields
    }

    /// What is wanted of a field of a series.
    pub(super) fn metrics(&self, series: u32, field: u32) -> &[Metric] {
        let Some(place) = self.of.get(&series) else { return &[] };
        if !self.hidden.is_empty() && self.hidden.contains(&(series, field)) {
            return &[];
        }
        let metrics = &self.measurements[*place].1;
        let begin = metrics.partition_point(|metric| metric.field < field);
        let len = metrics[begin..].partition_point(|metric| metric.field == field);
        &metrics[begin..begin + len]
    }
}

/// All fields that there are.
fn every_field(conn: &Connection) -> rusqlite::Result<Vec<(u32, String)>> {
    conn.prepare_cached("SELECT id, name FROM field")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// Whether a series' row has a field of these metrics, as far as it says which it has.
fn has_any(row: &Row<'_>, metrics: &[Metric]) -> rusqlite::Result<bool> {
    let Some(packed) = row.get_ref(2)?.as_blob_or_null()? else { return Ok(true) };
    let fields = catalogue::unpack_fields(packed).map_err(damaged)?;
    Ok(fields.iter().any(|field| metrics.binary_search_by_key(field, |metric| metric.field).is_ok()))
}

/// Whether these tags fulfil all conditions but those on the name.
fn fulfils(tags: &str, matchers: &[Matcher]) -> bool {
    let mut conditions = matchers.iter().filter(|matcher| matcher.label != NAME);
    conditions.all(|matcher| matcher.matches(&catalogue::tag(tags, &matcher.label).unwrap_or_default()))
}

/// Ids of the fields of a measurement that the registry knows, in order: what a series has of which nothing else is known.
fn known(conn: &Connection, measurement: &str) -> rusqlite::Result<Vec<u32>> {
    ids(conn, measurement, |_| true)
}

/// Ids of those that are texts.
fn texts(conn: &Connection, measurement: &str) -> rusqlite::Result<Vec<u32>> {
    ids(conn, measurement, |unit| unit == Unit::Letter)
}

fn ids(conn: &Connection, measurement: &str, wanted: impl Fn(Unit) -> bool) -> rusqlite::Result<Vec<u32>> {
    let fields = registry::measurement(measurement).map_or(&[][..], |found| found.fields);
    let mut statement = conn.prepare_cached("SELECT id FROM field WHERE name = ?")?;
    let mut ids = Vec::new();
    for field in fields.iter().filter(|field| wanted(field.unit)) {
        let mut rows = statement.query([field.name])?;
        if let Some(row) = rows.next()? {
            ids.push(row.get(0)?);
        }
    }
    ids.sort_unstable();
    Ok(ids)
}
