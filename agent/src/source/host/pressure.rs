//! `/proc/pressure/{cpu,memory,io}`: time in which tasks waited because a resource was short.

use agent_common::units::DurNs;
use diagnosis::window::{Pressure, PressureKind, Pressures};
use procfs::parse_pressure_record;

use super::read_all;
use crate::source::delta::forward;

/// Cumulative µs: some, full.
///
/// Own loop over the lines: `procfs::CpuPressure` wants both lines, and the CPU has no `full` before 5.13.
fn parse(text: &str) -> Option<(u64, Option<u64>)> {
    let total = |name| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        parse_pressure_record(line).ok().map(|record| record.total)
    };
    Some((total("some")?, total("full")))
}

/// Reads the files and keeps the last totals.
#[derive(Debug, Default)]
pub(super) struct PressureReader {
    buffer: String,
    last: [Option<(u64, Option<u64>)>; 3],
    absent: bool,
}

impl PressureReader {
    pub(super) fn read(&mut self) -> Pressures {
        if self.absent {
            return Pressures::default();
        }
        let [cpu, memory, io] = PressureKind::ALL.map(|kind| self.one(kind));
        if cpu.is_none() && memory.is_none() && io.is_none() {
            tracing::warn!(
                "no pressure stall information: /proc/pressure cannot be read (kernel option psi=1)"
            );
            self.absent = true;
        }
        Pressures { cpu, memory, io }
    }

    fn one(&mut self, kind: PressureKind) -> Option<Pressure> {
        let path = match kind {
            PressureKind::Cpu => "/proc/pressure/cpu",
            PressureKind::Memory => "/proc/pressure/memory",
            PressureKind::Io => "/proc/pressure/io",
        };
        let now = parse(read_all(path, &mut self.buffer).ok()?)?;
        let last = self.last[kind as usize].replace(now).unwrap_or(now);
        Some(difference(now, last))
    }
}

fn difference(now: (u64, Option<u64>), last: (u64, Option<u64>)) -> Pressure {
    let full = now.1.map(|full| DurNs(forward(full, last.1.unwrap_or(full)) * 1_000));
    Pressure { some: DurNs(forward(now.0, last.0) * 1_000), full }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_become_ns_of_the_window() {
        let last = parse(
            "some avg10=0.29 avg60=0.31 avg300=1.19 total=1000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n",
        );
        let now = parse(
            "some avg10=0.29 avg60=0.31 avg300=1.19 total=1700\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=9\n",
        );
        let pressure = difference(now.unwrap(), last.unwrap());
        assert_eq!(pressure, Pressure { some: DurNs(700_000), full: Some(DurNs(4_000)) });
    }

    #[test]
    fn the_cpu_of_linux_5_10_has_no_full_line() {
        let text = "some avg10=0.00 avg60=0.00 avg300=0.00 total=42\n";
        assert_eq!(parse(text), Some((42, None)));
        assert_eq!(parse(""), None);
    }
}
