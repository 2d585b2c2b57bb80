//! What each process used over some windows, short-lived ones folded under their parents.

mod owners;
mod rank;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use agent_common::abi::process::generation;
use agent_common::abi::sched::{STATES, State};
use agent_common::units::{BootNs, DurNs, Tgid};
use agent_common::wire::finding::Place;

pub use self::owners::Owners;
use crate::groups::{is_lost, is_lost_when_refined};
use crate::window::task::place;
use crate::window::{ContainerLabels, ProcessExit, TaskState, Window};

pub use rank::{rank, rank_active, rank_with};

/// Resource use of one process: sums over the windows, levels as of the last window it was in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Usage {
    /// The process; 0 for the row `other`.
    pub tgid: Tgid,
    /// Its start; 0 when not known.
    pub start_boot_ns: BootNs,
    /// Its name.
    pub comm: Arc<str>,
    /// Its parent.
    pub parent: Tgid,
    /// Its cgroup path.
    pub cgroup: Arc<str>,
    /// Its container.
    pub container: Option<Arc<str>>,
    /// What the container's runtime calls it.
    pub labels: Option<Arc<ContainerLabels>>,
    /// systemd's unit of it.
    pub unit: Option<Arc<str>>,
    /// Processes in this row: 1, more in `other`, 0 for one that has ended.
    pub processes: u64,
    /// Its threads.
    pub threads: u64,
    /// Thread time: the sum over its threads of their lifetime in the windows.
    pub thread_time: DurNs,
    /// CPU in user mode.
    pub user: DurNs,
    /// CPU in kernel mode.
    pub system: DurNs,
    /// Time runnable but not running; `None` where the kernel does not say.
    pub runq: Option<DurNs>,
    /// Times switched in; `None` as above.
    pub context_switches: Option<u64>,
    /// Minor faults.
    pub min_flt: u64,
    /// Major faults.
    pub maj_flt: u64,
    /// Bytes read from storage; `None` without permission.
    pub read_bytes: Option<u64>,
    /// Bytes written to storage.
    pub write_bytes: Option<u64>,
    /// Syscalls that returned.
    pub syscalls: u64,
    /// Of these, with an errno.
    pub syscall_errors: u64,
    /// Time in the timed ones.
    pub syscall_time: DurNs,
    /// Age of the oldest call in flight at the end.
    pub in_flight_age: Option<DurNs>,
    /// Resident memory.
    pub rss_bytes: u64,
    /// Swapped out.
    pub swap_bytes: Option<u64>,
    /// Open descriptors.
    pub fds: Option<u64>,
    /// Limit on them.
    pub fd_limit: Option<u64>,
    /// State of its main thread.
    pub state: Option<TaskState>,
    /// Processes that lived and died between two readings of `/proc`, folded in here.
    pub short_lived: u64,
    /// Thread time by state, from the scheduler accounting, by the states' numbers.
    pub states: [DurNs; STATES],
    /// `states` are refined: time in ambiguous states is lost time.
    pub refined: bool,
    /// Thread time of the windows without scheduler accounting.
    pub bare: Bare,
}

/// Thread time from `/proc`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bare {
    /// CPU in user mode.
    pub user: DurNs,
    /// CPU in kernel mode.
    pub system: DurNs,
    /// Runnable, not running.
    pub runq: DurNs,
    /// Neither.
    pub offcpu: DurNs,
}

