//! Spans of samples that slide over a series.

use super::{OfWindow, rate};
use crate::error::{QueryError, Result};
use crate::eval::plan::{Call, Node, Range};
use crate::eval::{Evaluator, Sink};
use crate::reader::{Look, Sample};
use crate::rows::{ABSENT, Row, Steps};

/// The samples of a series after `from_ms`, up to and with `to_ms`; at least one.
pub(crate) struct Window<'a> {
    pub(crate) samples: &'a [Sample],
    /// Where in the series they begin.
    first: usize,
    /// Where the series falls below its value before.
    falls: &'a [usize],
    pub(crate) from_ms: i64,
    pub(crate) to_ms: i64,
    /// The step of the query: without `@` and `offset` it is `to_ms`.
    pub(crate) at_ms: i64,
}

impl<'a> Window<'a> {
    /// The pairs of neighbours of which the second is smaller: resets, of a counter.
    pub(crate) fn falls(&self) -> impl Iterator<Item = (f64, f64)> {
        let begin = self.falls.partition_point(|at| *at <= self.first);
        let inside = self.falls[begin..].iter().map(|at| at - self.first);
        inside
            .take_while(|at| *at < self.samples.len())
            .map(|at| (self.samples[at - 1].value, self.samples[at].value))
    }

    pub(crate) fn values(&self) -> impl DoubleEndedIterator<Item = f64> + ExactSizeIterator + use<'a> {
        self.samples.iter().map(|sample| sample.value)
    }

    pub(crate) fn first(&self) -> Sample {
        self.samples[0]
    }

    pub(crate) fn last(&self) -> Sample {
        self.samples[self.samples.len() - 1]
    }

    /// The span in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        (self.to_ms - self.from_ms) as f64 / 1e3
    }
}

/// Steps between two looks at the time.
const STEPS_UNCHECKED: usize = 256;

impl Evaluator<'_> {
    /// Calls a function for the span of each step, series by series.
    pub(super) fn call_window(
        &self,
        call: &Call,
        of_window: OfWindow,
        steps: Steps,
        sink: Sink<'_>,
    ) -> Result<()> {
        let Some((range, node)) = call.arguments.iter().find_map(|argument| match argument {
            Node::Range(range) => Some((range, argument)),
            _ => None,
        }) else {
            return Err(QueryError::Argument(format!("{} has no range", call.name)));
        };
        let parameters = self.parameters(call, steps)?;
        if call.name == "quantile_over_time" {
            for shares in &parameters {
                self.check_shares(shares);
            }
        }
        let named = !call.function.drops_name();
        let one = |samples: &[Sample], labels: crate::Labels| -> Result<Row> {
            let points = self.slide(samples, range, steps, &parameters, of_window)?;
            if matches!(call.name, "rate" | "increase")
                && points.iter().any(|value| !crate::rows::is_absent(*value))
            {
                self.check_counter(&labels);
            }
            Ok(Row { labels: if named { labels } else { labels.nameless() }, points })
        };
        let look = if rate::is_of_changes(call.name) { Look::Changes } else { Look::Values };
        if named || node.is_distinct_without_name() {
            return self.each_range(range, steps, look, &mut |labels, samples| sink(one(samples, labels)?));
        }
        let mut merged = crate::rows::Merged::new(&self.budget)?;
        self.each_range(range, steps, look, &mut |labels, samples| merged.push(one(samples, labels)?))?;
        merged.rows().drain(sink)
    }

    fn slide(
        &self,
        samples: &[Sample],
        range: &Range,
        steps: Steps,
        parameters: &[Vec<f64>],
        of_window: OfWindow,
    ) -> Result<Vec<f64>> {
        let falls: Vec<usize> =
            (1..samples.len()).filter(|at| samples[*at].value < samples[at - 1].value).collect();
        let time = range.time();
        let mut own = [0.0; 2];
        let (mut first, mut end) = (0, 0);
        let mut points = Vec::with_capacity(steps.count);
        for step in 0..steps.count {
            if step % STEPS_UNCHECKED == 0 {
                self.options.check_time()?;
            }
            let at_ms = steps.at(step);
            let to_ms = self.reference(time, at_ms);
            let from_ms = to_ms - range.range_ms;
            end += samples[end..].iter().take_while(|sample| sample.at_ms <= to_ms).count();
            first += samples[first..end].iter().take_while(|sample| sample.at_ms <= from_ms).count();
            for (own, parameter) in own.iter_mut().zip(parameters) {
                *own = parameter[step];
            }
            let window =
                Window { samples: &samples[first..end], first, falls: &falls, from_ms, to_ms, at_ms };
            points.push(if first == end { ABSENT } else { of_window(&window, &own) });
        }
        Ok(points)
    }
}
