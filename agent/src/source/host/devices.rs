//! `/proc/diskstats` and `/proc/net/dev`: differences per device.

use std::collections::HashMap;
use std::path::Path;

use agent_common::units::DurNs;
use diagnosis::window::{Disk, Interface};
use procfs::net::DeviceStatus;
use procfs::prelude::*;
use procfs::{DiskStat, ProcResult};

use crate::source::delta::delta;

/// Bytes of a sector in `/proc/diskstats`, whatever the device's own sector size is.
const SECTOR: u64 = 512;

/// So many readings apart interfaces are asked for their speed: some drivers ask the hardware.
const SPEED_EVERY: u32 = 10;

fn disk_between(now: &DiskStat, last: &DiskStat) -> Disk {
    let ms = |now, last| DurNs(delta(now, last) * 1_000_000);
    let both = |now: Option<u64>, last: Option<u64>| Some((now?, last?));
    Disk {
        name: now.name.clone(),
        reads: delta(now.reads, last.reads),
        reads_merged: delta(now.merged, last.merged),
        read_bytes: delta(now.sectors_read, last.sectors_read) * SECTOR,
        read_time: ms(now.time_reading, last.time_reading),
        writes: delta(now.writes, last.writes),
        writes_merged: delta(now.writes_merged, last.writes_merged),
        write_bytes: delta(now.sectors_written, last.sectors_written) * SECTOR,
        write_time: ms(now.time_writing, last.time_writing),
        flushes: both(now.flushes, last.flushes).map(|(now, last)| delta(now, last)),
        flush_time: both(now.time_flushing, last.time_flushing).map(|(now, last)| ms(now, last)),
        busy: ms(now.time_in_progress, last.time_in_progress),
        queue_time: ms(now.weighted_time_in_progress, last.weighted_time_in_progress),
        in_flight: now.in_progress,
    }
}

/// Whether a device is shown: a whole disk (its partitions are inside it) that has ever done anything (hosts
/// carry eight unused loop devices).
fn shown(stat: &DiskStat, is_whole: impl FnOnce(&str) -> bool) -> bool {
    (stat.reads > 0 || stat.writes > 0) && is_whole(&stat.name)
}

/// Reads `/proc/diskstats` and keeps the last reading.
#[derive(Debug, Default)]
pub(super) struct DiskReader {
    last: HashMap<String, DiskStat>,
    whole: HashMap<String, bool>,
}

impl DiskReader {
    pub(super) fn read(&mut self) -> ProcResult<Vec<Disk>> {
        let stats = procfs::DiskStats::current()?.0;
        let mut disks = Vec::new();
        for stat in stats {
            // `/sys/block` has whole devices only; `!` stands for `/` there (cciss/c0d0).
            let is_whole = |name: &str| {
                let there = |name: &str| Path::new("/sys/block").join(name.replace('/', "!")).exists();
                *self.whole.entry(name.to_owned()).or_insert_with(|| there(name))
            };
            if !shown(&stat, is_whole) {
                continue;
            }
            disks.push(disk_between(&stat, self.last.get(&stat.name).unwrap_or(&stat)));
            self.last.insert(stat.name.clone(), stat);
        }
        if self.last.len() > disks.len() {
            // Detached: forgotten, so that a namesake starts anew.
            self.last.retain(|name, _| disks.iter().any(|disk| disk.name == *name));
            self.whole.clear();
        }
        disks.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(disks)
    }
}

fn interface_between(now: &DeviceStatus, last: &DeviceStatus) -> Interface {
    Interface {
        name: now.name.clone(),
        rx_bytes: delta(now.recv_bytes, last.recv_bytes),
        rx_packets: delta(now.recv_packets, last.recv_packets),
        rx_errors: delta(now.recv_errs, last.recv_errs),
        rx_dropped: delta(now.recv_drop, last.recv_drop) + delta(now.recv_fifo, last.recv_fifo),
        tx_bytes: delta(now.sent_bytes, last.sent_bytes),
        tx_packets: delta(now.sent_packets, last.sent_packets),
        tx_errors: delta(now.sent_errs, last.sent_errs),
        tx_dropped: delta(now.sent_drop, last.sent_drop) + delta(now.sent_fifo, last.sent_fifo),
        collisions: delta(now.sent_colls, last.sent_colls),
        speed_bytes: None,
    }
}

