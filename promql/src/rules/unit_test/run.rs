//! Runs tests: all groups at each interval, then the queries.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{AlertTest, Failure, File, QueryTest, Test};
use crate::labels::Labels;
use crate::macros::Macros;
use crate::number;
use crate::options::Options;
use crate::query::Query;
use crate::reader::{STALE, Sample};
use crate::rules::series::Memory;
use crate::rules::{AlertState, Alerts, Context, Group, Rule};
use crate::value::{Element, Value};

/// Most evaluations of the groups in one test.
const MAX_EVALUATIONS: i64 = 100_000;
/// Relative difference that a fuzzy comparison allows.
const EPSILON: f64 = 1e-14;

/// A rule with what is known of it.
struct Known<'r> {
    rule: &'r Rule,
    alerts: Alerts,
    /// Series that it gave last.
    series: BTreeSet<Labels>,
}

impl File {
    /// What does not hold, of all tests.
    pub fn run(&self, groups: &[Group], macros: &Macros) -> Vec<Failure> {
        let mut ordered: Vec<&Group> = groups.iter().collect();
        let order = |group: &&Group| {
            self.group_order.iter().position(|name| *name == group.name).unwrap_or(self.group_order.len())
        };
        ordered.sort_by_key(order);
        self.tests.iter().flat_map(|test| self.one(test, &ordered, macros)).collect()
    }

