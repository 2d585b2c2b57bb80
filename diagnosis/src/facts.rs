//! Facts: values that several rules need, computed once from the newest windows.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use agent_common::abi::sched::State;
use agent_common::units::{BootNs, DurNs, Tgid, Tid};

use crate::usage::{self, Usage};
use crate::window::{FrozenRow, MemoryRow, SyscallAbi, Wait, Window};

mod devices;
mod edges;
mod futexes;
mod process;
mod refusals;
mod times;
mod units;

pub(super) use devices::Device;
pub(super) use edges::{AT_THE_OTHER_END, Blocker};
pub(super) use process::Process;
pub(super) use refusals::{Refused, Want};
pub(super) use times::Times;
pub(super) use units::Unit;

/// Most share of the windows in which a lasting rate is below its threshold.
const MAX_GAP_SHARE: f64 = 0.2;

/// A map by kernel numbers. The kernel assigns them in turn, so no user can choose colliding ones; the default hash took a third of
/// the time of all rules.
pub(super) type Map<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;

/// Multiplies by an odd constant and turns: the usual hash for small integers.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u16(&mut self, n: u16) {
        self.write_u64(u64::from(n));
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(5) ^ n).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }

    fn write_isize(&mut self, n: isize) {
        self.write_u64(n as u64);
    }

    fn finish(&self) -> u64 {
        // The map takes its bucket from the low bits and its tag from the high ones: rotate the mixed bits down.
        self.0.rotate_left(26)
    }
}

/// Calls a second from which the rate of each window is kept: below the lowest threshold of a rule.
const MIN_SERIES_CALLS_PER_S: f64 = 300.0;

/// The facts of some windows about the host and its processes.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says whether one kind of data is there")]
pub(super) struct Facts<'a> {
    /// The windows.
    pub(super) windows: &'a [Arc<Window>],
    /// Length of all windows.
    pub(super) span: DurNs,
    /// CPUs that are online.
    pub(super) cpus: f64,
    /// Resource use of each process.
    pub(super) usage: Vec<Usage>,
    /// Each process' thread time.
    pub(super) processes: Vec<Process<'a>>,
    /// Index in `processes`.
    pub(super) by_tgid: Map<Tgid, usize>,
    /// Process of a thread, index in `processes`.
    pub(super) by_tid: Map<Tid, usize>,
    /// Units: processes of one name, parent and cgroup, which rules judge together.
    pub(super) units: Vec<Unit>,
    /// By unit: time that its threads waited for a CPU while threads of another unit ran there.
    pub(super) blame: Vec<Map<usize, u64>>,
    /// By unit: blocked time by the unit that ended it.
    wakes: Vec<Map<usize, u64>>,
    /// Processes that a cgroup keeps frozen.
    pub(super) frozen: Map<Tgid, &'a FrozenRow>,
    /// Newest known priority of threads; a lower number is a higher priority.
    pub(super) priorities: Map<Tid, i32>,
    /// Block devices, busiest first.
    pub(super) devices: Vec<Device>,
    /// CPU time of each process (tgid, start) by window, ns a second.
    pub(super) cpu: HashMap<(Tgid, BootNs), Vec<f64>>,
    /// Each process' use of each system call.
    pub(super) calls: Map<(Tgid, SyscallAbi, u16), Calls>,
    /// Refused calls of units.
    pub(super) refused: Vec<Refused>,
    /// Number of calls of a process.
    pub(super) all_calls: Map<Tgid, u64>,
    /// Syscalls were observed.
    pub(super) has_syscalls: bool,
    /// Thread states were observed.
    pub(super) has_states: bool,
    /// Waits were recorded.
    pub(super) has_waits: bool,
    /// The kernel keeps run-queue times.
    pub(super) has_runq: bool,
    /// Share of wall time in which some task waited for a CPU.
    pub(super) cpu_pressure: Option<f64>,
    /// Share of the CPUs' wall time that the hypervisor gave to other guests.
    pub(super) steal: f64,
}

/// One process' use of one call.
#[derive(Debug, Clone, Default)]
pub(super) struct Calls {
    pub(super) count: u64,
    pub(super) errors: u64,
    pub(super) errnos: Map<u16, u64>,
    pub(super) timed: u64,
    pub(super) total: DurNs,
    /// Calls a second, by window; empty below [`MIN_SERIES_CALLS_PER_S`].
    pub(super) rates: Vec<f64>,
    /// Errors a second, by window.
    pub(super) error_rates: Vec<f64>,
}

