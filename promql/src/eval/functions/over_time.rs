//! What the samples of a span are together.

use super::{OfWindow, Window};
use crate::rows::ABSENT;
use crate::sum::{Mean, Sum, Variance, quantile};

pub(super) fn find(name: &str) -> Option<OfWindow> {
    Some(match name {
        "avg_over_time" => |window, _| {
            let mut mean = Mean::default();
            window.values().for_each(|value| mean.add(value));
            mean.value()
        },
        "count_over_time" => |window, _| window.samples.len() as f64,
        "mad_over_time" => |window, _| mad(window),
        "max_over_time" => |window, _| window.samples[extreme(window, |value, most| value > most)].value,
        "min_over_time" => |window, _| window.samples[extreme(window, |value, least| value < least)].value,
        "present_over_time" => |_, _| 1.0,
        "quantile_over_time" => {
            |window, parameters| quantile(parameters[0], &mut window.values().collect::<Vec<_>>())
        }
        "stddev_over_time" => |window, _| variance(window).sqrt(),
        "stdvar_over_time" => |window, _| variance(window),
        "sum_over_time" => |window, _| {
            let mut sum = Sum::default();
            window.values().for_each(|value| sum.add(value));
            sum.value()
        },
        "ts_of_first_over_time" => |window, _| window.first().at_ms as f64 / 1e3,
        "ts_of_last_over_time" => |window, _| window.last().at_ms as f64 / 1e3,
        "ts_of_max_over_time" => |window, _| at(window, |value, most| value >= most),
        "ts_of_min_over_time" => |window, _| at(window, |value, least| value <= least),
        _ => return None,
    })
}

pub(super) fn first(window: &Window<'_>, _: &[f64]) -> f64 {
    window.samples.first().map_or(ABSENT, |sample| sample.value)
}

pub(super) fn last(window: &Window<'_>, _: &[f64]) -> f64 {
    window.samples.last().map_or(ABSENT, |sample| sample.value)
}

fn variance(window: &Window<'_>) -> f64 {
    let mut variance = Variance::default();
    window.values().for_each(|value| variance.add(value));
    variance.value()
}

/// Median of the distances from the median.
fn mad(window: &Window<'_>) -> f64 {
    let mut values: Vec<f64> = window.values().collect();
    let median = quantile(0.5, &mut values);
    for value in &mut values {
        *value = (*value - median).abs();
    }
    quantile(0.5, &mut values)
}

/// The place of the sample that beats all before it. Any number beats a NaN.
fn extreme(window: &Window<'_>, beats: fn(f64, f64) -> bool) -> usize {
    let mut best = 0;
    for (place, value) in window.values().enumerate() {
        let leader = window.samples[best].value;
        if beats(value, leader) || leader.is_nan() {
            best = place;
        }
    }
    best
}

/// When the extreme was, Unix time in seconds.
fn at(window: &Window<'_>, beats: fn(f64, f64) -> bool) -> f64 {
    window.samples[extreme(window, beats)].at_ms as f64 / 1e3
}
