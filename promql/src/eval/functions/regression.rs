//! Lines through samples, and smoothing.

use super::Window;
use crate::error::{QueryError, Result};
use crate::rows::ABSENT;
use crate::sum::Sum;

/// Slope by second and value at `zero_ms` of the line through the samples with the least squares. Nothing without two samples.
fn line(window: &Window<'_>, zero_ms: i64) -> Option<(f64, f64)> {
    if window.samples.len() < 2 {
        return None;
    }
    let first = window.first().value;
    if window.values().all(|value| value.to_bits() == first.to_bits()) {
        return Some(if first.is_finite() { (0.0, first) } else { (f64::NAN, f64::NAN) });
    }
    let (mut sum_x, mut sum_y, mut sum_xy, mut sum_xx) =
        (Sum::default(), Sum::default(), Sum::default(), Sum::default());
    for sample in window.samples {
        let x = (sample.at_ms - zero_ms) as f64 / 1e3;
        sum_x.add(x);
        sum_y.add(sample.value);
        sum_xy.add(x * sample.value);
        sum_xx.add(x * x);
    }
    let (count, x, y) = (window.samples.len() as f64, sum_x.value(), sum_y.value());
    let slope = (sum_xy.value() - x * y / count) / (sum_xx.value() - x * x / count);
    Some((slope, y / count - slope * x / count))
}

pub(super) fn deriv(window: &Window<'_>, _: &[f64]) -> f64 {
    line(window, window.first().at_ms).map_or(ABSENT, |(slope, _)| slope)
}

pub(super) fn predict_linear(window: &Window<'_>, parameters: &[f64]) -> f64 {
    line(window, window.at_ms).map_or(ABSENT, |(slope, now)| slope * parameters[0] + now)
}

/// Fails where a factor of the smoothing is not between 0 and 1.
pub(super) fn check_factors(factors: &[f64]) -> Result<()> {
    match factors.iter().find(|factor| !(**factor > 0.0 && **factor < 1.0)) {
        Some(factor) => Err(QueryError::Argument(format!(
            "factors of smoothing lie between 0 and 1, both excluded: {factor} does not"
        ))),
        None => Ok(()),
    }
}

/// Double exponential smoothing after Holt: a level and a trend, each of which forgets by its factor.
pub(super) fn smoothed(window: &Window<'_>, parameters: &[f64]) -> f64 {
    let (of_level, of_trend) = (parameters[0], parameters[1]);
    let [first, second, ..] = window.samples else { return ABSENT };
    let (mut level, mut trend) = (first.value, second.value - first.value);
    for value in window.values().skip(1) {
        let before = level;
        let forecast = before + trend;
        level = of_level * value + (1.0 - of_level) * forecast;
        trend = of_trend * (level - before) + (1.0 - of_trend) * trend;
    }
    level
}
