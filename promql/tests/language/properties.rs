//! What holds for any series: over many of them, made from a seed.

use promql::{STALE, Span};

use crate::common::{Numbers, Point, Store};
use crate::{Labels, SECOND, assert_close, range, vector};

/// A counter with gaps, resets and ends, and the same counter as it would be without resets.
fn counters(numbers: &mut Numbers) -> (Vec<Point>, Vec<Point>) {
    let (mut raw, mut unwrapped) = (Vec::new(), Vec::new());
    let (mut now, mut ever) = (1e6, 1e6);
    for _ in 0..120 {
        match numbers.below(12) {
            0 => {
                let first = numbers.below(50) as f64;
                // A reset that ends above the value before it cannot be seen.
                ever += if first < now { first } else { first - now };
                now = first;
            }
            kind @ (1 | 2) => {
                let point = if kind == 1 { Point::Missing } else { Point::Value(STALE) };
                raw.push(point);
                unwrapped.push(point);
                continue;
            }
            _ => {
                let more = numbers.below(100) as f64;
                now += more;
                ever += more;
            }
        }
        raw.push(Point::Value(now));
        unwrapped.push(Point::Value(ever));
    }
    (raw, unwrapped)
}

fn named(name: &str) -> Labels {
    Labels::new([("__name__".into(), name.into())])
}

/// The values of a store with a counter and its gauge, by seed.
fn store(seed: u64) -> Store {
    let mut numbers = Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let (raw, unwrapped) = counters(&mut numbers);
    let mut store = Store::default();
    store.add(named("raw_total"), &raw, SECOND);
    store.add(named("unwrapped"), &unwrapped, SECOND);
    store
}

#[test]
fn a_range_query_gives_what_instant_queries_give_at_its_steps() {
    let span = Span { from_ms: 3_500, to_ms: 130 * SECOND };
    for seed in 1..20 {
        let store = store(seed);
        for query in [
            "raw_total",
            "rate(raw_total[10s])",
            "increase(raw_total[7s])",
            "resets(raw_total[20s])",
            "irate(raw_total[5s])",
            "changes(raw_total[10s] offset 3s)",
            "avg_over_time(unwrapped[9s])",
            "quantile_over_time(0.3, raw_total[9s])",
            "deriv(unwrapped[15s])",
            "max_over_time(raw_total[20s:3s])",
            "absent_over_time(raw_total[2s])",
            "last_over_time(raw_total[4s])",
            "sum(rate(raw_total[10s])) / 2",
            "unwrapped - raw_total",
            "raw_total > 500",
            "absent(raw_total > 300)",
            "topk(1, {__name__=~\"raw_total|unwrapped\"})",
            "stddev_over_time(raw_total[11s])",
        ] {
            for (labels, values) in range(&store, query, span, 1_500) {
                for (step, found) in values.iter().enumerate() {
                    let at_ms = span.from_ms + 1_500 * step as i64;
                    let instant = vector(&store, query, at_ms);
                    let own =
                        instant.iter().find(|(own, _)| *own == labels.to_string()).map(|(_, value)| *value);
                    match (found, own) {
                        (Some(found), Some(own)) => assert_close(*found, own),
                        (None, None) => {}
                        other => panic!("{query} at {at_ms}, seed {seed}: {other:?}"),
                    }
                }
            }
        }
    }
}

#[test]
fn a_counter_that_was_reset_grows_as_one_that_was_not() {
    for seed in 1..50 {
        let store = store(seed);
        for at in 30..120 {
            let raw = vector(&store, "irate(raw_total[5s])", at * SECOND);
            let unwrapped = vector(&store, "irate(unwrapped[5s])", at * SECOND);
            assert_eq!(raw.len(), unwrapped.len());
            for ((_, raw), (_, unwrapped)) in raw.iter().zip(&unwrapped) {
                assert_close(*raw, *unwrapped);
            }
        }
        assert_close(crate::value(&store, "resets(unwrapped[5m])", 120 * SECOND), 0.0);
    }
}

#[test]
fn an_ended_series_is_gone_until_it_comes_back() {
    for seed in 1..50 {
        let store = store(seed);
        let samples = &store.series[0].samples;
        for at in 0..150 {
            let newest = samples.iter().rfind(|sample| sample.at_ms <= at * SECOND);
            let there = newest.is_some_and(|sample| !promql::is_stale(sample.value));
            assert_eq!(
                vector(&store, "raw_total", at * SECOND).len(),
                usize::from(there),
                "seed {seed}, {at} s"
            );
        }
    }
}

#[test]
fn an_increase_is_the_sum_of_the_steps_between_samples() {
    for seed in 1..50 {
        let store = store(seed);
        let samples: Vec<_> =
            store.series[0].samples.iter().filter(|sample| !promql::is_stale(sample.value)).collect();
        for to in (20..120).map(|second| second * SECOND) {
            let inside: Vec<_> =
                samples.iter().filter(|s| s.at_ms > to - 15 * SECOND && s.at_ms <= to).collect();
            let found = vector(&store, "increase(raw_total[15s])", to);
            let [first, .., last] = inside.as_slice() else {
                assert!(found.is_empty());
                continue;
            };
            let steps = inside.windows(2).map(|pair| {
                if pair[1].value < pair[0].value { pair[1].value } else { pair[1].value - pair[0].value }
            });
            let change: f64 = steps.sum();
            let seconds = |ms: i64| ms as f64 / 1e3;
            let sampled = seconds(last.at_ms - first.at_ms);
            let gap = sampled / (inside.len() - 1) as f64;
            let near = |distance: f64| if distance < 1.1 * gap { distance } else { gap / 2.0 };
            let mut before = near(seconds(first.at_ms - (to - 15 * SECOND)));
            if change > 0.0 {
                before = before.min(sampled * first.value / change);
            }
            let after = near(seconds(to - last.at_ms));
            assert_close(found[0].1, change * (sampled + before + after) / sampled);
        }
    }
}
