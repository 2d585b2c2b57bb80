//! What a query may cost, and what hostile ones meet.

use std::cell::Cell;

use promql::{
    ErrorKind, Labels, MAX_DEPTH, MAX_QUERY_BYTES, Matcher, Options, ParseError, Query, QueryError,
    ReadError, Reader, Sample, Series, SeriesIter, Span, Value,
};

use crate::common::Store;
use crate::{MINUTE, SECOND};

const HOUR: i64 = 60 * MINUTE;

fn fails(store: &dyn Reader, query: &str, options: &Options<'_>) -> QueryError {
    Query::parse(query).expect(query).instant(store, HOUR, options).expect_err(query)
}

#[test]
fn a_range_with_too_many_steps_or_none_is_bad_data() {
    let query = Query::parse("x").expect("query");
    let store = Store::default();
    for (from_ms, to_ms, step_ms) in
        [(0, 11_000, 1), (0, i64::MAX, 1), (i64::MIN, i64::MAX, 1), (0, 10, 0), (0, 10, -1), (10, 0, 1)]
    {
        let error =
            query.range(&store, Span { from_ms, to_ms }, step_ms, &Options::default()).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::BadData, "{error}");
    }
    assert!(query.range(&store, Span { from_ms: 0, to_ms: 10_999 }, 1, &Options::default()).is_ok());
    let error = query.instant(&store, i64::MAX, &Options::default()).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::BadData);
}

#[test]
fn more_series_than_allowed_are_refused() {
    let store = Store::of(HOUR, "x{a=\"1\"} 1 1\nx{a=\"2\"} 1 1\nx{a=\"3\"} 1 1");
    let error = fails(&store, "x", &Options { max_series: 2, ..Options::default() });
    assert!(matches!(error, QueryError::TooManySeries { limit: 2 }));
    assert_eq!(error.kind(), ErrorKind::Execution);
    assert!(
        Query::parse("x")
            .expect("x")
            .instant(&store, HOUR, &Options { max_series: 3, ..Options::default() })
            .is_ok()
    );
}

