//! How fast a series changes.

use super::{OfWindow, Window, regression};
use crate::rows::ABSENT;

pub(super) fn find(name: &str) -> Option<OfWindow> {
    Some(match name {
        "rate" => |window, _| extrapolated(window, true).map_or(ABSENT, |change| change / window.seconds()),
        "increase" => |window, _| extrapolated(window, true).unwrap_or(ABSENT),
        "delta" => |window, _| extrapolated(window, false).unwrap_or(ABSENT),
        "irate" => |window, _| newest(window, true),
        "idelta" => |window, _| newest(window, false),
        "changes" => changes,
        "resets" => |window, _| window.falls().count() as f64,
        "deriv" => regression::deriv,
        "predict_linear" => regression::predict_linear,
        _ => return None,
    })
}

/// Whether a function of a range has the same result when a constant is added to all samples; but for the borders, to which
/// [`extrapolated`] extends no counter below zero.
pub(super) fn is_of_changes(name: &str) -> bool {
    matches!(name, "rate" | "increase" | "irate" | "delta" | "idelta" | "deriv" | "changes" | "resets")
}

/// Gap between a sample and the border of the span beyond which the series is taken to begin or end inside of the span, in mean
/// gaps between samples.
const MAX_GAP: f64 = 1.1;

/// The change over the whole span: that between the first and the last sample, extended to the borders where the samples reach
/// close to them, else by half a mean gap. A counter that begins in the span is not extended below zero, and what it lost at a
/// reset is added. One sample says nothing.
fn extrapolated(window: &Window<'_>, counter: bool) -> Option<f64> {
    if window.samples.len() < 2 {
        return None;
    }
    let (first, last) = (window.first(), window.last());
    let mut change = last.value - first.value;
    if counter {
        // One after the other, as Prometheus adds them: the order shows where the values are far apart.
        change = window.falls().fold(change, |change, (before, _)| change + before);
    }
    let sampled = seconds(first.at_ms, last.at_ms);
    let gap = sampled / (window.samples.len() - 1) as f64;
    let reach = |distance: f64| if distance >= gap * MAX_GAP { gap / 2.0 } else { distance };
    let mut before = reach(seconds(window.from_ms, first.at_ms));
    if counter && change > 0.0 && first.value >= 0.0 {
        // Where the line through the samples meets zero.
        before = before.min(sampled * (first.value / change));
    }
    let after = reach(seconds(last.at_ms, window.to_ms));
    Some(change * ((sampled + before + after) / sampled))
}

fn seconds(from_ms: i64, to_ms: i64) -> f64 {
    (to_ms - from_ms) as f64 / 1e3
}

/// The change between the two newest samples; of a counter by second.
fn newest(window: &Window<'_>, counter: bool) -> f64 {
    let [.., before, last] = window.samples else { return ABSENT };
    if !counter {
        return last.value - before.value;
    }
    let change = if last.value < before.value { last.value } else { last.value - before.value };
    change / seconds(before.at_ms, last.at_ms)
}

#[expect(clippy::float_cmp, reason = "a change is any difference")]
fn changes(window: &Window<'_>, _: &[f64]) -> f64 {
    let differ = |pair: &&[crate::Sample]| {
        let (before, after) = (pair[0].value, pair[1].value);
        before != after && !(before.is_nan() && after.is_nan())
    };
    window.samples.windows(2).filter(differ).count() as f64
}
