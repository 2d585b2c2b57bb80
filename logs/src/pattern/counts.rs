//! How often a pattern is seen: by minute, over an hour, and whether it is periodic.

use serde::{Deserialize, Serialize};

const MINUTE_NS: u64 = 60_000_000_000;
/// Weight of one minute in the mean of an hour.
const MINUTE_WEIGHT: f64 = 1.0 / 60.0;
/// A count explodes beyond this many times the mean.
const EXPLODING_FACTOR: f64 = 10.0;
/// Added to the mean, so that a rare pattern does not explode by two lines.
const EXPLODING_FLOOR: f64 = 5.0;
/// How unlikely the count must be: natural logarithm of 1e-6.
const EXPLODING_LN_P: f64 = -13.815_510_557_964_274;
/// A pattern's mean says nothing before this.
const MIN_AGE_NS: u64 = 10 * MINUTE_NS;
/// Gaps that make a pattern periodic.
const MIN_GAPS: u32 = 10;
/// Standard deviation of a periodic pattern's gaps, in means.
const MAX_GAP_DEVIATION: f64 = 0.25;
/// Weight of a gap in their mean.
const GAP_WEIGHT: f64 = 0.1;
/// Lines within this time are one beat; also the shortest period.
const MIN_PERIOD_NS: f64 = 1e9;
/// A longer period is not followed.
const MAX_PERIOD_NS: f64 = 6.0 * 3_600e9;
/// Periods without a line after which a pattern has vanished.
const VANISHED_PERIODS: f64 = 5.0;

/// A finished minute of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Finished {
    /// Minutes since the Unix epoch.
    pub(super) minute: u64,
    pub(super) lines: u32,
}

/// Counts of one pattern. Times are Unix ns.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Counts {
    pub(super) first_ns: u64,
    pub(super) last_ns: u64,
    pub(super) lines: u64,
    minute: u64,
    in_minute: u32,
    /// Lines a minute, mean of the last hour.
    mean: f64,
    /// In the running minute: beyond this the pattern explodes.
    limit: u32,
    exploding: bool,
    beat_ns: u64,
    gaps: u32,
    gap_mean: f64,
    gap_variance: f64,
    vanished: bool,
}

impl Counts {
    pub(super) fn new(at_ns: u64) -> Self {
        let mut counts = Self {
            first_ns: at_ns,
            last_ns: at_ns,
            minute: at_ns / MINUTE_NS,
            beat_ns: at_ns,
            ..Self::default()
        };
        counts.limit = counts.limit_of_mean();
        counts
    }

    /// Lines in the running minute, and the mean of a minute before it.
    pub(super) fn rate(&self) -> (u32, f64) {
        (self.in_minute, self.mean)
    }

    /// Mean time between two beats, ns.
    pub(super) fn period_ns(&self) -> u64 {
        self.gap_mean as u64
    }

    /// Counts a line. Returns the minute that it finished, and whether the pattern explodes since this line. A line older than
    /// the running minute counts in it.
    pub(super) fn add(&mut self, at_ns: u64) -> (Option<Finished>, bool) {
        let finished = self.close(at_ns);
        self.lines = self.lines.saturating_add(1);
        self.in_minute = self.in_minute.saturating_add(1);
        self.last_ns = self.last_ns.max(at_ns);
        self.vanished = false;
        self.beat(at_ns);
        let explodes = self.in_minute > self.limit
            && !self.exploding
            && at_ns.saturating_sub(self.first_ns) >= MIN_AGE_NS
            && ln_poisson_tail(f64::from(self.in_minute), self.mean) < EXPLODING_LN_P;
        self.exploding |= explodes;
        (finished, explodes)
    }

    /// Ends the running minute, if `at_ns` lies behind it.
    pub(super) fn close(&mut self, at_ns: u64) -> Option<Finished> {
        let minute = at_ns / MINUTE_NS;
        if minute <= self.minute {
            return None;
        }
        let finished = Finished { minute: self.minute, lines: self.in_minute };
        self.exploding &= self.in_minute > self.limit / 2;
        self.mean += (f64::from(self.in_minute) - self.mean) * MINUTE_WEIGHT;
        let empty = (minute - self.minute - 1).min(10_000) as i32;
        self.mean *= (1.0 - MINUTE_WEIGHT).powi(empty);
        self.minute = minute;
        self.in_minute = 0;
        self.limit = self.limit_of_mean();
        (finished.lines > 0).then_some(finished)
    }

    /// Whether the pattern was periodic and has been absent since five periods; true once.
    pub(super) fn vanishes(&mut self, now_ns: u64) -> bool {
        let vanishes = !self.vanished
            && self.gaps >= MIN_GAPS
            && self.gap_variance.sqrt() <= MAX_GAP_DEVIATION * self.gap_mean
            && (MIN_PERIOD_NS..=MAX_PERIOD_NS).contains(&self.gap_mean)
            && now_ns.saturating_sub(self.last_ns) as f64 > VANISHED_PERIODS * self.gap_mean;
        self.vanished |= vanishes;
        vanishes
    }

