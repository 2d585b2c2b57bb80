//! Any series over time: the numbers behind a graph.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;

use agent_common::wire::registry::{self, Kind};
use promql::{Matcher, NAME, Operator, ReadError, Reader, Sample, is_stale};
use serde::Serialize;

use super::{EVERY_WINDOW, Interval, matcher};

/// Series over the parts of an interval.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct OverTime {
    /// Windows that are known in each part; 0: nothing is known of it.
    pub windows: Vec<u32>,
    /// In the order of their labels.
    pub series: Vec<Line>,
    /// There are more of them than were asked for.
    pub more: bool,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// Its labels, the metric's name among them; the host is the one that was asked for.
    pub labels: BTreeMap<String, String>,
    /// Of a counter its amount of each part, of a gauge its last value in it; `None`: it has none.
    pub values: Vec<Option<f64>>,
}

/// The parts of an interval, `step_ms` each. A window belongs to the part in which it ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts {
    from_ms: i64,
    step_ms: i64,
    count: usize,
}

impl Parts {
    pub(super) fn of(interval: Interval, step_ms: i64) -> Self {
        let step_ms = step_ms.max(1);
        let count = (interval.to_ms - interval.from_ms + step_ms - 1) / step_ms;
        Self { from_ms: interval.from_ms, step_ms, count: usize::try_from(count).unwrap_or_default() }
    }

    /// How many there are.
    pub(super) const fn count(self) -> usize {
        self.count
    }

    /// In which one this window ends.
    pub(super) fn part(self, end_ms: i64) -> Option<usize> {
        // One that ends with a part belongs to it.
        let part = usize::try_from((end_ms - self.from_ms - 1).div_euclid(self.step_ms)).ok()?;
        (part < self.count).then_some(part)
    }
}

/// The windows that are known in each part.
#[derive(Debug)]
pub(super) struct Seen {
    parts: Parts,
    ends: Vec<BTreeSet<i64>>,
}

impl Seen {
    pub(super) fn new(parts: Parts) -> Self {
        Self { parts, ends: vec![BTreeSet::new(); parts.count()] }
    }

    /// Notes a window, and says in which part it ends.
    pub(super) fn window(&mut self, end_ms: i64) -> Option<usize> {
        let part = self.parts.part(end_ms)?;
        self.ends[part].insert(end_ms);
        Some(part)
    }

    /// How many there are in each.
    pub(super) fn counts(&self) -> Vec<u32> {
        self.ends.iter().map(|ends| ends.len() as u32).collect()
    }
}

/// Which metrics are amounts of windows.
static KINDS: LazyLock<HashMap<String, Kind>> = LazyLock::new(|| {
    let fields = registry::measurements().flat_map(|measurement| {
        measurement.fields.iter().map(|field| (format!("{}_{}", measurement.name, field.name), field.kind))
    });
    fields.collect()
});

/// The series of a host that fulfil one of these sets of conditions, over the parts of an interval: at most so many.
pub fn over_time(
    reader: &dyn Reader,
    host: &str,
    sets: &[Vec<Matcher>],
    interval: Interval,
    step_ms: i64,
    most: usize,
) -> Result<OverTime, ReadError> {
    let parts = Parts::of(interval, step_ms);
    let of_host = matcher("host", Operator::Equal, host)?;
    let mut seen = Seen::new(parts);
    for series in
        reader.select(&[matcher(NAME, Operator::Equal, EVERY_WINDOW)?, of_host.clone()], interval.span())?
    {
        for sample in series?.samples.iter().filter(|sample| !is_stale(sample.value)) {
            seen.window(sample.at_ms);
        }
    }
    let mut found: BTreeMap<BTreeMap<String, String>, Vec<Option<f64>>> = BTreeMap::new();
    let mut more = false;
    'sets: for set in sets {
        let matchers: Vec<Matcher> = set.iter().cloned().chain([of_host.clone()]).collect();
        for series in reader.select(&matchers, interval.span())? {
            let series = series?;
            let own = series.labels.iter().filter(|(name, _)| &***name != "host");
            let labels: BTreeMap<String, String> =
                own.map(|(name, value)| (name.to_string(), value.to_string())).collect();
            if found.len() >= most && !found.contains_key(&labels) {
                more = true;
                break 'sets;
            }
            let kind = KINDS.get(series.labels.get(NAME)).copied().unwrap_or(Kind::Gauge);
            let values = found.entry(labels).or_insert_with(|| vec![None; parts.count()]);
            // It may fulfil two of the sets: its amounts count once.
            values.fill(None);
            spread(&series.samples, kind, parts, values);
        }
    }
    Ok(OverTime {
        windows: seen.counts(),
        series: found.into_iter().map(|(labels, values)| Line { labels, values }).collect(),
        more,
    })
}

fn spread(samples: &[Sample], kind: Kind, parts: Parts, values: &mut [Option<f64>]) {
    for sample in samples.iter().filter(|sample| !is_stale(sample.value)) {
        let Some(part) = parts.part(sample.at_ms) else { continue };
        values[part] = Some(match kind {
            Kind::Counter => values[part].unwrap_or_default() + sample.value,
            Kind::Gauge => sample.value,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Memory;
    use super::*;

    fn named(name: &str) -> Vec<Matcher> {
        vec![matcher(NAME, Operator::Matches, name).unwrap()]
    }

    #[test]
    fn counters_are_summed_in_each_part_and_of_gauges_the_last_value_stays() {
        let mut store = Memory(Vec::new());
        let labels = [("host", "a"), ("device", "sda")];
        store.add(EVERY_WINDOW, &[("host", "a")], &[1.0, 2.0, 3.0, 4.0, 5.0]);
        store.add("s7mpa_disk_read_bytes", &labels, &[1.0, 2.0, 4.0, 8.0, 16.0]);
        store.add("s7mpa_disk_read_bytes", &[("host", "b"), ("device", "sda")], &[100.0; 5]);
        store.add("s7mpa_disk_in_flight", &labels, &[7.0, 5.0]);
        let interval = Interval { from_ms: 0, to_ms: 6_000 };
        // The second set has the first one's series, too.
        let sets = [named("s7mpa_disk_read_bytes"), named("s7mpa_disk_.*")];
        let found = over_time(&store, "a", &sets, interval, 2_000, 10).unwrap();
        assert_eq!(found.windows, [2, 2, 1]);
        let of = |name: &str| &found.series.iter().find(|line| line.labels[NAME] == name).unwrap().values;
        assert_eq!(of("s7mpa_disk_read_bytes"), &[Some(3.0), Some(12.0), Some(16.0)]);
        assert_eq!(of("s7mpa_disk_in_flight"), &[Some(5.0), None, None]);
        assert!(found.series.iter().all(|line| !line.labels.contains_key("host")));
        assert!(!found.more);
        let one = over_time(&store, "a", &sets, interval, 2_000, 1).unwrap();
        assert!(one.more && one.series.len() == 1);
    }

    #[test]
    fn a_window_that_ends_with_a_part_belongs_to_it() {
        let parts = Parts::of(Interval { from_ms: 10_000, to_ms: 13_500 }, 1_000);
        assert_eq!(parts.count(), 4);
        let of = |end| parts.part(end);
        assert_eq!((of(10_000), of(10_001), of(11_000), of(11_001)), (None, Some(0), Some(0), Some(1)));
        assert_eq!((of(14_000), of(14_001)), (Some(3), None));
    }
}
