//! Differences of kernel counters that may wrap or start over.

/// Values of a 32-bit counter.
const RANGE: u64 = 1 << 32;

/// How far a counter moved from `before` to `now`.
///
/// A counter that went backwards either wrapped at 32 bits (`/proc/diskstats` prints its times as `unsigned int`;
/// some drivers count bytes in 32 bits) or started over at 0 (interface re-created, device re-attached, CPU
/// taken off and on). It is a wrap where both readings fit 32 bits and the way around is shorter than half the
/// range; otherwise everything since the restart is what is there now.
#[must_use]
pub(super) const fn delta(now: u64, before: u64) -> u64 {
    if now >= before {
        return now - before;
    }
    if before < RANGE {
        let around = RANGE - before + now;
        if around < RANGE / 2 {
            return around;
        }
    }
    now
}

/// How far a time counter moved that the kernel may correct downwards (`idle` and `iowait` of `/proc/stat`,
/// `utime` and `stime` of a process): a step back is no time at all.
#[must_use]
pub(super) const fn forward(now: u64, before: u64) -> u64 {
    now.saturating_sub(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_grows_gives_the_difference() {
        assert_eq!(delta(15, 10), 5);
        assert_eq!(delta(10, 10), 0);
        assert_eq!(delta(u64::MAX, u64::MAX - 7), 7);
    }

    #[test]
    fn a_32_bit_wrap_is_bridged() {
        assert_eq!(delta(4, (1 << 32) - 6), 10);
    }

    #[test]
    fn a_counter_that_started_over_gives_what_is_there_now() {
        assert_eq!(delta(7, 1_000), 7, "far from the 32-bit limit");
        assert_eq!(delta(7, 1 << 40), 7, "a 64-bit counter does not wrap at 32 bits");
    }

    #[test]
    fn a_corrected_time_is_no_time() {
        assert_eq!(forward(99, 100), 0);
        assert_eq!(forward(101, 100), 1);
    }
}