/// Bytes a second that a link carries, of its `speed`: Mbit/s, or -1 where that is not known.
fn speed_bytes(mbits: &str) -> Option<u64> {
    mbits
        .trim()
        .parse::<u32>()
        .ok()
        .filter(|mbits| *mbits != u32::MAX)
        .map(|mbits| u64::from(mbits) * 125_000)
}

/// Reads `/proc/net/dev` and keeps the last reading.
#[derive(Debug, Default)]
pub(super) struct InterfaceReader {
    last: HashMap<String, DeviceStatus>,
    readings: u32,
    speeds: HashMap<String, Option<u64>>,
}

impl InterfaceReader {
    pub(super) fn read(&mut self) -> ProcResult<Vec<Interface>> {
        let now = procfs::net::dev_status()?;
        if self.readings.is_multiple_of(SPEED_EVERY) {
            self.speeds.clear();
        }
        self.readings = self.readings.wrapping_add(1);
        let mut interfaces: Vec<_> = now
            .values()
            .map(|status| {
                let name = &status.name;
                let read = || std::fs::read_to_string(Path::new("/sys/class/net").join(name).join("speed"));
                let speed = self.speeds.entry(name.clone());
                let speed_bytes = *speed.or_insert_with(|| speed_bytes(&read().ok()?));
                let last = self.last.get(name).unwrap_or(status);
                Interface { speed_bytes, ..interface_between(status, last) }
            })
            .collect();
        interfaces.sort_by(|a, b| a.name.cmp(&b.name));
        self.speeds.retain(|name, _| now.contains_key(name));
        self.last = now;
        Ok(interfaces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(line: &str) -> DiskStat {
        DiskStat::from_line(line).unwrap()
    }

    #[test]
    fn a_disk_is_a_difference_in_bytes_and_ns() {
        let last = disk(" 254 0 vda 100 0 1000 4294967290 50 0 400 70 1 900 1000 0 0 0 0 5 6");
        let now = disk(" 254 0 vda 110 0 1080 4 55 0 480 90 2 950 1100 0 0 0 0 8 9");
        let expected = Disk {
            name: "vda".into(),
            reads: 10,
            reads_merged: 0,
            read_bytes: 80 * 512,
            read_time: DurNs(10_000_000),
            writes: 5,
            writes_merged: 0,
            write_bytes: 80 * 512,
            write_time: DurNs(20_000_000),
            flushes: Some(3),
            flush_time: Some(DurNs(3_000_000)),
            busy: DurNs(50_000_000),
            queue_time: DurNs(100_000_000),
            in_flight: 2,
        };
        assert_eq!(disk_between(&now, &last), expected, "the read time wrapped at 32 bits");
    }

    #[test]
    fn old_kernels_have_no_flushes() {
        let last = disk(" 8 0 sda 1 0 1 1 1 0 1 1 0 1 1");
        assert_eq!(disk_between(&last, &last).flushes, None);
    }

    #[test]
    fn partitions_and_unused_devices_are_left_out() {
        let used = disk(" 8 1 sda1 1 0 1 1 1 0 1 1 0 1 1");
        let unused = disk(" 7 0 loop0 0 0 0 0 0 0 0 0 0 0 0");
        assert!(!shown(&used, |_| false));
        assert!(shown(&used, |_| true));
        assert!(!shown(&unused, |_| true));
    }

    #[test]
    fn a_speed_is_in_bytes_a_second() {
        let speeds = ["1000\n", "-1\n", "4294967295\n", ""].map(speed_bytes);
        assert_eq!(speeds, [Some(125_000_000), None, None, None]);
    }

    #[test]
    fn an_interface_made_anew_counts_from_zero() {
        let status = |bytes: u64, dropped: u64| {
            let text = format!("h\nh\n  eth0: {bytes} 2 0 {dropped} 1 0 0 0 {bytes} 4 0 0 0 0 0 0\n");
            let all = procfs::net::InterfaceDeviceStatus::from_read(text.as_bytes()).unwrap().0;
            all["eth0"].clone()
        };
        let interface = interface_between(&status(50, 9), &status(1000, 3));
        assert_eq!((interface.rx_bytes, interface.tx_bytes), (50, 50));
        assert_eq!(interface.rx_dropped, 6);
    }
}
