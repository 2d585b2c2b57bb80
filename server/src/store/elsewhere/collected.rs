//! Points of an answer, as they come: by series, with bounds.

use std::collections::HashMap;

use promql::{Labels, ReadError};

/// Most points of a query: 32 MiB.
const MAX_POINTS: usize = 2 << 20;
/// Most series.
const MAX_SERIES: usize = 20_000;

/// A series without its name, of one metric.
#[derive(Debug, Default)]
pub(super) struct OneSeries {
    /// Place of its metric among those that were asked for.
    pub(super) metric: usize,
    pub(super) labels: Labels,
    /// Unix time in ns, and value; in any order.
    pub(super) points: Vec<(i64, f64)>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) series: Vec<OneSeries>,
    places: HashMap<(usize, Labels), usize>,
    count: usize,
}

/// An error in words.
pub(super) fn failed(message: impl Into<String>) -> ReadError {
    ReadError { message: message.into() }
}

impl Collected {
    /// The place of a series; it may have come before.
    pub(super) fn series(&mut self, metric: usize, labels: Labels) -> Result<usize, ReadError> {
        let key = (metric, labels);
        if let Some(place) = self.places.get(&key) {
            return Ok(*place);
        }
        if self.series.len() >= MAX_SERIES {
            return Err(failed(format!(
                "the store has more than {MAX_SERIES} such series: name a host, a process or a metric in the query"
            )));
        }
        self.series.push(OneSeries { metric, labels: key.1.clone(), points: Vec::new() });
        self.places.insert(key, self.series.len() - 1);
        Ok(self.series.len() - 1)
    }

    /// Adds a point to the series of this place.
    pub(super) fn point(&mut self, place: usize, time: i64, value: f64) -> Result<(), ReadError> {
        if self.count >= MAX_POINTS {
            return Err(failed(format!(
                "the query reads more than {MAX_POINTS} points: ask for a shorter time or fewer series"
            )));
        }
        self.count += 1;
        self.series[place].points.push((time, value));
        Ok(())
    }

    /// The series, each in the order of its times, each time once.
    pub(super) fn ordered(mut self) -> Vec<OneSeries> {
        for series in &mut self.series {
            if !series.points.is_sorted_by(|(a, _), (b, _)| a < b) {
                series.points.sort_by_key(|(time, _)| *time);
                series.points.dedup_by_key(|(time, _)| *time);
            }
        }
        self.series
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_that_comes_in_parts_is_one_and_in_order() {
        let mut all = Collected::default();
        let labels = || Labels::new([("host".into(), "a".into())]);
        for (time, value) in [(2, 20.0), (1, 10.0), (2, 20.0)] {
            let place = all.series(0, labels()).unwrap();
            all.point(place, time, value).unwrap();
        }
        assert_eq!(all.series(1, labels()).unwrap(), 1, "another metric");
        assert_eq!(all.ordered()[0].points, [(1, 10.0), (2, 20.0)]);
    }

    #[test]
    fn there_is_a_bound() {
        let mut all = Collected { count: MAX_POINTS, ..Collected::default() };
        let place = all.series(0, Labels::default()).unwrap();
        assert!(all.point(place, 1, 1.0).unwrap_err().message.contains("shorter time"));
        let label = |nth: usize| Labels::new([("pid".into(), nth.to_string().into())]);
        let refused = (0..=MAX_SERIES).find_map(|nth| all.series(0, label(nth)).err());
        assert!(refused.unwrap().message.contains("such series"));
    }
}
