//! The store, and in front of it what the rules of a group have just recorded: the next rule reads it, too.

use std::collections::BTreeMap;

use promql::{Element, Labels, Matcher, ReadError, Reader, Sample, Series, SeriesIter, Span};

/// See the module.
pub(super) struct Overlay<'a> {
    below: &'a dyn Reader,
    recorded: BTreeMap<Labels, Sample>,
}

impl<'a> Overlay<'a> {
    pub(super) fn new(below: &'a dyn Reader) -> Self {
        Self { below, recorded: BTreeMap::new() }
    }

    pub(super) fn record(&mut self, elements: impl IntoIterator<Item = Element>) {
        self.recorded.extend(elements.into_iter().map(|element| (element.labels, element.sample)));
    }

    pub(super) fn into_recorded(self) -> BTreeMap<Labels, Sample> {
        self.recorded
    }
}

impl Reader for Overlay<'_> {
    fn select(&self, matchers: &[Matcher], span: Span) -> Result<SeriesIter<'_>, ReadError> {
        let is_new = |(labels, sample): &(&Labels, &Sample)| {
            (span.from_ms..=span.to_ms).contains(&sample.at_ms) && labels.fulfil(matchers)
        };
        let mut new: BTreeMap<Labels, Sample> =
            self.recorded.iter().filter(is_new).map(|(labels, sample)| (labels.clone(), *sample)).collect();
        let mut below = self.below.select(matchers, span)?;
        Ok(Box::new(std::iter::from_fn(move || match below.next() {
            Some(Ok(mut series)) => {
                if let Some(sample) = new.remove(&series.labels) {
                    // It was recorded at this very moment before, by a program that was stopped then.
                    series.samples.retain(|own| own.at_ms < sample.at_ms);
                    series.samples.push(sample);
                }
                Some(Ok(series))
            }
            Some(Err(error)) => Some(Err(error)),
            None => new.pop_first().map(|(labels, sample)| Ok(Series { labels, samples: vec![sample] })),
        })))
    }

    fn series(&self, matchers: &[Matcher], span: Span) -> Result<Vec<Labels>, ReadError> {
        let mut all = self.below.series(matchers, span)?;
        let new = self.recorded.keys().filter(|labels| labels.fulfil(matchers) && !all.contains(labels));
        let new: Vec<Labels> = new.cloned().collect();
        all.extend(new);
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use promql::{NAME, Options, Query, Value};

    use super::*;

    struct One(Series);

    impl Reader for One {
        fn select(&self, matchers: &[Matcher], _: Span) -> Result<SeriesIter<'_>, ReadError> {
            let found = self.0.labels.fulfil(matchers).then(|| Ok(self.0.clone()));
            Ok(Box::new(found.into_iter()))
        }

        fn series(&self, matchers: &[Matcher], _: Span) -> Result<Vec<Labels>, ReadError> {
            Ok(self.0.labels.fulfil(matchers).then(|| self.0.labels.clone()).into_iter().collect())
        }
    }

    #[test]
    fn what_was_just_recorded_is_the_newest_of_its_series() {
        let labels = |name: &str| Labels::new([(NAME.into(), name.into())]);
        let sample = |at_ms, value| Sample { at_ms, value };
        let below = One(Series { labels: labels("a"), samples: vec![sample(0, 1.0), sample(1000, 2.0)] });
        let mut overlay = Overlay::new(&below);
        for (name, value) in [("a", 5.0), ("b", 7.0)] {
            overlay.record([Element { labels: labels(name), sample: sample(2000, value) }]);
        }
        let ask = |query: &str| {
            let answer = Query::parse(query).unwrap().instant(&overlay, 2000, &Options::default()).unwrap();
            let Value::Vector(vector) = answer.value else { panic!("{query}") };
            vector.iter().map(|one| one.sample.value.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(ask("a"), ["5"]);
        assert_eq!(ask("max_over_time(b[5s])"), ["7"]);
        assert_eq!(ask("sum_over_time(a[5s])"), ["8"]);
        assert_eq!(ask("count({__name__=~\"a|b\"})"), ["2"]);
        assert_eq!(overlay.series(&[], Span { from_ms: 0, to_ms: 2000 }).unwrap().len(), 2);
    }
}
