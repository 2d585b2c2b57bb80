//! Whether there is nothing.

use crate::error::Result;
use crate::eval::plan::{Node, Range, Selector, Source};
use crate::eval::{Evaluator, Sink};
use crate::labels::{Labels, NAME};
use crate::matcher::Operator;
use crate::reader::Look;
use crate::rows::{ABSENT, Row, Steps, is_absent};

impl Evaluator<'_> {
    pub(super) fn absent(&self, argument: &Node, steps: Steps, sink: Sink<'_>) -> Result<()> {
        let mut points = vec![1.0; steps.count];
        self.each(argument, steps, &mut |row| {
            for (point, value) in points.iter_mut().zip(row.points) {
                if !is_absent(value) {
                    *point = ABSENT;
                }
            }
            Ok(())
        })?;
        let selector = if let Node::Selector(selector) = argument { Some(selector) } else { None };
        sink(Row { labels: labels(selector), points })
    }

    pub(super) fn absent_over_time(&self, argument: &Node, steps: Steps, sink: Sink<'_>) -> Result<()> {
        let Node::Range(range) = argument else { return Ok(()) };
        let mut points = vec![1.0; steps.count];
        self.each_range(range, steps, Look::Values, &mut |_, samples| {
            let mut first = 0;
            for (step, point) in points.iter_mut().enumerate() {
                let to_ms = self.reference(range.time(), steps.at(step));
                let from_ms = to_ms - range.range_ms;
                first += samples[first..].iter().take_while(|sample| sample.at_ms <= from_ms).count();
                if samples.get(first).is_some_and(|sample| sample.at_ms <= to_ms) {
                    *point = ABSENT;
                }
            }
            Ok(())
        })?;
        let selector = match range {
            Range { of: Source::Selector(selector), .. } => Some(selector),
            Range { of: Source::Subquery { .. }, .. } => None,
        };
        sink(Row { labels: labels(selector), points })
    }
}

/// Labels that the missing series would have: those with one condition, which is `=`.
fn labels(selector: Option<&Selector>) -> Labels {
    let mut labels = Labels::default();
    let Some([matchers]) = selector.map(|selector| selector.sets.as_slice()) else { return labels };
    for matcher in matchers.iter().filter(|matcher| matcher.label != NAME) {
        let alone = matchers.iter().filter(|other| other.label == matcher.label).count() == 1;
        if alone && matcher.operator == Operator::Equal {
            labels.set(matcher.label.as_str(), matcher.value.as_str());
        }
    }
    labels
}
