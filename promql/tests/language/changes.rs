//! Which functions look at the differences between samples alone: a store of amounts begins running sums for them where it likes.

use promql::{
    Labels, Matcher, NAME, Options, Query, ReadError, Reader, Sample, Series, SeriesIter, Span, Value,
};

/// A counter that rises by one a second; whoever looks at values sees it a million higher.
struct Amounts;

fn series(from: f64, span: Span) -> SeriesIter<'static> {
    let labels = Labels::new([(NAME.into(), "x_total".into())]);
    let seconds = span.from_ms.div_euclid(1_000) + 1..=span.to_ms.div_euclid(1_000);
    let samples =
        seconds.map(|second| Sample { at_ms: second * 1_000, value: from + second as f64 }).collect();
    Box::new(std::iter::once(Ok(Series { labels, samples })))
}

impl Reader for Amounts {
    fn select(&self, _: &[Matcher], span: Span) -> Result<SeriesIter<'_>, ReadError> {
        Ok(series(1e6, span))
    }

    fn select_changes(&self, _: &[Matcher], span: Span) -> Result<SeriesIter<'_>, ReadError> {
        Ok(series(0.0, span))
    }

    fn series(&self, _: &[Matcher], _: Span) -> Result<Vec<Labels>, ReadError> {
        Ok(Vec::new())
    }
}

fn value(query: &str) -> f64 {
    let answer = Query::parse(query).unwrap().instant(&Amounts, 1_000_500, &Options::default()).unwrap();
    let Value::Vector(vector) = answer.value else { panic!("{query}") };
    vector[0].sample.value
}

#[test]
fn functions_of_differences_take_a_sum_that_begins_anywhere() {
    for query in
        ["rate(x_total[10s])", "irate(x_total[10s])", "deriv(x_total[10s])", "increase(x_total[10s]) / 10"]
    {
        assert!((value(query) - 1.0).abs() < 1e-9, "{query}");
    }
    for (query, wanted) in
        [("changes(x_total[10s])", 9.0), ("resets(x_total[10s])", 0.0), ("idelta(x_total[10s])", 1.0)]
    {
        assert!((value(query) - wanted).abs() < 1e-9, "{query}");
    }
    // These look at the values.
    for query in ["x_total", "last_over_time(x_total[10s])", "max_over_time(x_total[10s])", "sum(x_total)"] {
        assert!((value(query) - 1_001_000.0).abs() < 1e-6, "{query}");
    }
    assert!(value("predict_linear(x_total[10s], 0)") > 1e6);
    // The differences of a rate are taken of the rate, that of values of the values.
    assert!((value("max_over_time(rate(x_total[10s])[20s:5s])") - 1.0).abs() < 1e-9);
    assert!(value("rate(x_total[10s]) + x_total") > 1e6);
}
