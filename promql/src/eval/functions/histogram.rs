//! Histograms whose buckets are series with the label `le`.

use std::collections::HashMap;

use crate::error::Result;
use crate::eval::plan::{Call, Node};
use crate::eval::{Evaluator, Sink};
use crate::labels::{Labels, NAME};
use crate::rows::{ABSENT, Merged, Row, Rows, Steps, is_absent};

/// Difference between neighbouring buckets that rounding explains, relative to the larger.
const ROUNDING: f64 = 1e-12;

/// Observations up to a bound; those of the buckets below it are among them.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    bound: f64,
    count: f64,
}

impl Evaluator<'_> {
    pub(super) fn histogram_quantile(&self, call: &Call, steps: Steps, sink: Sink<'_>) -> Result<()> {
        let shares = self.scalar(&call.arguments[0], steps)?;
        self.check_shares(&shares);
        self.each_histogram(&call.arguments[1], steps, sink, &|buckets, step| quantile(shares[step], buckets))
    }

    pub(super) fn histogram_fraction(&self, call: &Call, steps: Steps, sink: Sink<'_>) -> Result<()> {
        let (from, to) = (self.scalar(&call.arguments[0], steps)?, self.scalar(&call.arguments[1], steps)?);
        self.each_histogram(&call.arguments[2], steps, sink, &|buckets, step| {
            fraction(from[step], to[step], buckets)
        })
    }

    /// Gathers the buckets of each histogram at each step, in order, and computes a value of them.
    fn each_histogram(
        &self,
        argument: &Node,
        steps: Steps,
        sink: Sink<'_>,
        value: &dyn Fn(&[Bucket], usize) -> f64,
    ) -> Result<()> {
        let rows = self.rows(argument, steps)?;
        let mut merged = Merged::new(&self.budget)?;
        for (labels, series) in self.histograms(&rows) {
            let mut points = Vec::with_capacity(steps.count);
            let mut buckets = Vec::with_capacity(series.len());
            for step in 0..steps.count {
                let values =
                    series.iter().map(|(bound, row)| Bucket { bound: *bound, count: row.points[step] });
                buckets.clear();
                buckets.extend(values.filter(|bucket| !is_absent(bucket.count)));
                if buckets.is_empty() {
                    points.push(ABSENT);
                    continue;
                }
                let complete = complete(&mut buckets);
                if complete == Some(Fixed::Falling) {
                    self.info(format!(
                        "input to histogram_quantile needed to be fixed for monotonicity for metric name {:?}",
                        series[0].1.labels.get(NAME)
                    ));
                }
                points.push(if complete.is_some() { value(&buckets, step) } else { f64::NAN });
            }
            merged.push(Row { labels: labels.nameless(), points })?;
        }
        merged.rows().drain(sink)
    }

    /// The series of each histogram, by bound. What has no bound is left out, and said.
    fn histograms<'r>(&self, rows: &'r Rows) -> Vec<(Labels, Vec<(f64, &'r Row)>)> {
        let mut places = HashMap::new();
        let mut histograms: Vec<(Labels, Vec<(f64, &Row)>)> = Vec::new();
        for row in rows.iter() {
            let Some(bound) = bound(row.labels.get("le")) else {
                self.warn(format!(
                    "bucket label \"le\" is missing or has a malformed value of {:?} for metric name {:?}",
                    row.labels.get("le"),
                    row.labels.get(NAME)
                ));
                continue;
            };
            let mut labels = row.labels.clone();
            labels.remove("le");
            let place = *places.entry(labels.clone()).or_insert(histograms.len());
            if place == histograms.len() {
                histograms.push((labels, Vec::new()));
            }
            histograms[place].1.push((bound, row));
        }
        for (_, series) in &mut histograms {
            series.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        }
        histograms
    }
}

/// The number of a label `le`; infinity has a sign or not.
pub(crate) fn bound(text: &str) -> Option<f64> {
    text.parse().ok().filter(|bound: &f64| !bound.is_nan())
}

#[derive(Debug, PartialEq, Eq)]
enum Fixed {
    Nothing,
    Falling,
}

/// Makes one bucket of those with the same bound, and lets none hold less than the one below it. Nothing where a histogram
/// cannot be read: without a bucket for all observations, or with that alone.
fn complete(buckets: &mut Vec<Bucket>) -> Option<Fixed> {
    buckets.dedup_by(|next, kept| {
        let same = next.bound.to_bits() == kept.bound.to_bits();
        if same {
            kept.count += next.count;
        }
        same
    });
    let last = buckets.last()?;
    if last.bound != f64::INFINITY || buckets.len() < 2 {
        return None;
    }
    let mut fixed = Fixed::Nothing;
    let mut below = buckets[0].count;
    for bucket in &mut buckets[1..] {
        let rounding = (bucket.count - below).abs() <= ROUNDING * bucket.count.abs().max(below.abs());
        if bucket.count < below && !rounding {
            fixed = Fixed::Falling;
        }
        if rounding || bucket.count < below {
            bucket.count = below;
        }
        below = bucket.count;
    }
    Some(fixed)
}

/// The value below which this share of the observations lies; inside of a bucket they are taken to lie evenly.
fn quantile(share: f64, buckets: &[Bucket]) -> f64 {
    let last = buckets.len() - 1;
    let all = buckets[last].count;
    if share.is_nan() || all == 0.0 || all.is_nan() {
        return f64::NAN;
    }
    if share < 0.0 {
        return f64::NEG_INFINITY;
    }
    if share > 1.0 {
        return f64::INFINITY;
    }
    let rank = share * all;
    let place = buckets[..last].iter().position(|bucket| bucket.count >= rank).unwrap_or(last);
    if place == last {
        return buckets[last - 1].bound;
    }
    let Bucket { bound: above, count } = buckets[place];
    if place == 0 {
        return if above <= 0.0 { above } else { above * (rank / count) };
    }
    let below = buckets[place - 1];
    below.bound + (above - below.bound) * ((rank - below.count) / (count - below.count))
}

/// The share of the observations between two values.
fn fraction(from: f64, to: f64, buckets: &[Bucket]) -> f64 {
    let all = buckets[buckets.len() - 1].count;
    if all == 0.0 || all.is_nan() || from.is_nan() || to.is_nan() {
        return f64::NAN;
    }
    if from >= to {
        return 0.0;
    }
    (rank(to, buckets) - rank(from, buckets)) / all
}

/// How many observations lie below a value.
fn rank(value: f64, buckets: &[Bucket]) -> f64 {
    let place = buckets.partition_point(|bucket| bucket.bound <= value);
    let Some(bucket) = buckets.get(place) else { return buckets[buckets.len() - 1].count };
    let below = match place {
        0 if bucket.bound > 0.0 => Bucket { bound: 0.0, count: 0.0 },
        0 => return 0.0,
        _ => buckets[place - 1],
    };
    if value <= below.bound {
        return below.count;
    }
    if bucket.bound.is_infinite() {
        return below.count;
    }
    below.count + (bucket.count - below.count) * ((value - below.bound) / (bucket.bound - below.bound))
}