    /// Adds what another pattern has counted, which this one absorbs. Whether it is periodic is found anew.
    pub(super) fn absorb(&mut self, other: &Self) {
        self.first_ns = self.first_ns.min(other.first_ns);
        self.last_ns = self.last_ns.max(other.last_ns);
        self.lines = self.lines.saturating_add(other.lines);
        self.mean += other.mean;
        if self.minute == other.minute {
            self.in_minute = self.in_minute.saturating_add(other.in_minute);
        }
        self.exploding |= other.exploding;
        self.gaps = 0;
        self.limit = self.limit_of_mean();
    }

    fn beat(&mut self, at_ns: u64) {
        let gap = at_ns.saturating_sub(self.beat_ns) as f64;
        if gap < MIN_PERIOD_NS {
            return;
        }
        self.beat_ns = at_ns;
        if self.gaps == 0 {
            self.gap_mean = gap;
            self.gap_variance = 0.0;
        } else {
            let off = gap - self.gap_mean;
            self.gap_mean += GAP_WEIGHT * off;
            self.gap_variance = (1.0 - GAP_WEIGHT) * (self.gap_variance + GAP_WEIGHT * off * off);
        }
        self.gaps = self.gaps.saturating_add(1);
    }

    fn limit_of_mean(&self) -> u32 {
        (EXPLODING_FACTOR * (self.mean + EXPLODING_FLOOR)) as u32
    }
}

/// Upper bound (Chernoff) of the logarithm of the chance that `count` or more are seen where `mean` are expected.
fn ln_poisson_tail(count: f64, mean: f64) -> f64 {
    let mean = mean.max(0.01);
    if count <= mean { 0.0 } else { count * (mean / count).ln() + count - mean }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn exploded(counts: &mut Counts, from_minute: u64, minutes: u64, per_minute: u64) -> usize {
        let mut found = 0;
        for minute in from_minute..from_minute + minutes {
            for nth in 0..per_minute {
                found += usize::from(counts.add(minute * MINUTE_NS + nth * MINUTE_NS / per_minute).1);
            }
        }
        found
    }

    #[test]
    fn ten_times_the_mean_explodes_once_until_it_is_over() {
        let mut counts = Counts::new(0);
        assert_eq!(exploded(&mut counts, 0, 120, 20), 0);
        assert_eq!(exploded(&mut counts, 120, 1, 200), 0, "10 x (17 + 5) = 220 is not passed");
        assert_eq!(exploded(&mut counts, 121, 3, 600), 1, "one report for three minutes");
        assert_eq!(exploded(&mut counts, 124, 60, 20), 0);
        assert_eq!(exploded(&mut counts, 184, 1, 1_000), 1);
    }

    #[test]
    fn a_pattern_without_a_past_does_not_explode() {
        let mut counts = Counts::new(0);
        assert_eq!(exploded(&mut counts, 0, 2, 10_000), 0);
    }

    #[test]
    fn what_comes_every_ten_seconds_vanishes_after_fifty() {
        let mut counts = Counts::new(0);
        for beat in 1..40 {
            counts.add(beat * 10 * SECOND + (beat % 3) * SECOND / 10);
        }
        assert!(!counts.vanishes(430 * SECOND));
        assert!(counts.vanishes(445 * SECOND));
        assert!(!counts.vanishes(460 * SECOND), "said once");
        counts.add(500 * SECOND);
        assert!(!counts.vanishes(501 * SECOND));
    }

    #[test]
    fn what_comes_at_random_never_vanishes() {
        let mut counts = Counts::new(0);
        let mut at = 0;
        for nth in 0..200_u64 {
            at += SECOND * [2, 31, 7, 90, 1, 14][(nth % 6) as usize];
            counts.add(at);
        }
        assert!(!counts.vanishes(at + 10_000 * SECOND));
    }

    #[test]
    fn counts_of_a_snapshot_that_was_tampered_with_do_not_overflow() {
        let hostile = r#"{"lines":18446744073709551615,"in_minute":4294967295,"gaps":4294967295,"mean":1e308,
            "minute":18446744073709551615,"beat_ns":18446744073709551615,"gap_mean":1e308,"gap_variance":1e308}"#;
        let mut counts: Counts = serde_json::from_str(hostile).unwrap();
        let other = counts.clone();
        counts.add(MINUTE_NS);
        counts.absorb(&other);
        counts.add(u64::MAX);
        counts.vanishes(u64::MAX);
        assert_eq!(counts.lines, u64::MAX);
    }

    #[test]
    fn a_clock_that_is_set_back_or_far_ahead_does_no_harm() {
        let mut counts = Counts::new(u64::MAX);
        counts.add(0);
        counts.add(u64::MAX);
        counts.close(u64::MAX);
        assert!(!counts.vanishes(u64::MAX));
    }
}
