//! What hosts and processes did in an interval, from the series that are kept: the tables behind a page's views.
//!
//! Pure: over any [`Reader`], no clock. A counter is its amount of the interval; a gauge its last value there. Names of
//! values are the fields of `agent/METRICS.md`, which say their units.

mod changes;
mod host;
mod processes;
mod series;
mod states;
mod waits;

use std::collections::BTreeMap;

use agent_common::wire::registry::{self, Kind, Unit};
use promql::{Labels, Matcher, NAME, Operator, ReadError, Reader, Series, Span, is_stale};

pub use changes::{Change, changes};
pub use host::{Row, host};
pub use processes::{Process, Syscall, processes, syscalls};
pub use series::{Line, OverTime, over_time};
pub use states::{States, Whose, states};
pub use waits::{Chain, Edge, Link, Waits, not_covered, waits};

/// Every host has it, once a window.
pub(crate) const EVERY_WINDOW: &str = "s7mpa_host_uptime_ns";

/// Windows whose end lies after `from_ms` and not after `to_ms`, Unix time in ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// Excluded.
    pub from_ms: i64,
    /// Included.
    pub to_ms: i64,
}

impl Interval {
    /// Its length.
    #[must_use]
    pub const fn seconds(self) -> f64 {
        self.to_ms.saturating_sub(self.from_ms) as f64 / 1e3
    }

    const fn span(self) -> Span {
        Span { from_ms: self.from_ms.saturating_add(1), to_ms: self.to_ms }
    }
}

/// Values by field.
pub type Values = BTreeMap<&'static str, f64>;

/// A field of a series in an interval.
struct Found {
    measurement: &'static str,
    field: &'static str,
    kind: Kind,
    value: f64,
    /// The series ended in the interval.
    ended: bool,
}

impl Found {
    /// Adds it to what another series has of the same field: one process, under two names, say.
    fn add_to(&self, values: &mut Values) {
        let known = values.entry(self.field);
        match self.kind {
            Kind::Counter => *known.or_default() += self.value,
            Kind::Gauge if self.ended => {
                known.or_insert(self.value);
            }
            Kind::Gauge => {
                values.insert(self.field, self.value);
            }
        }
    }
}

/// Calls with the labels and the value of each field of these measurements in an interval.
fn each(
    reader: &dyn Reader,
    measurements: &[&'static str],
    labels: &[(&str, &str)],
    interval: Interval,
    mut with: impl FnMut(&Labels, &Found),
) -> Result<(), ReadError> {
    let mut known: BTreeMap<String, (&'static str, &'static registry::Field)> = BTreeMap::new();
    for name in measurements {
        let fields = registry::measurement(name).map_or(&[][..], |measurement| measurement.fields);
        let numbers = fields.iter().filter(|field| field.unit != Unit::Letter);
        known.extend(numbers.map(|field| (format!("{name}_{}", field.name), (*name, field))));
    }
    // Running sums have names of their own; these are the amounts alone.
    let names = known.keys().map(String::as_str).collect::<Vec<_>>().join("|");
    let mut matchers = vec![matcher(NAME, Operator::Matches, &names)?];
    for (label, value) in labels {
        matchers.push(matcher(label, Operator::Equal, value)?);
    }
    for series in reader.select(&matchers, interval.span())? {
        let series = series?;
        let Some((measurement, field)) = known.get(series.labels.get(NAME)) else { continue };
        let ended = series.samples.last().is_some_and(|sample| is_stale(sample.value));
        if let Some(value) = value(&series, field.kind) {
            with(&series.labels, &Found { measurement, field: field.name, kind: field.kind, value, ended });
        }
    }
    Ok(())
}

/// A condition on a label.
pub(crate) fn matcher(label: &str, operator: Operator, value: &str) -> Result<Matcher, ReadError> {
    Matcher::new(label, operator, value).map_err(|error| ReadError { message: error.to_string() })
}

/// The amount of a counter, the last value of a gauge.
fn value(series: &Series, kind: Kind) -> Option<f64> {
    let mut values =
        series.samples.iter().map(|sample| sample.value).filter(|value| !is_stale(*value)).peekable();
    values.peek()?;
    match kind {
        Kind::Counter => Some(values.sum()),
        Kind::Gauge => values.last(),
    }
}

#[cfg(test)]
mod testing {
    use std::sync::Arc;

    use promql::{Sample, SeriesIter};

    use super::*;

    /// Series in memory: a sample a second, from the first second on.
    pub(super) struct Memory(pub(super) Vec<Series>);

    impl Memory {
        /// Adds a series: name, labels, values.
        pub(super) fn add(&mut self, name: &str, labels: &[(&str, &str)], values: &[f64]) {
            let named = [(NAME, name)];
            let all = labels.iter().chain(&named);
            let labels = all.map(|(name, value)| (Arc::from(*name), Arc::from(*value)));
            let samples = values
                .iter()
                .enumerate()
                .map(|(nth, value)| Sample { at_ms: 1000 * (nth as i64 + 1), value: *value });
            self.0.push(Series { labels: Labels::new(labels), samples: samples.collect() });
        }
    }

    impl Reader for Memory {
        fn select(&self, matchers: &[Matcher], span: Span) -> Result<SeriesIter<'_>, ReadError> {
            let within = move |sample: &Sample| (span.from_ms..=span.to_ms).contains(&sample.at_ms);
            let found: Vec<Series> =
                self.0.iter().filter(|series| series.labels.fulfil(matchers)).cloned().collect();
            let cut = found.into_iter().filter_map(move |mut series| {
                series.samples.retain(within);
                (!series.samples.is_empty()).then_some(Ok(series))
            });
            Ok(Box::new(cut))
        }

        fn series(&self, matchers: &[Matcher], span: Span) -> Result<Vec<Labels>, ReadError> {
            self.select(matchers, span)?.map(|series| Ok(series?.labels)).collect()
        }
    }
}
