//! The sampling equation: expected = captured + lost, also where an idle CPU's timer stands still.
//!
//! Expected follows from the clock. Captured are samples that arrived in user space, and ticks that hit the idle task or a process
//! outside the filter. Lost are samples that the kernel side counted as lost, and ticks that did not reach it. A sample that
//! vanishes on its way leaves captured + lost short of expected.

use std::collections::HashMap;

use agent_common::abi::oncpu::SampleTicks;
use agent_common::units::MonoNs;

/// One CPU's cumulative figures at the end of a window.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CpuNow {
    /// What the program counted.
    pub(super) ticks: SampleTicks,
    /// Idle time (waiting for a disk included), ns.
    pub(super) idle_ns: u64,
}

/// Ticks of a window, all CPUs.
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
    /// Values of the first call: ticks before it belong to no window.
    begin: MonoNs,
    ticks_before: u64,
    /// Ticks said to be missed since then.
    missed: u64,
    idle: u64,
    filtered: u64,
    idle_ns: u64,
    /// Idle ticks of the window before that did not come, or came early: at most [`SPARE_MAX`].
    spare: u64,
}

/// A tick and the idle time that it stands for may fall into different windows.
const SPARE_MAX: u64 = 2;

/// A tick that is late by less than one period divided by this is still the tick that was due.
const LATE_TICK_DIVISOR: u64 = 8;

/// Last values by CPU.
#[derive(Debug)]
pub(super) struct Ticks {
    period_ns: u64,
    last: HashMap<u32, Last>,
}

impl Ticks {
    pub(super) fn new(rate_hz: u32) -> Self {
        Self { period_ns: 1_000_000_000 / u64::from(rate_hz.max(1)), last: HashMap::new() }
    }

    /// Settles the time since the last call; a CPU seen for the first time only leaves its values.
    pub(super) fn settle(&mut self, now: MonoNs, cpus: impl Iterator<Item = (u32, CpuNow)>) -> Settled {
        let mut sum = Settled::default();
        for (cpu, CpuNow { ticks, idle_ns }) in cpus {
            let so_far = ticks.busy + ticks.idle + ticks.filtered;
            let Some(last) = self.last.get_mut(&cpu) else {
                let (idle, filtered) = (ticks.idle, ticks.filtered);
                let first =
                    Last { begin: now, ticks_before: so_far, missed: 0, idle, filtered, idle_ns, spare: 0 };
                self.last.insert(cpu, first);
                continue;
            };
            let idle = ticks.idle.saturating_sub(last.idle);
            let filtered = ticks.filtered.saturating_sub(last.filtered);
            // The timer keeps its grid: what is due follows from the time alone, what is missing from all that came.
            let due =
                now.since(last.begin).0.saturating_sub(self.period_ns / LATE_TICK_DIVISOR) / self.period_ns;
            let all_missed = due.saturating_sub(so_far.saturating_sub(last.ticks_before));
            let missed = all_missed.saturating_sub(last.missed);
            // Of the ticks that idle time is worth, those that did not hit the idle task were slept through.
            let worth = idle_ns.saturating_sub(last.idle_ns).div_ceil(self.period_ns) + last.spare;
            let asleep = missed.min(worth.saturating_sub(idle));
            last.spare = worth.saturating_sub(idle + asleep).min(SPARE_MAX);
            last.missed += missed;
            (last.idle, last.filtered, last.idle_ns) = (ticks.idle, ticks.filtered, idle_ns);
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

    fn cpu(busy: u64, idle: u64, idle_ns: u64) -> CpuNow {
        CpuNow { ticks: SampleTicks { busy, idle, filtered: 0 }, idle_ns }
    }

    fn one(ticks: &mut Ticks, at: u64, now: CpuNow) -> Settled {
        ticks.settle(MonoNs(at), [(0, now)].into_iter())
    }

    #[test]
    fn an_idle_cpu_sleeps_through_its_ticks() {
        let mut ticks = Ticks::new(100);
        one(&mut ticks, SECOND, cpu(0, 100, SECOND));
        let settled = one(&mut ticks, 2 * SECOND, cpu(0, 100, 2 * SECOND));
        assert_eq!(
            settled,
            Settled { idle: 99, filtered: 0, stopped: 0 },
            "all but the one that may be late"
        );
        // One came late, after the window; the grid goes on.
        let settled = one(&mut ticks, 5 * SECOND / 2, cpu(0, 101, 5 * SECOND / 2));
        assert_eq!(settled, Settled { idle: 50, filtered: 0, stopped: 0 });
    }

    #[test]
    fn a_cpu_that_never_ticked_counts_from_the_start() {
        let mut ticks = Ticks::new(100);
        one(&mut ticks, 0, cpu(0, 0, 7));
        assert_eq!(one(&mut ticks, SECOND, cpu(0, 0, SECOND)).idle, 99);
    }

    #[test]
    fn gaps_of_any_length_add_up_to_the_ticks_that_were_due() {
        let mut ticks = Ticks::new(100);
        one(&mut ticks, 0, cpu(0, 0, 0));
        // A tick comes at 1.9, 3.0, 4.9, 6.0, … periods: each gap of 1.1 hides one that was skipped.
        let came = |periods: u64| periods * 2 / 3;
        let idle: u64 = (1..=10)
            .map(|second| one(&mut ticks, second * SECOND, cpu(0, came(100 * second), second * SECOND)).idle)
            .sum();
        assert!((998..=1000).contains(&idle), "{idle}");
    }

    #[test]
    fn a_busy_cpu_that_ticks_has_lost_nothing_wherever_the_windows_end() {
        let mut ticks = Ticks::new(100);
        one(&mut ticks, SECOND, cpu(3, 0, 0));
        for step in 1..100 {
            let at = SECOND + step * 13_700_000;
            // On the grid of 10 ms from 1.004 s, 1 ms late.
            let came = 3 + (at - SECOND + 5_000_000) / 10_000_000;
            assert_eq!(one(&mut ticks, at, cpu(came, 0, 0)), Settled::default(), "{step}");
        }
    }

    #[test]
    fn a_busy_cpu_without_ticks_has_lost_samples() {
        let mut ticks = Ticks::new(100);
        one(&mut ticks, SECOND, cpu(100, 0, 0));
        let settled = one(&mut ticks, 2 * SECOND, cpu(150, 0, SECOND / 10));
        assert_eq!(settled, Settled { idle: 10, filtered: 0, stopped: 39 });
    }

    #[test]
    fn idle_and_iowait_are_read_by_cpu() {
        let stat =
            "cpu  1 2 3 400 50 6 7 8 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\ncpu12 1 2 3 40 1 0 0 0 0 0\nintr 5\n";
        assert_eq!(idle_times(stat, 10), HashMap::from([(0, 90), (12, 410)]));
    }
}
