//! Prometheus's API: VictoriaMetrics, as a store of our points.
//!
//! Only samples are asked for, as they were written. What the store would make of them is its own: VictoriaMetrics neither
//! extrapolates a rate nor ends a series as Prometheus does.

mod answer;

use std::fmt::Write as _;

use promql::ReadError;

use super::collected::{Collected, failed};
use super::conditions::{Condition, passed_on};
use super::language::{Question, What};
use super::metrics::Metric;
use super::wire::Wire;
use crate::store::samples::MS;

/// Metrics that one request asks for.
const METRICS_A_REQUEST: usize = 50;

/// A request to the API. What writes to VictoriaMetrics may do so below `/influx`, where nothing can be read.
fn post(wire: &Wire<'_>, path: &str) -> reqwest::RequestBuilder {
    wire.post_without("/influx", path)
}

/// Whether there is such an API.
pub(super) fn answers(wire: &Wire<'_>) -> Result<bool, ReadError> {
    wire.answers(post(wire, "/api/v1/query").form(&[("query", "1"), ("time", "4")]), "resultType")
}

/// Names of all metrics.
pub(super) fn metrics(wire: &Wire<'_>) -> Result<Vec<Metric>, ReadError> {
    let mut metrics = Vec::new();
    // From the beginning of time: without it Prometheus's own answer is complete, VictoriaMetrics' of the newest days.
    wire.lines(post(wire, "/api/v1/label/__name__/values").form(&[("start", "0")]), &mut |line| {
        metrics.extend(answer::names(line)?.into_iter().map(|name| Metric::new("", name)));
        Ok(())
    })?;
    Ok(metrics)
}

/// Asks, and takes the answer apart.
pub(super) fn ask(wire: &Wire<'_>, question: &Question<'_>, into: &mut Collected) -> Result<(), ReadError> {
    // Sums have no names any more.
    let together = if question.what == What::Sum { 1 } else { METRICS_A_REQUEST };
    let (from_ms, to_ms) = (ceil(question.times.start), (question.times.end - 1).div_euclid(MS));
    if to_ms < from_ms {
        return Ok(());
    }
    for (nth, metrics) in question.metrics.chunks(together).enumerate() {
        let selector = selector(metrics, question);
        // Beyond the first moment, which a range leaves out.
        let range = format!("{selector}[{}ms]", to_ms - from_ms + 1);
        let seconds = |ms: i64| format!("{}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000));
        let request = match question.what {
            What::Any => post(wire, "/api/v1/series").form(&[
                ("match[]", &*selector),
                ("start", &seconds(from_ms)),
                ("end", &seconds(to_ms)),
            ]),
            What::Points => {
                post(wire, "/api/v1/query").form(&[("query", &*range), ("time", &seconds(to_ms))])
            }
            What::Sum => {
                let sum = format!("sum_over_time({range})");
                post(wire, "/api/v1/query").form(&[("query", &*sum), ("time", &seconds(to_ms))])
            }
        };
        let mut take = |line: &[u8]| collect(line, question, nth * together, metrics, into);
        wire.lines(request, &mut take)?;
    }
    Ok(())
}

/// Takes an answer; `first`: place of the first of `metrics` among those of the question.
pub(super) fn collect(
    line: &[u8],
    question: &Question<'_>,
    first: usize,
    metrics: &[Metric],
    into: &mut Collected,
) -> Result<(), ReadError> {
    let found = match question.what {
        What::Any => answer::series(line)?,
        What::Points | What::Sum => answer::samples(line)?,
    };
    for one in found {
        let place = match (&*one.name, metrics) {
            ("", [_]) => Some(0),
            (name, _) => metrics.iter().position(|metric| metric.field == name),
        };
        let Some(place) = place else {
            let name: String = one.name.chars().take(100).collect();
            return Err(failed(format!("the store sent series {name:?}, which was not asked for")));
        };
        let series = into.series(first + place, one.labels)?;
        for (ms, value) in one.samples {
            let time = ms.saturating_mul(MS);
            if question.times.contains(&time) || question.what == What::Sum {
                into.point(series, time, value)?;
            }
        }
    }
    Ok(())
}

fn ceil(ns: i64) -> i64 {
    -(-ns).div_euclid(MS)
}

/// `{__name__="m",host="a"}`
fn selector(metrics: &[Metric], question: &Question<'_>) -> String {
    let mut all = match metrics {
        [only] => format!("{{__name__={}", text(&only.field)),
        several => {
            let names: Vec<_> = several.iter().map(|metric| literal(&metric.field)).collect();
            format!("{{__name__=~{}", text(&names.join("|")))
        }
    };
    for condition in passed_on(question.matchers) {
        // What is no name of Prometheus 2 cannot be written for all stores.
        let is_name = |label: &str| {
            label.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                && !label.starts_with(|c: char| c.is_ascii_digit())
        };
        let _ = match condition {
            Condition::Is(label, value) if is_name(label) => write!(all, ",{label}={}", text(value)),
            Condition::Matches(label, value) if is_name(label) => write!(all, ",{label}=~{}", text(value)),
            Condition::Is(..) | Condition::Matches(..) => Ok(()),
        };
    }
    all.push('}');
    all
}

/// A text in double quotes, as Go writes it.
fn text(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '"' | '\\' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// An expression that a text alone fulfils.
fn literal(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if !(c.is_alphanumeric() || c == '_' || c == ':') && c.is_ascii() {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use promql::{Matcher, Operator};

    use super::*;

    #[test]
    fn a_selector_says_all_that_can_be_said_and_nothing_ends_a_text() {
        let matchers = [
            Matcher::new("host", Operator::Equal, "a\"} or up{x=\"\\\n").unwrap(),
            Matcher::new("comm", Operator::Matches, "b|c").unwrap(),
            Matcher::new("a-b", Operator::Equal, "d").unwrap(),
            Matcher::new("pid", Operator::NotEqual, "7").unwrap(),
        ];
        let asked = |metrics: &[Metric]| {
            selector(metrics, &Question { what: What::Points, metrics, matchers: &matchers, times: 0..1 })
        };
        let rest = r#"host="a\"} or up{x=\"\\\n",comm=~"b|c"}"#;
        assert_eq!(asked(&[Metric::new("", "m")]), format!("{{__name__=\"m\",{rest}"));
        assert_eq!(
            asked(&[Metric::new("", "m"), Metric::new("", "a.b")]),
            format!("{{__name__=~\"m|a\\\\.b\",{rest}")
        );
    }

    #[test]
    fn times_are_rounded_into_the_span() {
        assert_eq!([0, 1, MS, MS + 1].map(ceil), [0, 1, 1, 2]);
    }
}
