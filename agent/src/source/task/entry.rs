//! One process between two readings.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use agent_common::units::{BootNs, DurNs, Tgid};
use diagnosis::window::{TaskIo, TaskSample, TaskState, TaskTotals};
use opener::living;

use super::details::{self, Io, Place};
use super::stat::{self, Sched, Values};
use super::{EXPENSIVE_FILES_EVERY, Reader, Turn};
use crate::source::delta::forward;

/// Most threads of a process whose `schedstat` is read in one window; more threads take turns.
const MAX_THREADS_PER_WINDOW: usize = 64;

/// Run time in a window from which a process counts as active, so that `io` and `fd` are read: ten times what
/// reading them costs.
const ACTIVE_NS: u64 = 100_000;

/// Rotations between two readings of `limits` and `cgroup` of a process that keeps its name: they hardly ever change.
const SLOW_FILES_ROTATIONS: u64 = 3;

/// A process that is known.
#[derive(Debug)]
pub(super) struct Entry {
    tgid: u32,
    /// The thread that has its memory and descriptors: the main one, or one that lives after that one's end.
    living: u32,
    /// The reading in which it was last there.
    pub(super) turn: u64,
    /// `schedstat` of the main thread and `stat`, kept open: an open file of `/proc` belongs to this process for good
    /// and fails when it is gone, so a reused number cannot be taken for it.
    sched_file: Option<File>,
    stat_file: Option<File>,
    io_file: Option<File>,
    values: Values,
    sched: Option<Sched>,
    /// Of the other threads, by tid, what they had when they were last read.
    threads: HashMap<u32, Sched>,
    io: Option<Io>,
    fds: Option<u32>,
    fd_limit: Option<u64>,
    swap_bytes: Option<u64>,
    comm: Arc<str>,
    place: Place,
    /// It has run since the rotation last came by.
    ran: bool,
    /// How many readings it has been in. The expensive files of a newly started process are read in the second one.
    readings: u64,
    /// Its sample of a window in which it did nothing.
    idle: Option<Arc<TaskSample>>,
    /// Something in `idle` may have changed.
    stale: bool,
}

/// What moved in a window.
#[derive(Debug, Clone, Copy, Default)]
struct Moved {
    waited: Sched,
    io: Io,
}

impl Entry {
    /// A process seen for the first time. If it began after the last reading, all it has used belongs to this window.
    pub(super) fn open(tgid: u32, reader: &mut Reader, turn: Turn) -> Option<(Self, Arc<TaskSample>)> {
        let mut stat_file = File::open(reader.path(tgid, "stat")).ok()?;
        let stat = stat::parse(reader.fill(&mut stat_file)?)?;
        let mut values = stat.values;
        let comm = String::from_utf8_lossy(stat.comm).into();
        values.start_ticks = reader.kernel_ticks(values.start_ticks);
        let living = fill_in(tgid, tgid, &mut values, reader);
        let mut entry = Self {
            tgid,
            living,
            turn: turn.number,
            sched_file: None,
            stat_file: None,
            io_file: None,
            values,
            sched: None,
            threads: HashMap::new(),
            io: None,
            fds: None,
            fd_limit: None,
            swap_bytes: None,
            comm,
            place: Place::default(),
            ran: true,
            readings: 1,
            idle: None,
            stale: false,
        };
        let mut moved = Moved::default();
        entry.sched_file = reader.open_sched(tgid);
        entry.read_sched(reader);
        if values.threads > 1 {
            entry.read_threads(reader, turn, true);
        }
        entry.read_activity(reader);
        entry.read_rotation(reader, true);
        let start = BootNs(values.start_ticks * reader.tick_ns);
        // A tick of slack: the start is cut to ticks.
        let born = turn.last.is_some_and(|last| start.0 + reader.tick_ns > last.0);
        let mut last = values;
        if born {
            last = Values { user_ticks: 0, system_ticks: 0, min_flt: 0, maj_flt: 0, ..values };
            moved.waited = entry.threads.values().chain(&entry.sched).fold(Sched::default(), add);
            moved.io = entry.io.unwrap_or_default();
        }
        let mut sample = entry.sample(&last, moved, reader);
        sample.born = born.then(|| turn.now.since(start));
        Some((entry, Arc::new(sample)))
    }

