//! `/proc/stat`: time per CPU and mode, context switches, forks.
//!
//! This module parses the file itself. `procfs::KernelStats` drops the number of each CPU, so that with a CPU offline the
//! others are taken for their neighbours, and it leaves the interrupt total out.

use std::collections::HashMap;

use agent_common::units::DurNs;
use diagnosis::window::{CpuId, CpuTimes, HostSample};
use procfs::{ProcError, ProcResult};

use super::read_all;
use crate::source::delta::{delta, forward};

/// The times between two readings.
fn between(ticks: [u64; 10], before: [u64; 10], tick_ns: u64) -> CpuTimes {
    let [user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice] =
        std::array::from_fn(|mode| DurNs(forward(ticks[mode], before[mode]) * tick_ns));
    CpuTimes { user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice }
}

/// What `/proc/stat` says.
#[derive(Debug, Default)]
struct Stat {
    total: [u64; 10],
    cpus: Vec<(CpuId, [u64; 10])>,
    context_switches: u64,
    forks: u64,
    interrupts: u64,
    runnable: u32,
    blocked: u32,
}

fn parse(text: &str) -> Option<Stat> {
    let mut stat = Stat::default();
    for line in text.lines() {
        let (key, rest) = line.split_once(' ')?;
        let first = || rest.split_ascii_whitespace().next().and_then(|word| word.parse::<u64>().ok());
        match key {
            "cpu" => stat.total = modes(rest),
            "intr" => stat.interrupts = first()?,
            "ctxt" => stat.context_switches = first()?,
            "processes" => stat.forks = first()?,
            "procs_running" => stat.runnable = first()? as u32,
            "procs_blocked" => stat.blocked = first()? as u32,
            _ => {
                if let Some(number) = key.strip_prefix("cpu") {
                    stat.cpus.push((CpuId(number.parse().ok()?), modes(rest)));
                }
            }
        }
    }
    Some(stat)
}

/// The ticks of a `cpu` line. Kernels before 2.6.33 print fewer: the rest stays 0.
fn modes(rest: &str) -> [u64; 10] {
    let mut ticks = [0; 10];
    for (slot, word) in ticks.iter_mut().zip(rest.split_ascii_whitespace()) {
        *slot = word.parse().unwrap_or(0);
    }
    ticks
}

/// Reads `/proc/stat` and keeps the last reading.
#[derive(Debug, Default)]
pub(super) struct StatReader {
    buffer: String,
    last: Option<Stat>,
}

impl StatReader {
    pub(super) fn read_into(&mut self, sample: &mut HostSample) -> ProcResult<()> {
        let text = read_all("/proc/stat", &mut self.buffer)?;
        let stat = parse(text).ok_or_else(|| ProcError::Incomplete(Some("/proc/stat".into())))?;
        difference(&stat, self.last.as_ref(), procfs::ticks_per_second(), sample);
        self.last = Some(stat);
        Ok(())
    }
}

fn difference(stat: &Stat, last: Option<&Stat>, ticks_per_second: u64, sample: &mut HostSample) {
    sample.runnable = stat.runnable;
    sample.blocked = stat.blocked;
    let Some(last) = last else {
        sample.cpus = stat.cpus.iter().map(|(id, _)| (*id, CpuTimes::default())).collect();
        return;
    };
    let tick_ns = 1_000_000_000 / ticks_per_second.max(1);
    sample.cpu = between(stat.total, last.total, tick_ns);
    let before: HashMap<_, _> = last.cpus.iter().copied().collect();
    // A CPU that has just come online has no difference yet: its counters go on from where they were.
    let of = |(id, ticks): &(CpuId, [u64; 10])| {
        (*id, between(*ticks, before.get(id).copied().unwrap_or(*ticks), tick_ns))
    };
    sample.cpus = stat.cpus.iter().map(of).collect();
    sample.context_switches = delta(stat.context_switches, last.context_switches);
    sample.forks = delta(stat.forks, last.forks);
    sample.interrupts = delta(stat.interrupts, last.interrupts);
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "cpu  100 0 50 1000 10 1 2 3 4 0\ncpu0 60 0 30 500 10 1 2 3 4 0\n\
        cpu2 40 0 20 500 0 0 0 0 0 0\nintr 500 1 2\nctxt 1000\nbtime 1\nprocesses 20\nprocs_running 2\n\
        procs_blocked 1\nsoftirq 7 1 2\n";
    const AFTER: &str = "cpu  150 5 60 1090 9 2 4 6 4 0\ncpu0 110 5 40 510 9 2 4 6 4 0\n\
        cpu1 9 9 9 9 9 9 9 9 9 9\ncpu2 40 0 20 580 0 0 0 0 0 0\nintr 800 1 2\nctxt 1500\nbtime 1\n\
        processes 23\nprocs_running 3\nprocs_blocked 0\nsoftirq 7 1 2\n";

    fn sample() -> HostSample {
        let mut sample = HostSample::default();
        difference(&parse(AFTER).unwrap(), Some(&parse(BEFORE).unwrap()), 100, &mut sample);
        sample
    }

    #[test]
    fn all_modes_are_differences_in_ns() {
        let ms = |n: u64| DurNs(n * 1_000_000);
        let expected = CpuTimes {
            user: ms(500),
            nice: ms(50),
            system: ms(100),
            idle: ms(900),
            iowait: ms(0),
            irq: ms(10),
            softirq: ms(20),
            steal: ms(30),
            guest: ms(0),
            guest_nice: ms(0),
        };
        assert_eq!(sample().cpu, expected, "iowait stepped back from 10 to 9: no time");
        assert_eq!(sample().cpu.total(), ms(1_610));
        assert_eq!(sample().cpu.busy(), ms(680));
    }

    #[test]
    fn a_cpu_keeps_its_number_when_another_comes_online() {
        let sample = sample();
        let ids: Vec<_> = sample.cpus.iter().map(|(id, _)| id.0).collect();
        assert_eq!(ids, [0, 1, 2]);
        assert_eq!(sample.cpus[1].1, CpuTimes::default(), "new: no difference yet");
        assert_eq!(sample.cpus[2].1.idle, DurNs(800_000_000));
    }

    #[test]
    fn counters_and_levels() {
        let sample = sample();
        assert_eq!((sample.context_switches, sample.forks, sample.interrupts), (500, 3, 300));
        assert_eq!((sample.runnable, sample.blocked), (3, 0));
    }
}