impl Calls {
    /// Mean time of those that were timed, ns; `None` if none was.
    pub(super) fn mean_ns(&self) -> Option<f64> {
        (self.timed > 0).then(|| self.total.0 as f64 / self.timed as f64)
    }
}

impl<'a> Facts<'a> {
    pub(super) fn new(windows: &'a [Arc<Window>]) -> Self {
        let span = usage::span(windows);
        let usage = usage::usage(windows);
        let has_states = windows.iter().any(|window| !window.times.is_empty());
        let (mut processes, by_tgid) = process::processes(windows, &usage, has_states);
        let owners = process::owners(&processes);
        let units = units::units(&mut processes);
        let mut facts = Self {
            windows,
            span,
            cpus: windows.last().map_or(1, |window| window.host.cpus.len().max(1)) as f64,
            blame: vec![Map::default(); units.len()],
            wakes: vec![Map::default(); units.len()],
            frozen: windows
                .last()
                .into_iter()
                .flat_map(|window| window.frozen.iter().map(|row| (row.tgid, row)))
                .collect(),
            priorities: windows
                .iter()
                .flat_map(|window| window.priorities.iter().map(|row| (row.tid, row.priority)))
                .collect(),
            devices: devices::devices(windows, span),
            cpu: HashMap::new(),
            calls: Map::default(),
            refused: Vec::new(),
            all_calls: Map::default(),
            has_syscalls: windows.iter().any(has_syscalls),
            has_states,
            has_waits: windows.iter().any(|window| !window.waits.is_empty()),
            has_runq: has_states
                || windows.iter().flat_map(|window| &window.tasks).any(|task| task.runq.is_some()),
            cpu_pressure: pressure(windows, span, |window| Some(window.host.pressure.cpu?.some.0)),
            steal: steal(windows),
            usage,
            processes,
            by_tgid,
            by_tid: owners,
            units,
        };
        facts.add_calls();
        facts.refused = refusals::refused(&facts);
        facts.add_edges();
        facts
    }

    fn add_calls(&mut self) {
        for (at, window) in self.windows.iter().enumerate() {
            let seconds = window.span().as_secs_f64().max(1e-9);
            let count = self.windows.len();
            for task in window.tasks.iter().filter(|task| task.user.0 + task.system.0 > 0) {
                let series = self.cpu.entry((task.tgid, task.start_boot_ns)).or_default();
                series.resize(count, 0.0);
                series[at] += (task.user.0 + task.system.0) as f64 / seconds;
            }
        }
        for row in self.windows.iter().flat_map(|window| &window.syscalls) {
            *self.all_calls.entry(row.tgid).or_default() += row.count;
            let calls = self.calls.entry((row.tgid, row.abi, row.nr)).or_default();
            calls.count += row.count;
            calls.errors += row.errors;
            for (errno, count) in &row.errnos {
                *calls.errnos.entry(*errno).or_default() += count;
            }
            calls.timed += row.timed;
            calls.total.0 += row.total.0;
        }
        let least = (MIN_SERIES_CALLS_PER_S * self.span.as_secs_f64()) as u64;
        for (at, window) in self.windows.iter().enumerate() {
            let seconds = window.span().as_secs_f64().max(1e-9);
            for row in window
                .syscalls
                .iter()
                .filter(|row| row.count as f64 >= MIN_SERIES_CALLS_PER_S * seconds / 10.0)
            {
                let Some(calls) = self.calls.get_mut(&(row.tgid, row.abi, row.nr)) else { continue };
                if calls.count < least {
                    continue;
                }
                calls.rates.resize(self.windows.len(), 0.0);
                calls.rates[at] += row.count as f64 / seconds;
                calls.error_rates.resize(self.windows.len(), 0.0);
                calls.error_rates[at] += row.errors as f64 / seconds;
            }
        }
    }

    /// An amount per second of the span.
    pub(super) fn per_second(&self, amount: u64) -> f64 {
        amount as f64 / self.span.as_secs_f64().max(1e-9)
    }

    /// Usage of a process; if two processes had the same tgid, that with more CPU time.
    pub(super) fn process(&self, tgid: Tgid) -> Option<&Usage> {
        let known = self.by_tgid.get(&tgid).and_then(|at| self.processes[*at].usage);
        known.map(|at| &self.usage[at])
    }

