//! Times: which samples a selector sees, and what changes between them.

use promql::{Options, Query, STALE, Span, Value};

use crate::common::Store;
use crate::{MINUTE, SECOND, ask, assert_close, constant, range, value, vector};

#[test]
fn a_range_leaves_its_first_moment_out() {
    let store = Store::of(SECOND, "x 0+1x600");
    assert_close(value(&store, "count_over_time(x[5m])", 300 * SECOND), 300.0);
    assert_close(value(&store, "min_over_time(x[10s])", 100 * SECOND), 91.0);
}

#[test]
fn a_sample_as_old_as_the_lookback_is_not_seen() {
    let store = Store::of(SECOND, "x 7");
    assert_close(value(&store, "x", 5 * MINUTE - 1), 7.0);
    assert!(vector(&store, "x", 5 * MINUTE).is_empty());
    let options = Options { lookback_ms: 10 * SECOND, ..Options::default() };
    let at =
        |at_ms| Query::parse("x").expect("query").instant(&store, at_ms, &options).expect("answer").value;
    assert!(matches!(at(9_999), Value::Vector(vector) if vector.len() == 1));
    assert!(matches!(at(10_000), Value::Vector(vector) if vector.is_empty()));
}

#[test]
fn a_stale_marker_ends_a_series_at_once_and_other_nans_are_values() {
    let store = Store::of(SECOND, "ended 1 2 stale\nunknown 1 2 NaN");
    assert!(vector(&store, "ended", 2 * SECOND).is_empty());
    assert_close(value(&store, "ended", 2 * SECOND - 1), 2.0);
    assert!(value(&store, "unknown", 2 * SECOND).is_nan());
    assert!(!promql::is_stale(f64::NAN) && promql::is_stale(STALE));
    // A range has no markers in it.
    assert_close(value(&store, "count_over_time(ended[1m])", 10 * SECOND), 2.0);
    assert_close(value(&store, "count_over_time(unknown[1m])", 10 * SECOND), 3.0);
}

#[test]
fn a_rate_reaches_to_the_borders_where_samples_come_close_to_them() {
    let store = Store::of(SECOND, "x_total 100+3x600");
    assert_close(value(&store, "rate(x_total[1m])", 300 * SECOND), 3.0);
    assert_close(value(&store, "increase(x_total[1m])", 300 * SECOND), 180.0);
    // 20 samples, then nothing: 19 gaps, one before the first sample, half of one after the last.
    let store = Store::of(SECOND, "x_total 100+3x19");
    assert_close(value(&store, "increase(x_total[30s])", 29 * SECOND), 57.0 * (19.0 + 1.0 + 0.5) / 19.0);
}

#[test]
fn a_counter_that_begins_in_the_range_is_not_extended_below_zero() {
    // From 1 on it would meet zero 1/3 s before its first sample.
    let store = Store::of(SECOND, "x_total 1+3x19");
    assert_close(value(&store, "increase(x_total[30s])", 19 * SECOND), 57.0 * (19.0 + 1.0 / 3.0) / 19.0);
    assert_close(value(&store, "delta(x_total[30s])", 19 * SECOND), 57.0 * (19.0 + 0.5) / 19.0);
}

#[test]
fn one_sample_has_no_rate() {
    let store = Store::of(10 * SECOND, "x_total 1+1x10");
    for query in ["rate(x_total[10s])", "irate(x_total[10s])", "delta(x_total[10s])", "deriv(x_total[10s])"] {
        assert!(vector(&store, query, 50 * SECOND).is_empty(), "{query}");
    }
    assert_close(value(&store, "rate(x_total[20s])", 50 * SECOND), 0.1);
}

#[test]
fn a_reset_adds_the_value_before_it() {
    let store = Store::of(10 * SECOND, "x_total 10 20 30 5 15");
    // 20 to 30, then 5, then 10 more, over 30 of 40 s.
    assert_close(value(&store, "increase(x_total[40s])", 40 * SECOND), 25.0 / 30.0 * 40.0);
    assert_close(value(&store, "resets(x_total[50s])", 40 * SECOND), 1.0);
    assert_close(value(&store, "irate(x_total[50s])", 30 * SECOND), 0.5);
    assert_close(value(&store, "idelta(x_total[50s])", 30 * SECOND), -25.0);
    assert_close(value(&store, "changes(x_total[50s])", 40 * SECOND), 4.0);
}

#[test]
fn lines_go_through_the_samples() {
    let store = Store::of(SECOND, "x 5+2x60");
    assert_close(value(&store, "deriv(x[1m])", MINUTE), 2.0);
    assert_close(value(&store, "predict_linear(x[1m], 60)", MINUTE), 5.0 + 240.0);
    assert_close(value(&store, "predict_linear(x[30s] offset 30s, 60)", MINUTE), 5.0 + 240.0);
    let steady = Store::of(SECOND, "x 4+0x60");
    assert_close(value(&steady, "deriv(x[1m])", MINUTE), 0.0);
    assert_close(value(&steady, "double_exponential_smoothing(x[1m], 0.5, 0.5)", MINUTE), 4.0);
    assert_close(value(&steady, "holt_winters(x[1m], 0.5, 0.5)", MINUTE), 4.0);
    assert!(ask(&steady, "double_exponential_smoothing(x[1m], 1, 0.5)", MINUTE).is_err());
}

