//! Shapes of `--json` output: `agent report`, `agent syscalls`. Documented and stable.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::finding::Finding;

/// What was covered: expected = captured + lost, by reason.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// On-CPU samples (incl. idle ticks) that the rate, the CPUs and the time promise.
    pub expected: u64,
    /// Samples (incl. idle ticks) that arrived.
    pub captured: u64,
    /// What was lost, by reason ([`crate::abi::drops::DropReason::name`] and the collector's own). Zeros left out.
    pub lost: BTreeMap<String, u64>,
    /// Share of frames with a name, percent. `None` when nothing was symbolized.
    pub symbolized_pct: Option<f64>,
    /// `times` (entry and exit are seen) or `counts` (exit only).
    pub syscall_tier: String,
    /// Features that this kernel or these permissions do not allow, with what is lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// What the agent itself cost.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SelfCost {
    /// CPU of the collector process, percent of one core.
    pub cpu_pct: f64,
    /// Resident memory of the collector process.
    pub rss_bytes: u64,
    /// Kernel memory of the maps.
    pub map_bytes: u64,
}

/// `agent syscalls --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SyscallsReport {
    /// Observed time, seconds.
    pub window_s: f64,
    /// What was covered.
    pub coverage: Coverage,
    /// One row a (process, syscall), longest total first.
    pub rows: Vec<SyscallsRow>,
}

/// One row of [`SyscallsReport`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SyscallsRow {
    /// Process.
    pub pid: u32,
    /// Its name.
    pub comm: String,
    /// Syscall name, `i386:` in front for the 32-bit table; `syscall_<nr>` when unknown.
    pub syscall: String,
    /// Calls that returned.
    pub count: u64,
    /// Of these, with an errno.
    pub errors: u64,
    /// Time in them, ns; absent in the `counts` tier, as are the next four.
    pub total_ns: Option<u64>,
    /// Longest.
    pub max_ns: Option<u64>,
    /// Median, within 12.5 %.
    pub p50_ns: Option<u64>,
    /// 95th percentile, within 12.5 %.
    pub p95_ns: Option<u64>,
    /// 99th percentile, within 12.5 %.
    pub p99_ns: Option<u64>,
    /// Threads inside this call when the window closed.
    pub in_flight: u32,
    /// Age of the oldest of them, ns (at least this: it may have entered before the agent started).
    pub in_flight_age_ns: Option<u64>,
}

/// `agent report --json`, and the payload of `s7mpa/v1/<host>/report`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Observed time, seconds.
    pub window_s: f64,
    /// Host name.
    pub host: String,
    /// What was covered.
    pub coverage: Coverage,
    /// What it cost.
    #[serde(rename = "self")]
    pub self_cost: SelfCost,
    /// Processes, most interesting first; the last row may be `other` (pid 0), so that totals stay exact.
    pub processes: Vec<ReportProcess>,
    /// Findings, most lost time first.
    pub findings: Vec<Finding>,
}

/// One process of a [`Report`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportProcess {
    /// Process.
    pub pid: u32,
    /// Its name.
    pub comm: String,
    /// cgroup path.
    pub cgroup: String,
    /// Time per state in the window, ns: `oncpu_user_ns`, `oncpu_kernel_ns`, `runq_ns`, `offcpu_ns`, summed over threads.
    pub states: BTreeMap<String, u64>,
    /// Syscalls in the window.
    pub syscalls: u64,
    /// Of these, with an errno.
    pub syscall_errors: u64,
    /// Resident memory at the end.
    pub rss_bytes: u64,
    /// Bytes read from and written to storage in the window.
    pub io_bytes: u64,
    /// Processes of this parent that lived and died inside the window, folded in here.
    #[serde(default)]
    pub short_lived: u64,
}
