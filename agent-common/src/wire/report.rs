//! Shapes of `--json` output: `agent report`, `agent syscalls`. Documented and stable.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::finding::{Alert, Finding, Place};
use crate::abi::drops::DropReason;
use crate::abi::python::PythonVerdict;
use crate::abi::unwind::Verdict;

/// What was covered: expected = captured + lost, by reason (of `lost`, those that begin with `sample_`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// On-CPU samples (incl. idle ticks) that the rate, the CPUs and the time promise.
    pub expected: u64,
    /// Samples that arrived, ticks outside the filter, and idle ticks: those that came, and those that an idle CPU's
    /// timer slept through, by its idle time.
    pub captured: u64,
    /// What was lost, by reason ([`crate::abi::drops::DropReason::name`] and the collector's own). Zeros left out.
    pub lost: BTreeMap<String, u64>,
    /// Share of frames with a name, percent. `None` when nothing was symbolized.
    pub symbolized_pct: Option<f64>,
    /// `times` (entry and exit are seen) or `counts` (exit only).
    pub syscall_tier: String,
    /// User stacks by how the walk up them ended ([`crate::abi::unwind::Verdict::name`]); samples of kernel threads, which
    /// have none, are left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unwound: BTreeMap<String, u64>,
    /// Stacks of Python processes by how the walk up their Python frames ended.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pythons: BTreeMap<String, u64>,
    /// Features that this kernel or these permissions do not allow, with what is lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// Reason in [`Coverage::lost`]: a CPU that was not idle had no tick of the sampling timer.
pub const TIMER_STOPPED: &str = "sample_timer_stopped";

/// Reason in [`Coverage::lost`]: the kernel had no room to tell what a process mapped.
pub const MAPPINGS_LOST: &str = "mapping_ring_full";

/// Reason in [`Coverage::lost`]: files or processes for whose unwind tables there was no room.
pub const UNWIND_NO_ROOM: &str = "unwind_no_room";

/// Reason in [`Coverage::lost`]: files or processes that were given up, since their file system does not answer.
pub const NO_ANSWER: &str = "file_system_no_answer";

/// Reason in [`Coverage::lost`]: looks at files or processes that were left out, since their file system does not answer or the files
/// of their user have used up their time.
pub const LEFT_ALONE: &str = "files_left_alone";

/// Reason in [`Coverage::lost`]: bad ends of processes that no post-mortem was made of, since too many came at once.
pub const ENDS_LEFT_OUT: &str = "ends_left_out";

impl Coverage {
    /// What was lost: `29 samples lost (buffer full)`, one text a reason.
    pub fn losses(&self) -> impl Iterator<Item = String> {
        self.lost.iter().map(|(reason, lost)| {
            let known = DropReason::ALL.into_iter().find(|known| known.name() == reason);
            match known.map(DropReason::words) {
                Some(words) => format!("{lost} {words}"),
                None if reason == TIMER_STOPPED => format!("{lost} samples lost (timer held back)"),
                None if reason == UNWIND_NO_ROOM => {
                    format!("{lost} files or processes without unwind tables (no room)")
                }
                None if reason == NO_ANSWER => {
                    format!("{lost} files or processes given up (file system does not answer)")
                }
                None if reason == LEFT_ALONE => {
                    format!("{lost} looks at files left out (no answer, or their user is over budget)")
                }
                None if reason == MAPPINGS_LOST => format!("{lost} mapping events lost (buffer full)"),
                None if reason == ENDS_LEFT_OUT => {
                    format!("{lost} bad ends of processes not examined (too many at once)")
                }
                None => format!("{lost} {}", reason.replace('_', " ")),
            }
        })
    }

    /// `user stacks 98.2% complete; cut: 12 no table, 3 fault`, and the same of Python's; `None` where there are none.
    #[must_use]
    pub fn stacks_text(&self) -> Option<String> {
        let is_whole = |name: &str| Verdict::ALL.iter().any(|v| v.name() == name && v.is_complete());
        let native = ended("user stacks", &self.unwound, is_whole)?;
        let is_whole = |name: &str| name == PythonVerdict::Complete.name();
        let python = ended("; Python stacks", &self.pythons, is_whole).unwrap_or_default();
        Some(native + &python)
    }
}

/// `what 98.2% complete; cut: 12 no table, 3 fault`; `None` where there are none.
fn ended(what: &str, counts: &BTreeMap<String, u64>, is_whole: impl Fn(&str) -> bool) -> Option<String> {
    let all: u64 = counts.values().sum();
    let (whole, mut cut): (Vec<_>, Vec<_>) = counts.iter().partition(|(name, _)| is_whole(name));
    let complete: u64 = whole.iter().map(|(_, count)| **count).sum();
    if all == 0 {
        return None;
    }
    // Rounded down: 99.99 must not read as 100.
    let pct = (complete as f64 * 1000.0 / all as f64).floor() / 10.0;
    cut.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let cut: Vec<String> =
        cut.iter().map(|(name, count)| format!("{count} {}", name.replace('_', " "))).collect();
    let cut = if cut.is_empty() { String::new() } else { format!("; cut: {}", cut.join(", ")) };
    Some(format!("{what} {pct:.1}% complete{cut}"))
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
    /// What unwinding without frame pointers took.
    #[serde(default)]
    pub unwind: UnwindCost,
}