    fn one(&self, test: &Test, groups: &[&Group], macros: &Macros) -> Vec<Failure> {
        let options = Options { subquery_step_ms: self.interval_ms, ..Options::default() };
        let mut memory = Memory::default();
        let mut waiting = samples(test);
        let mut known: Vec<(&Group, Vec<Known<'_>>)> =
            groups.iter().map(|group| (*group, rules(group))).collect();
        let last_ms =
            test.alerts.iter().map(|own| own.at_ms).chain(test.queries.iter().map(|own| own.at_ms)).max();
        let last_ms = last_ms.unwrap_or(0);
        if last_ms / self.interval_ms > MAX_EVALUATIONS {
            let text = format!("more than {MAX_EVALUATIONS} evaluations: make evaluation_interval longer");
            return vec![Failure { place: test.place, text }];
        }
        let mut failures = Vec::new();
        let mut at_ms = 0;
        while at_ms <= last_ms {
            take(&mut waiting, at_ms, &mut memory);
            for (group, rules) in &mut known {
                let errors = evaluate(group, rules, &mut memory, test, macros, &options, at_ms);
                failures.extend(errors.into_iter().map(|text| Failure { place: test.place, text }));
            }
            // Prometheus's own tests end at the first evaluation that fails, too.
            if !failures.is_empty() {
                return failures;
            }
            let due = |own: &&AlertTest| (at_ms..at_ms + self.interval_ms).contains(&own.at_ms);
            for expected in test.alerts.iter().filter(due) {
                failures.extend(alerts(expected, &known));
            }
            at_ms += self.interval_ms;
        }
        take(&mut waiting, last_ms, &mut memory);
        failures.extend(test.queries.iter().filter_map(|own| self.query(own, &memory, macros, &options)));
        failures
    }

    fn query(
        &self,
        test: &QueryTest,
        memory: &Memory,
        macros: &Macros,
        options: &Options<'_>,
    ) -> Option<Failure> {
        let failure = |text: String| Some(Failure { place: test.place, text });
        let head = format!("expr: {:?}, time: {}", test.query, number::duration(test.at_ms as f64 / 1e3));
        let answer = match Query::parse_with(&test.query, macros) {
            Ok(query) => query.instant(memory, test.at_ms, options).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let found: Vec<(Labels, f64)> = match answer.map(|answer| answer.value) {
            Err(error) => return failure(format!("{head}: {error}")),
            Ok(Value::Vector(elements)) => {
                elements.into_iter().map(|Element { labels, sample }| (labels, sample.value)).collect()
            }
            Ok(Value::Scalar(sample)) => vec![(Labels::default(), sample.value)],
            Ok(Value::String { .. } | Value::Matrix(_)) => {
                return failure(format!("{head}: its value is neither a vector nor a scalar"));
            }
        };
        let (mut found, mut wanted) = (found, test.samples.clone());
        found.sort_by(|a, b| a.0.cmp(&b.0));
        wanted.sort_by(|a, b| a.0.cmp(&b.0));
        let same = found.len() == wanted.len()
            && found.iter().zip(&wanted).all(|(a, b)| a.0 == b.0 && self.equal(a.1, b.1));
        if same {
            return None;
        }
        let list = |samples: &[(Labels, f64)]| {
            let one = |(labels, value): &(Labels, f64)| format!("{labels} {}", number::short(*value));
            samples.iter().map(one).collect::<Vec<_>>().join(", ")
        };
        failure(format!("{head}\n    exp: {}\n    got: {}", list(&wanted), list(&found)))
    }

    #[expect(clippy::float_cmp, reason = "promtool compares exactly")]
    fn equal(&self, a: f64, b: f64) -> bool {
        a == b || (self.fuzzy && (a - b).abs() <= EPSILON * a.abs().max(b.abs()))
    }
}

fn rules(group: &Group) -> Vec<Known<'_>> {
    let known = |rule| Known { rule, alerts: Alerts::default(), series: BTreeSet::new() };
    group.rules.iter().map(known).collect()
}

/// All samples of a test, the latest first.
fn samples(test: &Test) -> Vec<(i64, Labels, f64)> {
    let mut all: Vec<(i64, Labels, f64)> = Vec::new();
    for (labels, values) in &test.series {
        let present = values.iter().enumerate().filter_map(|(nth, value)| Some((nth, (*value)?)));
        all.extend(present.map(|(nth, value)| (nth as i64 * test.interval_ms, labels.clone(), value)));
    }
    all.sort_by_key(|(at_ms, ..)| std::cmp::Reverse(*at_ms));
    all
}

/// Moves the samples up to a moment into the store.
fn take(waiting: &mut Vec<(i64, Labels, f64)>, until_ms: i64, memory: &mut Memory) {
    while waiting.last().is_some_and(|(at_ms, ..)| *at_ms <= until_ms) {
        if let Some((at_ms, labels, value)) = waiting.pop() {
            memory.add(&labels, Sample { at_ms, value });
        }
    }
}

/// Evaluates a group. What its rules give is in the store before the next one reads.
fn evaluate(
    group: &Group,
    rules: &mut [Known<'_>],
    memory: &mut Memory,
    test: &Test,
    macros: &Macros,
    options: &Options<'_>,
    at_ms: i64,
) -> Vec<String> {
    let mut errors = Vec::new();
    for known in rules {
        let context = Context {
            reader: memory,
            options,
            macros,
            external_labels: &test.external_labels,
            external_url: &test.external_url,
            query_offset_ms: group.query_offset_ms,
            limit: group.limit,
        };
        let result = match known.rule {
            Rule::Record(rule) => rule.evaluate(&context, at_ms),
            Rule::Alert(rule) => {
                known.alerts.evaluate(rule, &context, at_ms).map(|_| known.alerts.series(at_ms))
            }
        };
        match result {
            Ok(elements) => {
                let mut now = BTreeSet::new();
                for element in elements {
                    memory.add(&element.labels, element.sample);
                    now.insert(element.labels);
                }
                for gone in known.series.difference(&now) {
                    memory.add(gone, Sample { at_ms, value: STALE });
                }
                known.series = now;
            }
            Err(error) => {
                let time = number::duration(at_ms as f64 / 1e3);
                errors.push(format!("rule: {}, time: {time}, err: {error}", known.rule.name()));
            }
        }
    }
    errors
}

/// Compares the alerts that fire with those that should.
fn alerts(expected: &AlertTest, known: &[(&Group, Vec<Known<'_>>)]) -> Option<Failure> {
    let of_name = |known: &&Known<'_>| matches!(known.rule, Rule::Alert(rule) if rule.name == expected.name);
    let firing =
        known.iter().flat_map(|(_, rules)| rules).filter(of_name).flat_map(|known| known.alerts.iter());
    let firing = firing.filter(|alert| alert.state == AlertState::Firing);
    let mut found: Vec<(Labels, Labels)> =
        firing.map(|alert| (alert.labels.clone(), alert.annotations.clone())).collect();
    let mut wanted = expected.alerts.clone();
    found.sort();
    wanted.sort();
    if found == wanted {
        return None;
    }
    let list = |alerts: &[(Labels, Labels)]| {
        let mut text = String::new();
        for (labels, annotations) in alerts {
            let _ = write!(text, "\n        Labels:{labels} Annotations:{annotations}");
        }
        text
    };
    let time = number::duration(expected.at_ms as f64 / 1e3);
    let text = format!(
        "alertname: {}, time: {time}\n    exp:{}\n    got:{}",
        expected.name,
        list(&wanted),
        list(&found)
    );
    Some(Failure { place: expected.place, text })
}
