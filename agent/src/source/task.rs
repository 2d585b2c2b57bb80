//! Processes from `/proc`: what each used in a window, and what it is.
//!
//! # What is read when
//! Costs are µs of a call on a 2-vCPU VM, Linux 6.18, under load (`cargo run --release -p agent --example proc_cost`):
//!
//! | file | when | µs |
//! |---|---|---|
//! | `schedstat` of the main thread | each window, kept open | 1.1 (8.5 with open and close) |
//! | `stat` | when `schedstat` moved, or the process has several threads; kept open | 4–7 (17–24) |
//! | `task/*/schedstat` | when a process with several threads was active | 8.5 a thread |
//! | `io` (kept open), `fd` | when it was active, or has run since it was last due | 1.9 (12) + 1.8 |
//! | `status` | when due: every [`EXPENSIVE_FILES_EVERY`] windows, if anything on the host is swapped out | 31 |
//! | `limits`, `cgroup` | when new or renamed, and every third time it is due | 12 + 13 |
//!
//! A process with one thread whose `schedstat` has not changed has not run. Only other processes can have changed its
//! values (reclaim, a new parent); the reading every [`EXPENSIVE_FILES_EVERY`] windows brings those. Until then the process
//! keeps the sample of the window before. All counters are cumulative in the kernel: a later reading attributes an increase
//! to a later window and loses nothing.
//!
//! In all, CPU time of a window of one second: 2.5 ms with 109 processes on a host that was building software, 11 ms
//! with 1,000 sleepers more (8.5 µs each).
//!
//! This module parses `stat`, `io`, `status` and `cgroup` itself. `procfs` opens and closes the file each time and makes a
//! map of strings: 26, 20, 105 and 30 µs against 7, 2, 31 and 13 µs here. `procfs` reads `limits`, which is rarely needed.

mod cgroup;
mod details;
mod entry;
mod stat;

use std::collections::HashMap;
use std::sync::Arc;

use agent_common::clocks;
use agent_common::units::{BootNs, Tgid};
use diagnosis::window::{TaskSample, TaskTotals};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::sysinfo::sysinfo;

pub(crate) use cgroup::groups_above;
use entry::Entry;

use super::containers::Containers;

/// Windows between two readings of the expensive files of a process that does nothing: a change from outside shows within this many
/// seconds.
pub const EXPENSIVE_FILES_EVERY: u64 = 10;

/// Most file descriptors kept open: `schedstat` of each process, `stat` and `io` of those that run. Each costs about
/// 4 KiB of kernel memory (the `seq_file` buffer), 8 MiB in all. Above that files are opened and closed each time.
const MAX_OPEN_FILES: usize = 2048;

/// Windows for which an ended process stays in memory: its exit event may come one window later.
const ENDED_WINDOWS: u64 = 3;

/// Reads `/proc` and keeps what the next difference needs.
#[derive(Debug)]
pub struct TaskSource {
    tasks: HashMap<u32, Entry>,
    gone: HashMap<u32, Gone>,
    io: Reader,
    /// Number of the reading, from 1.
    turn: u64,
    /// Start of the first reading.
    first: BootNs,
    /// Start of the last reading.
    last: Option<BootNs>,
}

/// A process that vanished.
#[derive(Debug)]
struct Gone {
    start_ticks: u64,
    totals: TaskTotals,
    turn: u64,
}

/// What all entries share: buffers and facts about the host.
#[derive(Debug)]
struct Reader {
    buffer: Vec<u8>,
    path: String,
    tick_ns: u64,
    /// By how many ticks the starts that `/proc` shows are ahead of the kernel's.
    ahead_ticks: i64,
    page_bytes: u64,
    /// The kernel keeps run-queue times.
    sched_info: bool,
    kept_open: usize,
    may_keep: usize,
    /// Something on this host is swapped out.
    swap_used: bool,
    containers: Containers,
}

/// What an entry needs to know about the reading that is going on.
#[derive(Debug, Clone, Copy)]
struct Turn {
    number: u64,
    /// When it began.
    now: BootNs,
    /// When the one before it began.
    last: Option<BootNs>,
}

impl Default for TaskSource {
    fn default() -> Self {
        Self::new()
    }
}

impl TaskSource {
    /// Takes the first reading, so that the first [`Self::sample`] already has differences.
    #[must_use]
    pub fn new() -> Self {
        let may_keep = may_keep();
        let tick_ns = 1_000_000_000 / procfs::ticks_per_second().max(1);
        let sched_info =
            std::fs::read_to_string("/proc/self/schedstat").is_ok_and(|text| text.trim() != "0 0 0");
        if !sched_info {
            tracing::warn!("this kernel keeps no run-queue times per process (CONFIG_SCHED_INFO)");
        }
        let mut source = Self {
            tasks: HashMap::new(),
            gone: HashMap::new(),
            io: Reader {
                buffer: vec![0; 8192],
                path: String::new(),
                tick_ns,
                ahead_ticks: clocks::offsets().unwrap_or_default().boottime_ns / tick_ns.cast_signed(),
                page_bytes: procfs::page_size(),
                sched_info,
                kept_open: 0,
                may_keep,
                swap_used: true,
                containers: Containers::of_host(),
            },
            turn: 0,
            first: crate::clock::boot(),
            last: None,
        };
        source.sample();
        source
    }

