//! The names of `node_exporter` for what our series measure: public dashboards and rules ask for them.
//!
//! [`NodeNames`] stands before a [`Reader`]: it has all series of that, and each of [`table`] under its other name, with the
//! labels `instance` (the host) and `job="node"`. Values are the same in other units, with one difference: our running sums
//! begin with the first window of a series, those of `node_exporter` with the host. `rate` and `increase` do not see it. A series of
//! the same name and labels that a program has pushed goes before ours.

mod table;

use std::cell::RefCell;
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use promql::{
    Labels, Matcher, NAME, Operator, ReadError, Reader, Sample, Series, SeriesIter, Span, is_stale,
};

use crate::activity::matcher;
use table::{Row, TABLE, Value};

/// Our label that names the host, and theirs.
const HOST: (&str, &str) = ("host", "instance");
/// What dashboards choose the exporter by.
const JOB: (&str, &str) = ("job", "node");

/// All names that are there beside ours, each once.
pub fn names() -> impl Iterator<Item = &'static str> {
    let first =
        |(at, row): (usize, &'static Row)| (at == 0 || TABLE[at - 1].name != row.name).then_some(row.name);
    TABLE.iter().enumerate().filter_map(first)
}

/// A store that has these names, too.
#[derive(Debug, Clone, Copy)]
pub struct NodeNames<R>(pub R);

impl<R: Reader> Reader for NodeNames<R> {
    fn select(&self, matchers: &[Matcher], span: Span) -> Result<SeriesIter<'_>, ReadError> {
        both(matchers, |matchers| self.0.select(matchers, span))
    }

    fn select_changes(&self, matchers: &[Matcher], span: Span) -> Result<SeriesIter<'_>, ReadError> {
        both(matchers, |matchers| self.0.select_changes(matchers, span))
    }

    fn series(&self, matchers: &[Matcher], span: Span) -> Result<Vec<Labels>, ReadError> {
        let mut all = self.0.series(matchers, span)?;
        let pushed: HashSet<Labels> =
            all.iter().filter(|labels| is_theirs(labels.get(NAME))).cloned().collect();
        self.theirs(matchers, span, |labels| {
            if !pushed.contains(&labels) {
                all.push(labels);
            }
        })?;
        Ok(all)
    }

    // The store knows names and values without a list of all its series, which may be millions.

    fn label_names(&self, matchers: &[Matcher], span: Span) -> Result<Vec<String>, ReadError> {
        let mut all: BTreeSet<String> = self.0.label_names(matchers, span)?.into_iter().collect();
        self.theirs(matchers, span, |labels| all.extend(labels.iter().map(|(name, _)| name.to_string())))?;
        Ok(all.into_iter().collect())
    }

    fn label_values(&self, label: &str, matchers: &[Matcher], span: Span) -> Result<Vec<String>, ReadError> {
        let mut all: BTreeSet<String> = self.0.label_values(label, matchers, span)?.into_iter().collect();
        self.theirs(matchers, span, |labels| all.extend(Some(labels.get(label).to_owned())))?;
        all.remove("");
        Ok(all.into_iter().collect())
    }
}

impl<R: Reader> NodeNames<R> {
    /// Calls with the labels of each series that is there under a name of theirs: of hosts and devices, so they are few.
    fn theirs(
        &self,
        matchers: &[Matcher],
        span: Span,
        mut each: impl FnMut(Labels),
    ) -> Result<(), ReadError> {
        let rest = others(matchers);
        let mut known: HashMap<&str, Vec<Labels>> = HashMap::new();
        for row in rows(matchers) {
            let ours = match known.entry(row.metric) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let of_metric = matcher(NAME, Operator::Equal, row.metric)?;
                    new.insert(self.0.series(&[of_metric], span)?)
                }
            };
            let asked = row.asked();
            let theirs = ours.iter().filter(|labels| labels.fulfil(&asked)).map(|labels| row.labels(labels));
            theirs.filter(|labels| labels.fulfil(&rest)).for_each(&mut each);
        }
        Ok(())
    }
}

/// The series under both names, from what `select` finds under ours.
fn both<'a>(
    matchers: &[Matcher],
    select: impl Fn(&[Matcher]) -> Result<SeriesIter<'a>, ReadError>,
) -> Result<SeriesIter<'a>, ReadError> {
    let pushed = Rc::new(RefCell::new(HashSet::new()));
    let remembered = Rc::clone(&pushed);
    let own = select(matchers)?.inspect(move |series| {
        if let Ok(series) = series
            && is_theirs(series.labels.get(NAME))
        {
            remembered.borrow_mut().insert(series.labels.clone());
        }
    });
    let mut all: Vec<SeriesIter<'a>> = vec![Box::new(own)];
    for row in rows(matchers) {
        let rest = others(matchers);
        let pushed = Rc::clone(&pushed);
        let theirs = select(&row.asked())?.filter_map(move |series| match series {
            Ok(series) => {
                let series = row.renamed(series);
                let is_new = series.labels.fulfil(&rest) && !pushed.borrow().contains(&series.labels);
                is_new.then_some(Ok(series))
            }
            Err(error) => Some(Err(error)),
        });
        all.push(Box::new(theirs));
    }
    Ok(Box::new(all.into_iter().flatten()))
}