#[test]
fn the_time_of_the_caller_is_kept() {
    let expired = || true;
    let store = Store::of(HOUR, "x 1 1");
    let error = fails(&store, "x", &Options { expired: Some(&expired), ..Options::default() });
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[test]
fn values_beyond_the_memory_are_refused_before_they_are_made() {
    let store = Store::of(HOUR, "x 1 1");
    for query in [
        "sum_over_time(vector(time())[100y:1ms])",
        "count_over_time(x[1000y:1ms])",
        "sum_over_time(sum_over_time(x[1y:1s])[1y:1s])",
    ] {
        let error = fails(&store, query, &Options::default());
        assert!(matches!(error, QueryError::TooMuchMemory { .. }), "{query}: {error}");
    }
}

#[test]
fn nesting_is_refused_before_it_meets_the_stack() {
    for (open, close) in
        [("(", ")"), ("-", ""), ("abs(", ")"), ("sum(", ")"), ("1+", ""), ("1^", ""), ("x[1s:1s]", "")]
    {
        let deep = |levels: usize| format!("{}{}{}", open.repeat(levels), "x", close.repeat(levels));
        let error = Query::parse(&deep(MAX_QUERY_BYTES / 10)).expect_err(open);
        assert!(matches!(error, ParseError::TooDeep { .. } | ParseError::TooLong { .. }), "{open}: {error}");
    }
}

/// On a thread with the 2 MiB that Rust gives to threads.
#[test]
fn the_deepest_query_is_evaluated_on_an_ordinary_stack() {
    let ask = || {
        let store = Store::of(HOUR, "x 1 1");
        for (open, close, depth) in
            [("(", ")", 1), ("-", "", 1), ("abs(", ")", 1), ("sum(", ")", 1), ("1+", "", 1), ("(1-", ")", 2)]
        {
            let levels = (MAX_DEPTH - 1) / depth;
            let query = format!("{}x{}", open.repeat(levels), close.repeat(levels));
            let parsed = Query::parse(&query).expect(open);
            parsed.instant(&store, HOUR, &Options::default()).expect("answer");
        }
        let subqueries = format!("{}x{}", "max_over_time(".repeat(60), "[1m:1m])".repeat(60));
        Query::parse(&subqueries).expect("query").instant(&store, HOUR, &Options::default()).expect("answer");
    };
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(ask).expect("a thread");
    thread.join().expect("no overflow");
}

#[test]
fn texts_that_are_no_queries_are_refused() {
    let long = format!("x{{a=\"{}\"}}", "a".repeat(1 << 20));
    assert!(matches!(Query::parse(&long), Err(ParseError::TooLong { .. })));
    for text in [
        "",
        "x[5m",
        "x{a=~\"(\"}",
        "rate(x)",
        "sum(x[5m])",
        "1 == 2",
        "x and 1",
        "histogram_count(x)",
        "x[5m] + 1",
        "{a=~\".*\"}",
        "topk(x, x)",
        "ln(0)",
        "x offset",
        "sum by (x",
        "\"a\" + 1",
        "x{a=\"b\" \u{0}}",
        "no_function(x)",
        "x + fill(1) y",
        "sum_over_time(x[5m:0s])",
    ] {
        assert!(Query::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_catastrophic_expression_is_harmless() {
    let store = Store::of(HOUR, &format!("x{{a=\"{}\"}} 1 1", "a".repeat(50_000)));
    let query = Query::parse("x{a=~\"(a+)+(a*)*b\"}").expect("query");
    let answer = query.instant(&store, HOUR, &Options::default()).expect("answer");
    assert_eq!(answer.value, Value::Vector(Vec::new()));
    let start = std::time::Instant::now();
    let large = "a=~\"((a{1,1000}){1,1000}){1,1000}\",".repeat(1_000);
    assert!(Query::parse(&format!("x{{{large}}}")).is_err());
    assert!(Query::parse(&format!("x{{{}}}", "a=~\"b\",".repeat(1_000))).is_err());
    assert!(start.elapsed().as_secs() < 5);
}

#[test]
fn a_store_that_fails_is_named() {
    struct Broken;
    impl Reader for Broken {
        fn select(&self, _: &[Matcher], _: Span) -> Result<SeriesIter<'_>, ReadError> {
            Ok(Box::new(std::iter::once(Err(ReadError { message: "disk".to_owned() }))))
        }

        fn series(&self, _: &[Matcher], _: Span) -> Result<Vec<Labels>, ReadError> {
            Ok(Vec::new())
        }
    }
    let error = fails(&Broken, "sum(x)", &Options::default());
    assert!(matches!(&error, QueryError::Read(cause) if cause.message == "disk"), "{error}");
}

/// Fifty series of a day by second, made while they are read; each would take 1.4 MB.
struct Day {
    read: Cell<usize>,
}

impl Reader for Day {
    fn select(&self, _: &[Matcher], span: Span) -> Result<SeriesIter<'_>, ReadError> {
        Ok(Box::new((0..50).map(move |nth| {
            self.read.set(self.read.get() + 1);
            let seconds = span.from_ms.div_euclid(SECOND) + 1..=span.to_ms.div_euclid(SECOND);
            let samples =
                seconds.map(|second| Sample { at_ms: second * SECOND, value: (second * nth) as f64 });
            let labels = [("__name__".into(), "x_total".into()), ("nth".into(), nth.to_string().into())];
            Ok(Series { labels: Labels::new(labels), samples: samples.collect() })
        })))
    }

    fn series(&self, _: &[Matcher], _: Span) -> Result<Vec<Labels>, ReadError> {
        Ok(Vec::new())
    }
}

#[test]
fn a_day_of_fifty_series_takes_the_memory_of_one() {
    let day = Day { read: Cell::new(0) };
    let query = Query::parse("sum(rate(x_total[5m]))").expect("query");
    let options = Options { max_bytes: 4 << 20, ..Options::default() };
    let span = Span { from_ms: 0, to_ms: 24 * HOUR };
    let answer = query.range(&day, span, MINUTE, &options).expect("answer");
    let Value::Matrix(matrix) = answer.value else { panic!("a matrix") };
    let last = matrix[0].samples.last().expect("samples").value;
    assert!((last - f64::from(49 * 50 / 2)).abs() < 1e-6, "{last}");
    assert_eq!(day.read.get(), 50);
}