#[test]
fn at_and_offset_belong_to_their_selector() {
    let store = Store::of(SECOND, "x 0+1x1000");
    assert_close(value(&store, "x @ 100", 500 * SECOND), 100.0);
    assert_close(value(&store, "x @ 100 offset 10s + x", 500 * SECOND), 590.0);
    assert_close(value(&store, "x offset -10s", 500 * SECOND), 510.0);
    assert_close(value(&store, "sum_over_time(x[3s] @ 100)", 500 * SECOND), 98.0 + 99.0 + 100.0);
    let span = Span { from_ms: 100 * SECOND, to_ms: 102 * SECOND };
    let edges = range(&store, "x @ end() - x @ start()", span, SECOND);
    assert_eq!(edges[0].1, [Some(2.0); 3]);
}

#[test]
fn steps_of_a_subquery_are_multiples_of_it_whenever_it_is_asked() {
    let store = Store::of(SECOND, "x 0+1x1000");
    for at in [100, 101, 109] {
        // 80, 90 and 100 are of (…, …] each time.
        let from = format!("sum_over_time(x[{}s:10s])", at - 75);
        assert_close(value(&store, &from, at * SECOND), 80.0 + 90.0 + 100.0);
    }
    // (90, 120]: the first moment is left out here, too.
    assert_close(value(&store, "count_over_time(x[30s:10s])", 120 * SECOND), 3.0);
    assert_close(value(&store, "max_over_time(rate(x[10s])[1m:1s])", 500 * SECOND), 1.0);
}

#[test]
fn a_subquery_without_step_takes_the_one_of_the_options() {
    let store = Store::of(SECOND, "x 0+1x1000");
    assert_close(value(&store, "count_over_time(x[10m:])", 900 * SECOND), 10.0);
}

#[test]
fn operators_bind_as_in_mathematics() {
    assert_close(constant("-1^2"), -1.0);
    assert_close(constant("2^3^2"), 512.0);
    assert_close(constant("1 + 2 * 3 % 4"), 3.0);
    assert_close(constant("1 == bool 2"), 0.0);
    assert_close(constant("-5 % 3"), -2.0);
}

#[test]
fn times_of_samples_and_dates_are_read() {
    let store = Store::of(10 * SECOND, "x 0+1x10");
    assert_close(value(&store, "timestamp(x)", 55 * SECOND), 50.0);
    assert_close(value(&store, "timestamp(x + 0)", 55 * SECOND), 55.0);
    assert_close(value(&store, "time()", 1_500), 1.5);
    assert_close(value(&store, "year(vector(1709210096))", 0), 2024.0);
    assert_close(value(&store, "minute()", 61 * MINUTE), 1.0);
}

#[test]
fn absence_has_the_labels_that_are_known() {
    let store = Store::of(SECOND, "x{a=\"1\"} 1+0x100");
    assert_eq!(vector(&store, "absent(y{a=\"1\",b=~\"2.*\"})", MINUTE), [("{a=\"1\"}".to_owned(), 1.0)]);
    assert!(vector(&store, "absent(x)", MINUTE).is_empty());
    assert!(vector(&store, "absent_over_time(x[1m])", MINUTE).is_empty());
    assert_eq!(
        vector(&store, "absent_over_time(x{a=\"1\"}[10s])", 10 * MINUTE),
        [("{a=\"1\"}".to_owned(), 1.0)]
    );
}

#[test]
fn a_range_alone_gives_its_samples() {
    let store = Store::of(SECOND, "x 0+1x10 stale");
    let Value::Matrix(matrix) = ask(&store, "x[3s]", 11 * SECOND).expect("answer").value else {
        panic!("a matrix")
    };
    assert_eq!(matrix[0].samples.iter().map(|sample| sample.value).collect::<Vec<_>>(), [9.0, 10.0]);
}

#[test]
fn selectors_name_what_they_read() {
    let query = Query::parse("rate(x[5m] offset 1m) / on() y + sum_over_time(z[10m:1m] @ 0)").expect("query");
    let span = Span { from_ms: 100 * MINUTE, to_ms: 200 * MINUTE };
    let selections = query.selectors(span, &Options::default());
    let spans: Vec<(&str, i64, i64)> = selections
        .iter()
        .map(|selection| (selection.matchers[0].value.as_str(), selection.span.from_ms, selection.span.to_ms))
        .collect();
    assert_eq!(
        spans,
        [
            ("x", 94 * MINUTE + 1, 199 * MINUTE),
            ("y", 95 * MINUTE + 1, 200 * MINUTE),
            ("z", -15 * MINUTE + 2, 0),
        ]
    );
}
