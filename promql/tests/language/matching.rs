//! Labels: which series belong together, what they are called, and in which order they come.

use crate::common::Store;
use crate::{SECOND, ask, assert_close, constant, error, value, vector};

fn names(store: &Store, query: &str) -> Vec<String> {
    vector(store, query, 0).into_iter().map(|(labels, _)| labels).collect()
}

#[test]
fn arithmetic_drops_the_name_and_filters_keep_it() {
    let store = Store::of(SECOND, "x{a=\"1\"} 5\ny{a=\"1\"} 2");
    for (query, labels) in [
        ("x + 1", "{a=\"1\"}"),
        ("-x", "{a=\"1\"}"),
        ("x > 1", "x{a=\"1\"}"),
        ("1 < x", "x{a=\"1\"}"),
        ("x > bool 1", "{a=\"1\"}"),
        ("x * on(a) y", "{a=\"1\"}"),
        ("x > y", "x{a=\"1\"}"),
        ("x > on(a) y", "{a=\"1\"}"),
        // A name that was matched on is dropped all the same.
        ("x + on(__name__, a) x", "{a=\"1\"}"),
        ("abs(x)", "{a=\"1\"}"),
        ("last_over_time(x[1m])", "x{a=\"1\"}"),
        ("max_over_time(x[1m])", "{a=\"1\"}"),
        ("sum by (__name__) (x)", "x"),
        ("sum without (a) (x)", "{}"),
        ("x and y", "x{a=\"1\"}"),
    ] {
        assert_eq!(names(&store, query), [labels], "{query}");
    }
    assert_close(value(&store, "1 < x", 0), 5.0);
}

#[test]
fn series_match_by_all_labels_or_by_the_named_ones() {
    let store = Store::of(
        SECOND,
        "x{a=\"1\",b=\"1\"} 10\nx{a=\"2\",b=\"1\"} 20\ny{a=\"1\",c=\"1\"} 2\ny{a=\"2\",c=\"2\"} 4",
    );
    assert!(vector(&store, "x / y", 0).is_empty());
    assert_eq!(
        vector(&store, "x / on(a) y", 0),
        [("{a=\"1\"}".to_owned(), 5.0), ("{a=\"2\"}".to_owned(), 5.0)]
    );
    assert_eq!(vector(&store, "x / ignoring(b, c) y", 0).len(), 2);
}

#[test]
fn a_group_copies_labels_of_its_one_side() {
    let store = Store::of(
        SECOND,
        "cpu{pid=\"1\"} 1\ncpu{pid=\"2\"} 2\ninfo{comm=\"make\",pid=\"1\"} 1\ninfo{comm=\"cc\",pid=\"2\"} 1\nlimit 4",
    );
    assert_eq!(
        vector(&store, "cpu * on(pid) group_left(comm) info", 0),
        [("{comm=\"cc\",pid=\"2\"}".to_owned(), 2.0), ("{comm=\"make\",pid=\"1\"}".to_owned(), 1.0)]
    );
    assert_eq!(vector(&store, "cpu / on() group_left limit", 0).len(), 2);
    assert_close(vector(&store, "limit / on() group_right cpu", 0)[1].1, 2.0);
}

#[test]
fn what_has_several_partners_is_refused() {
    let store = Store::of(
        SECOND,
        "x{a=\"1\",b=\"1\"} 1\nx{a=\"1\",b=\"2\"} 2\ny{a=\"1\",c=\"1\"} 1\ny{a=\"1\",c=\"2\"} 2\nz{a=\"1\"} 1",
    );
    assert!(error(&store, "x + on(a) y", 0).contains("many-to-many matching not allowed"));
    assert!(error(&store, "x + on(a) z", 0).contains("must be explicit"));
    assert!(error(&store, "x + on(a) group_left z + on(a) group_left y", 0).contains("many-to-many"));
}

#[test]
fn the_same_labels_twice_are_refused() {
    let store = Store::of(SECOND, "x{a=\"1\"} 1 1\ny{a=\"1\"} 2 2");
    for query in [
        "abs({a=\"1\"})",
        "-{a=\"1\"}",
        "{a=\"1\"} + 1",
        "abs(topk(5, {a=\"1\"}))",
        "rate({a=\"1\"}[1m])",
        "sum(rate({a=\"1\"}[1m]))",
        "label_replace({a=\"1\"}, \"__name__\", \"z\", \"\", \"\")",
    ] {
        assert!(error(&store, query, SECOND).contains("same labelset"), "{query}");
    }
    // Filters keep the names apart.
    assert_eq!(vector(&store, "{a=\"1\"} > 0", SECOND).len(), 2);
}

#[test]
fn sets_go_by_labels_alone() {
    let store = Store::of(SECOND, "x{a=\"1\"} 1\nx{a=\"2\"} 2\ny{a=\"2\"} 3\ny{a=\"3\"} 4");
    assert_eq!(names(&store, "x and y"), ["x{a=\"2\"}"]);
    assert_eq!(names(&store, "x unless y"), ["x{a=\"1\"}"]);
    assert_eq!(names(&store, "x or y"), ["x{a=\"1\"}", "x{a=\"2\"}", "y{a=\"3\"}"]);
    assert_eq!(names(&store, "x and on() y"), ["x{a=\"1\"}", "x{a=\"2\"}"]);
}

