//! Resolutions: how far the points of old time lie apart, and how much time a slot of them spans.

use std::time::Duration;

use super::Options;
use super::roll::SLOT_NS;

const SECOND_NS: i64 = 1_000_000_000;

/// A resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// From one point to the next; 0: points are as they were written.
    pub(super) ns: i64,
    /// Time that a slot spans; multiples of it are slots' borders.
    pub(super) slot_ns: i64,
}

/// As it was written.
pub(super) const WRITTEN: Step = Step { ns: 0, slot_ns: SLOT_NS };
/// 360 points in a slot.
pub(super) const TEN_SECONDS: Step = Step { ns: 10 * SECOND_NS, slot_ns: 6 * SLOT_NS };
/// 360 points in a slot.
pub(super) const MINUTE: Step = Step { ns: 60 * SECOND_NS, slot_ns: 36 * SLOT_NS };
/// Finest first; the slots of each fit into those of the next.
pub(super) const STEPS: [Step; 3] = [WRITTEN, TEN_SECONDS, MINUTE];

impl Step {
    /// The resolution with these steps.
    pub(super) fn of(ns: i64) -> Self {
        STEPS.into_iter().find(|step| step.ns == ns).unwrap_or(WRITTEN)
    }

    /// End of the slot that the time before `end_ns` belongs to.
    pub(super) fn slot_end(self, end_ns: i64) -> i64 {
        (end_ns - 1).div_euclid(self.slot_ns).saturating_add(1).saturating_mul(self.slot_ns)
    }

    /// Number of the step that a time belongs to: they are open on the left, as PromQL's ranges are, so the sum over a range of
    /// whole steps is that of its windows.
    pub(super) fn number(self, time: i64) -> i64 {
        time.saturating_sub(1).div_euclid(self.ns.max(1))
    }
}

/// From which age on there is which resolution.
pub(super) fn ages(options: &Options) -> [(Step, Step, Duration); 2] {
    [(WRITTEN, TEN_SECONDS, options.written_age), (TEN_SECONDS, MINUTE, options.ten_seconds_age)]
}

/// The SQL expression for the beginning of a slot's time.
pub(super) const BEGIN: &str = "end_ns - CASE step WHEN 10000000000 THEN 3600000000000 WHEN 60000000000 THEN 21600000000000 ELSE 600000000000 END";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_fit_into_each_other_and_hold_whole_steps() {
        for pair in STEPS.windows(2) {
            assert_eq!(pair[1].slot_ns % pair[0].slot_ns, 0);
            assert_eq!(pair[1].slot_ns % pair[1].ns, 0);
            assert!(BEGIN.contains(&format!("WHEN {} THEN {}", pair[1].ns, pair[1].slot_ns)));
        }
        assert_eq!(TEN_SECONDS.slot_end(SLOT_NS), 6 * SLOT_NS);
        assert_eq!(TEN_SECONDS.slot_end(6 * SLOT_NS), 6 * SLOT_NS);
        assert_eq!(TEN_SECONDS.slot_end(7 * SLOT_NS), 12 * SLOT_NS);
        let ten = TEN_SECONDS.ns;
        assert_eq!([1, ten, ten + 1].map(|time| TEN_SECONDS.number(time)), [0, 0, 1]);
    }
}