/// Unwind tables of programs and libraries: what is loaded, and what that took in the time reported on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnwindCost {
    /// Processes whose mappings the kernel side knows.
    pub processes: u64,
    /// Tables loaded, one a content.
    pub tables: u64,
    /// Rows of all tables.
    pub rows: u64,
    /// Kernel memory of the rows (part of `map_bytes`).
    pub bytes: u64,
    /// CPU time of the thread that reads files and mappings, ns.
    pub cpu_ns: u64,
    /// Tables dropped to make room.
    pub evicted: u64,
    /// Files and processes that there was no room for.
    pub refused: u64,
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
    /// Of `errors`: which, the commonest first.
    #[serde(default)]
    pub errnos: Vec<ErrnoCount>,
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
    /// Time that its calls were blocked, ns: summed from the waits that scheduler accounting samples, one for each 10 ms of a
    /// thread's blocked time (160 ms where it idles), whatever the tier. Absent without that accounting.
    #[serde(default)]
    pub blocked_ns: Option<u64>,
    /// Threads inside this call when the window closed.
    pub in_flight: u32,
    /// Age of the oldest of them, ns.
    pub in_flight_age_ns: Option<u64>,
    /// It is older: it began before the agent, or while calls were only counted, and was first seen that long ago.
    #[serde(default)]
    pub in_flight_age_at_least: bool,
}

/// Calls that failed with one errno.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrnoCount {
    /// Name: `ENOENT`.
    pub errno: String,
    /// Calls.
    pub count: u64,
}

/// `agent report --json`, and the payload of `s7mpa/v1/<host>/report`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What there is to know, in one sentence.
    #[serde(default)]
    pub verdict: String,
    /// Observed time, seconds.
    pub window_s: f64,
    /// Its end by the clock of its host, ns since the epoch; 0 in reports of older agents.
    #[serde(default)]
    pub until_unix_ns: u64,
    /// The daemon made it because an alert opened.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub of_alert: bool,
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
    /// More about the process, where the report is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessDetail>,
    /// What cannot be known here, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
    /// Which time it is about, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub past: Option<PastTime>,
}

/// A past time that a report is about.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PastTime {
    /// Beginning of the time that was asked for, ns since the epoch.
    pub from_unix_ns: u64,
    /// Its end.
    pub until_unix_ns: u64,
    /// What is not known of it, seconds.
    pub missing_s: f64,
    /// Alerts in this time, as the rules give them: those open at its beginning, then each change.
    #[serde(default)]
    pub alerts: Vec<Alert>,
}

/// More about one process.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcessDetail {
    /// Its threads, most lost time first.
    pub threads: Vec<ThreadRow>,
    /// What its threads waited for, by the waits that were looked at, longest first.
    pub waits: Vec<WaitRow>,
    /// Who ran while its threads waited for a CPU, longest first.
    pub ran_meanwhile: Vec<RanRow>,
}

/// One thread of a [`ProcessDetail`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ThreadRow {
    /// Thread.
    pub tid: u32,
    /// Its name.
    pub comm: String,
    /// As in [`ReportProcess`]; time on the CPU is `oncpu_ns`.
    pub states: BTreeMap<String, u64>,
    /// As in [`ReportProcess`].
    pub lost_ns: u64,
}

/// Waits of one kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WaitRow {
    /// Which state.
    pub state: String,
    /// The system call; absent in a page fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub syscall: Option<String>,
    /// What for: futex, file, pipe, peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// They have not ended, and hold their threads up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
    /// Who ended most of it; who is at the other end of those that have not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waker: Option<String>,
    /// Waits that were looked at.
    pub waits: u64,
    /// Time that they stand for.
    pub waited_ns: u64,
    /// Longest of them.
    pub max_ns: u64,
}

/// Who ran while others waited for a CPU.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RanRow {
    /// Process; 0 for interrupts of an idle CPU.
    pub pid: u32,
    /// Its name.
    pub comm: String,
    /// Thread time that was waited meanwhile.
    pub waited_ns: u64,
}

/// One process of a [`Report`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ReportProcess {
    /// Process.
    pub pid: u32,
    /// Its name.
    pub comm: String,
    /// cgroup path.
    pub cgroup: String,
    /// What it belongs to.
    #[serde(flatten)]
    pub place: Place,
    /// Time per state, ns, summed over threads: `oncpu_user_ns`, `oncpu_kernel_ns` and the states of
    /// [`crate::abi::sched::State`] with `_ns` (without `oncpu`). They add up to `wall_ns`. Where there is no scheduler
    /// accounting, `runq_ns` and `offcpu_ns` stand for all waits for a CPU and all others.
    pub states: BTreeMap<String, u64>,
    /// Threads at the end.
    #[serde(default)]
    pub threads: u64,
    /// Threads × time: the sum of `states`.
    #[serde(default)]
    pub wall_ns: u64,
    /// Time in states in which it was held up: waits for a CPU, storage, memory, locks. Waits that may be idleness
    /// (for a peer, a child, input) are not in it.
    #[serde(default)]
    pub lost_ns: u64,
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