    /// Reads all processes. A process that vanishes midway is simply not there.
    pub fn sample(&mut self) -> Vec<Arc<TaskSample>> {
        self.turn += 1;
        let turn = Turn { number: self.turn, now: crate::clock::boot(), last: self.last };
        self.last = Some(turn.now);
        self.io.containers.begin();
        self.io.swap_used = sysinfo().is_ok_and(|info| info.swap_free() < info.swap_total());
        let mut samples = Vec::with_capacity(self.tasks.len() + 16);
        for tgid in tgids() {
            if let Some(entry) = self.tasks.get_mut(&tgid) {
                if let Some(sample) = entry.read(&mut self.io, turn) {
                    samples.push(sample);
                    continue;
                }
                // It has ended, and its tgid may belong to another process already.
                self.forget(tgid);
            }
            if let Some((entry, sample)) = Entry::open(tgid, &mut self.io, turn) {
                self.tasks.insert(tgid, entry);
                samples.push(sample);
            }
        }
        let stale: Vec<u32> =
            self.tasks.iter().filter(|(_, entry)| entry.turn != turn.number).map(|(tgid, _)| *tgid).collect();
        for tgid in stale {
            self.forget(tgid);
        }
        self.gone.retain(|_, gone| gone.turn + ENDED_WINDOWS > turn.number);
        samples
    }

    /// What the samples handed out so far hold of a process: subtract it from its life's totals when it has ended. `None` if it
    /// began before the first reading, which did not see it: which part of its life belongs to the windows is unknown.
    /// Call it after the window's [`Self::sample`].
    #[must_use]
    pub fn before(&self, tgid: Tgid, start: BootNs) -> Option<TaskTotals> {
        let ticks = start.0 / self.io.tick_ns;
        let here = self.tasks.get(&tgid.0).map(|entry| (entry.start_ticks(), entry.totals()));
        let gone = self.gone.get(&tgid.0).map(|gone| (gone.start_ticks, gone.totals));
        let of = |known: Option<(u64, TaskTotals)>| known.filter(|known| known.0.abs_diff(ticks) <= 1);
        let known = of(here).or(of(gone)).map(|known| known.1);
        known.or_else(|| (start >= self.first).then(TaskTotals::default))
    }

    fn forget(&mut self, tgid: u32) {
        if let Some(entry) = self.tasks.remove(&tgid) {
            self.io.kept_open -= entry.kept_open();
            let gone = Gone { start_ticks: entry.start_ticks(), totals: entry.totals(), turn: self.turn };
            self.gone.insert(tgid, gone);
        }
    }
}

/// Descriptors that may be kept open: half of what the process may have.
fn may_keep() -> usize {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(256, |(soft, _)| soft as usize / 2).min(MAX_OPEN_FILES)
}

/// The numbers in `/proc`.
fn tgids() -> Vec<u32> {
    let Ok(directory) = std::fs::read_dir("/proc") else { return Vec::new() };
    directory.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn find(samples: &[Arc<TaskSample>], tgid: u32) -> Option<Arc<TaskSample>> {
        samples.iter().find(|sample| sample.tgid == Tgid(tgid)).cloned()
    }

    #[test]
    fn a_process_is_found_followed_and_remembered() {
        let mut source = TaskSource::new();
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let samples = source.sample();
        let sample = find(&samples, child.id()).unwrap();
        assert_eq!(sample.parent, Tgid(std::process::id()));
        assert!(sample.born.is_some(), "it began after the last reading");
        assert!(sample.fds.unwrap() >= 3 && sample.fd_limit.unwrap() > 0);
        assert!(sample.rss_bytes > 0 && sample.io.is_some() && !sample.cgroup.is_empty());
        let again = find(&source.sample(), child.id()).unwrap();
        assert_eq!((again.born, again.start_boot_ns), (None, sample.start_boot_ns));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(find(&source.sample(), child.id()).is_none());
        let totals = source.before(Tgid(child.id()), sample.start_boot_ns).expect("it was seen");
        assert!(totals.min_flt > 0, "{totals:?}");
        let minute = 60_000_000_000;
        let later = BootNs(sample.start_boot_ns.0 + minute);
        assert_eq!(source.before(Tgid(child.id()), later), Some(TaskTotals::default()));
        let earlier = BootNs(sample.start_boot_ns.0.saturating_sub(minute));
        assert_eq!(
            source.before(Tgid(child.id()), earlier),
            None,
            "it ended before the first reading saw it"
        );
        for _ in 0..ENDED_WINDOWS {
            source.sample();
        }
        assert_ne!(source.before(Tgid(child.id()), sample.start_boot_ns), Some(totals), "it is forgotten");
    }

    #[test]
    fn a_process_that_sleeps_shares_one_sample() {
        let mut source = TaskSource::new();
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        // It is asleep once it has stopped faulting; then the sample is the same until the rotation.
        let mut last = None;
        let shared = (0..1_000).any(|_| {
            let sample = find(&source.sample(), child.id()).unwrap();
            last.replace(sample.clone()).is_some_and(|last: Arc<TaskSample>| Arc::ptr_eq(&last, &sample))
        });
        assert!(shared);
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn threads_and_their_time_are_counted() {
        let mut source = TaskSource::new();
        let me = std::process::id();
        let spin = || {
            let end = crate::clock::thread_cpu() + std::time::Duration::from_millis(60);
            while crate::clock::thread_cpu() < end {
                std::hint::spin_loop();
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(spin);
            }
        });
        let sample = find(&source.sample(), me).unwrap();
        assert!(sample.user.0 + sample.system.0 >= 150_000_000, "{sample:?}");
        assert!(sample.threads >= 2, "the test harness has more than one: {sample:?}");
        assert_eq!(sample.runq.is_some(), source.io.sched_info);
    }
}
