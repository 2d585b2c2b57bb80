//! `/proc/pressure/{cpu,memory,io}`: time in which tasks were held up for lack of a resource.

use agent_common::units::DurNs;
use procfs::parse_pressure_record;
use serde::{Deserialize, Serialize};

use super::read_all;
use crate::source::delta::forward;

/// A resource that can run short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PressureKind {
    /// CPU time.
    Cpu,
    /// Memory.
    Memory,
    /// Storage.
    Io,
}

impl PressureKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Memory, Self::Io];

    /// Its file name below `/proc/pressure`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Io => "io",
        }
    }
}

/// Time lost to one resource in a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pressure {
    /// At least one task was held up.
    pub some: DurNs,
    /// All tasks that were not idle were held up at once. `None` for the CPU before Linux 5.13.
    pub full: Option<DurNs>,
}

/// The three resources. `None`: this kernel has no PSI (before 4.20, or not built in, or `psi=0`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pressures {
    /// CPU.
    pub cpu: Option<Pressure>,
    /// Memory.
    pub memory: Option<Pressure>,
    /// Storage.
    pub io: Option<Pressure>,
}

impl Pressures {
    /// One of them.
    #[must_use]
    pub const fn of(&self, kind: PressureKind) -> Option<Pressure> {
        match kind {
            PressureKind::Cpu => self.cpu,
            PressureKind::Memory => self.memory,
            PressureKind::Io => self.io,
        }
    }
}

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
