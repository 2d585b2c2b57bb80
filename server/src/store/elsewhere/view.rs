//! The store as a [`promql::Reader`].

use std::collections::HashMap;
use std::ops::Range;

use promql::{Labels, Matcher, NAME, ReadError, Series, SeriesIter, Span};

use super::collected::OneSeries;
use super::language::{Language, Question, What};
use super::metrics::{Metric, Names, Wanted};
use super::wire::Wire;
use super::{Elsewhere, conditions};
use crate::store::samples::{self, AFTER_NS, Number, Raw, Windows, times};

/// Of a running sum whose changes alone are looked at, so much before the span is read, ns: where a counter has risen in that
/// time, `rate` sees that it did not begin in the span.
const BEFORE_NS: i64 = 10 * 60 * 1_000_000_000;
/// Stands for what has no host, and so no windows.
const NO_HOST: i64 = -1;

/// A store elsewhere, for one query.
#[derive(Debug)]
pub struct View<'a> {
    store: &'a Elsewhere,
    wire: Wire<'a>,
    language: Language,
}

/// What a selection has brought.
struct Found {
    wanted: Vec<Wanted>,
    series: Vec<OneSeries>,
    windows: Windows,
    /// Number of each host's windows.
    hosts: HashMap<String, i64>,
    /// Sums of all before what was read, by place of the metric and labels.
    bases: HashMap<(usize, Labels), i64>,
}

impl<'a> View<'a> {
    pub(super) fn new(store: &'a Elsewhere, wire: Wire<'a>, language: Language) -> Self {
        Self { store, wire, language }
    }

    /// What the conditions on the name mean.
    fn wanted(&self, matchers: &[Matcher]) -> Result<Vec<Wanted>, ReadError> {
        let names = Names::new(matchers);
        let metrics = match self.language.metrics_of(&names) {
            Some(metrics) => metrics,
            None => self.store.metrics(&self.wire, self.language)?,
        };
        let mut wanted: Vec<_> = metrics.into_iter().filter_map(|metric| names.wanted(metric)).collect();
        wanted.sort_by(|a, b| a.metric.cmp(&b.metric));
        wanted.dedup();
        Ok(wanted)
    }

    fn ask(
        &self,
        what: What,
        metrics: &[Metric],
        matchers: &[Matcher],
        times: Range<i64>,
    ) -> Result<Vec<OneSeries>, ReadError> {
        let question = Question { what, metrics, matchers, times };
        Ok(self.language.ask(&self.wire, &question)?.ordered())
    }

    fn find(&self, matchers: &[Matcher], span: Span, whole_sums: bool) -> Result<Found, ReadError> {
        let wanted = self.wanted(matchers)?;
        let metrics: Vec<Metric> = wanted.iter().map(|one| one.metric.clone()).collect();
        let has_totals = wanted.iter().any(|one| one.total);
        let mut times = times(span);
        if has_totals {
            times.end = times.end.saturating_add(AFTER_NS);
            times.start = times.start.saturating_sub(BEFORE_NS);
        }
        let mut series = self.ask(What::Points, &metrics, matchers, times.clone())?;
        let rest = rest(matchers);
        series.retain(|one| one.labels.fulfil(&rest));
        let mut found = Found {
            wanted,
            series,
            windows: Windows::default(),
            hosts: HashMap::new(),
            bases: HashMap::new(),
        };
        if found.series.is_empty() {
            return Ok(found);
        }
        let host = conditions::host(matchers);
        for one in self.ask(What::Points, &[self.language.of_windows()], &host, times.clone())? {
            let next = found.hosts.len() as i64;
            let stream = *found.hosts.entry(one.labels.get("host").to_owned()).or_insert(next);
            let ends: Vec<i64> = one.points.iter().map(|(end, _)| *end).collect();
            found.windows.add(stream, &ends, 0);
        }
        found.windows.order();
        if has_totals && whole_sums {
            let summed: Vec<usize> =
                (0..found.wanted.len()).filter(|place| found.wanted[*place].total).collect();
            let metrics: Vec<Metric> = summed.iter().map(|place| metrics[*place].clone()).collect();
            for one in self.ask(What::Sum, &metrics, matchers, 0..times.start)? {
                let sum = one.points.first().map_or(0, |(_, sum)| *sum as i64);
                found.bases.insert((summed[one.metric], one.labels), sum);
            }
        }
        Ok(found)
    }

    fn select_from(
        &self,
        matchers: &[Matcher],
        span: Span,
        whole_sums: bool,
    ) -> Result<SeriesIter<'_>, ReadError> {
        let mut found = self.find(matchers, span, whole_sums)?;
        let series = std::mem::take(&mut found.series);
        Ok(Box::new(series.into_iter().flat_map(move |one| found.made(one, span)).map(Ok)))
    }
}

impl Found {
    /// The series of values and of the running sum that points make.
    fn made(&self, OneSeries { metric, labels, points }: OneSeries, span: Span) -> Vec<Series> {
        let stream = self.hosts.get(labels.get("host")).copied().unwrap_or(NO_HOST);
        let raw = points.into_iter().map(|(time, value)| Raw {
            time,
            stream,
            number: Number::Float(value),
            summed: true,
        });
        let raw: Vec<Raw> = raw.collect();
        let wanted = &self.wanted[metric];
        let mut made = Vec::new();
        let mut add = |total: bool, samples: Vec<promql::Sample>| {
            if !samples.is_empty() {
                let mut labels = labels.clone();
                labels.set(NAME, wanted.name(total));
                made.push(Series { labels, samples });
            }
        };
        if wanted.values {
            add(false, samples::levels(&raw, &self.windows, span));
        }
        if wanted.total {
            let base = self.bases.get(&(metric, labels.clone())).copied().unwrap_or(0);
            add(true, samples::running(&raw, &self.windows, span, base));
        }
        made
    }
}

/// The conditions on other labels than the name.
fn rest(matchers: &[Matcher]) -> Vec<Matcher> {
    matchers.iter().filter(|matcher| matcher.label != NAME).cloned().collect()
}

impl promql::Reader for View<'_> {
    fn select(&self, matchers: &[Matcher], span: Span) -> Result<SeriesIter<'_>, ReadError> {
        self.select_from(matchers, span, true)
    }

    fn select_changes(&self, matchers: &[Matcher], span: Span) -> Result<SeriesIter<'_>, ReadError> {
        self.select_from(matchers, span, false)
    }

    fn series(&self, matchers: &[Matcher], span: Span) -> Result<Vec<Labels>, ReadError> {
        let wanted = self.wanted(matchers)?;
        let metrics: Vec<Metric> = wanted.iter().map(|one| one.metric.clone()).collect();
        let (rest, mut all) = (rest(matchers), Vec::new());
        for one in self.ask(What::Any, &metrics, matchers, times(span))? {
            if !one.labels.fulfil(&rest) {
                continue;
            }
            let kinds = [(wanted[one.metric].values, false), (wanted[one.metric].total, true)];
            for (_, total) in kinds.into_iter().filter(|(is_wanted, _)| *is_wanted) {
                let mut labels = one.labels.clone();
                labels.set(NAME, wanted[one.metric].name(total));
                all.push(labels);
            }
        }
        Ok(all)
    }
}