impl Usage {
    /// It did nothing that was counted.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let counted = [
            self.cpu().0,
            self.runq.unwrap_or_default().0,
            self.context_switches.unwrap_or(0),
            self.syscalls,
            self.min_flt,
            self.maj_flt,
            self.io_bytes(),
            self.short_lived,
            // It has ended: its last window is no idle one.
            u64::from(self.processes == 0),
        ];
        counted.iter().all(|count| *count == 0)
    }

    /// What it belongs to.
    #[must_use]
    pub fn place(&self) -> Place {
        place(self.container.as_ref(), self.labels.as_ref(), self.unit.as_ref())
    }

    /// CPU in both modes.
    #[must_use]
    pub const fn cpu(&self) -> DurNs {
        DurNs(self.user.0 + self.system.0)
    }

    /// Bytes to and from storage.
    #[must_use]
    pub fn io_bytes(&self) -> u64 {
        self.read_bytes.unwrap_or(0) + self.write_bytes.unwrap_or(0)
    }

    /// Thread time that was neither on a CPU nor waiting for one.
    #[must_use]
    pub fn offcpu(&self) -> DurNs {
        DurNs(self.thread_time.0.saturating_sub(self.cpu().0 + self.runq.unwrap_or_default().0))
    }

    /// Thread time in states that are certainly lost ([`is_lost`]).
    #[must_use]
    pub fn lost(&self) -> DurNs {
        let is_lost = if self.refined { is_lost_when_refined } else { is_lost };
        let states = State::ALL.into_iter().filter(|state| is_lost(*state));
        DurNs(states.map(|state| self.states[state as usize].0).sum::<u64>() + self.bare.runq.0)
    }

    /// Adds another row's figures; names stay.
    pub fn absorb(&mut self, other: &Self) {
        self.processes += other.processes;
        self.threads += other.threads;
        self.thread_time.0 += other.thread_time.0;
        self.user.0 += other.user.0;
        self.system.0 += other.system.0;
        self.runq = sum(self.runq.map(|ns| ns.0), other.runq.map(|ns| ns.0)).map(DurNs);
        self.context_switches = sum(self.context_switches, other.context_switches);
        self.min_flt += other.min_flt;
        self.maj_flt += other.maj_flt;
        self.read_bytes = sum(self.read_bytes, other.read_bytes);
        self.write_bytes = sum(self.write_bytes, other.write_bytes);
        self.syscalls += other.syscalls;
        self.syscall_errors += other.syscall_errors;
        self.syscall_time.0 += other.syscall_time.0;
        self.in_flight_age = self.in_flight_age.max(other.in_flight_age);
        self.rss_bytes += other.rss_bytes;
        self.swap_bytes = sum(self.swap_bytes, other.swap_bytes);
        self.fds = sum(self.fds, other.fds);
        self.short_lived += other.short_lived;
        for (sum, more) in self.states.iter_mut().zip(other.states) {
            sum.0 += more.0;
        }
        self.bare.user.0 += other.bare.user.0;
        self.bare.system.0 += other.bare.system.0;
        self.bare.runq.0 += other.bare.runq.0;
        self.bare.offcpu.0 += other.bare.offcpu.0;
    }
}

/// Sum of what is known.
fn sum(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    if a.is_none() && b.is_none() { None } else { Some(a.unwrap_or(0) + b.unwrap_or(0)) }
}

/// Length of all windows together.
#[must_use]
pub fn span(windows: &[Arc<Window>]) -> DurNs {
    DurNs(windows.iter().map(|window| window.span().0).sum())
}

/// Adds the windows up: one row a process, in no particular order.
///
/// An ended process that no reading of `/proc` saw is short-lived: its figures go to the nearest ancestor with a row (without one,
/// its own row stays). A tgid that was used twice has two rows, each with its own syscalls; thread states, which have only the
/// tgid, go to the later one.
#[must_use]
pub fn usage(windows: &[Arc<Window>]) -> Vec<Usage> {
    usage_with(windows, None)
}

/// As [`usage`], but process `kept` keeps its own row even if it is short-lived.
pub fn usage_with(windows: &[Arc<Window>], kept: Option<Tgid>) -> Vec<Usage> {
    let windows: Vec<&Window> = windows.iter().map(AsRef::as_ref).collect();
    owned(&windows, kept).0.into_values().collect()
}

/// Identity of a process: number and start.
pub type Key = (Tgid, BootNs);