/// The rows whose names fulfil the conditions.
fn rows(matchers: &[Matcher]) -> impl Iterator<Item = &'static Row> {
    TABLE.iter().filter(|row| {
        matchers.iter().filter(|matcher| matcher.label == NAME).all(|own| own.matches(row.name))
    })
}

/// Whether a name is one of theirs: a `node_exporter` may have been scraped, and its metrics pushed.
fn is_theirs(name: &str) -> bool {
    TABLE.binary_search_by(|row| row.name.cmp(name)).is_ok()
}

/// The conditions on other labels than the name.
fn others(matchers: &[Matcher]) -> Vec<Matcher> {
    matchers.iter().filter(|matcher| matcher.label != NAME).cloned().collect()
}

impl Row {
    /// What to ask our store for.
    fn asked(&self) -> Vec<Matcher> {
        let equal = |(label, value)| Matcher::new(label, Operator::Equal, value).ok();
        let name = equal((NAME, self.metric));
        let only = self.only.and_then(|(label, value, operator)| Matcher::new(label, operator, value).ok());
        name.into_iter().chain(only).collect()
    }

    fn labels(&self, ours: &Labels) -> Labels {
        let text = |text: &str| Arc::<str>::from(text);
        let of_host = [(NAME, self.name), JOB, (HOST.1, ours.get(HOST.0))];
        let copied = self.copied.iter().map(|(theirs, label)| (*theirs, ours.get(label)));
        let pairs = of_host.into_iter().chain(copied).chain(self.added);
        Labels::new(pairs.map(|(name, value)| (text(name), text(value))))
    }

    fn renamed(&self, mut series: Series) -> Series {
        for sample in series.samples.iter_mut().filter(|sample| !is_stale(sample.value)) {
            sample.value = self.value(*sample);
        }
        Series { labels: self.labels(&series.labels), ..series }
    }

