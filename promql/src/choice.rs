//! Aggregations that need all series of a group together.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::Hasher;

use crate::error::{QueryError, Result};
use crate::eval::plan::{Aggregate, Aggregator, Node};
use crate::eval::{Evaluator, Sink};
use crate::labels::Labels;
use crate::rows::{ABSENT, Merged, Row, Rows, Steps, is_absent};
use crate::sum::quantile;

impl Aggregate {
    /// The rows of each group, groups and rows in the order of the rows.
    fn groups(&self, rows: &Rows) -> Vec<(Labels, Vec<usize>)> {
        let mut places = HashMap::new();
        let mut groups: Vec<(Labels, Vec<usize>)> = Vec::new();
        for (nth, row) in rows.iter().enumerate() {
            let key = self.key(&row.labels);
            let place = *places.entry(key.clone()).or_insert(groups.len());
            if place == groups.len() {
                groups.push((key, Vec::new()));
            }
            groups[place].1.push(nth);
        }
        groups
    }
}

impl Evaluator<'_> {
    fn parameter(&self, aggregate: &Aggregate, steps: Steps) -> Result<Vec<f64>> {
        let parameter = aggregate.parameter.as_deref().unwrap_or(&Node::Number(f64::NAN));
        self.scalar(parameter, steps)
    }

    pub(crate) fn quantile(&self, aggregate: &Aggregate, steps: Steps, sink: Sink<'_>) -> Result<()> {
        let shares = self.parameter(aggregate, steps)?;
        self.check_shares(&shares);
        let rows = self.rows(&aggregate.of, steps)?;
        let mut values = Vec::new();
        for (labels, members) in aggregate.groups(&rows) {
            let mut points = Vec::with_capacity(steps.count);
            for (step, share) in shares.iter().enumerate() {
                values.clear();
                values.extend(
                    members.iter().map(|nth| rows[*nth].points[step]).filter(|value| !is_absent(*value)),
                );
                points.push(if values.is_empty() { ABSENT } else { quantile(*share, &mut values) });
            }
            self.options.check_time()?;
            sink(Row { labels, points })?;
        }
        Ok(())
    }

    pub(crate) fn count_values(&self, aggregate: &Aggregate, steps: Steps, sink: Sink<'_>) -> Result<()> {
        let Some(Node::Text(label)) = aggregate.parameter.as_deref() else {
            return Err(QueryError::Argument("count_values needs the name of a label".to_owned()));
        };
        if label.is_empty() {
            return Err(QueryError::Argument("invalid label name in count_values: it is empty".to_owned()));
        }
        let mut counts: HashMap<Labels, Vec<f64>> = HashMap::new();
        let mut charge = self.budget.take(0)?;
        self.each(&aggregate.of, steps, &mut |row| {
            let key = aggregate.key(&row.labels);
            for (step, value) in row.points.iter().enumerate().filter(|(_, value)| !is_absent(**value)) {
                let mut labels = key.clone();
                labels.set(label.as_str(), crate::number::plain(*value));
                if !counts.contains_key(&labels) {
                    charge.add(steps.count * size_of::<f64>() + labels.bytes())?;
                }
                let points = counts.entry(labels).or_insert_with(|| vec![ABSENT; steps.count]);
                points[step] = if is_absent(points[step]) { 1.0 } else { points[step] + 1.0 };
            }
            Ok(())
        })?;
        // The label may replace one of the group's: then groups meet.
        let mut merged = Merged::new(&self.budget)?;
        counts.into_iter().try_for_each(|(labels, points)| merged.push(Row { labels, points }))?;
        merged.rows().drain(sink)
    }

    /// Keeps some series of each group at each step, as they are. At a single step, in the order of the choice.
    pub(crate) fn chosen(&self, aggregate: &Aggregate, steps: Steps, sink: Sink<'_>) -> Result<()> {
        let parameters = self.parameter(aggregate, steps)?;
        let ratio = aggregate.by == Aggregator::LimitRatio;
        for parameter in &parameters {
            if parameter.is_nan() {
                return Err(QueryError::Argument("the parameter of an aggregation is NaN".to_owned()));
            }
            if ratio && parameter.abs() > 1.0 {
                let cap = parameter.signum();
                self.warn(format!(
                    "ratio value should be between -1 and 1, got {parameter}, capping to {cap}"
                ));
            }
            if !ratio && parameter.abs() >= i64::MAX as f64 {
                return Err(QueryError::Argument(format!("{parameter} is not a number of series")));
            }
        }
        if !ratio && parameters.iter().all(|parameter| *parameter < 1.0) {
            return Ok(());
        }
        let rows = self.rows(&aggregate.of, steps)?;
        for (_, members) in aggregate.groups(&rows) {
            let mut kept: Vec<Vec<bool>> = vec![vec![false; steps.count]; members.len()];
            let _charge = self.budget.take(members.len() * steps.count)?;
            let mut order: Vec<usize> = Vec::new();
            for (step, parameter) in parameters.iter().enumerate() {
                let value = |nth: usize| rows[members[nth]].points[step];
                order.clear();
                order.extend((0..members.len()).filter(|nth| !is_absent(value(*nth))));
                match aggregate.by {
                    Aggregator::Topk => order.sort_by(|a, b| leading(value(*b), value(*a))),
                    Aggregator::Bottomk => order.sort_by(|a, b| trailing(value(*a), value(*b))),
                    Aggregator::LimitRatio => {
                        order.retain(|nth| falls_in(&rows[members[*nth]].labels, *parameter));
                    }
                    _ => {}
                }
                if !ratio {
                    order.truncate(if *parameter < 1.0 { 0 } else { *parameter as usize });
                }
                for nth in &order {
                    kept[*nth][step] = true;
                }
            }
            self.options.check_time()?;
            let by_choice = if steps.count == 1 { order } else { (0..members.len()).collect() };
            for nth in by_choice {
                let row = &rows[members[nth]];
                let values = row.points.iter().zip(&kept[nth]);
                let points: Vec<f64> =
                    values.map(|(value, kept)| if *kept { *value } else { ABSENT }).collect();
                sink(Row { labels: row.labels.clone(), points })?;
            }
        }
        Ok(())
    }
}

/// Order of values where a NaN is less than any number.
pub(crate) fn leading(a: f64, b: f64) -> Ordering {
    b.is_nan().cmp(&a.is_nan()).then(a.partial_cmp(&b).unwrap_or(Ordering::Equal))
}

/// Order of values where a NaN is more than any number.
pub(crate) fn trailing(a: f64, b: f64) -> Ordering {
    a.is_nan().cmp(&b.is_nan()).then(a.partial_cmp(&b).unwrap_or(Ordering::Equal))
}

/// Whether a series is of this share of all; the shares `r` and `r - 1` are the two parts of the whole. The same series always
/// are, on every host.
fn falls_in(labels: &Labels, ratio: f64) -> bool {
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    for (name, value) in labels.iter() {
        for text in [name, value] {
            hash.write(text.as_bytes());
            hash.write(&[0xff]);
        }
    }
    // FNV mixes the last bytes badly into the upper bits.
    let mixed = (hash.finish() ^ (hash.finish() >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let place = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) as f64 / u64::MAX as f64;
    if ratio >= 0.0 { place < ratio || ratio >= 1.0 } else { place >= 1.0 + ratio }
}

struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}