/// The rows by process, and the map from tgids to rows.
pub fn owned(windows: &[&Window], kept: Option<Tgid>) -> (HashMap<Key, Usage>, Owners) {
    let mut rows: HashMap<Key, Usage> = HashMap::new();
    let mut owners = Owners::default();
    for window in windows {
        add_tasks(window, &mut rows, &mut owners.latest);
    }
    let seen: HashSet<Key> = rows.keys().copied().collect();
    let mut parents: HashMap<Key, Tgid> = HashMap::new();
    let exits = windows.iter().flat_map(|window| window.exits.iter().map(move |exit| (window, exit)));
    for (window, exit) in exits {
        let start = near(&seen, exit);
        let key = (exit.tgid, start.unwrap_or(exit.start_boot_ns));
        let row = rows.entry(key).or_insert_with(|| Usage {
            tgid: exit.tgid,
            start_boot_ns: exit.start_boot_ns,
            comm: Arc::clone(&exit.comm),
            parent: exit.parent,
            cgroup: "/".into(),
            ..Usage::default()
        });
        let cpu = add_exit(exit, row);
        if !window.times.iter().any(|times| times.tgid == exit.tgid) {
            row.bare.user.0 += cpu.0.0;
            row.bare.system.0 += cpu.1.0;
        }
        owners.latest.entry(exit.tgid).or_insert(key);
        owners.ended.insert((exit.tgid, generation(exit.start_boot_ns.0)), key);
        if start.is_none() && kept != Some(exit.tgid) {
            row.short_lived = 1;
            parents.insert(key, exit.parent);
        }
    }
    for window in windows {
        add_syscalls(window, &mut rows, &mut owners);
        add_times(window, &mut rows, &mut owners.latest);
    }
    for open in windows.last().iter().flat_map(|window| &window.in_flight) {
        let Some(row) = owners.latest.get(&open.tgid).and_then(|key| rows.get_mut(key)) else { continue };
        row.in_flight_age = row.in_flight_age.max(Some(open.age));
    }
    let moved = fold(&mut rows, &parents, &owners.latest);
    owners.follow(&moved);
    (rows, owners)
}

fn add_tasks(window: &Window, rows: &mut HashMap<Key, Usage>, latest: &mut HashMap<Tgid, Key>) {
    let span = window.span().0;
    let accounted: HashSet<Tgid> = window.times.iter().map(|times| times.tgid).collect();
    for task in &window.tasks {
        let row = rows.entry((task.tgid, task.start_boot_ns)).or_default();
        let lived = task.born.map_or(span, |born| born.0.min(span));
        let mut one = Usage {
            thread_time: DurNs(lived * u64::from(task.threads)),
            user: task.user,
            system: task.system,
            runq: task.runq,
            context_switches: task.context_switches,
            min_flt: task.min_flt,
            maj_flt: task.maj_flt,
            read_bytes: task.io.map(|io| io.read_bytes),
            write_bytes: task.io.map(|io| io.write_bytes),
            ..Usage::default()
        };
        if !accounted.contains(&task.tgid) {
            let (runq, offcpu) = (one.runq.unwrap_or_default(), one.offcpu());
            one.bare = Bare { user: one.user, system: one.system, runq, offcpu };
        }
        row.absorb(&one);
        row.tgid = task.tgid;
        row.start_boot_ns = task.start_boot_ns;
        row.comm = Arc::clone(&task.comm);
        row.parent = task.parent;
        row.cgroup = Arc::clone(&task.cgroup);
        row.container.clone_from(&task.container);
        row.labels.clone_from(&task.labels);
        row.unit.clone_from(&task.unit);
        row.processes = 1;
        row.threads = u64::from(task.threads);
        row.rss_bytes = task.rss_bytes;
        row.swap_bytes = task.swap_bytes;
        row.fds = task.fds.map(u64::from);
        row.fd_limit = task.fd_limit;
        row.state = Some(task.state);
        latest.insert(task.tgid, (task.tgid, task.start_boot_ns));
    }
}