    /// What it did since the last reading; `None` when it is gone.
    pub(super) fn read(&mut self, reader: &mut Reader, turn: Turn) -> Option<Arc<TaskSample>> {
        self.readings += 1;
        self.take_labels(reader);
        let rotation = turn.number + u64::from(self.tgid);
        let due = self.readings == 2 || rotation.is_multiple_of(EXPENSIVE_FILES_EVERY);
        let comm_before = Arc::clone(&self.comm);
        let sched_before = self.sched;
        if reader.sched_info {
            self.read_sched(reader);
            let ran = self.sched != sched_before
                || matches!(self.values.state, TaskState::Running | TaskState::DiskSleep);
            if self.sched.is_some() && !ran && !due && self.values.threads == 1 {
                self.turn = turn.number;
                return Some(self.idle_sample(reader));
            }
        }
        let last = self.values;
        self.read_stat(reader)?;
        self.turn = turn.number;
        if self.values != last {
            self.stale = true;
        }
        let mut moved = Moved::default();
        let ran = self.sched.zip(sched_before).map(|(now, before)| subtract(now, before)).unwrap_or_default();
        moved.waited = ran;
        let ticked =
            (self.values.user_ticks, self.values.system_ticks) != (last.user_ticks, last.system_ticks);
        let faulted = (self.values.min_flt, self.values.maj_flt) != (last.min_flt, last.maj_flt);
        let active = ticked || ran.run_ns >= ACTIVE_NS || (faulted && self.values.threads > 1);
        if reader.sched_info && self.values.threads > 1 && (active || due) {
            moved.waited = add(moved.waited, &self.read_threads(reader, turn, false));
        } else if self.values.threads == 1 && !self.threads.is_empty() {
            self.threads = HashMap::new();
        }
        self.ran |= active || ran != Sched::default() || faulted;
        // What has not run has not opened, read or written anything.
        if active || (due && self.ran) {
            let before = self.io;
            self.read_activity(reader);
            if let (Some(now), Some(before)) = (self.io, before) {
                moved.io = Io {
                    read: forward(now.read, before.read),
                    written: forward(now.written, before.written),
                    cancelled: forward(now.cancelled, before.cancelled),
                };
            }
        }
        self.ran &= !due;
        // A new name is a new program: limits and cgroup are set between fork and exec.
        let renamed = !Arc::ptr_eq(&self.comm, &comm_before);
        if due || renamed {
            let all = renamed || rotation.is_multiple_of(EXPENSIVE_FILES_EVERY * SLOW_FILES_ROTATIONS);
            self.read_rotation(reader, all);
            // A service is moved to its cgroup right after it was made.
            if self.readings == 2 && !all {
                self.read_place(reader);
            }
        }
        if !active && !faulted && moved.waited == Sched::default() && moved.io == Io::default() {
            return Some(self.idle_sample(reader));
        }
        Some(Arc::new(self.sample(&last, moved, reader)))
    }

    /// Start in ticks since boot.
    pub(super) const fn start_ticks(&self) -> u64 {
        self.values.start_ticks
    }

    /// Files kept open.
    pub(super) fn kept_open(&self) -> usize {
        [&self.sched_file, &self.stat_file, &self.io_file].into_iter().flatten().count()
    }

    /// What it has used over its life.
    pub(super) fn totals(&self) -> TaskTotals {
        let ticks = self.values.user_ticks + self.values.system_ticks;
        let tick_ns = 1_000_000_000 / procfs::ticks_per_second().max(1);
        TaskTotals { cpu: DurNs(ticks * tick_ns), min_flt: self.values.min_flt, maj_flt: self.values.maj_flt }
    }

    fn read_sched(&mut self, reader: &mut Reader) {
        if !reader.sched_info {
            return;
        }
        self.sched = match &self.sched_file {
            Some(file) => reader.again(file).and_then(stat::parse_sched),
            None => reader.file(self.tgid, "schedstat").and_then(stat::parse_sched),
        };
    }

    /// `None` when the process is gone or its number belongs to another.
    fn read_stat(&mut self, reader: &mut Reader) -> Option<()> {
        if self.stat_file.is_none() {
            self.stat_file = reader.open(self.tgid, "stat");
        }
        let bytes = match &self.stat_file {
            Some(file) => reader.again(file)?,
            None => reader.file(self.tgid, "stat")?,
        };
        let stat = stat::parse(bytes)?;
        if stat.comm != self.comm.as_bytes() {
            self.comm = String::from_utf8_lossy(stat.comm).into();
            self.stale = true;
        }
        let mut values = stat.values;
        values.start_ticks = reader.kernel_ticks(values.start_ticks);
        if values.start_ticks != self.values.start_ticks {
            return None;
        }
        self.living = fill_in(self.tgid, self.living, &mut values, reader);
        self.values = values;
        Some(())
    }

    /// `schedstat` of the threads but the main one: what they moved. A thread not seen before is new, so that all it
    /// has belongs to this window, except in the `first` reading.
    fn read_threads(&mut self, reader: &mut Reader, turn: Turn, first: bool) -> Sched {
        let Ok(directory) = std::fs::read_dir(reader.path(self.tgid, "task")) else {
            return Sched::default();
        };
        let tids = directory.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        let tids: Vec<u32> = tids.filter(|tid| *tid != self.tgid).collect();
        let groups = if first { 1 } else { tids.len().div_ceil(MAX_THREADS_PER_WINDOW).max(1) as u64 };
        let mut moved = Sched::default();
        for (at, tid) in tids.iter().enumerate() {
            if !(turn.number + at as u64).is_multiple_of(groups) {
                continue;
            }
            let path = format!("task/{tid}/schedstat");
            if let Some(now) = reader.file(self.tgid, &path).and_then(stat::parse_sched) {
                let before = self.threads.insert(*tid, now).unwrap_or_default();
                moved = add(moved, &subtract(now, before));
            }
        }
        if self.threads.len() > tids.len() {
            let alive: std::collections::HashSet<u32> = tids.into_iter().collect();
            self.threads.retain(|tid, _| alive.contains(tid));
        }
        moved
    }