    fn value(&self, sample: Sample) -> f64 {
        let at = sample.at_ms as f64 / 1e3;
        match self.value {
            Value::Same => sample.value,
            Value::Seconds => sample.value / 1e9,
            Value::Pages => sample.value / 4096.0,
            Value::Kibibytes => sample.value / 1024.0,
            Value::Now => at,
            // To the second, as the kernel says it: the two clocks are not read at the same moment.
            Value::NowBeforeSeconds => (at - sample.value / 1e9).round(),
            Value::One => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use promql::{Options, Query, STALE, Value as Answer};

    use super::*;

    /// Series in memory.
    struct Memory(Vec<Series>);

    impl Reader for Memory {
        fn select(&self, matchers: &[Matcher], _: Span) -> Result<SeriesIter<'_>, ReadError> {
            let found: Vec<_> =
                self.0.iter().filter(|series| series.labels.fulfil(matchers)).cloned().map(Ok).collect();
            Ok(Box::new(found.into_iter()))
        }

        fn series(&self, matchers: &[Matcher], span: Span) -> Result<Vec<Labels>, ReadError> {
            self.select(matchers, span)?.map(|series| Ok(series?.labels)).collect()
        }
    }

    fn store() -> NodeNames<Memory> {
        let one = |text: &[(&str, &str)], values: &[f64]| {
            let labels = Labels::new(text.iter().map(|(name, value)| (Arc::from(*name), Arc::from(*value))));
            let samples = values
                .iter()
                .enumerate()
                .map(|(nth, value)| Sample { at_ms: 1000 * (nth as i64 + 1), value: *value });
            Series { labels, samples: samples.collect() }
        };
        NodeNames(Memory(vec![
            one(&[(NAME, "s7mpa_cpu_user_ns_total"), ("host", "a"), ("cpu", "0")], &[0.0, 5e8, 1e9]),
            one(&[(NAME, "s7mpa_cpu_user_ns_total"), ("host", "a"), ("cpu", "all")], &[0.0, 1e9, 2e9]),
            one(&[(NAME, "s7mpa_cpu_idle_ns_total"), ("host", "a"), ("cpu", "0")], &[0.0, 5e8, 1e9]),
            one(&[(NAME, "s7mpa_host_load1"), ("host", "a")], &[0.5, 0.7, STALE]),
            one(&[(NAME, "s7mpa_host_uptime_ns"), ("host", "a")], &[1e9, 2e9, 3e9]),
            one(&[(NAME, "s7mpa_memory_swap_in_bytes_total"), ("host", "a")], &[0.0, 8192.0, 8192.0]),
            one(&[(NAME, "s7mpa_host_load5"), ("host", "a")], &[0.5, 0.7, 0.9]),
            one(&[(NAME, "node_load5"), ("instance", "a"), ("job", "node")], &[5.0, 5.0, 5.0]),
            one(&[(NAME, "node_load5"), ("instance", "b:9100"), ("job", "node")], &[6.0, 6.0, 6.0]),
        ]))
    }

    fn ask(query: &str, at_ms: i64) -> Vec<(String, f64)> {
        let answer = Query::parse(query).unwrap().instant(&store(), at_ms, &Options::default()).unwrap();
        let Answer::Vector(elements) = answer.value else { panic!("{query}") };
        elements.into_iter().map(|one| (one.labels.to_string(), one.sample.value)).collect()
    }

    #[test]
    fn queries_of_public_dashboards_have_answers_in_their_units() {
        let seconds = r#"node_cpu_seconds_total{cpu="0",instance="a",job="node",mode="user"}"#;
        assert_eq!(
            ask(r#"node_cpu_seconds_total{mode="user"}"#, 3000),
            [(seconds.to_owned(), 1.0)],
            "no sum of all CPUs"
        );
        assert_eq!(
            ask(r#"sum by (instance) (irate(node_cpu_seconds_total{mode!="idle"}[5s]))"#, 3000),
            [("{instance=\"a\"}".to_owned(), 0.5)]
        );
        assert_eq!(ask("node_vmstat_pswpin", 3000)[0].1.to_bits(), 2f64.to_bits());
        assert_eq!(ask("node_boot_time_seconds", 3000)[0].1.to_bits(), 0f64.to_bits());
        assert_eq!(ask("node_time_seconds", 2500)[0].1.to_bits(), 2f64.to_bits(), "of the newest window");
        assert_eq!(ask("node_load1", 2000)[0].1.to_bits(), 0.7f64.to_bits());
        assert!(ask("node_load1", 3000).is_empty(), "what has ended has ended under both names");
        assert_eq!(ask(r#"node_uname_info{nodename="a"}"#, 2000).len(), 1);
        assert!(ask(r#"node_load1{instance="b"}"#, 2000).is_empty());
    }

    #[test]
    fn what_a_node_exporter_was_scraped_for_goes_before_ours_and_comes_once() {
        let values: Vec<f64> = ask("sort(node_load5)", 2000).into_iter().map(|(_, value)| value).collect();
        assert_eq!(format!("{values:?}"), "[5.0, 6.0]");
        let name = Matcher::new(NAME, Operator::Equal, "node_load5").unwrap();
        assert_eq!(store().series(&[name], Span { from_ms: 0, to_ms: 3000 }).unwrap().len(), 2);
    }

    #[test]
    fn ours_are_there_as_before_and_patterns_find_both() {
        assert_eq!(ask("s7mpa_host_load1", 2000).len(), 1);
        assert_eq!(ask(r#"{__name__=~".+_load1"}"#, 2000).len(), 2);
        assert_eq!(ask(r#"count({__name__=~"node_cpu.*"})"#, 2000), [("{}".to_owned(), 2.0)]);
        let span = Span { from_ms: 0, to_ms: 3000 };
        let equal = |label: &str, value: &str| Matcher::new(label, Operator::Equal, value).unwrap();
        assert_eq!(
            store().label_values("mode", &[equal(NAME, "node_cpu_seconds_total")], span).unwrap(),
            ["idle", "user"]
        );
        assert!(store().label_values(NAME, &[], span).unwrap().contains(&"node_load1".to_owned()));
    }

    #[test]
    fn names_and_values_are_those_of_all_series() {
        let span = Span { from_ms: 0, to_ms: 3000 };
        let all = store().series(&[], span).unwrap();
        let sorted = |mut texts: Vec<String>| {
            texts.retain(|text| !text.is_empty());
            texts.sort_unstable();
            texts.dedup();
            texts
        };
        let names = all.iter().flat_map(|labels| labels.iter().map(|(name, _)| name.to_string())).collect();
        assert_eq!(store().label_names(&[], span).unwrap(), sorted(names));
        for label in [NAME, "instance", "host", "cpu", "mode", "none"] {
            let values = all.iter().map(|labels| labels.get(label).to_owned()).collect();
            assert_eq!(store().label_values(label, &[], span).unwrap(), sorted(values), "{label}");
        }
    }

    #[test]
    fn every_row_names_a_metric_that_there_is_and_no_series_comes_twice() {
        use agent_common::wire::registry::{self, Kind};
        assert!(names().count() >= 60, "{}", names().count());
        for row in &TABLE {
            let amount = row.metric.strip_suffix("_total").unwrap_or(row.metric);
            let field = registry::measurements().find_map(|measurement| {
                let field = amount.strip_prefix(measurement.name)?.strip_prefix('_')?;
                measurement.fields.iter().find(|own| own.name == field)
            });
            let field = field.unwrap_or_else(|| panic!("{} is none of ours", row.metric));
            assert_eq!(row.metric.ends_with("_total"), field.kind == Kind::Counter, "{}", row.metric);
        }
        let mut all: Vec<_> = TABLE.iter().map(|row| (row.name, row.added)).collect();
        assert!(all.is_sorted_by_key(|(name, _)| *name));
        all.dedup();
        assert_eq!(all.len(), TABLE.len());
    }
}