/// Adds the part of an ended process' life that no sample has, and returns its CPU time (user, system). The kernel's tick counts
/// split its exact run time.
fn add_exit(exit: &ProcessExit, row: &mut Usage) -> (DurNs, DurNs) {
    let cpu = exit.cpu.0.saturating_sub(exit.before.cpu.0);
    let ticks = exit.utime.0 + exit.stime.0;
    let system =
        if ticks == 0 { 0 } else { (u128::from(cpu) * u128::from(exit.stime.0) / u128::from(ticks)) as u64 };
    row.user.0 += cpu - system;
    row.system.0 += system;
    // The event has no lifetime: its CPU time is a lower bound.
    row.thread_time.0 += cpu;
    row.min_flt += exit.min_flt.saturating_sub(exit.before.min_flt);
    row.maj_flt += exit.maj_flt.saturating_sub(exit.before.maj_flt);
    (row.processes, row.threads, row.rss_bytes, row.swap_bytes, row.fds) = (0, 0, 0, None, None);
    (DurNs(cpu - system), DurNs(system))
}

/// The start time of this ended process in samples, if there are any: `/proc` cuts it to ticks of 10 ms.
fn near(seen: &HashSet<Key>, exit: &ProcessExit) -> Option<BootNs> {
    const TICK_NS: u64 = 10_000_000;
    let exact = exit.start_boot_ns.0;
    let cut = exact / TICK_NS * TICK_NS;
    [exact, cut, cut.saturating_sub(TICK_NS), cut + TICK_NS]
        .into_iter()
        .map(BootNs)
        .find(|start| seen.contains(&(exit.tgid, *start)))
}

fn add_syscalls(window: &Window, rows: &mut HashMap<Key, Usage>, owners: &mut Owners) {
    for call in &window.syscalls {
        let key = owners.of(call);
        owners.latest.entry(call.tgid).or_insert(key);
        let row = rows.entry(key).or_insert_with(|| Usage {
            tgid: call.tgid,
            comm: Arc::clone(&call.comm),
            cgroup: "/".into(),
            ..Usage::default()
        });
        row.syscalls += call.count;
        row.syscall_errors += call.errors;
        row.syscall_time.0 += call.total.0;
    }
}

fn add_times(window: &Window, rows: &mut HashMap<Key, Usage>, latest: &mut HashMap<Tgid, Key>) {
    for times in &window.times {
        let key = *latest.entry(times.tgid).or_insert((times.tgid, BootNs(0)));
        let row = rows.entry(key).or_insert_with(|| Usage {
            tgid: times.tgid,
            comm: Arc::clone(&times.comm),
            cgroup: "/".into(),
            ..Usage::default()
        });
        for (state, time) in &times.states {
            row.states[*state as usize].0 += time.0;
        }
    }
}

/// Moves short-lived processes to their nearest ancestor with a row, and returns where each went.
fn fold(
    rows: &mut HashMap<Key, Usage>,
    parents: &HashMap<Key, Tgid>,
    latest: &HashMap<Tgid, Key>,
) -> HashMap<Key, Key> {
    let mut moved = HashMap::new();
    for (key, parent) in parents {
        let mut at = *parent;
        // A chain of parents is no longer than there are exits; a loop (numbers reused) ends here too.
        let target = (0..=parents.len()).find_map(|_| {
            let found = *latest.get(&at)?;
            match parents.get(&found) {
                Some(next) => {
                    at = *next;
                    None
                }
                None => Some(found),
            }
        });
        let Some(target) = target.filter(|target| target != key && rows.contains_key(target)) else {
            continue;
        };
        if let Some(row) = rows.remove(key)
            && let Some(into) = rows.get_mut(&target)
        {
            into.absorb(&row);
            moved.insert(*key, target);
        }
    }
    moved
}

#[cfg(test)]
mod tests;