#[test]
fn answers_are_sorted_by_labels_but_where_a_function_gives_the_order() {
    let store = Store::of(SECOND, "x{a=\"3\"} 1\nx{a=\"1\"} 2\nx{a=\"2\"} 3\nx{a=\"10\"} NaN");
    assert_eq!(names(&store, "x"), ["x{a=\"1\"}", "x{a=\"10\"}", "x{a=\"2\"}", "x{a=\"3\"}"]);
    assert_eq!(names(&store, "sort(x)"), ["x{a=\"3\"}", "x{a=\"1\"}", "x{a=\"2\"}", "x{a=\"10\"}"]);
    assert_eq!(names(&store, "sort_desc(x)"), ["x{a=\"2\"}", "x{a=\"1\"}", "x{a=\"3\"}", "x{a=\"10\"}"]);
    assert_eq!(names(&store, "topk(2, x)"), ["x{a=\"2\"}", "x{a=\"1\"}"]);
    assert_eq!(names(&store, "bottomk(2, x)"), ["x{a=\"3\"}", "x{a=\"1\"}"]);
    assert_eq!(
        names(&store, "sort_by_label(x, \"a\")"),
        ["x{a=\"1\"}", "x{a=\"2\"}", "x{a=\"3\"}", "x{a=\"10\"}"]
    );
}

#[test]
fn aggregations_compute_what_they_are_called() {
    let store = Store::of(SECOND, "x{a=\"1\"} 1\nx{a=\"2\"} 2\nx{a=\"3\"} 6");
    for (query, wanted) in [
        ("sum(x)", 9.0),
        ("avg(x)", 3.0),
        ("mean(x)", 3.0),
        ("min(x)", 1.0),
        ("max(x)", 6.0),
        ("count(x)", 3.0),
        ("group(x)", 1.0),
        ("stdvar(x)", 14.0 / 3.0),
        ("stddev(x)", (14.0f64 / 3.0).sqrt()),
        ("quantile(0.5, x)", 2.0),
        ("median(x)", 2.0),
        ("quantile(2, x)", f64::INFINITY),
        ("quantile(-1, x)", f64::NEG_INFINITY),
        ("count(limitk(2, x))", 2.0),
        ("count(limit_ratio(0.5, x) or limit_ratio(-0.5, x))", 3.0),
    ] {
        assert_close(value(&store, query, 0), wanted);
    }
    assert_eq!(names(&store, "count_values(\"v\", x / 2)"), ["{v=\"0.5\"}", "{v=\"1\"}", "{v=\"3\"}"]);
    assert_eq!(ask(&store, "quantile(2, x)", 0).expect("answer").warnings.len(), 1);
}

#[test]
fn histograms_are_read_from_their_buckets() {
    let store = Store::of(
        SECOND,
        "h_bucket{le=\"0.1\"} 10\nh_bucket{le=\"0.2\"} 30\nh_bucket{le=\"+Inf\"} 40\nbroken 1\nshort_bucket{le=\"+Inf\"} 3",
    );
    assert_close(value(&store, "histogram_quantile(0.5, h_bucket)", 0), 0.15);
    assert_close(value(&store, "histogram_quantile(0.9, h_bucket)", 0), 0.2);
    assert_close(value(&store, "histogram_quantile(0.1, h_bucket)", 0), 0.04);
    assert_close(value(&store, "histogram_quantile(1.1, h_bucket)", 0), f64::INFINITY);
    assert_close(value(&store, "histogram_fraction(0, 0.2, h_bucket)", 0), 0.75);
    assert!(value(&store, "histogram_quantile(0.5, short_bucket)", 0).is_nan());
    let answer = ask(&store, "histogram_quantile(0.5, broken)", 0).expect("answer");
    assert!(answer.warnings[0].contains("le"), "{:?}", answer.warnings);
}

#[test]
fn labels_are_replaced_where_the_whole_value_matches() {
    let store = Store::of(SECOND, "x{a=\"one-two\"} 1");
    let replaced =
        |text: &str| names(&store, &format!("label_replace(x, \"b\", \"$2-$1\", \"a\", \"{text}\")"));
    assert_eq!(replaced("(.*)-(.*)"), ["x{a=\"one-two\",b=\"two-one\"}"]);
    assert_eq!(replaced("(one)"), ["x{a=\"one-two\"}"]);
    assert_eq!(
        names(&store, "label_join(x, \"b\", \"+\", \"a\", \"a\")"),
        ["x{a=\"one-two\",b=\"one-two+one-two\"}"]
    );
}

#[test]
fn values_are_clamped_and_rounded() {
    assert_close(constant("scalar(clamp(vector(5), 1, 3))"), 3.0);
    assert!(constant("scalar(clamp(vector(5), 3, 1))").is_nan());
    assert_close(constant("scalar(round(vector(2.35), 0.1))"), 2.4);
    assert_close(constant("scalar(sgn(vector(-3)))"), -1.0);
    assert_close(constant("scalar(deg(vector(pi())))"), 180.0);
    assert_close(constant("scalar(vector(1) atan2 vector(1))"), std::f64::consts::FRAC_PI_4);
}

#[test]
fn a_counter_that_is_not_called_one_is_remarked() {
    let store = Store::of(SECOND, "x 1+1x9\nx_total 1+1x9");
    assert_eq!(ask(&store, "rate(x[10s])", 9 * SECOND).expect("answer").infos.len(), 1);
    assert!(ask(&store, "rate(x_total[10s])", 9 * SECOND).expect("answer").infos.is_empty());
}
