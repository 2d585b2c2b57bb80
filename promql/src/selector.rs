//! Series from the store: their values at steps, and their samples of ranges.

use std::collections::HashSet;

use crate::error::{QueryError, Result};
use crate::eval::plan::{Node, Range, Selector, Source, Time};
use crate::eval::{Evaluator, Sink};
use crate::labels::Labels;
use crate::reader::{Look, Sample, Series, Span, is_stale};
use crate::rows::{ABSENT, Row, Steps, is_absent};

/// Takes the samples of series one by one.
type SampleSink<'s> = &'s mut dyn FnMut(Labels, &[Sample]) -> Result<()>;

impl Evaluator<'_> {
    /// The newest value of each series at each step, unless it is older than the lookback or the series has ended; or the time
    /// of that value, in seconds.
    pub(crate) fn select(
        &self,
        selector: &Selector,
        steps: Steps,
        times: bool,
        sink: Sink<'_>,
    ) -> Result<()> {
        let lookback_ms = self.options.lookback_ms;
        let span = self.span(selector.time, steps, lookback_ms);
        self.read(selector, span, Look::Values, &mut |series| {
            let mut end = 0;
            let mut points = Vec::with_capacity(steps.count);
            for step in 0..steps.count {
                let at_ms = self.reference(selector.time, steps.at(step));
                end += series.samples[end..].iter().take_while(|sample| sample.at_ms <= at_ms).count();
                let newest = end.checked_sub(1).map(|newest| series.samples[newest]);
                points.push(match newest {
                    Some(sample) if sample.at_ms > at_ms - lookback_ms && !is_stale(sample.value) => {
                        if times { sample.at_ms as f64 / 1e3 } else { sample.value }
                    }
                    _ => ABSENT,
                });
            }
            sink(Row { labels: series.labels, points })
        })
    }

    /// The samples of each series in all spans of a range, without stale markers.
    pub(crate) fn each_range(
        &self,
        range: &Range,
        steps: Steps,
        look: Look,
        sink: SampleSink<'_>,
    ) -> Result<()> {
        match &range.of {
            Source::Selector(selector) => {
                let span = self.span(selector.time, steps, range.range_ms);
                self.read(selector, span, look, &mut |mut series| {
                    series.samples.retain(|sample| !is_stale(sample.value));
                    if series.samples.is_empty() { Ok(()) } else { sink(series.labels, &series.samples) }
                })
            }
            Source::Subquery { inner, step_ms, time } => {
                let step_ms = step_ms.unwrap_or(self.options.subquery_step_ms).max(1);
                self.subquery(inner, step_ms, self.span(*time, steps, range.range_ms), sink)
            }
        }
    }

    /// Evaluates an expression at all multiples of the step in the span.
    fn subquery(&self, inner: &Node, step_ms: i64, span: Span, sink: SampleSink<'_>) -> Result<()> {
        let from_ms = (span.from_ms.saturating_add(step_ms - 1)).div_euclid(step_ms) * step_ms;
        if from_ms > span.to_ms {
            return Ok(());
        }
        let count = usize::try_from((span.to_ms - from_ms) / step_ms + 1).unwrap_or(usize::MAX);
        let steps = Steps { from_ms, step_ms, count };
        // The values of one series, and its samples.
        let _charge = self.budget.take(count.saturating_mul(size_of::<f64>() + size_of::<Sample>()))?;
        let mut samples = Vec::new();
        self.each(inner, steps, &mut |row| {
            samples.clear();
            let present = row.points.iter().enumerate().filter(|(_, value)| !is_absent(**value));
            samples.extend(present.map(|(step, value)| Sample { at_ms: steps.at(step), value: *value }));
            if samples.is_empty() { Ok(()) } else { sink(row.labels, &samples) }
        })
    }

    /// The span that all steps together look at; each looks back so far, that moment excluded.
    pub(crate) fn span(&self, time: Time, steps: Steps, back_ms: i64) -> Span {
        let from_ms = self.reference(time, steps.at(0)).saturating_sub(back_ms).saturating_add(1);
        Span { from_ms, to_ms: self.reference(time, steps.last()) }
    }

    fn read(
        &self,
        selector: &Selector,
        span: Span,
        look: Look,
        sink: &mut dyn FnMut(Series) -> Result<()>,
    ) -> Result<()> {
        let mut seen = HashSet::new();
        for matchers in &selector.sets {
            let found = match look {
                Look::Values => self.reader.select(matchers, span)?,
                Look::Changes => self.reader.select_changes(matchers, span)?,
            };
            for series in found {
                let series = series.or_else(|error| {
                    // A store that knows the end gives up by itself.
                    self.options.check_time()?;
                    Err(QueryError::from(error))
                })?;
                self.options.check_time()?;
                // A series that fulfils several sets comes once.
                if selector.sets.len() > 1 && !seen.insert(series.labels.clone()) {
                    continue;
                }
                self.series.set(self.series.get() + 1);
                if self.series.get() > self.options.max_series {
                    return Err(QueryError::TooManySeries { limit: self.options.max_series });
                }
                let _charge = self.budget.take(series.samples.len() * size_of::<Sample>())?;
                sink(series)?;
            }
        }
        Ok(())
    }
}
