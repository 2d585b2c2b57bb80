//! What the rules look at, worked out once for all of them.

use std::collections::HashMap;
use std::sync::Arc;

use agent_common::units::{DurNs, Tgid};

use crate::aggregate::{self, Usage};
use crate::window::{SyscallAbi, Window};

/// Share of the windows in which a rate may fall below its threshold and still count as lasting.
const GAPS: f64 = 0.2;

/// What some windows say about the host and its processes.
#[derive(Debug)]
pub(super) struct Facts {
    /// Length of all windows.
    pub(super) span: DurNs,
    /// CPUs that are online.
    pub(super) cpus: f64,
    /// What each process used.
    pub(super) usage: Vec<Usage>,
    /// CPU time of each process (number, start), a window at a time, ns per second.
    pub(super) cpu: HashMap<(Tgid, u64), Vec<f64>>,
    /// What each process did with each call.
    pub(super) calls: HashMap<(Tgid, SyscallAbi, u16), Calls>,
    /// Syscalls were observed.
    pub(super) has_syscalls: bool,
    /// The kernel keeps run-queue times.
    pub(super) has_runq: bool,
    /// Share of wall time in which some task waited for a CPU.
    pub(super) cpu_pressure: Option<f64>,
    /// Share of the CPUs' wall time that the hypervisor gave to somebody else.
    pub(super) steal: f64,
}

/// One process' use of one call.
#[derive(Debug, Clone, Default)]
pub(super) struct Calls {
    pub(super) count: u64,
    pub(super) errors: u64,
    pub(super) timed: u64,
    pub(super) total: DurNs,
    /// Calls a second, a window at a time.
    pub(super) rates: Vec<f64>,
    /// Errors a second, a window at a time.
    pub(super) error_rates: Vec<f64>,
}

impl Facts {
    pub(super) fn new(windows: &[Arc<Window>]) -> Self {
        let span = aggregate::span(windows);
        let mut facts = Self {
            span,
            cpus: windows.last().map_or(1, |window| window.host.cpus.len().max(1)) as f64,
            usage: aggregate::usage(windows),
            cpu: HashMap::new(),
            calls: HashMap::new(),
            has_syscalls: windows.iter().any(|window| !window.syscalls.is_empty()),
            has_runq: windows.iter().flat_map(|window| &window.tasks).any(|task| task.runq.is_some()),
            cpu_pressure: pressure(windows, span),
            steal: steal(windows),
        };
        for (at, window) in windows.iter().enumerate() {
            let seconds = window.span().as_secs_f64().max(1e-9);
            for task in &window.tasks {
                let series = facts.cpu.entry((task.tgid, task.start_boot_ns)).or_default();
                series.resize(windows.len(), 0.0);
                series[at] += (task.user.0 + task.system.0) as f64 / seconds;
            }
            for row in &window.syscalls {
                let calls = facts.calls.entry((row.tgid, row.abi, row.nr)).or_default();
                calls.count += row.count;
                calls.errors += row.errors;
                calls.timed += row.timed;
                calls.total.0 += row.total.0;
                calls.rates.resize(windows.len(), 0.0);
                calls.rates[at] += row.count as f64 / seconds;
                calls.error_rates.resize(windows.len(), 0.0);
                calls.error_rates[at] += row.errors as f64 / seconds;
            }
        }
        facts
    }

    /// An amount per second of the span.
    pub(super) fn per_second(&self, amount: u64) -> f64 {
        amount as f64 / self.span.as_secs_f64().max(1e-9)
    }

    /// Row of a process by number; the one that used most when the number was used twice.
    pub(super) fn process(&self, tgid: Tgid) -> Option<&Usage> {
        self.usage.iter().filter(|row| row.tgid == tgid).max_by_key(|row| row.cpu())
    }
}

/// Whether a value lasted: at or above the limit in all windows but one in five.
pub(super) fn lasts(series: &[f64], limit: f64) -> bool {
    let below = series.iter().filter(|value| **value < limit).count();
    !series.is_empty() && below as f64 <= series.len() as f64 * GAPS
}

fn pressure(windows: &[Arc<Window>], span: DurNs) -> Option<f64> {
    let some: Option<u64> = windows.iter().map(|window| Some(window.host.pressure.cpu?.some.0)).sum();
    some.filter(|_| span.0 > 0).map(|some| some as f64 / span.0 as f64)
}

fn steal(windows: &[Arc<Window>]) -> f64 {
    let total: u64 = windows.iter().map(|window| window.host.cpu.total().0).sum();
    let steal: u64 = windows.iter().map(|window| window.host.cpu.steal.0).sum();
    if total == 0 { 0.0 } else { steal as f64 / total as f64 }
}