    /// The processes of a unit.
    pub(super) fn members(&self, unit: &Unit) -> impl Iterator<Item = &Process<'a>> {
        unit.members.iter().map(|at| &self.processes[*at])
    }

    /// Recorded waits of a unit in one of these states.
    pub(super) fn waits(&self, unit: &Unit, states: &'static [State]) -> impl Iterator<Item = &'a Wait> {
        self.members(unit)
            .flat_map(|process| process.waits.iter())
            .filter(move |(state, _)| states.contains(state))
            .map(|(_, wait)| *wait)
    }

    /// Reclaim, compaction and throttling of a unit's processes, window by window.
    pub(super) fn memory(&self, unit: &Unit) -> impl Iterator<Item = &'a MemoryRow> {
        let rows = self.windows.iter().flat_map(|window| &window.memory);
        rows.filter(|row| self.members(unit).any(|process| process.tgid == row.tgid))
    }

    /// Median wait of a unit in these states, weighted by time, ns: half of the waiting is in shorter waits. `None` without recorded
    /// waits.
    pub(super) fn typical_wait(&self, unit: &Unit, states: &'static [State]) -> Option<u64> {
        let mut waits: Vec<_> = self.waits(unit, states).map(|wait| (wait.waited.0, wait.weight.0)).collect();
        waits.sort_unstable();
        let all: u64 = waits.iter().map(|(_, weight)| weight).sum();
        let mut sum = 0;
        waits.into_iter().find_map(|(waited, weight)| {
            sum += weight;
            (2 * sum >= all).then_some(waited)
        })
    }

    /// The unit of a process.
    pub(super) fn unit_of(&self, tgid: Tgid) -> Option<&Unit> {
        self.by_tgid.get(&tgid).map(|at| &self.units[self.processes[*at].unit])
    }

    /// Sum of a number over the windows.
    pub(super) fn sum(&self, of: impl Fn(&Window) -> u64) -> u64 {
        self.windows.iter().map(|window| of(window)).sum()
    }

    /// A number of each window as a rate a second.
    pub(super) fn rates(&self, of: impl Fn(&Window) -> u64) -> Vec<f64> {
        self.windows.iter().map(|window| of(window) as f64 / window.span().as_secs_f64().max(1e-9)).collect()
    }

    /// Idle share of the CPU that was idle most, 0..=1.
    pub(super) fn idlest_cpu(&self) -> f64 {
        let mut idle: HashMap<u32, u64> = HashMap::new();
        for (cpu, times) in self.windows.iter().flat_map(|window| &window.host.cpus) {
            *idle.entry(cpu.0).or_default() += times.idle.0 + times.iowait.0;
        }
        let most = idle.into_values().max().unwrap_or(0);
        (self.per_second(most) / 1e9).min(1.0)
    }

    /// Mean number of idle CPUs.
    pub(super) fn idle_cpus(&self) -> f64 {
        let idle = self.sum(|window| window.host.cpu.idle.0 + window.host.cpu.iowait.0);
        self.per_second(idle) / 1e9
    }
}

/// True if a value lasts: at or above the limit in four of five windows.
pub(super) fn lasts(series: &[f64], limit: f64) -> bool {
    let below = series.iter().filter(|value| **value < limit).count();
    !series.is_empty() && below as f64 <= series.len() as f64 * MAX_GAP_SHARE
}

/// Share of the span in which tasks were stalled, from one of the kernel's pressure files.
pub(super) fn pressure(
    windows: &[Arc<Window>],
    span: DurNs,
    of: impl Fn(&Window) -> Option<u64>,
) -> Option<f64> {
    let some: Option<u64> = windows.iter().map(|window| of(window)).sum();
    some.filter(|_| span.0 > 0).map(|some| some as f64 / span.0 as f64)
}

/// Syscalls were observed, whether there were any or not.
fn has_syscalls(window: &Arc<Window>) -> bool {
    !window.syscalls.is_empty() || matches!(&*window.coverage.syscall_tier, "times" | "counts")
}

fn steal(windows: &[Arc<Window>]) -> f64 {
    let total: u64 = windows.iter().map(|window| window.host.cpu.total().0).sum();
    let steal: u64 = windows.iter().map(|window| window.host.cpu.steal.0).sum();
    if total == 0 { 0.0 } else { steal as f64 / total as f64 }
}
