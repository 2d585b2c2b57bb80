//! What `/proc` says about a process: CPU time, resident memory, memory of its BPF maps, its links to probes.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

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

/// Bytes of kernel memory of the BPF maps it holds: `memlock` of each map, once.
pub(super) fn maps(pid: u32) -> u64 {
    let maps: BTreeMap<_, _> = descriptors(pid)
        .filter_map(|info| Some((info.number("map_id:")?, info.number("memlock:")?)))
        .collect();
    maps.values().sum()
}

/// Runs and ns of the `perf_event` program that it holds and that ran most often (with `kernel.bpf_stats_enabled`).
pub(super) fn sampling(pid: u32) -> Option<(u64, u64)> {
    /// `BPF_PROG_TYPE_PERF_EVENT`.
    const PERF_EVENT: u64 = 7;
    let programs = descriptors(pid).filter(|info| info.number("prog_type:") == Some(PERF_EVENT));
    programs
        .filter_map(|info| Some((info.number("run_cnt:")?, info.number("run_time_ns:")?)))
        .filter(|(runs, _)| *runs > 0)
        .max()
}

/// What `/proc/PID/fdinfo` says of a descriptor.
struct FdInfo(String);

impl FdInfo {
    fn number(&self, key: &str) -> Option<u64> {
        self.0.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
    }
}

fn descriptors(pid: u32) -> impl Iterator<Item = FdInfo> {
    let infos = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten();
    infos.filter_map(|info| fs::read_to_string(info.ok()?.path()).ok()).map(FdInfo)
}

/// Interrupts a child as Ctrl-C does, and waits for it.
pub(super) fn interrupt(child: &mut Child) {
    let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).stderr(Stdio::null()).status();
    let _ = child.wait();
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