    fn read_activity(&mut self, reader: &mut Reader) {
        if self.values.kernel {
            return;
        }
        if self.io_file.is_none() && self.readings > 1 {
            self.io_file = reader.open(self.tgid, "io");
        }
        let io = match &self.io_file {
            Some(file) => reader.again(file),
            None => reader.file(self.tgid, "io"),
        };
        self.io = io.map(details::parse_io).or(self.io);
        let fds = reader.fds(self.living);
        if fds != self.fds {
            self.fds = fds;
            self.stale = true;
        }
    }

    fn read_rotation(&mut self, reader: &mut Reader, all: bool) {
        // What others may have changed is in the next sample.
        self.stale = true;
        if self.values.kernel {
            return;
        }
        self.swap_bytes = if reader.swap_used { reader.swap_bytes(self.living) } else { Some(0) };
        if !all {
            return;
        }
        self.fd_limit = reader.fd_limit(self.tgid);
        self.read_place(reader);
    }

    /// Labels of its container, which are read aside and come with a later window.
    fn take_labels(&mut self, reader: &mut Reader) {
        let Place { container: Some(id), labels: None, of_user: false, .. } = &self.place else { return };
        self.place.labels = reader.containers.labels(id);
        self.stale |= self.place.labels.is_some();
    }

    fn read_place(&mut self, reader: &mut Reader) {
        if let Some(place) = reader.place(self.tgid)
            && place != self.place
        {
            self.place = place;
        }
    }

    /// The sample of a window in which it did nothing.
    fn idle_sample(&mut self, reader: &Reader) -> Arc<TaskSample> {
        let known = self
            .idle
            .take()
            .filter(|idle| !self.stale || **idle == self.sample(&self.values, Moved::default(), reader));
        let idle = known.unwrap_or_else(|| Arc::new(self.sample(&self.values, Moved::default(), reader)));
        self.stale = false;
        self.idle = Some(Arc::clone(&idle));
        idle
    }

    fn sample(&self, last: &Values, moved: Moved, reader: &Reader) -> TaskSample {
        let now = &self.values;
        TaskSample {
            tgid: Tgid(self.tgid),
            start_boot_ns: BootNs(now.start_ticks * reader.tick_ns),
            born: None,
            parent: Tgid(now.parent),
            comm: Arc::clone(&self.comm),
            state: now.state,
            kernel: now.kernel,
            nice: now.nice,
            real_time: now.real_time,
            threads: now.threads,
            user: DurNs(forward(now.user_ticks, last.user_ticks) * reader.tick_ns),
            system: DurNs(forward(now.system_ticks, last.system_ticks) * reader.tick_ns),
            runq: self.sched.map(|_| DurNs(moved.waited.wait_ns)),
            context_switches: self.sched.map(|_| moved.waited.switched_in),
            min_flt: forward(now.min_flt, last.min_flt),
            maj_flt: forward(now.maj_flt, last.maj_flt),
            rss_bytes: now.rss_pages * reader.page_bytes,
            virtual_bytes: now.virtual_bytes,
            swap_bytes: self.swap_bytes,
            io: self.io.map(|_| TaskIo {
                read_bytes: moved.io.read,
                write_bytes: moved.io.written.saturating_sub(moved.io.cancelled),
            }),
            fds: self.fds,
            fd_limit: self.fd_limit,
            cgroup: Arc::clone(&self.place.cgroup),
            cpu_cgroup: self.place.cpu_cgroup.clone(),
            container: self.place.container.clone(),
            labels: self.place.labels.clone(),
            unit: self.place.unit.clone(),
        }
    }
}

/// Completes what `stat` says of a process whose main thread has ended before the others: state and memory are those of a
/// thread that lives, `known` where it still does. Returns that thread; of other processes the main one.
fn fill_in(tgid: u32, known: u32, values: &mut Values, reader: &mut Reader) -> u32 {
    if values.state != TaskState::Zombie || values.threads <= 1 {
        return tgid;
    }
    let mut read = |tid| {
        let found = stat::parse(reader.file(tid, "stat")?)?.values;
        (tid != tgid && !matches!(found.state, TaskState::Zombie | TaskState::Dead)).then_some((tid, found))
    };
    let Some((tid, found)) = read(known).or_else(|| read(living(tgid))) else { return tgid };
    values.state = found.state;
    (values.virtual_bytes, values.rss_pages) = (found.virtual_bytes, found.rss_pages);
    tid
}

fn add(sum: Sched, one: &Sched) -> Sched {
    Sched {
        run_ns: sum.run_ns + one.run_ns,
        wait_ns: sum.wait_ns + one.wait_ns,
        switched_in: sum.switched_in + one.switched_in,
    }
}

fn subtract(now: Sched, before: Sched) -> Sched {
    Sched {
        run_ns: forward(now.run_ns, before.run_ns),
        wait_ns: forward(now.wait_ns, before.wait_ns),
        switched_in: forward(now.switched_in, before.switched_in),
    }
}
