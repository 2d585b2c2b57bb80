//! The host from `/proc`: CPU, load, memory, swap, disks, file systems, network, pressure, context switches,
//! forks.
//!
//! Counters are differences since the last call, levels are as read. What a kernel does not have is `None`.
//! All files together take 0.17 ms on a 2-vCPU VM with 4 interfaces and 10 block devices.

mod cpu;
mod devices;
mod filesystems;
mod memory;
mod netstat;
mod pressure;
mod tables;

use std::fs::File;
use std::io::Read;
use std::time::Instant;

use agent_common::units::DurNs;
use diagnosis::window::HostSample;
use procfs::prelude::*;

/// Reads `/proc` and keeps what the next difference needs.
#[derive(Debug)]
pub struct HostSource {
    last: Option<Instant>,
    stat: cpu::StatReader,
    memory: memory::MemoryReader,
    disks: devices::DiskReader,
    interfaces: devices::InterfaceReader,
    pressure: pressure::PressureReader,
    network: netstat::NetReader,
    filesystems: filesystems::Filesystems,
    complained: Vec<&'static str>,
}

impl Default for HostSource {
    fn default() -> Self {
        Self::new()
    }
}

impl HostSource {
    /// Takes the first reading, so that the first [`Self::sample`] already has differences.
    #[must_use]
    pub fn new() -> Self {
        let mut source = Self {
            last: None,
            stat: cpu::StatReader::default(),
            memory: memory::MemoryReader::default(),
            disks: devices::DiskReader::default(),
            interfaces: devices::InterfaceReader::default(),
            pressure: pressure::PressureReader::default(),
            network: netstat::NetReader::default(),
            filesystems: filesystems::Filesystems::start(),
            complained: Vec::new(),
        };
        source.sample();
        source
    }

    /// Reads everything; differences are since the last call. A file that cannot be read leaves its part at zero
    /// and is said once.
    pub fn sample(&mut self) -> HostSample {
        let now = Instant::now();
        let mut sample = HostSample {
            span: DurNs(self.last.map_or(0, |last| now.duration_since(last).as_nanos() as u64)),
            ..HostSample::default()
        };
        self.last = Some(now);
        let stat = self.stat.read_into(&mut sample);
        self.check("/proc/stat", stat);
        let levels = load(&mut sample);
        self.check("/proc/loadavg", levels);
        let memory = self.memory.read().map(|memory| sample.memory = memory);
        self.check("/proc/meminfo", memory);
        let disks = self.disks.read().map(|disks| sample.disks = disks);
        self.check("/proc/diskstats", disks);
        let interfaces = self.interfaces.read().map(|interfaces| sample.interfaces = interfaces);
        self.check("/proc/net/dev", interfaces);
        let network = self.network.read().map(|network| sample.network = Some(network));
        self.check("/proc/net/snmp, netstat and sockstat", network);
        sample.filesystems = self.filesystems.newest();
        sample.pressure = self.pressure.read();
        sample.tables = tables::read(sample.threads);
        sample.local_ports = tables::local_ports();
        sample
    }

    /// Says once that a file is not readable; the sample goes on without it.
    fn check(&mut self, what: &'static str, result: procfs::ProcResult<()>) {
        if let Err(error) = result
            && !self.complained.contains(&what)
        {
            tracing::warn!(%error, "cannot read {what}: its metrics are missing");
            self.complained.push(what);
        }
    }
}

/// Load averages and time since boot.
fn load(sample: &mut HostSample) -> procfs::ProcResult<()> {
    let load = procfs::LoadAverage::current()?;
    sample.load = [f64::from(load.one), f64::from(load.five), f64::from(load.fifteen)];
    sample.threads = load.max;
    // By the kernel's clock, as the starts of processes are: /proc/uptime has the time namespace's.
    sample.uptime = DurNs(crate::clock::boot().0);
    Ok(())
}

/// Reads a whole `/proc` file into a reused buffer.
fn read_all<'a>(path: &str, buffer: &'a mut String) -> procfs::ProcResult<&'a str> {
    buffer.clear();
    File::open(path)?.read_to_string(buffer)?;
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_is_read_whole() {
        let mut source = HostSource::new();
        std::hint::black_box((0..3_000_000u64).fold(0u64, |sum, n| sum.wrapping_add(n * n)));
        let sample = source.sample();
        assert!(sample.span.0 > 0);
        assert_eq!(
            sample.cpus.len(),
            std::thread::available_parallelism().unwrap().get().max(sample.cpus.len())
        );
        assert!(sample.memory.total_bytes > 0 && sample.memory.available_bytes <= sample.memory.total_bytes);
        assert!(sample.interfaces.iter().any(|interface| interface.name == "lo"));
        assert!(sample.uptime.0 > 0 && sample.threads > 0);
        assert!(sample.disks.iter().all(|disk| !disk.name.is_empty()));
        let sum = sample.cpus.iter().map(|(_, times)| times.total().0).sum::<u64>();
        let difference = sum.abs_diff(sample.cpu.total().0);
        // The kernel sums the CPUs in ns and rounds to ticks at the end: one tick a mode and CPU.
        assert!(difference <= 10_000_000 * 10 * sample.cpus.len() as u64, "{difference} ns apart");
    }
}
