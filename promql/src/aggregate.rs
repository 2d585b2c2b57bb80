//! Aggregations that take one series after the other, and keep one value a group and step.

use std::collections::HashMap;

use crate::error::Result;
use crate::eval::plan::{Aggregate, Aggregator};
use crate::eval::{Evaluator, Sink};
use crate::labels::Labels;
use crate::rows::{ABSENT, Row, Steps, is_absent};
use crate::sum::{Mean, Sum};

impl Aggregate {
    /// The labels of a series' group.
    pub(crate) fn key(&self, labels: &Labels) -> Labels {
        if self.without { labels.except(&self.labels).nameless() } else { labels.only(&self.labels) }
    }
}

/// What a group keeps of its values at one step.
trait Fold: Copy + Default {
    fn add(&mut self, value: f64);
    fn value(&self) -> f64;
}

#[derive(Clone, Copy, Default)]
struct Extreme<const MAX: bool>(Option<f64>);

impl<const MAX: bool> Fold for Extreme<MAX> {
    fn add(&mut self, value: f64) {
        let beats = |leader: f64| if MAX { value > leader } else { value < leader };
        // Any number beats a NaN.
        if self.0.is_none_or(|leader| beats(leader) || leader.is_nan()) {
            self.0 = Some(value);
        }
    }

    fn value(&self) -> f64 {
        self.0.unwrap_or(ABSENT)
    }
}

#[derive(Clone, Copy, Default)]
struct Count(u32);

impl Fold for Count {
    fn add(&mut self, _: f64) {
        self.0 += 1;
    }

    fn value(&self) -> f64 {
        f64::from(self.0)
    }
}

#[derive(Clone, Copy, Default)]
struct One;

impl Fold for One {
    fn add(&mut self, _: f64) {}

    fn value(&self) -> f64 {
        1.0
    }
}

impl Fold for Sum {
    fn add(&mut self, value: f64) {
        Sum::add(self, value);
    }

    fn value(&self) -> f64 {
        Sum::value(self)
    }
}

impl Fold for Mean {
    fn add(&mut self, value: f64) {
        Mean::add(self, value);
    }

    fn value(&self) -> f64 {
        Mean::value(self)
    }
}

#[derive(Clone, Copy, Default)]
struct Variance<const ROOT: bool>(crate::sum::Variance);

impl<const ROOT: bool> Fold for Variance<ROOT> {
    fn add(&mut self, value: f64) {
        self.0.add(value);
    }

    fn value(&self) -> f64 {
        if ROOT { self.0.value().sqrt() } else { self.0.value() }
    }
}

impl Evaluator<'_> {
    pub(crate) fn aggregate(&self, aggregate: &Aggregate, steps: Steps, sink: Sink<'_>) -> Result<()> {
        match aggregate.by {
            Aggregator::Sum => self.fold::<Sum>(aggregate, steps, sink),
            Aggregator::Avg => self.fold::<Mean>(aggregate, steps, sink),
            Aggregator::Min => self.fold::<Extreme<false>>(aggregate, steps, sink),
            Aggregator::Max => self.fold::<Extreme<true>>(aggregate, steps, sink),
            Aggregator::Count => self.fold::<Count>(aggregate, steps, sink),
            Aggregator::Group => self.fold::<One>(aggregate, steps, sink),
            Aggregator::Stddev => self.fold::<Variance<true>>(aggregate, steps, sink),
            Aggregator::Stdvar => self.fold::<Variance<false>>(aggregate, steps, sink),
            Aggregator::Topk | Aggregator::Bottomk | Aggregator::Limitk | Aggregator::LimitRatio => {
                self.chosen(aggregate, steps, sink)
            }
            Aggregator::Quantile => self.quantile(aggregate, steps, sink),
            Aggregator::CountValues => self.count_values(aggregate, steps, sink),
        }
    }

    fn fold<F: Fold>(&self, aggregate: &Aggregate, steps: Steps, sink: Sink<'_>) -> Result<()> {
        let mut groups: HashMap<Labels, Vec<(bool, F)>> = HashMap::new();
        let mut charge = self.budget.take(0)?;
        self.each(&aggregate.of, steps, &mut |row| {
            if row.is_empty() {
                return Ok(());
            }
            let key = aggregate.key(&row.labels);
            if !groups.contains_key(&key) {
                charge.add(steps.count * size_of::<(bool, F)>() + key.bytes())?;
            }
            let folds = groups.entry(key).or_insert_with(|| vec![(false, F::default()); steps.count]);
            for ((begun, fold), value) in folds.iter_mut().zip(row.points) {
                if !is_absent(value) {
                    *begun = true;
                    fold.add(value);
                }
            }
            Ok(())
        })?;
        for (labels, folds) in groups {
            let value = |(begun, fold): (bool, F)| if begun { fold.value() } else { ABSENT };
            sink(Row { labels, points: folds.into_iter().map(value).collect() })?;
        }
        Ok(())
    }
}
