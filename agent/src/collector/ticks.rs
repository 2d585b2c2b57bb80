//! The sampling equation: expected = captured + lost, also where an idle CPU's timer stands still.
//!
//! Three sources that know nothing of each other: the clock (expected), what arrived in user space (samples) and what
//! the kernel counted (idle and filtered ticks, and ticks that did not come). A sample that vanishes on its way leaves
//! the equation open.

use std::collections::HashMap;

use agent_common::abi::oncpu::{SampleTicks, missed_so_far};
use agent_common::units::MonoNs;

/// One CPU's cumulative figures at the end of a window.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CpuNow {
    /// What the program counted.
    pub(super) ticks: SampleTicks,
    /// Idle time (waiting for a disk included), ns.
    pub(super) idle_ns: u64,
}

/// What a window's ticks came to, all CPUs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Settled {
    /// Ticks that hit the idle task, and those it slept through.
    pub(super) idle: u64,
    /// Ticks that hit a process outside the filter.
    pub(super) filtered: u64,
    /// Ticks that did not come though the CPU was not idle: stolen by the hypervisor, or after a sleep the timer had
    /// not been started again.
    pub(super) stopped: u64,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    idle: u64,
    filtered: u64,
    missed: u64,
    idle_ns: u64,
    /// Idle ticks of the window before that are not yet known to be missed: at most [`SPARE_MAX`].
    spare: u64,
}

/// A gap that has not ended counts up to two ticks less than it will ([`missed_so_far`]): these are the next window's.
const SPARE_MAX: u64 = 2;

/// Last values by CPU.
#[derive(Debug)]
pub(super) struct Ticks {
    period_ns: u64,
    /// A CPU that has not ticked yet has been due since then.
    attached: MonoNs,
    last: HashMap<u32, Last>,
}

impl Ticks {
    pub(super) fn new(rate_hz: u32, attached: MonoNs) -> Self {
        Self { period_ns: 1_000_000_000 / u64::from(rate_hz.max(1)), attached, last: HashMap::new() }
    }

    /// Settles the time since the last call; a CPU seen for the first time only leaves its values.
    pub(super) fn settle(&mut self, now: MonoNs, cpus: impl Iterator<Item = (u32, CpuNow)>) -> Settled {
        let mut sum = Settled::default();
        for (cpu, CpuNow { ticks, idle_ns }) in cpus {
            let since = if ticks.last_ns == 0 { self.attached.0 } else { ticks.last_ns };
            let missed = ticks.missed + missed_so_far(now.0.saturating_sub(since), self.period_ns);
            let new = Last { idle: ticks.idle, filtered: ticks.filtered, missed, idle_ns, spare: 0 };
            let Some(old) = self.last.insert(cpu, new) else { continue };
            let (idle, filtered) =
                (new.idle.saturating_sub(old.idle), new.filtered.saturating_sub(old.filtered));
            let missed = missed.saturating_sub(old.missed);
            // Of the ticks that idle time is worth, those that did not hit the idle task were slept through.
            let worth = idle_ns.saturating_sub(old.idle_ns).div_ceil(self.period_ns) + old.spare;
            let asleep = missed.min(worth.saturating_sub(idle));
            let spare = worth.saturating_sub(idle + asleep).min(SPARE_MAX);
            self.last.insert(cpu, Last { spare, ..new });
            sum.idle += idle + asleep;
            sum.filtered += filtered;
            sum.stopped += missed - asleep;
        }
        sum
    }
}

/// Idle time by CPU from `/proc/stat`, ns. On kernels without a tick on idle CPUs it is exact, not sampled
/// (kernel/time/tick-sched.c, `get_cpu_idle_time_us`).
pub(super) fn idle_times(stat: &str, tick_ns: u64) -> HashMap<u32, u64> {
    stat.lines()
        .filter_map(|line| {
            let mut words = line.strip_prefix("cpu")?.split_ascii_whitespace();
            let cpu = words.next()?.parse().ok()?;
            if !line.as_bytes().get(3)?.is_ascii_digit() {
                return None;
            }
            let idle: u64 = words.skip(3).take(2).filter_map(|word| word.parse::<u64>().ok()).sum();
            Some((cpu, idle * tick_ns))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn cpu(idle: u64, missed: u64, last_ns: u64, idle_ns: u64) -> CpuNow {
        CpuNow { ticks: SampleTicks { busy: 0, idle, filtered: 0, missed, last_ns }, idle_ns }
    }

    fn one(ticks: &mut Ticks, at: u64, now: CpuNow) -> Settled {
        ticks.settle(MonoNs(at), [(0, now)].into_iter())
    }

    #[test]
    fn an_idle_cpu_sleeps_through_its_ticks() {
        let mut ticks = Ticks::new(100, MonoNs(0));
        one(&mut ticks, SECOND, cpu(100, 0, SECOND, SECOND));
        // No tick for a second, and the gap has not ended.
        let settled = one(&mut ticks, 2 * SECOND, cpu(100, 0, SECOND, 2 * SECOND));
        assert_eq!(
            settled,
            Settled { idle: 98, filtered: 0, stopped: 0 },
            "all but the one that may be late"
        );
        // It ends: 149 were missed, and one came.
        let settled = one(&mut ticks, 5 * SECOND / 2, cpu(101, 149, 5 * SECOND / 2, 5 * SECOND / 2));
        assert_eq!(settled, Settled { idle: 52, filtered: 0, stopped: 0 });
    }

    #[test]
    fn a_busy_cpu_without_ticks_has_lost_samples() {
        let mut ticks = Ticks::new(100, MonoNs(0));
        one(&mut ticks, SECOND, cpu(0, 0, SECOND, 0));
        let settled = one(&mut ticks, 2 * SECOND, cpu(0, 50, 2 * SECOND, SECOND / 10));
        assert_eq!(settled, Settled { idle: 10, filtered: 0, stopped: 40 });
    }

    #[test]
    fn a_cpu_that_never_ticked_counts_from_the_start() {
        let mut ticks = Ticks::new(100, MonoNs(0));
        one(&mut ticks, 0, cpu(0, 0, 0, 7));
        assert_eq!(one(&mut ticks, SECOND, cpu(0, 0, 0, SECOND)).idle, 98);
    }

    #[test]
    fn idle_and_iowait_are_read_by_cpu() {
        let stat =
            "cpu  1 2 3 400 50 6 7 8 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\ncpu12 1 2 3 40 1 0 0 0 0 0\nintr 5\n";
        assert_eq!(idle_times(stat, 10), HashMap::from([(0, 90), (12, 410)]));
    }
}
