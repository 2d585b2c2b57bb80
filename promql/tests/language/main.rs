//! The language over a store in memory: what Prometheus 3 means, in small examples.

#[path = "../common/mod.rs"]
mod common;

mod bounds;
mod changes;
mod matching;
mod properties;
mod ranges;
mod rules;

use common::Store;
use promql::{Answer, Labels, Options, Query, QueryError, Span, Value};

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;

/// The answer at one moment.
fn ask(store: &Store, query: &str, at_ms: i64) -> Result<Answer, QueryError> {
    Query::parse(query).unwrap_or_else(|error| panic!("{query}: {error}")).instant(
        store,
        at_ms,
        &Options::default(),
    )
}

/// The series and values at one moment, in the order of the answer.
fn vector(store: &Store, query: &str, at_ms: i64) -> Vec<(String, f64)> {
    let answer = ask(store, query, at_ms).unwrap_or_else(|error| panic!("{query}: {error}"));
    match answer.value {
        Value::Vector(vector) => {
            vector.into_iter().map(|element| (element.labels.to_string(), element.sample.value)).collect()
        }
        Value::Scalar(sample) => vec![(String::new(), sample.value)],
        other => panic!("{query}: {other:?}"),
    }
}

/// The only value at one moment.
fn value(store: &Store, query: &str, at_ms: i64) -> f64 {
    match vector(store, query, at_ms).as_slice() {
        [(_, value)] => *value,
        other => panic!("{query}: {other:?}"),
    }
}

/// The value of a query that reads nothing.
fn constant(query: &str) -> f64 {
    value(&Store::default(), query, 0)
}

fn error(store: &Store, query: &str, at_ms: i64) -> String {
    ask(store, query, at_ms).expect_err(query).to_string()
}

/// Series with the values of a range, `None` where there is none.
fn range(store: &Store, query: &str, span: Span, step_ms: i64) -> Vec<(Labels, Vec<Option<f64>>)> {
    let parsed = Query::parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
    let answer = parsed.range(store, span, step_ms, &Options::default());
    let answer = answer.unwrap_or_else(|error| panic!("{query}: {error}"));
    let Value::Matrix(matrix) = answer.value else { panic!("{query}: no matrix") };
    let steps = (span.to_ms - span.from_ms) / step_ms;
    let at = |series: &promql::Series, step: i64| {
        let at_ms = span.from_ms + step * step_ms;
        series.samples.iter().find(|sample| sample.at_ms == at_ms).map(|sample| sample.value)
    };
    matrix
        .iter()
        .map(|series| (series.labels.clone(), (0..=steps).map(|step| at(series, step)).collect()))
        .collect()
}

#[track_caller]
fn assert_close(value: f64, wanted: f64) {
    let same = (value.is_nan() && wanted.is_nan())
        || value.to_bits() == wanted.to_bits()
        || (value - wanted).abs() <= 1e-9 * value.abs().max(wanted.abs());
    assert!(same, "{value} is not {wanted}");
}
