//! What `/proc` says about a process: CPU time, resident memory, memory of its BPF maps, its links to probes.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Bytes a page: x86-64, and aarch64 as distributions build it.
const PAGE: u64 = 4096;
/// Clock ticks a second in `/proc/PID/stat`: `USER_HZ`, 100 on every Linux that matters here.
const TICK_NS: u64 = 10_000_000;

/// A process and its descendants.
pub(super) fn tree(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        next += 1;
        let Ok(tasks) = fs::read_dir(format!("/proc/{parent}/task")) else { continue };
        for task in tasks.filter_map(Result::ok) {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
    }
    found
}

/// CPU time so far, threads that have ended included.
pub(super) fn cpu(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name in brackets: state is field 3, utime 14, stime 15.
    let fields: Vec<&str> = stat.rsplit(") ").next()?.split(' ').collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_nanos(ticks * TICK_NS))
}

/// Resident bytes.
pub(super) fn resident(pid: u32) -> Option<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    Some(statm.split(' ').nth(1)?.parse::<u64>().ok()? * PAGE)
}

/// Bytes of kernel memory of the BPF maps it holds: `memlock` of each map, once.
pub(super) fn maps(pid: u32) -> u64 {
    let Ok(fds) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else { return 0 };
    let mut maps = std::collections::BTreeMap::new();
    for text in fds.filter_map(|fd| fs::read_to_string(fd.ok()?.path()).ok()) {
        let field =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        if let (Some(id), Some(bytes)) = (field("map_id:"), field("memlock:")) {
            maps.insert(id, bytes);
        }
    }
    maps.values().sum()
}

/// Command name.
pub(super) fn name(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

/// Waits until a process, or one it started, holds links to probes and their number has stopped growing.
pub(super) fn wait_attached(pid: u32, limit: Duration) -> Result<Instant> {
    let (mut last, mut since, start) = (0, Instant::now(), Instant::now());
    while start.elapsed() < limit {
        let links = tree(pid).into_iter().map(links).sum::<usize>();
        if links != last {
            (last, since) = (links, Instant::now());
        } else if links > 0 && since.elapsed() > Duration::from_millis(500) {
            return Ok(since);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    bail!("{} has attached nothing in {} s", name(pid), limit.as_secs())
}

fn links(pid: u32) -> usize {
    let Ok(fds) = fs::read_dir(format!("/proc/{pid}/fd")) else { return 0 };
    fds.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok())
        .filter(|target| {
            let target = target.to_string_lossy();
            ["bpf_link", "bpf-raw-tracepoint", "[perf_event]"].iter().any(|kind| target.contains(kind))
        })
        .count()
}
